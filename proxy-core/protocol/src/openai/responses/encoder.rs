//! A turn's events as the events of the Responses API.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use super::object::{self, Echo, Status};
use crate::openai::Encoder;
use crate::openai::error::turn_error_body;
use crate::openai::frame::Frames;
use crate::turn::{Finish, OutputItem, ToolKind, TurnError, TurnEvent, TurnOutput};

/// Renders one response.
#[derive(Debug)]
pub struct ResponsesEncoder {
    echo: Echo,
    output: TurnOutput,
    /// The opened parts of each item of `output`.
    opened: Vec<Opened>,
    sequence: u64,
    ended_at: Option<u64>,
    clock: fn() -> u64,
    /// The object of a response that is only replayed.
    replayed: Option<Value>,
}

/// The parts of an item that the stream has opened.
///
/// The parts of a reasoning item come one after the other, so that the last one begun is the one open.
#[derive(Debug, Default)]
struct Opened {
    summary_parts: usize,
    text_parts: usize,
    /// Parts of a message that have begun, and the last of them.
    message_parts: usize,
    message_part: Option<MessagePart>,
    closed: bool,
}

/// A content part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessagePart {
    Text,
    Refusal,
}

impl ResponsesEncoder {
    pub(super) fn new(echo: Echo) -> Self {
        Self {
            echo,
            output: TurnOutput::default(),
            opened: Vec::new(),
            sequence: 0,
            ended_at: None,
            clock: seconds_since_epoch,
            replayed: None,
        }
    }

    /// An encoder that renders a response which has ended, with this object.
    pub(super) fn replaying(object: Value) -> Self {
        let echo = Echo { encrypted_reasoning: true, ..Echo::default() };
        Self { replayed: Some(object), ..Self::new(echo) }
    }

    fn ended_at(&self) -> u64 {
        self.ended_at.unwrap_or_else(|| (self.clock)()).max(self.echo.created_at)
    }

    fn response(&self) -> Value {
        if let Some(replayed) = &self.replayed {
            let mut response = replayed.clone();
            if self.output.end.is_none() {
                response["status"] = json!("in_progress");
                response["output"] = json!([]);
                for unknown in ["completed_at", "error", "incomplete_details", "usage"] {
                    response[unknown] = Value::Null;
                }
            }
            return response;
        }
        object::response(&self.echo, &self.output, self.ended_at())
    }

    fn emit(&mut self, frames: &mut Frames, kind: &'static str, body: impl Serialize) {
        frames.event(kind, &Event { kind, sequence_number: self.sequence, body });
        self.sequence += 1;
    }

    /// Announces the item that has just begun.
    fn begin(&mut self, index: usize, frames: &mut Frames) {
        self.opened.resize_with(self.output.items.len(), Opened::default);
        let item = &self.output.items[index];
        let added = json!({"output_index": index, "item": object::begun(item)});
        self.emit(frames, "response.output_item.added", added);
    }

    /// Begins a part of a message unless it is the one that is open. Returns its index.
    fn message_part(&mut self, index: usize, part: MessagePart, id: &str, frames: &mut Frames) -> usize {
        if self.opened[index].message_part != Some(part) {
            self.close_message_part(index, frames);
            let begun = self.opened[index].message_parts;
            self.opened[index].message_parts += 1;
            self.opened[index].message_part = Some(part);
            let part = match part {
                MessagePart::Text => object::output_text("", &[]),
                MessagePart::Refusal => object::refusal(""),
            };
            self.emit(
                frames,
                "response.content_part.added",
                json!({"item_id": id, "output_index": index, "content_index": begun, "part": part}),
            );
        }
        self.opened[index].message_parts - 1
    }

