//! Steering: input that a client adds to a response while it runs. Nothing here reads or writes.
//!
//! A response that is steered ends with the output item that it is at. The input then goes into a response of its own,
//! which has the settings of the first one. Where the first one waits for outputs of the client's tools, the input waits
//! for them too, and goes before them.
//!
//! <https://developers.openai.com/api/docs/guides/websocket-mode>. Codex' own way to steer (`turn/steer`) takes only
//! texts and images and not the items as the client sent them, so a turn is ended instead.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::lanes::{Lane, Outcome, size};
use crate::budget::{Budget, Share};

/// The most inputs that wait for one response.
const MOST_PENDING: usize = 16;

/// The settings of a request, once it has been read.
pub(super) type Settings = Arc<OnceLock<Value>>;

/// An event about steering, without its number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Note {
    pub(super) kind: &'static str,
    pub(super) body: Value,
}

/// What a running response is told.
#[derive(Debug)]
pub(super) struct Signal {
    /// To be sent among its events.
    pub(super) note: Note,
    /// Whether it is to end with the item that it is at.
    pub(super) ends: bool,
}

/// What happens with a steering frame.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// What is sent at once, with the numbers. A running response sends its own.
    pub(super) notes: Vec<(Note, u64)>,
    /// Whether a response with the input is to be run now.
    pub(super) goes_on: bool,
}

/// The input of one steering frame.
#[derive(Debug, Clone, PartialEq)]
struct Steer {
    id: String,
    previous: String,
    input: Vec<Value>,
}

/// The latest response of each lane, as far as it can be steered.
#[derive(Debug, Default)]
pub(super) struct Steering {
    lanes: HashMap<Lane, Latest>,
}

#[derive(Debug)]
struct Latest {
    /// Its id, once the client knows it.
    response: Option<String>,
    settings: Settings,
    /// The memory of the settings once the response has ended. While it runs, its request holds them.
    held: Option<Share>,
    /// The number of its next event.
    next: u64,
    /// While it runs.
    signals: Option<mpsc::UnboundedSender<Signal>>,
    pending: Vec<Steer>,
    /// What the client has to send before the response can be continued; known once it has ended.
    required: Vec<Value>,
}

/// A request that begins in a lane.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) text: Bytes,
    pub(super) settings: Settings,
    pub(super) signals: mpsc::UnboundedReceiver<Signal>,
    /// About input that can no longer be applied.
    pub(super) notes: Vec<(Note, u64)>,
}

impl Steering {
    /// A request begins that continues the response `previous`. Input that waits for it goes before its own.
    pub(super) fn begin(&mut self, lane: &Lane, previous: Option<&str>, text: Bytes) -> Begun {
        let (sender, signals) = mpsc::unbounded_channel();
        let settings = Settings::default();
        let latest = Latest {
            response: None,
            settings: settings.clone(),
            held: None,
            next: 0,
            signals: Some(sender),
            pending: Vec::new(),
            required: Vec::new(),
        };
        let Some(mut before) = self.lanes.insert(lane.clone(), latest) else {
            return Begun { text, settings, signals, notes: Vec::new() };
        };
        let pending = std::mem::take(&mut before.pending);
        if pending.is_empty() {
            return Begun { text, settings, signals, notes: Vec::new() };
        }
        let continues = previous.is_some() && before.response.as_deref() == previous;
        if let Some(text) = continues.then(|| with_input_before(&text, &pending)).flatten() {
            return Begun { text, settings, signals, notes: Vec::new() };
        }
        let gone = "The response was not continued, so the input was not applied.";
        let notes =
            pending.into_iter().map(|steer| before.numbered(failed(&steer, "response_not_found", gone)));
        Begun { text, settings, signals, notes: notes.collect() }
    }

    /// So many events of a lane's response are sent; the first ones have its id.
    pub(super) fn sent(&mut self, lane: &Lane, events: usize, opened: Option<String>) {
        if let Some(latest) = self.lanes.get_mut(lane) {
            latest.next += events as u64;
            latest.response = opened.or(latest.response.take());
        }
    }

