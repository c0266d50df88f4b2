//! The two surfaces of the API behind one set of helpers, so that a test runs on both.

use e2e::harness::Proxy;
use e2e::sse::joined;
use serde_json::{Value, json};

/// Responses or Chat Completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Responses,
    Chat,
}

pub(crate) const BOTH: [Surface; 2] = [Surface::Responses, Surface::Chat];
pub(crate) const MODEL: &str = "gpt-6.1-sol";

impl Surface {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Responses => "/responses",
            Self::Chat => "/chat/completions",
        }
    }

    /// A request that says `text` as the user.
    pub(crate) fn ask(self, text: &str) -> Value {
        match self {
            Self::Responses => json!({"model": MODEL, "input": text}),
            Self::Chat => json!({"model": MODEL, "messages": [{"role": "user", "content": text}]}),
        }
    }

    /// A request with a function tool `name`.
    pub(crate) fn ask_with_tool(self, text: &str, name: &str, parameters: &Value) -> Value {
        let mut body = self.ask(text);
        body["tools"] = match self {
            Self::Responses => json!([
                {"type": "function", "name": name, "description": "a tool", "parameters": parameters, "strict": false},
            ]),
            Self::Chat => json!([
                {"type": "function", "function": {"name": name, "description": "a tool", "parameters": parameters}},
            ]),
        };
        body
    }

    /// The text of a whole answer.
    pub(crate) fn text(self, answer: &Value) -> String {
        match self {
            Self::Responses => answer["output"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|item| item["type"] == "message")
                .flat_map(|item| item["content"].as_array().into_iter().flatten())
                .map(|part| part["text"].as_str().unwrap_or_default())
                .collect(),
            Self::Chat => answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// The text of a streamed answer, joined from its deltas.
    pub(crate) fn streamed_text(self, events: &[Value]) -> String {
        match self {
            Self::Responses => joined(events, "response.output_text.delta", "delta"),
            Self::Chat => events
                .iter()
                .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap_or_default())
                .collect(),
        }
    }

    /// The calls of a whole answer as (call id, name, arguments).
    pub(crate) fn calls(self, answer: &Value) -> Vec<Call> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match self {
            Self::Responses => answer["output"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|item| item["type"] == "function_call")
                .map(|item| Call {
                    id: text(&item["call_id"]),
                    name: text(&item["name"]),
                    arguments: text(&item["arguments"]),
                })
                .collect(),
            Self::Chat => answer["choices"][0]["message"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|call| Call {
                    id: text(&call["id"]),
                    name: text(&call["function"]["name"]),
                    arguments: text(&call["function"]["arguments"]),
                })
                .collect(),
        }
    }

    /// The calls of a streamed answer, assembled as a client does it.
    pub(crate) fn streamed_calls(self, events: &[Value]) -> Vec<Call> {
        match self {
            Self::Responses => {
                let last = events.iter().find(|event| event["type"] == "response.completed");
                last.map(|event| self.calls(&event["response"])).unwrap_or_default()
            }
            Self::Chat => {
                let mut calls: Vec<Call> = Vec::new();
                for event in events {
                    let deltas = event["choices"][0]["delta"]["tool_calls"].as_array();
                    for delta in deltas.into_iter().flatten() {
                        let index = usize::try_from(delta["index"].as_u64().unwrap()).unwrap();
                        if index == calls.len() {
                            calls.push(Call {
                                id: delta["id"].as_str().expect("a new call has an id").to_owned(),
                                name: delta["function"]["name"].as_str().expect("and a name").to_owned(),
                                arguments: String::new(),
                            });
                        }
                        calls[index].arguments += delta["function"]["arguments"].as_str().unwrap_or_default();
                    }
                }
                calls
            }
        }
    }

    /// The follow-up to `request`, which was answered by `calls`, with an output for each of them.
    pub(crate) fn follow_up(self, request: &Value, calls: &[Call], outputs: &[&str]) -> Value {
        assert_eq!(calls.len(), outputs.len());
        let mut body = request.clone();
        match self {
            Self::Responses => {
                let text = request["input"].as_str().expect("the first request says a text");
                let mut input = vec![json!({"role": "user", "content": text})];
                for call in calls {
                    input.push(json!({
                        "type": "function_call", "call_id": call.id, "name": call.name,
                        "arguments": call.arguments,
                    }));
                }
                for (call, output) in calls.iter().zip(outputs) {
                    input.push(json!({
                        "type": "function_call_output", "call_id": call.id, "output": output,
                    }));
                }
                body["input"] = json!(input);
            }
            Self::Chat => {
                let messages = body["messages"].as_array_mut().expect("a chat has messages");
                let calls_json: Vec<_> = calls
                    .iter()
                    .map(|call| {
                        json!({
                            "id": call.id, "type": "function",
                            "function": {"name": call.name, "arguments": call.arguments},
                        })
                    })
                    .collect();
                messages.push(json!({"role": "assistant", "content": null, "tool_calls": calls_json}));
                for (call, output) in calls.iter().zip(outputs) {
                    messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": output}));
                }
            }
        }
        body
    }

    /// Asks and returns the whole answer.
    pub(crate) async fn answer(self, proxy: &Proxy, body: &Value) -> Value {
        proxy.post_ok(self.path(), body).await
    }

    /// Asks with `stream: true` and returns all events.
    pub(crate) async fn events(self, proxy: &Proxy, body: &Value) -> Vec<Value> {
        proxy.stream(self.path(), body).await.events().await
    }
}

/// A function call as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// Asserts the shape of an error body and returns its code.
pub(crate) fn error_code(body: &Value) -> String {
    let error = body["error"].as_object().unwrap_or_else(|| panic!("no error object in {body}"));
    let keys: Vec<_> =
        ["message", "type", "param", "code"].into_iter().filter(|k| !error.contains_key(*k)).collect();
    assert!(keys.is_empty(), "{keys:?} are missing in {body}");
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    assert!(error["type"].is_string(), "{body}");
    error["code"].as_str().unwrap_or_default().to_owned()
}