    fn close_message_part(&mut self, index: usize, frames: &mut Frames) {
        let OutputItem::Message { id, text, annotations, refusal, .. } = &self.output.items[index] else {
            return;
        };
        let Some(part) = self.opened[index].message_part.take() else { return };
        let content_index = self.opened[index].message_parts - 1;
        let place = json!({"item_id": id, "output_index": index, "content_index": content_index});
        let with = |key: &str, value: Value| {
            let mut body = place.clone();
            body[key] = value;
            body
        };
        let (kind, mut done, part) = match part {
            MessagePart::Text => {
                let part = object::output_text(text, annotations);
                ("response.output_text.done", with("text", text.as_str().into()), part)
            }
            MessagePart::Refusal => {
                let part = object::refusal(refusal);
                ("response.refusal.done", with("refusal", refusal.as_str().into()), part)
            }
        };
        if kind == "response.output_text.done" {
            done["logprobs"] = json!([]);
        }
        let part_done = with("part", part);
        self.emit(frames, kind, done);
        self.emit(frames, "response.content_part.done", part_done);
    }

    fn text_delta(&mut self, index: usize, id: &str, text: &str, frames: &mut Frames) {
        if text.is_empty() {
            return;
        }
        let content_index = self.message_part(index, MessagePart::Text, id, frames);
        let body = TextDelta { item_id: id, output_index: index, content_index, delta: text, logprobs: [] };
        self.emit(frames, "response.output_text.delta", body);
    }

    fn annotation(&mut self, index: usize, id: &str, annotation: &Value, frames: &mut Frames) {
        let OutputItem::Message { annotations, .. } = &self.output.items[index] else { return };
        let annotation_index = annotations.len() - 1;
        let content_index = self.message_part(index, MessagePart::Text, id, frames);
        self.emit(
            frames,
            "response.output_text.annotation.added",
            json!({
                "item_id": id,
                "output_index": index,
                "content_index": content_index,
                "annotation_index": annotation_index,
                "annotation": annotation,
            }),
        );
    }

    fn refusal_delta(&mut self, index: usize, id: &str, text: &str, frames: &mut Frames) {
        if text.is_empty() {
            return;
        }
        let content_index = self.message_part(index, MessagePart::Refusal, id, frames);
        self.emit(
            frames,
            "response.refusal.delta",
            json!({"item_id": id, "output_index": index, "content_index": content_index, "delta": text}),
        );
    }

    fn summary_delta(&mut self, index: usize, part: usize, id: &str, text: &str, frames: &mut Frames) {
        while self.opened[index].summary_parts <= part {
            self.close_summary_part(index, frames);
            let begun = self.opened[index].summary_parts;
            self.opened[index].summary_parts += 1;
            self.emit(
                frames,
                "response.reasoning_summary_part.added",
                json!({
                    "item_id": id,
                    "output_index": index,
                    "summary_index": begun,
                    "part": object::summary_text(""),
                }),
            );
        }
        if !text.is_empty() {
            self.emit(
                frames,
                "response.reasoning_summary_text.delta",
                json!({"item_id": id, "output_index": index, "summary_index": part, "delta": text}),
            );
        }
    }

    fn close_summary_part(&mut self, index: usize, frames: &mut Frames) {
        let OutputItem::Reasoning { id, summary, .. } = &self.output.items[index] else { return };
        let Some(part) = self.opened[index].summary_parts.checked_sub(1) else { return };
        let text = summary.get(part).map_or("", String::as_str);
        let done = json!({"item_id": id, "output_index": index, "summary_index": part, "text": text});
        let part_done = json!({
            "item_id": id,
            "output_index": index,
            "summary_index": part,
            "part": object::summary_text(text),
        });
        self.emit(frames, "response.reasoning_summary_text.done", done);
        self.emit(frames, "response.reasoning_summary_part.done", part_done);
    }

    fn reasoning_delta(&mut self, index: usize, part: usize, id: &str, text: &str, frames: &mut Frames) {
        while self.opened[index].text_parts <= part {
            self.close_text_part(index, frames);
            let begun = self.opened[index].text_parts;
            self.opened[index].text_parts += 1;
            self.emit(
                frames,
                "response.content_part.added",
                json!({
                    "item_id": id,
                    "output_index": index,
                    "content_index": begun,
                    "part": object::reasoning_text(""),
                }),
            );
        }
        if !text.is_empty() {
            self.emit(
                frames,
                "response.reasoning_text.delta",
                json!({"item_id": id, "output_index": index, "content_index": part, "delta": text}),
            );
        }
    }

