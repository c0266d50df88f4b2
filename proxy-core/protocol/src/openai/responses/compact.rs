//! `POST /v1/responses/compact`: a transcript in a shorter form, with which the client goes on.
//!
//! <https://platform.openai.com/docs/api-reference/responses/compact>

use serde_json::{Value, json};

use super::history::HistoryItem;
use super::{input, object, request, state};
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::frame::Frames;
use crate::openai::read::Node;
use crate::openai::state::State;
use crate::openai::{Context, Continued, Encoder, Prepared, Surface};
use crate::turn::{AnswerForm, Item, Limits, Task, TurnEvent, TurnOutput};

/// The compaction of transcripts, which belongs to the Responses API.
#[derive(Debug)]
pub struct Compaction;

impl Surface for Compaction {
    const NAME: &'static str = "responses";
    const CONTINUES: bool = true;

    type Encoder = CompactionEncoder;

    fn parse(body: &Value, context: &Context<'_>) -> Result<Prepared<CompactionEncoder>, RequestError> {
        refuse_others(body)?;
        let Prepared { mut turn, encoder: _, image_params, notes, .. } = request::parse(body, context)?;
        turn.task = Task::Compact;
        turn.spec.tools.clear();
        turn.spec.web_search = false;
        turn.output_schema = None;
        turn.answer_form = AnswerForm::Free;
        turn.limits = Limits::default();
        let encoder = CompactionEncoder {
            id: context.id.to_owned(),
            created_at: context.now,
            standing: standing(body, context.continued),
        };
        Ok(Prepared { turn, choices: 1, compact_at: None, stream: false, encoder, image_params, notes })
    }

    /// The compact form itself is not stored: the client has it.
    fn state(body: &Value) -> Result<State, RequestError> {
        Ok(State { store: false, background: false, ..state::read(body)? })
    }

    fn own(_: Value, _: &str) -> Vec<Value> {
        Vec::new()
    }
}

/// Refuses what makes no sense here and would be missed if it were ignored.
fn refuse_others(body: &Value) -> Result<(), RequestError> {
    let object = Node::root(body).object()?;
    for param in ["stream", "background"] {
        if let Some(node) = object.opt(param)
            && node.boolean()?
        {
            let message = format!("A compaction has one answer and no '{param}'. Leave '{param}' out.");
            return Err(RequestError::new(RequestErrorKind::Unsupported, param, message));
        }
    }
    match object.opt("conversation") {
        Some(node) => Err(node.unsupported(
            "A conversation cannot be compacted. Send its items in 'input', or compact a response with \
             'previous_response_id'.",
        )),
        None => Ok(()),
    }
}

/// The system and developer messages: they stay as they are.
fn standing(body: &Value, continued: Option<Continued<'_>>) -> Vec<Value> {
    let before = continued.iter().flat_map(|continued| continued.items);
    let before = before.filter_map(|item| match item {
        HistoryItem::Other(value) => Some(value),
        HistoryItem::Usual { .. } => None,
    });
    let items = before.chain(body["input"].as_array().into_iter().flatten());
    items.filter(|item| matches!(item["role"].as_str(), Some("system" | "developer"))).cloned().collect()
}

/// Renders a compact form.
#[derive(Debug)]
pub struct CompactionEncoder {
    id: String,
    created_at: u64,
    standing: Vec<Value>,
}

/// It has no stream.
impl Encoder for CompactionEncoder {
    fn open(&mut self, _: &mut Frames) {}

    fn push(&mut self, _: usize, _: &TurnEvent, _: &mut Frames) {}

    fn finish(&mut self, _: &mut Frames) {}

    fn object(&self, outputs: &[TurnOutput]) -> Value {
        let made = outputs.first();
        let items = made.and_then(|made| made.compacted.as_ref()).into_iter().flatten();
        let output: Vec<Value> = self
            .standing
            .iter()
            .chain(items)
            .enumerate()
            .map(|(index, item)| state::resource(item.clone(), &format!("{}{index:04x}", self.id)))
            .collect();
        json!({
            "id": format!("resp_{}", self.id),
            "object": "response.compaction",
            "created_at": self.created_at,
            "output": output,
            "usage": object::usage(made.and_then(|made| made.usage).unwrap_or_default()),
        })
    }
}

/// Reads a compact form as a transcript.
///
/// # Errors
/// If it has items that no client could send.
pub fn window(items: Vec<Value>) -> Result<Vec<Item>, RequestError> {
    input::transcript(&Node::named(&Value::Array(items), "input"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{Finish, Usage};

    #[test]
    fn a_compact_form_has_the_standing_messages_and_ids() {
        let body = json!({"input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "uno"},
        ]});
        let encoder = CompactionEncoder { id: "7".into(), created_at: 5, standing: standing(&body, None) };
        let mut output = TurnOutput::default();
        let content = json!([{"type": "input_text", "text": "one"}]);
        output.push(&TurnEvent::Compacted {
            items: vec![
                json!({"type": "message", "role": "user", "content": content}),
                json!({"type": "compaction", "id": "cmp_1", "encrypted_content": "sealed"}),
            ],
        });
        output.push(&TurnEvent::Usage(Usage { input: 9, output: 2, ..Usage::default() }));
        output.push(&TurnEvent::Finished(Finish::Stop));
        let object = encoder.object(&[output]);
        let brief = json!([{"type": "input_text", "text": "Be brief."}]);
        assert_eq!(
            object["output"],
            json!([
                {"type": "message", "role": "developer", "content": brief, "id": "msg_70000", "status": "completed"},
                {"type": "message", "role": "user", "content": content, "id": "msg_70001", "status": "completed"},
                {"type": "compaction", "id": "cmp_1", "encrypted_content": "sealed"},
            ])
        );
        assert_eq!((&object["id"], &object["object"]), (&json!("resp_7"), &json!("response.compaction")));
        assert_eq!(object["usage"]["total_tokens"], 11);
    }

    #[test]
    fn a_compact_form_has_no_items_that_no_client_could_send() {
        let message = json!({"type": "message", "role": "user", "content": "1"});
        let compaction = json!({"type": "compaction", "encrypted_content": "sealed"});
        assert_eq!(window(vec![message, compaction]).unwrap().len(), 2);
        assert!(window(vec![json!({"type": "item_reference", "id": "x"})]).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (body, param) in [
            (json!({"input": "hi", "stream": true}), "stream"),
            (json!({"input": "hi", "background": true}), "background"),
            (json!({"input": "hi", "conversation": "conv_1"}), "conversation"),
        ] {
            let error = refuse_others(&body).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param));
        }
        assert!(refuse_others(&json!({"input": "hi", "stream": false, "conversation": null})).is_ok());
    }
}
