//! The answer of the fake upstream to one request, as data.

use serde_json::{Value, json};

use super::gate::Gate;
use super::recorded::Recorded;

/// Token counts that `response.completed` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens.
    pub input: u64,
    /// Of these, read from the prompt cache.
    pub cached: u64,
    /// Of these, written to the prompt cache.
    pub cache_write: u64,
    /// All output tokens.
    pub output: u64,
    /// Of these, spent on reasoning.
    pub reasoning: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { input: 100, cached: 40, cache_write: 7, output: 20, reasoning: 5 }
    }
}

impl Usage {
    fn to_json(self) -> Value {
        json!({
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": self.cache_write},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        })
    }
}

/// One step of an answer.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Event(Value),
    Gate(Gate),
    ChunkSizes(Vec<usize>),
    Disconnect,
}

/// The beginning of an answer: over HTTP a status and headers. Over a WebSocket only errors have a status.
#[derive(Clone, Debug)]
pub(super) enum Head {
    Stream { headers: Vec<(String, String)> },
    Error { status: u16, headers: Vec<(String, String)>, body: Value },
}

#[derive(Clone, Debug)]
enum End {
    Completed,
    Failed { code: String, message: String },
    Incomplete { reason: String },
    Missing,
}

/// One upstream answer: a stream of events, or an error.
#[derive(Clone, Debug)]
pub struct Script {
    head: Head,
    steps: Vec<Step>,
    items: Vec<Value>,
    /// The ids that the test has not chosen: a real upstream never uses one twice.
    made_up_ids: Vec<String>,
    usage: Usage,
    response_id: Option<String>,
    end: End,
}

/// A script as the answer to one request.
pub(super) struct Played {
    pub(super) steps: Vec<Step>,
    pub(super) items: Vec<Value>,
    pub(super) response_id: String,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// An empty answer, which completes at once.
    pub fn new() -> Self {
        Self {
            head: Head::Stream { headers: Vec::new() },
            steps: Vec::new(),
            items: Vec::new(),
            made_up_ids: Vec::new(),
            usage: Usage::default(),
            response_id: None,
            end: End::Completed,
        }
    }

    /// The most common answer: one message in one delta.
    pub fn text(text: &str) -> Self {
        Self::new().message(&[text])
    }

    /// An error instead of a stream: over HTTP this answer, over a WebSocket a frame with its status and the body's
    /// `error`.
    pub fn http_error(status: u16, body: Value, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { head: Head::Error { status, headers, body }, ..Self::new() }
    }

    /// The plan's limit is reached until this time, in seconds since 1970.
    pub fn usage_limit_reached(resets_at: u64) -> Self {
        let error = json!({
            "type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": "plus",
            "resets_at": resets_at,
        });
        Self::http_error(429, json!({"error": error}), &[])
    }

    /// The error for a WebSocket that has reached its maximum age.
    pub fn connection_limit_reached() -> Self {
        let error = json!({
            "type": "invalid_request_error", "code": "websocket_connection_limit_reached",
            "message": "Responses websocket connection limit reached (60 minutes). Create a new websocket \
                        connection to continue.",
        });
        Self::http_error(400, json!({"error": error}), &[])
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let (Head::Stream { headers } | Head::Error { headers, .. }) = &mut self.head;
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An assistant message, streamed in these deltas.
    pub fn message(mut self, deltas: &[&str]) -> Self {
        let id = self.made_up_id("msg");
        self.message_with_id(&id, deltas)
    }

    /// An assistant message that stops at a gate between two of its deltas.
    pub fn message_held(mut self, before: &str, gate: &Gate, after: &str) -> Self {
        let held_at = self.steps.len() + 2;
        self = self.message(&[before, after]);
        self.steps.insert(held_at, Step::Gate(gate.clone()));
        self
    }

    /// An assistant message with a chosen item id.
    pub fn message_with_id(self, id: &str, deltas: &[&str]) -> Self {
        self.annotated_message(id, deltas, &[])
    }

    /// An assistant message with annotations, as citations are.
    pub fn message_with_annotations(mut self, deltas: &[&str], annotations: &[Value]) -> Self {
        let id = self.made_up_id("msg");
        self.annotated_message(&id, deltas, annotations)
    }

    fn annotated_message(mut self, id: &str, deltas: &[&str], annotations: &[Value]) -> Self {
        let index = self.items.len();
        self.begin_message(id, deltas);
        for (number, annotation) in annotations.iter().enumerate() {
            self.push(json!({
                "type": "response.output_text.annotation.added", "item_id": id, "output_index": index,
                "content_index": 0, "annotation_index": number, "annotation": annotation,
            }));
        }
        self.item_done(json!({
            "type": "message", "id": id, "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": deltas.concat(), "annotations": annotations}],
        }))
    }

    /// An assistant message in one delta, with these annotations.
    pub fn cited(mut self, text: &str, annotations: &Value) -> Self {
        let index = self.items.len();
        let id = format!("msg_{index}");
        let message =
            |content: Value| json!({"type": "message", "id": id, "role": "assistant", "content": content});
        self.push(ev_item_added(index, &message(json!([]))));
        self.push(ev_text_delta(&id, index, text));
        let done = message(json!([{"type": "output_text", "text": text, "annotations": annotations}]));
        self.item_done(done)
    }