    /// A steering frame has come.
    pub(super) fn take(&mut self, lane: &Lane, text: &[u8]) -> Taken {
        let read = read(text);
        let Some(latest) = self.lanes.get_mut(lane) else {
            let note = read.map_or_else(|note| note, |steer| failed(&steer, "response_not_found", NOT_FOUND));
            return Taken { notes: vec![(note, 0)], goes_on: false };
        };
        let steer = match read {
            Ok(steer) if latest.response.as_deref() != Some(&*steer.previous) => {
                return latest.tell(failed(&steer, "response_not_found", NOT_FOUND));
            }
            Ok(steer) if latest.pending.len() >= MOST_PENDING => {
                let message = "Too much input waits for this response. Send the outputs that it waits for, or wait for \
                               the response that continues it.";
                return latest.tell(failed(&steer, "too_many_pending_steers", message));
            }
            Ok(steer) => steer,
            Err(note) => return latest.tell(note),
        };
        let note = accepted(&steer);
        latest.pending.push(steer.clone());
        if let Some(signals) = &latest.signals
            && signals.send(Signal { note: note.clone(), ends: true }).is_ok()
        {
            return Taken::default();
        }
        let mut notes = vec![latest.numbered(note)];
        if latest.required.is_empty() {
            return Taken { notes, goes_on: true };
        }
        let note = waiting(&steer, &latest.required);
        notes.push(latest.numbered(note));
        Taken { notes, goes_on: false }
    }

    /// Forgets the lanes that are gone. Input that was accepted stays until it is used.
    pub(super) fn retain(&mut self, is_there: impl Fn(&Lane) -> bool) {
        self.lanes.retain(|lane, latest| is_there(lane) || !latest.pending.is_empty());
    }

    /// A lane's response has ended. Returns what is to be said, and whether a response with the input is to be run. What
    /// is kept of its request is taken from `memory`; without room, the response cannot be steered any more.
    pub(super) fn ended(&mut self, lane: &Lane, outcome: &Outcome, memory: &Budget) -> Taken {
        let Some(latest) = self.lanes.get_mut(lane) else { return Taken::default() };
        latest.signals = None;
        let items = match outcome {
            Outcome::Said(transcript) => &transcript.items,
            Outcome::Failed => {
                latest.response = None;
                let failed: Vec<_> = std::mem::take(&mut latest.pending)
                    .iter()
                    .map(|steer| {
                        failed(
                            steer,
                            "response_not_found",
                            "The response has failed, so it cannot be continued.",
                        )
                    })
                    .collect();
                let notes = failed.into_iter().map(|note| latest.numbered(note)).collect();
                return Taken { notes, goes_on: false };
            }
        };
        latest.required = required(items);
        if latest.pending.is_empty() {
            latest.hold(memory);
        }
        if latest.pending.is_empty() || latest.required.is_empty() {
            return Taken { notes: Vec::new(), goes_on: !latest.pending.is_empty() };
        }
        // The request that continues it has its own.
        latest.settings = Settings::default();
        let waiting: Vec<_> = latest.pending.iter().map(|steer| waiting(steer, &latest.required)).collect();
        let notes = waiting.into_iter().map(|note| latest.numbered(note)).collect();
        Taken { notes, goes_on: false }
    }

    /// The frame that continues a lane's latest response with the settings of its request, and the response's id. The
    /// input is added when it begins.
    pub(super) fn continuation(&self, lane: &Lane) -> Option<(Bytes, String)> {
        let latest = self.lanes.get(lane)?;
        let response = latest.response.clone()?;
        let mut frame = latest.settings.get()?.clone();
        if frame["conversation"].is_null() {
            frame["previous_response_id"] = json!(response);
        }
        frame["type"] = json!("response.create");
        frame["input"] = json!([]);
        Some((frame.to_string().into(), response))
    }
}

impl Latest {
    /// A note with the next number of this response.
    fn numbered(&mut self, note: Note) -> (Note, u64) {
        self.next += 1;
        (note, self.next - 1)
    }

    /// Takes the memory of the settings, or forgets them.
    fn hold(&mut self, memory: &Budget) {
        let share = memory.share();
        let bytes = self.settings.get().map_or(0, |settings| size(std::slice::from_ref(settings)));
        if share.take(bytes).is_ok() {
            self.held = Some(share);
        } else {
            (self.response, self.settings) = (None, Settings::default());
        }
    }

    /// Sends a note among the events of the response, or after them.
    fn tell(&mut self, note: Note) -> Taken {
        if let Some(signals) = &self.signals
            && signals.send(Signal { note: note.clone(), ends: false }).is_ok()
        {
            return Taken::default();
        }
        Taken { notes: vec![self.numbered(note)], goes_on: false }
    }
}

