//! The items of a turn as Codex prints them.

use serde_json::{Value, json};

use super::output::now_ms;
use super::scenario::Tokens;

/// A message that is being streamed.
pub(super) struct Message {
    pub(super) id: String,
    pub(super) prefix: String,
    pub(super) text: String,
    pub(super) started_ms: u64,
}

/// A tool call that waits for its output.
pub(super) struct OpenCall {
    pub(super) call_id: String,
    pub(super) tool: String,
    pub(super) arguments: Value,
    pub(super) request_id: u64,
    pub(super) requested: bool,
    pub(super) output: Option<String>,
    pub(super) started_ms: u64,
}

impl Message {
    pub(super) fn item(&self, ended: Option<u64>) -> Value {
        let text = if ended.is_some() { self.text.as_str() } else { "" };
        json!({
            "type": "agentMessage", "moderation": null, "id": self.id, "text": text, "phase": null,
            "memoryCitation": null, "delivery": null, "questions": null,
            "startedAtMs": self.started_ms, "completedAtMs": ended,
        })
    }
}

impl OpenCall {
    pub(super) fn item(&self, answer: Option<(&Value, bool)>) -> Value {
        let (status, duration, ended) = match answer {
            None => ("inProgress", Value::Null, Value::Null),
            Some((_, success)) => {
                let now = now_ms();
                let status = if success { "completed" } else { "failed" };
                (status, json!(now - self.started_ms), json!(now))
            }
        };
        json!({
            "type": "dynamicToolCall", "id": self.call_id, "namespace": null, "tool": self.tool,
            "arguments": self.arguments, "status": status, "contentItems": answer.map(|(items, _)| items),
            "success": answer.map(|(_, success)| success), "durationMs": duration,
            "startedAtMs": self.started_ms, "completedAtMs": ended,
        })
    }

    pub(super) fn request(&self, thread_id: &str, turn_id: &str) -> Value {
        json!({
            "method": "item/tool/call", "id": self.request_id,
            "params": {
                "threadId": thread_id, "turnId": turn_id, "callId": self.call_id, "namespace": null,
                "tool": self.tool, "arguments": self.arguments,
            },
        })
    }

    pub(super) fn output_item(&self, output: &str) -> Value {
        json!({
            "type": "function_call_output", "id": format!("fco_{}", self.call_id),
            "call_id": self.call_id, "output": output,
        })
    }
}

/// The parameters of `rawResponseItem/completed`, with the internal field that Codex adds to the item.
pub(super) fn raw_item(thread_id: &str, turn_id: &str, mut item: Value) -> Value {
    let mut passthrough = json!({"turn_id": turn_id});
    if item["role"] == "user" || item["type"] == "function_call_output" {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds fit a double for ages")]
        let seconds = now_ms() as f64 / 1000.0;
        passthrough["create_time"] = json!(seconds);
    }
    if item["type"] == "message" {
        passthrough["content_item_kinds"] = json!(["unknown"]);
    }
    if item["type"] != "additional_tools" {
        item["internal_chat_message_metadata_passthrough"] = passthrough;
    }
    json!({"threadId": thread_id, "turnId": turn_id, "item": item})
}

/// A rate limit snapshot without any values.
pub(super) fn no_rate_limits() -> Value {
    json!({
        "limitId": "codex", "limitName": null, "normalModelSlug": null, "primary": null,
        "secondary": null, "credits": null, "individualLimit": null, "spendControlReached": null,
        "planType": null, "rateLimitReachedType": null,
    })
}

/// Token counts in the form of notifications.
pub(super) fn counts(tokens: &Tokens) -> Value {
    json!({
        "totalTokens": tokens.input + tokens.output, "inputTokens": tokens.input,
        "cachedInputTokens": tokens.cached, "cacheWriteInputTokens": tokens.cache_write,
        "outputTokens": tokens.output, "reasoningOutputTokens": tokens.reasoning,
    })
}