    /// An assistant message in which the model refuses to answer.
    pub fn refusal(mut self, text: &str) -> Self {
        let index = self.items.len();
        let id = format!("msg_{index}");
        let message =
            |content: Value| json!({"type": "message", "id": id, "role": "assistant", "content": content});
        self.push(ev_item_added(index, &message(json!([]))));
        self.push(json!({
            "type": "response.refusal.delta", "item_id": id, "output_index": index, "content_index": 0,
            "delta": text,
        }));
        let done = message(json!([{"type": "refusal", "refusal": text}]));
        self.item_done(done)
    }

    /// The sealed form of the transcript, which answers a `compaction_trigger`.
    pub fn compaction(mut self, id: &str, sealed: &str) -> Self {
        let index = self.items.len();
        let item = json!({"type": "compaction", "id": id, "encrypted_content": sealed});
        self.push(ev_item_added(index, &item));
        self.item_done(item)
    }

    /// A reasoning item: each summary part is given as its deltas.
    pub fn reasoning(mut self, parts: &[&[&str]], encrypted: Option<&str>) -> Self {
        let index = self.items.len();
        let id = self.made_up_id("rs");
        self.push(ev_item_added(index, &json!({"type": "reasoning", "id": id, "summary": []})));
        for (part, deltas) in parts.iter().enumerate() {
            self.push(json!({
                "type": "response.reasoning_summary_part.added", "item_id": id, "output_index": index,
                "summary_index": part, "part": {"type": "summary_text", "text": ""},
            }));
            for delta in *deltas {
                self.push(json!({
                    "type": "response.reasoning_summary_text.delta", "item_id": id, "output_index": index,
                    "summary_index": part, "delta": delta,
                }));
            }
        }
        let summary: Vec<_> =
            parts.iter().map(|deltas| json!({"type": "summary_text", "text": deltas.concat()})).collect();
        let mut item = json!({"type": "reasoning", "id": id, "summary": summary});
        if let Some(encrypted) = encrypted {
            item["encrypted_content"] = json!(encrypted);
        }
        self.item_done(item)
    }

    /// A function call whose arguments are streamed in pieces of `chunk` characters.
    pub fn function_call(mut self, call_id: &str, name: &str, arguments: &str, chunk: usize) -> Self {
        let index = self.items.len();
        let id = self.made_up_id("fc");
        let item = |arguments: &str, status: &str| {
            json!({
                "type": "function_call", "id": id, "call_id": call_id, "name": name,
                "arguments": arguments, "status": status,
            })
        };
        self.push(ev_item_added(index, &item("", "in_progress")));
        let characters: Vec<char> = arguments.chars().collect();
        for piece in characters.chunks(chunk.max(1)) {
            self.push(json!({
                "type": "response.function_call_arguments.delta", "item_id": id, "output_index": index,
                "delta": piece.iter().collect::<String>(),
            }));
        }
        self.push(json!({
            "type": "response.function_call_arguments.done", "item_id": id, "output_index": index,
            "arguments": arguments,
        }));
        let done = item(arguments, "completed");
        self.item_done(done)
    }

    /// A call of a tool that takes free text, which is streamed in pieces of `chunk` characters.
    pub fn custom_tool_call(mut self, call_id: &str, name: &str, input: &str, chunk: usize) -> Self {
        let index = self.items.len();
        let id = self.made_up_id("ctc");
        let item = |input: &str, status: &str| {
            json!({
                "type": "custom_tool_call", "id": id, "call_id": call_id, "name": name, "input": input,
                "status": status,
            })
        };
        self.push(ev_item_added(index, &item("", "in_progress")));
        let characters: Vec<char> = input.chars().collect();
        for piece in characters.chunks(chunk.max(1)) {
            self.push(json!({
                "type": "response.custom_tool_call_input.delta", "item_id": id, "output_index": index,
                "delta": piece.iter().collect::<String>(),
            }));
        }
        self.push(json!({
            "type": "response.custom_tool_call_input.done", "item_id": id, "output_index": index, "input": input,
        }));
        let done = item(input, "completed");
        self.item_done(done)
    }

    /// A hosted web search with a result.
    pub fn web_search_call(mut self, query: &str) -> Self {
        let index = self.items.len();
        let id = self.made_up_id("ws");
        self.push(ev_item_added(
            index,
            &json!({"type": "web_search_call", "id": id, "status": "in_progress"}),
        ));
        self.item_done(json!({
            "type": "web_search_call", "id": id, "status": "completed",
            "action": {"type": "search", "query": query},
        }))
    }

    /// Any other event, sent as it is.
    pub fn event(mut self, event: Value) -> Self {
        self.push(event);
        self
    }