    fn close_text_part(&mut self, index: usize, frames: &mut Frames) {
        let OutputItem::Reasoning { id, text, .. } = &self.output.items[index] else { return };
        let Some(part) = self.opened[index].text_parts.checked_sub(1) else { return };
        let text = text.get(part).map_or("", String::as_str);
        let done = json!({"item_id": id, "output_index": index, "content_index": part, "text": text});
        let part_done = json!({
            "item_id": id,
            "output_index": index,
            "content_index": part,
            "part": object::reasoning_text(text),
        });
        self.emit(frames, "response.reasoning_text.done", done);
        self.emit(frames, "response.content_part.done", part_done);
    }

    /// Sends the content of a call: the backend gives it in one piece.
    fn call_input(&mut self, index: usize, frames: &mut Frames) {
        let OutputItem::ToolCall { id, kind, name, input, .. } = &self.output.items[index] else { return };
        let delta =
            (!input.is_empty()).then(|| json!({"item_id": id, "output_index": index, "delta": input}));
        let (delta_kind, done_kind, done) = match kind {
            ToolKind::Function => (
                "response.function_call_arguments.delta",
                "response.function_call_arguments.done",
                json!({"item_id": id, "output_index": index, "name": name, "arguments": input}),
            ),
            ToolKind::Custom => (
                "response.custom_tool_call_input.delta",
                "response.custom_tool_call_input.done",
                json!({"item_id": id, "output_index": index, "input": input}),
            ),
        };
        if let Some(delta) = delta {
            self.emit(frames, delta_kind, delta);
        }
        self.emit(frames, done_kind, done);
    }

    fn searching(&mut self, index: usize, id: &str, frames: &mut Frames) {
        for kind in ["response.web_search_call.in_progress", "response.web_search_call.searching"] {
            self.emit(frames, kind, json!({"item_id": id, "output_index": index}));
        }
    }

    /// Ends an item and its open parts.
    fn close(&mut self, index: usize, frames: &mut Frames) {
        if std::mem::replace(&mut self.opened[index].closed, true) {
            return;
        }
        let item = &self.output.items[index];
        let status = Status::of(item, self.output.end.as_ref());
        let done = json!({
            "output_index": index,
            "item": object::item(item, status, self.echo.encrypted_reasoning),
        });
        match item {
            OutputItem::Message { id, .. } => {
                // Even a message without content has a text part.
                if self.opened[index].message_parts == 0 {
                    let id = id.clone();
                    self.message_part(index, MessagePart::Text, &id, frames);
                }
                self.close_message_part(index, frames);
            }
            OutputItem::Reasoning { .. } => {
                self.close_summary_part(index, frames);
                self.close_text_part(index, frames);
            }
            OutputItem::WebSearch { id, .. } if status == Status::Completed => {
                let completed = json!({"item_id": id, "output_index": index});
                self.emit(frames, "response.web_search_call.completed", completed);
            }
            OutputItem::WebSearch { .. } | OutputItem::ToolCall { .. } | OutputItem::Compaction { .. } => {}
        }
        self.emit(frames, "response.output_item.done", done);
    }

    /// Ends the response, after its open items in order.
    fn end(&mut self, end: &Result<Finish, TurnError>, frames: &mut Frames) {
        self.ended_at = Some((self.clock)());
        for index in 0..self.output.items.len() {
            self.close(index, frames);
        }
        let kind = match end {
            Ok(finish) if finish.is_whole() => "response.completed",
            Ok(_) => "response.incomplete",
            Err(error) => return self.fail(error, frames),
        };
        let response = self.response();
        self.emit(frames, kind, json!({"response": response}));
    }

