//! The recorded requests of Codex, for tests.

use std::collections::HashMap;
use std::io::Read;

use axum::http::header::CONTENT_ENCODING;
use axum::http::request::Parts;
use bytes::Bytes;
use ruzstd::decoding::StreamingDecoder;
use serde_json::Value;

/// One request that Codex sent: over HTTP, or as a frame of a WebSocket.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `GET`, `POST`, …; of a frame, that of the upgrade.
    pub method: String,
    /// Path with query; of a frame, that of the upgrade.
    pub path: String,
    /// Headers with lower-case names; a repeated one keeps its last value. Of a frame, those of the upgrade.
    pub headers: HashMap<String, String>,
    /// The body or the frame as it was received.
    pub raw: Bytes,
    /// The same as JSON, decompressed if necessary; null if it is not JSON.
    pub sent: Value,
    /// The whole request in one form for both transports: for a frame, the input of the earlier responses comes
    /// before its own input, and members that exist only in frames are removed. For HTTP, it is equal to `sent`.
    pub body: Value,
    /// The number of the WebSocket, from 0, if it came over one.
    pub connection: Option<usize>,
}

/// The members that a frame has in addition to those of a request.
const OF_THE_TRANSPORT: [&str; 3] = ["type", "previous_response_id", "generate"];

impl Recorded {
    pub(super) fn http(parts: &Parts, raw: Bytes) -> Self {
        let packed = parts.headers.get(CONTENT_ENCODING).is_some_and(|value| value == "zstd");
        let sent: Value = match packed {
            true => serde_json::from_reader(unpacked(&raw)).unwrap_or_default(),
            false => serde_json::from_slice(&raw).unwrap_or_default(),
        };
        Self {
            method: parts.method.to_string(),
            path: parts.uri.to_string(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            raw,
            body: sent.clone(),
            sent,
            connection: None,
        }
    }

    /// A frame of the connection that `opening` requested.
    pub(super) fn frame(opening: &Self, connection: usize, raw: Bytes) -> Self {
        let sent: Value = serde_json::from_slice(&raw).unwrap_or_default();
        Self { raw, body: sent.clone(), sent, connection: Some(connection), ..opening.clone() }
    }

    /// Inserts the input of the earlier responses before the frame's own input.
    pub(super) fn resolve(&mut self, earlier: &[Value]) {
        let Some(body) = self.body.as_object_mut() else { return };
        for member in OF_THE_TRANSPORT {
            body.shift_remove(member);
        }
        if let Some(input) = body.get_mut("input").and_then(Value::as_array_mut) {
            input.splice(0..0, earlier.iter().cloned());
        }
    }

    /// The input items, or none.
    pub fn input(&self) -> &[Value] {
        self.body["input"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The text of the last user message of the request.
    pub fn last_user_text(&self) -> String {
        self.input().iter().rev().find(|item| item["role"] == "user").map(message_text).unwrap_or_default()
    }

    /// The output of a tool, if the request ends with one.
    pub fn last_output(&self) -> Option<&str> {
        let last = self.input().iter().rev().find(|item| item["type"] != "additional_tools")?;
        let is_output =
            ["function_call_output", "custom_tool_call_output"].map(Value::from).contains(&last["type"]);
        last["output"].as_str().filter(|_| is_output)
    }

    /// The input items without the parts that Codex adds: an id, and for a signed-in upstream its own metadata.
    pub fn input_without_ids(&self) -> Vec<Value> {
        let mut items = self.input().to_vec();
        for item in &mut items {
            if let Some(item) = item.as_object_mut() {
                item.shift_remove("id");
                item.shift_remove(METADATA);
            }
        }
        items
    }

    /// The metadata that Codex has added to each input item, in order.
    pub fn metadata(&self) -> Vec<&Value> {
        self.input().iter().filter_map(|item| item.get(METADATA)).collect()
    }

    /// The tools in the request, each with its namespace: from `tools`, or from items of the input, depending on
    /// the model.
    pub fn offered(&self) -> Vec<Offered<'_>> {
        let direct = self.body["tools"].as_array().into_iter().flatten();
        let carried = self.input().iter().filter(|item| item["type"] == "additional_tools");
        let carried = carried.flat_map(|item| item["tools"].as_array().into_iter().flatten());
        direct.chain(carried).flat_map(one_or_all_of_its_namespace).collect()
    }
}

const METADATA: &str = "internal_chat_message_metadata_passthrough";

/// A tool in a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offered<'a> {
    /// The namespace of the tool.
    pub namespace: Option<&'a str>,
    /// The tool as it was received.
    pub tool: &'a Value,
}

fn one_or_all_of_its_namespace(tool: &Value) -> Vec<Offered<'_>> {
    if tool["type"] != "namespace" {
        return vec![Offered { namespace: None, tool }];
    }
    let tools = tool["tools"].as_array().into_iter().flatten();
    tools.map(|inner| Offered { namespace: tool["name"].as_str(), tool: inner }).collect()
}

/// How the answer to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Still being answered.
    Open,
    /// The whole script was sent, or the upstream itself cut the connection.
    Sent,
    /// Codex closed the connection before the script's end.
    ClosedEarly,
}

fn unpacked(raw: &[u8]) -> impl Read {
    StreamingDecoder::new(raw).expect("what is said to be zstd is")
}

fn message_text(item: &Value) -> String {
    if let Some(text) = item["content"].as_str() {
        return text.to_owned();
    }
    let parts = item["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde_json::json;

    use super::*;

    fn frame(sent: &Value) -> Recorded {
        let (parts, ()) = Request::new(()).into_parts();
        Recorded::frame(&Recorded::http(&parts, Bytes::new()), 0, Bytes::from(sent.to_string()))
    }

    #[test]
    fn a_continuation_becomes_a_whole_request() {
        let sent = json!({
            "type": "response.create", "model": "m", "previous_response_id": "resp_1",
            "input": [{"role": "user", "content": "two"}],
        });
        let mut recorded = frame(&sent);
        recorded.resolve(&[json!({"role": "user", "content": "one"})]);
        let whole = json!({
            "model": "m",
            "input": [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
        });
        assert_eq!((&recorded.body, &recorded.sent), (&whole, &sent));
        assert_eq!(recorded.last_user_text(), "two");
    }

    #[test]
    fn tools_are_found_wherever_they_travel() {
        let tool = |name: &str| json!({"type": "function", "name": name});
        let recorded = frame(&json!({
            "tools": [tool("a"), {"type": "namespace", "name": "n", "tools": [tool("b")]}],
            "input": [{"type": "additional_tools", "tools": [
                tool("c"), {"type": "namespace", "name": "o", "tools": [tool("d"), {"type": "custom", "name": "e"}]},
            ]}],
        }));
        let found: Vec<_> =
            recorded.offered().iter().map(|o| (o.namespace, o.tool["name"].as_str().unwrap())).collect();
        assert_eq!(found, [(None, "a"), (Some("n"), "b"), (None, "c"), (Some("o"), "d"), (Some("o"), "e")]);
    }
}
