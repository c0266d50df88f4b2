//! JSON-RPC in Codex's form: no `jsonrpc` member, one object a line, requests in both directions.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// JSON-RPC's code.
    pub code: i64,
    /// The message, in Codex's words.
    pub message: String,
}

/// Codex is overloaded; the same request may succeed later.
pub const OVERLOADED: i64 = -32001;

/// A line from Codex, by kind.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// An answer to a request of the proxy.
    Response(u64, Result<&'a RawValue, RpcError>),
    /// A request from Codex; it must be answered.
    Request(Value, Cow<'a, str>, &'a RawValue),
    /// A notification.
    Notification(Cow<'a, str>, &'a RawValue),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: Option<Value>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<RpcError>,
}

/// Why a line is not a message of this protocol.
#[derive(Debug, thiserror::Error)]
pub enum NoMessage {
    /// The line is not a JSON object with members of these types.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The line is an answer with an id that no request of the proxy can have.
    #[error("an answer to a request that was never made")]
    NeverAsked,
    /// The line is neither a request nor an answer.
    #[error("neither an id nor a method")]
    Neither,
}

/// Reads a line.
///
/// # Errors
/// When the line is not a message of this protocol.
pub fn parse(line: &str) -> Result<Incoming<'_>, NoMessage> {
    let envelope: Envelope<'_> = serde_json::from_str(line)?;
    let params = envelope.params.unwrap_or(RawValue::NULL);
    match (envelope.id, envelope.method) {
        (Some(id), Some(method)) => Ok(Incoming::Request(id, method, params)),
        (None, Some(method)) => Ok(Incoming::Notification(method, params)),
        (Some(id), None) => {
            let id = id.as_u64().ok_or(NoMessage::NeverAsked)?;
            match (envelope.result, envelope.error) {
                (_, Some(error)) => Ok(Incoming::Response(id, Err(error))),
                (Some(result), None) => Ok(Incoming::Response(id, Ok(result))),
                (None, None) => Ok(Incoming::Response(id, Ok(RawValue::NULL))),
            }
        }
        (None, None) => Err(NoMessage::Neither),
    }
}

/// Writes a request.
pub fn request(id: u64, method: &str, params: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Request<'a, P> {
        id: u64,
        method: &'a str,
        params: &'a P,
    }
    to_line(&Request { id, method, params })
}

/// Writes a notification without parameters.
pub fn notification(method: &str) -> String {
    to_line(&json!({ "method": method }))
}

/// Writes the answer to a request from Codex.
pub fn result(id: &Value, result: &Value) -> String {
    to_line(&json!({ "id": id, "result": result }))
}

/// Writes a refusal of a request from Codex.
pub fn error(id: &Value, code: i64, message: &str) -> String {
    to_line(&json!({ "id": id, "error": { "code": code, "message": message } }))
}

/// The proxy's own message types always serialise: their keys are strings and they hold no foreign `Serialize`.
fn to_line(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

/// An answer of an unknown form. Holds the place, and nothing of the content: that may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an unknown shape at line {line}, column {column}")]
pub struct UnknownShape {
    /// The line, from 1.
    pub line: usize,
    /// The column, in bytes from 1.
    pub column: usize,
}

impl From<serde_json::Error> for UnknownShape {
    fn from(error: serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let response = parse(r#"{"id":3,"result":{"a":1}}"#);
        assert!(matches!(response, Ok(Incoming::Response(3, Ok(result))) if result.get() == r#"{"a":1}"#));
        let response = parse(r#"{"id":3,"error":{"code":-32600,"message":"no","data":1}}"#);
        assert!(matches!(response, Ok(Incoming::Response(3, Err(error))) if error.code == -32600));
        let request = parse(r#"{"id":"a","method":"item/tool/call","params":{}}"#);
        assert!(
            matches!(request, Ok(Incoming::Request(id, method, _)) if id == "a" && method == "item/tool/call")
        );
        let notification = parse(r#"{"method":"x","params":null,"emittedAtMs":1}"#);
        assert!(matches!(notification, Ok(Incoming::Notification(method, _)) if method == "x"));
        for bad in ["", "{}", "[]", "banner", "{\"id\":-1,\"result\":1}", "{\"id\":1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_is_one_line() {
        assert_eq!(request(1, "m", &json!({"x": 1})), r#"{"id":1,"method":"m","params":{"x":1}}"#);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(id in any::<u64>(), method in any::<String>(), text in any::<String>(), code in any::<i64>()) {
            let lines = [
                request(id, &method, &text),
                notification(&method),
                result(&json!(id), &json!(text)),
                error(&json!(id), code, &text),
            ];
            prop_assert!(lines.iter().all(|line| !line.contains('\n')), "each is one line");
            let [line, told, answer, refusal] = &lines;
            match parse(line) {
                Ok(Incoming::Request(found, name, params)) => {
                    prop_assert_eq!((found, name.as_ref()), (json!(id), method.as_str()));
                    prop_assert_eq!(serde_json::from_str::<String>(params.get()).unwrap(), text.as_str());
                }
                other => prop_assert!(false, "{:?}", other),
            }
            match parse(told) {
                Ok(Incoming::Notification(name, params)) => {
                    prop_assert_eq!((name.as_ref(), params.get()), (method.as_str(), "null"));
                }
                other => prop_assert!(false, "{:?}", other),
            }
            match parse(answer) {
                Ok(Incoming::Response(found, Ok(value))) => {
                    let value: String = serde_json::from_str(value.get()).unwrap();
                    prop_assert_eq!((found, value.as_str()), (id, text.as_str()));
                }
                other => prop_assert!(false, "{:?}", other),
            }
            match parse(refusal) {
                Ok(Incoming::Response(found, Err(said))) => {
                    prop_assert_eq!((found, said), (id, RpcError { code, message: text }));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn no_line_is_too_strange(line in prop_oneof![
            any::<String>(),
            "[{]((\"(id|method|params|result|error)\"):(null|-?[0-9]{1,20}|\"[a-z]?\"|[{][}]|\\[\\]),?){0,4}[}]?",
        ]) {
            if let Err(error) = parse(&line) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