    /// Stops here until the test opens the gate.
    pub fn gate(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Gate(gate.clone()));
        self
    }

    /// From here on, the bytes are sent in chunks of these sizes, repeatedly, at any positions.
    pub fn chunk_sizes(mut self, sizes: &[usize]) -> Self {
        assert!(sizes.iter().all(|n| *n > 0), "a chunk has at least one byte");
        self.steps.push(Step::ChunkSizes(sizes.to_vec()));
        self
    }

    /// The token counts at the end of the answer.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// The upstream's own id of this response.
    pub fn response_id(mut self, id: &str) -> Self {
        self.response_id = Some(id.to_owned());
        self
    }

    /// Ends with `response.failed`.
    pub fn failed(mut self, code: &str, message: &str) -> Self {
        self.end = End::Failed { code: code.to_owned(), message: message.to_owned() };
        self
    }

    /// Ends with `response.incomplete`.
    pub fn incomplete(mut self, reason: &str) -> Self {
        self.end = End::Incomplete { reason: reason.to_owned() };
        self
    }

    /// A message that is not ended.
    pub fn unfinished_message(mut self, deltas: &[&str]) -> Self {
        let id = self.made_up_id("msg");
        self.begin_message(&id, deltas);
        self
    }

    /// Ends in the middle: the connection is cut without a last chunk.
    pub fn disconnect(mut self) -> Self {
        self.steps.push(Step::Disconnect);
        self.end = End::Missing;
        self
    }

    /// The completed items of this answer, as the upstream would report them.
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// The script for request number `number`: its ids are new, and its calls use the namespaces in which their
    /// tools were offered.
    pub(super) fn played(self, number: usize, request: &Recorded) -> Played {
        let response_id = self.response_id.unwrap_or_else(|| format!("resp_{number}"));
        let made_up = self.made_up_ids;
        let anew = |id: &mut Value| {
            if let Some(text) = id.as_str().filter(|text| made_up.iter().any(|made_up| made_up == text)) {
                *id = json!(format!("{text}_{number}"));
            }
        };
        let mut items = self.items;
        for item in &mut items {
            anew(&mut item["id"]);
            name_the_namespace(item, request);
        }
        let mut steps = vec![Step::Event(ev_created(&response_id))];
        for mut step in self.steps {
            if let Step::Event(event) = &mut step {
                if let Some(id) = event.get_mut("item_id") {
                    anew(id);
                }
                if let Some(item) = event.get_mut("item") {
                    anew(&mut item["id"]);
                    name_the_namespace(item, request);
                }
            }
            steps.push(step);
        }
        let end = |status: &str, more: Value| {
            let mut response = json!({"id": response_id, "status": status});
            if let (Some(response), Value::Object(more)) = (response.as_object_mut(), more) {
                response.extend(more);
            }
            Step::Event(json!({"type": format!("response.{status}"), "response": response}))
        };
        let usage = self.usage.to_json();
        match self.end {
            End::Completed => steps.push(end("completed", json!({"output": items, "usage": usage}))),
            End::Failed { code, message } => {
                steps.push(end("failed", json!({"error": {"code": code, "message": message}})));
            }
            End::Incomplete { reason } => {
                steps.push(end(
                    "incomplete",
                    json!({"incomplete_details": {"reason": reason}, "usage": usage}),
                ));
            }
            End::Missing => {}
        }
        Played { steps, items, response_id }
    }

    fn begin_message(&mut self, id: &str, deltas: &[&str]) {
        let index = self.items.len();
        self.push(ev_item_added(
            index,
            &json!({"type": "message", "id": id, "role": "assistant", "status": "in_progress", "content": []}),
        ));
        for delta in deltas {
            self.push(ev_text_delta(id, index, delta));
        }
    }

    fn made_up_id(&mut self, kind: &str) -> String {
        let id = format!("{kind}_{}", self.items.len());
        self.made_up_ids.push(id.clone());
        id
    }

    fn push(&mut self, event: Value) {
        self.steps.push(Step::Event(event));
    }

    fn item_done(mut self, item: Value) -> Self {
        let index = self.items.len();
        self.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
        self.items.push(item);
        self
    }
}

fn name_the_namespace(item: &mut Value, request: &Recorded) {
    let of_kind = match item["type"].as_str() {
        Some("function_call") => "function",
        Some("custom_tool_call") => "custom",
        _ => return,
    };
    let called = |tool: &Value| tool["type"] == of_kind && tool["name"] == item["name"];
    let offered = request.offered().into_iter().find(|offered| called(offered.tool));
    if let Some(namespace) = offered.and_then(|offered| offered.namespace) {
        item["namespace"] = json!(namespace);
    }
}

/// `response.created`.
pub fn ev_created(response_id: &str) -> Value {
    json!({"type": "response.created", "response": {"id": response_id, "status": "in_progress"}})
}

/// `response.output_item.added`.
pub fn ev_item_added(output_index: usize, item: &Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": output_index, "item": item})
}

/// `response.output_text.delta`.
pub fn ev_text_delta(item_id: &str, output_index: usize, delta: &str) -> Value {
    json!({
        "type": "response.output_text.delta", "item_id": item_id, "output_index": output_index,
        "content_index": 0, "delta": delta,
    })
}
