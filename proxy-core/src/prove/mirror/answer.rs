//! The mirror's answers. Nothing here listens or waits.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::codex::upstream::Request;
use serde_json::{Value, json};

use super::Asked;

/// The conversations so far, by the id of the response that ended each.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    items: HashMap<String, Vec<Value>>,
    count: u64,
}

impl Conversation {
    /// Handles a request. Returns the request as the model would see it, and the events of the answer. The first
    /// is `None` if the request continues a response that the mirror never gave.
    pub(super) fn ask(&mut self, mut request: Request, bytes: u64) -> (Option<Asked>, Vec<Value>) {
        let mut items = match request.previous.as_deref() {
            None => Vec::new(),
            Some(id) => match self.items.get(id) {
                Some(items) => items.clone(),
                None => return (None, vec![not_found()]),
            },
        };
        items.append(&mut request.input);
        let is_warm_up = request.is_warm_up;
        let body = request.with_input(items.clone());
        self.count += 1;
        let id = format!("resp_{}", self.count);
        let mut events = vec![json!({"type": "response.created", "response": {"id": id}})];
        if !is_warm_up {
            let (message, said) = self.say();
            items.push(message);
            events.extend(said);
        }
        let usage = json!({
            "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2,
        });
        events.push(json!({"type": "response.completed", "response": {"id": id, "usage": usage}}));
        self.items.insert(id, items);
        (Some(Asked { body, bytes, is_warm_up }), events)
    }

    fn say(&self) -> (Value, Vec<Value>) {
        let id = format!("msg_{}", self.count);
        let message =
            |content: Value| json!({"type": "message", "id": id, "role": "assistant", "content": content});
        let whole = message(json!([{"type": "output_text", "text": "{}"}]));
        let events = vec![
            json!({"type": "response.output_item.added", "output_index": 0, "item": message(json!([]))}),
            json!({
                "type": "response.output_text.delta",
                "item_id": id,
                "output_index": 0,
                "content_index": 0,
                "delta": "{}",
            }),
            json!({"type": "response.output_item.done", "output_index": 0, "item": whole}),
        ];
        (whole, events)
    }
}

fn not_found() -> Value {
    json!({
        "type": "error",
        "status": 400,
        "error": {
            "type": "invalid_request_error",
            "code": "previous_response_not_found",
            "message": "not found",
            "param": "previous_response_id",
        },
    })
}

/// The account of the temporary sign-in.
pub(in crate::prove) const ACCOUNT: &str = "acct-of-a-proof";

/// The answer of the account service at `path`; `None` for other paths.
pub(super) fn account(path: &str) -> Value {
    if path.ends_with("/wham/accounts/check") {
        return json!({
            "accounts": [{
                "id": ACCOUNT,
                "name": "Proof",
                "structure": "personal",
                "plan_type": "plus",
                "workspace_backend_origin": "https://chatgpt.com",
                "account_routing_override": "NO_CONSTRAINT",
                "is_deactivated": false,
            }],
            "account_ordering": [ACCOUNT],
        });
    }
    if path.ends_with("/wham/usage") {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        return json!({
            "plan_type": "plus",
            "rate_limit": {
                "allowed": true,
                "limit_reached": false,
                "primary_window": {
                    "used_percent": 1,
                    "limit_window_seconds": 18_000,
                    "reset_after_seconds": 600,
                    "reset_at": now + 600,
                },
                "secondary_window": null,
            },
        });
    }
    json!({})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &Value) -> Request {
        Request::read(&body.to_string())
    }

    #[test]
    fn a_continuation_is_shown_whole() {
        let mut conversation = Conversation::default();
        let (first, events) = conversation
            .ask(request(&json!({"type": "response.create", "generate": false, "input": [1]})), 10);
        assert!(first.unwrap().is_warm_up);
        let id = events.last().unwrap()["response"]["id"].clone();
        let (second, events) =
            conversation.ask(request(&json!({"previous_response_id": id, "input": [2]})), 20);
        let second = second.unwrap();
        assert_eq!((second.body, second.bytes), (json!({"input": [1, 2]}), 20));
        let id = events.last().unwrap()["response"]["id"].clone();
        let (third, _) = conversation.ask(request(&json!({"previous_response_id": id, "input": [3]})), 0);
        assert_eq!(third.unwrap().body["input"].as_array().unwrap().len(), 4, "the answer is in between");
    }

    #[test]
    fn an_unknown_answer_is_refused() {
        let (asked, events) =
            Conversation::default().ask(request(&json!({"previous_response_id": "x", "input": []})), 0);
        assert_eq!(asked, None);
        assert_eq!(events[0]["error"]["code"], "previous_response_not_found");
    }
}
