//! What a request continues, and its items in the form in which they are stored and listed.

use serde_json::{Value, json};

use super::params;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::Node;
use crate::openai::state::State;

type Result<T> = std::result::Result<T, RequestError>;

/// Reads what a request says about stored state.
///
/// # Errors
/// If a member has the wrong type, or two of them exclude each other.
pub(super) fn read(body: &Value) -> Result<State> {
    let body = Node::root(body).object()?;
    let state = State {
        previous: params::string(&body, "previous_response_id")?,
        conversation: body.opt("conversation").as_ref().map(conversation).transpose()?,
        background: params::boolean(&body, "background", false)?,
        store: params::boolean(&body, "store", true)?,
    };
    if state.previous.is_some() && state.conversation.is_some() {
        return Err(RequestError::new(
            RequestErrorKind::InvalidValue,
            "previous_response_id",
            "'previous_response_id' and 'conversation' exclude each other: send one of them.",
        ));
    }
    if state.background && !state.store {
        return Err(RequestError::new(
            RequestErrorKind::InvalidValue,
            "background",
            "A background response has to be stored, so that you can read it: send 'store': true, or leave it out.",
        ));
    }
    Ok(state)
}

/// The id of a conversation, alone or in an object.
fn conversation(node: &Node<'_>) -> Result<String> {
    if node.value.is_object() {
        return Ok(node.object()?.req("id")?.string()?.to_owned());
    }
    node.string().map(str::to_owned)
}

/// Takes the items of `input` as the client sent them, a text as the message that it stands for.
pub fn own_items(body: &mut Value) -> Vec<Value> {
    let input = body["input"].take();
    match input {
        Value::String(text) => vec![json!({"type": "message", "role": "user", "content": text})],
        Value::Array(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// The id that an item of type `item_reference` stands for.
pub fn referenced(item: &Value) -> Option<&str> {
    let kind = &item["type"];
    let is_reference = kind == "item_reference" || (kind.is_null() && item["role"].is_null());
    is_reference.then(|| item["id"].as_str()).flatten()
}

/// An item as it is stored and listed: with an id, with a status, and with its content as parts. `seed` makes the
/// id of an item that has none.
#[must_use]
pub fn resource(mut item: Value, seed: &str) -> Value {
    if !item.is_object() {
        return item;
    }
    if item["type"].is_null() {
        item["type"] = json!("message");
    }
    let kind = item["type"].as_str().unwrap_or_default().to_owned();
    if !item["id"].is_string() {
        let prefix = match kind.as_str() {
            "message" => "msg",
            "reasoning" => "rs",
            "compaction" => "cmp",
            "function_call" => "fc",
            "function_call_output" => "fco",
            "custom_tool_call" => "ctc",
            "custom_tool_call_output" => "cto",
            _ => "item",
        };
        item["id"] = json!(format!("{prefix}_{seed}"));
    }
    let has_status = matches!(kind.as_str(), "message" | "function_call" | "function_call_output");
    if has_status && !item["status"].is_string() {
        item["status"] = json!("completed");
    }
    if kind == "message"
        && let Some(text) = item["content"].as_str()
    {
        item["content"] = match item["role"] == "assistant" {
            true => json!([{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]),
            false => json!([{"type": "input_text", "text": text}]),
        };
    }
    item
}

/// Checks items that are to be added to a conversation. Calls and outputs need not be complete.
///
/// # Errors
/// Names the first item that is wrong, as part of `param`.
pub fn check_items(items: &Value, param: &str) -> Result<()> {
    super::input::check(&Node::named(items, param))
}

/// Reads the `metadata` of an object that is stored; an empty object if there is none.
///
/// # Errors
/// If it is not at most 16 pairs of short texts.
pub fn metadata(body: &Value) -> Result<Value> {
    params::metadata(&Node::root(body).object()?)
}

/// Removes the sealed reasoning of an item, for a client that has not asked for it.
pub fn unseal(item: &mut Value) {
    if item["type"] == "reasoning"
        && let Some(members) = item.as_object_mut()
    {
        members.remove("encrypted_content");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_read_with_the_defaults_of_the_api() {
        let state = read(&json!({"input": "hi"})).unwrap();
        assert_eq!(state, State { store: true, ..State::default() });
        let state = read(&json!({"conversation": {"id": "conv_1"}, "store": false})).unwrap();
        assert_eq!(state.conversation.as_deref(), Some("conv_1"));
        assert!(state.continues() && !state.store);
        let wrong = [
            json!({"previous_response_id": "resp_1", "conversation": "conv_1"}),
            json!({"background": true, "store": false}),
            json!({"previous_response_id": 1}),
            json!({"conversation": {}}),
        ];
        for body in wrong {
            assert!(read(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_stored_item_has_an_id_a_status_and_parts() {
        let item = resource(json!({"role": "user", "content": "hi"}), "7");
        let parts = json!([{"type": "input_text", "text": "hi"}]);
        assert_eq!(
            item,
            json!({"type": "message", "id": "msg_7", "status": "completed", "role": "user", "content": parts})
        );
        let call =
            json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"});
        let mut listed = call.clone();
        listed["status"] = json!("completed");
        assert_eq!(resource(call, "7"), listed);
        let part = json!({"type": "input_image", "image_url": "data:,"});
        let picture = json!({"type": "message", "role": "user", "content": [part]});
        assert_eq!(resource(picture, "7")["content"], json!([part]));
    }

    #[test]
    fn references_have_a_type_or_only_an_id() {
        assert_eq!(referenced(&json!({"type": "item_reference", "id": "msg_1"})), Some("msg_1"));
        assert_eq!(referenced(&json!({"id": "msg_1"})), Some("msg_1"));
        assert_eq!(referenced(&json!({"id": "msg_1", "role": "user"})), None);
        assert_eq!(referenced(&json!({"id": "msg_1", "type": "message"})), None);
    }
}