    /// Writes the failure in every place where clients look for it: an `error` event of either specification, and
    /// `response.failed` with the error inside the response and beside it.
    fn fail(&mut self, error: &TurnError, frames: &mut Frames) {
        let body = turn_error_body(error);
        self.emit(
            frames,
            "error",
            json!({"code": body.code, "message": body.message, "param": body.param, "error": body}),
        );
        let response = self.response();
        self.emit(frames, "response.failed", json!({"response": response, "error": body}));
    }
}

impl Encoder for ResponsesEncoder {
    fn open(&mut self, frames: &mut Frames) {
        let response = self.response();
        if let Some(queued) = self.queued() {
            for kind in ["response.created", "response.queued"] {
                self.emit(frames, kind, json!({"response": queued}));
            }
        } else {
            self.emit(frames, "response.created", json!({"response": response}));
        }
        self.emit(frames, "response.in_progress", json!({"response": response}));
    }

    fn push(&mut self, _choice: usize, event: &TurnEvent, frames: &mut Frames) {
        if self.output.end.is_some() {
            return;
        }
        let Some(index) = self.output.push(event) else {
            if let Some(end) = self.output.end.clone() {
                self.end(&end, frames);
            }
            return;
        };
        match event {
            TurnEvent::MessageStarted { .. } | TurnEvent::ReasoningStarted { .. } => {
                self.begin(index, frames);
            }
            TurnEvent::WebSearchStarted { id } => {
                self.begin(index, frames);
                self.searching(index, id, frames);
            }
            TurnEvent::ToolCall { .. } => {
                self.begin(index, frames);
                self.call_input(index, frames);
                self.close(index, frames);
            }
            TurnEvent::Compaction { .. } => {
                self.begin(index, frames);
                self.close(index, frames);
            }
            TurnEvent::TextDelta { id, text } => self.text_delta(index, id, text, frames),
            TurnEvent::Annotation { id, annotation } => self.annotation(index, id, annotation, frames),
            TurnEvent::RefusalDelta { id, text } => self.refusal_delta(index, id, text, frames),
            TurnEvent::SummaryDelta { id, index: part, text } => {
                self.summary_delta(index, *part, id, text, frames);
            }
            TurnEvent::ReasoningTextDelta { id, index: part, text } => {
                self.reasoning_delta(index, *part, id, text, frames);
            }
            TurnEvent::MessageDone { .. }
            | TurnEvent::ReasoningDone { .. }
            | TurnEvent::WebSearchDone { .. } => self.close(index, frames),
            TurnEvent::Started
            | TurnEvent::Compacted { .. }
            | TurnEvent::Retrying { .. }
            | TurnEvent::Withdrawn { .. }
            | TurnEvent::Usage(_)
            | TurnEvent::Finished(_)
            | TurnEvent::Failed(_) => {}
        }
    }

    fn aside(&mut self, kind: &'static str, body: Value, frames: &mut Frames) {
        self.emit(frames, kind, body);
    }

    /// The terminal event has ended the response already.
    fn finish(&mut self, _: &mut Frames) {}

    fn object(&self, outputs: &[TurnOutput]) -> Value {
        let nothing = TurnOutput::default();
        object::response(&self.echo, outputs.first().unwrap_or(&nothing), self.ended_at())
    }

    fn stored(&self, outputs: &[TurnOutput]) -> Value {
        let nothing = TurnOutput::default();
        object::sealed_if(&self.echo, outputs.first().unwrap_or(&nothing), self.ended_at(), true)
    }

    fn queued(&self) -> Option<Value> {
        let is_background = match &self.replayed {
            Some(replayed) => replayed["background"] == true,
            None => self.echo.background,
        };
        is_background.then(|| {
            let mut response = match &self.replayed {
                Some(_) => self.response(),
                None => object::response(&self.echo, &TurnOutput::default(), 0),
            };
            response["status"] = json!("queued");
            response
        })
    }
}

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    body: T,
}

/// The most frequent event, with hundreds in an answer: it borrows all its members.
#[derive(Serialize)]
struct TextDelta<'a> {
    item_id: &'a str,
    output_index: usize,
    content_index: usize,
    delta: &'a str,
    logprobs: [(); 0],
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests;
