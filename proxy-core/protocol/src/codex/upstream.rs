//! The requests that Codex sends to the model service: requests of the Responses API, over a WebSocket or by HTTP
//! (seen with 0.169.0 and 0.171.0).

use serde_json::{Map, Value, json};

/// Members of an item that Codex adds beside its content.
pub const ITEM_METADATA: &[&str] = &["id", "internal_chat_message_metadata_passthrough", "status"];

/// The name that Codex gives to the client's schema.
pub const SCHEMA_NAME: &str = "codex_output_schema";

/// A request, with its transcript taken out: over a WebSocket it holds only what is new since an earlier answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The earlier answer that the request continues.
    pub previous: Option<String>,
    /// The transcript, or its new part.
    pub input: Vec<Value>,
    /// Whether the request only prepares the next one and gets no answer.
    pub is_warm_up: bool,
    /// All other members.
    body: Value,
}

impl Request {
    /// Splits a request. A request that cannot be read is kept as it is.
    pub fn read(text: &str) -> Self {
        let mut body = serde_json::from_str(text).unwrap_or_else(|_| json!({"unreadable": text}));
        let mut nothing = Map::new();
        let members = body.as_object_mut().unwrap_or(&mut nothing);
        let previous = members.shift_remove("previous_response_id");
        let input = match members.get_mut("input").map(Value::take) {
            Some(Value::Array(input)) => input,
            Some(_) | None => Vec::new(),
        };
        Self {
            previous: previous.as_ref().and_then(Value::as_str).map(str::to_owned),
            input,
            is_warm_up: members.get("generate") == Some(&Value::Bool(false)),
            body,
        }
    }

    /// The request as the model sees it, with this transcript.
    pub fn with_input(mut self, input: Vec<Value>) -> Value {
        if let Some(members) = self.body.as_object_mut() {
            members.insert("input".to_owned(), Value::Array(input));
        }
        self.body
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_taken_apart_and_put_together() {
        let sent = r#"{"type":"response.create","previous_response_id":"r","input":[2],"generate":false}"#;
        let request = Request::read(sent);
        assert_eq!((request.previous.as_deref(), request.is_warm_up), (Some("r"), true));
        assert_eq!(request.input, [json!(2)]);
        let whole = request.with_input(vec![json!(1), json!(2)]);
        assert_eq!(whole.to_string(), r#"{"type":"response.create","input":[1,2],"generate":false}"#);
    }

    #[test]
    fn what_cannot_be_read_is_shown() {
        let shown = |text: &str| Request::read(text).with_input(Vec::new());
        assert_eq!(shown("{"), json!({"unreadable": "{", "input": []}));
        assert_eq!(shown("[1]"), json!([1]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn no_request_is_too_strange(text in ".{0,60}", model in ".{0,12}", items in proptest::collection::vec(any::<i32>(), 0..4)) {
            Request::read(&text);
            let body = json!({"model": model, "input": items});
            let request = Request::read(&body.to_string());
            let input = request.input.clone();
            prop_assert_eq!(request.with_input(input), body);
        }
    }
}
