//! What a request may continue.

use std::sync::Arc;

use serde_json::{Value, json};

use protocol::openai::error::{RequestError, RequestErrorKind};

const PREVIOUS: &str = "previous_response_id";

/// What a response and all before it have said: what a request may continue.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The id of the response.
    pub response: String,
    /// Every item up to the last of the response.
    pub items: Vec<Value>,
}

/// Puts what the request continues before its input. Returns all of the input.
///
/// # Errors
/// If it continues a response that nobody remembers.
pub(super) fn resolve(
    body: &mut Value,
    recalled: Option<Arc<Transcript>>,
) -> Result<Vec<Value>, RequestError> {
    let Some(body) = body.as_object_mut() else { return Ok(Vec::new()) };
    let new = match body.get("input") {
        Some(Value::Array(items)) => items.clone(),
        Some(Value::String(text)) => vec![json!({"type": "message", "role": "user", "content": text})],
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    };
    let Some(Value::String(id)) = body.get(PREVIOUS) else { return Ok(new) };
    let Some(recalled) = recalled.filter(|recalled| recalled.response == *id) else {
        let message = "The previous response was not found. Send the whole conversation in 'input'.";
        return Err(RequestError::new(RequestErrorKind::PreviousResponseNotFound, PREVIOUS, message));
    };
    let items = [recalled.items.as_slice(), &new].concat();
    body.insert("input".to_owned(), items.clone().into());
    body.remove(PREVIOUS);
    Ok(items)
}