const NOT_FOUND: &str =
    "No response with this id runs on this connection. Continue it with `response.create`.";

/// The members of a request that a continuation inherits.
pub(super) fn settings(body: &Map<String, Value>) -> Value {
    let own = ["input", "previous_response_id", "stream", "generate"];
    body.iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Reads a steering frame.
fn read(text: &[u8]) -> Result<Steer, Note> {
    let frame: Map<String, Value> = serde_json::from_slice(text).unwrap_or_default();
    let invalid = |message: &str| {
        let body = json!({
            "steer": {"previous_response_id": frame.get("previous_response_id"), "input": frame.get("input")},
            "error": {"type": "invalid_request_error", "code": "invalid_input", "message": message},
        });
        Note { kind: "response.steer.failed", body }
    };
    let known = ["type", "previous_response_id", "input", "stream_id"];
    if let Some(name) = frame.keys().find(|name| !known.contains(&name.as_str())) {
        let name: String = name.chars().take(100).collect();
        return Err(invalid(&format!(
            "A steering frame has no member '{name}'. Send 'previous_response_id' and 'input'."
        )));
    }
    let Some(previous) = frame.get("previous_response_id").and_then(Value::as_str) else {
        return Err(invalid(
            "A steering frame needs 'previous_response_id': the id of the running response.",
        ));
    };
    let input = match frame.get("input") {
        Some(Value::String(text)) if !text.is_empty() => {
            vec![json!({"type": "message", "role": "user", "content": text})]
        }
        Some(Value::Array(items)) if !items.is_empty() && items.iter().all(is_of_the_person) => items.clone(),
        _ => {
            return Err(invalid(
                "The 'input' of a steering frame is a text, or a list of messages of the role 'user'.",
            ));
        }
    };
    let id = format!("steer_{}", uuid::Uuid::new_v4().simple());
    Ok(Steer { id, previous: previous.to_owned(), input })
}

fn is_of_the_person(item: &Value) -> bool {
    item["role"] == "user" && (item["type"].is_null() || item["type"] == "message")
}

fn accepted(steer: &Steer) -> Note {
    let body = json!({"steer": {"id": steer.id, "previous_response_id": steer.previous}});
    Note { kind: "response.steer.accepted", body }
}

fn failed(steer: &Steer, code: &str, message: &str) -> Note {
    let body = json!({
        "steer": {"id": steer.id, "previous_response_id": steer.previous, "input": steer.input},
        "error": {"type": "invalid_request_error", "code": code, "message": message},
    });
    Note { kind: "response.steer.failed", body }
}

fn waiting(steer: &Steer, required: &[Value]) -> Note {
    let body = json!({
        "steer": {"id": steer.id, "previous_response_id": steer.previous},
        "reason": "waiting_for_required_input",
        "required_input": required,
    });
    Note { kind: "response.steer.pending", body }
}

/// The outputs that the calls of a transcript still need.
fn required(items: &[Value]) -> Vec<Value> {
    let of_kind = |kind: &'static str| items.iter().filter(move |item| item["type"] == kind);
    let given: HashSet<_> = of_kind("function_call_output")
        .chain(of_kind("custom_tool_call_output"))
        .filter_map(|item| item["call_id"].as_str())
        .collect();
    let open = |call: &&Value| call["call_id"].as_str().is_some_and(|id| !given.contains(id));
    let output =
        |kind: &str, call: &Value| json!({"type": kind, "call_id": call["call_id"], "name": call["name"]});
    let functions = of_kind("function_call").filter(open).map(|call| output("function_call_output", call));
    let custom = of_kind("custom_tool_call").filter(open).map(|call| output("custom_tool_call_output", call));
    functions.chain(custom).collect()
}

/// The frame of a request, with this input before its own; `None` if it is no request that can have it.
fn with_input_before(text: &[u8], steers: &[Steer]) -> Option<Bytes> {
    let mut frame = serde_json::from_slice::<Value>(text).ok().filter(Value::is_object)?;
    let mut input: Vec<Value> = steers.iter().flat_map(|steer| steer.input.clone()).collect();
    match frame.get_mut("input").map(Value::take) {
        Some(Value::Array(items)) => input.extend(items),
        Some(Value::String(said)) => input.push(json!({"type": "message", "role": "user", "content": said})),
        Some(Value::Null) | None => {}
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return None,
    }
    frame["input"] = Value::Array(input);
    Some(frame.to_string().into())
}

#[cfg(test)]
mod tests;
