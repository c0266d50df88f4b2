//! `/control/try`: sends a prompt to a model for the window, which has no API key.
//!
//! The prompt goes through the same exchange as the request of a client, so what works here works for clients
//! too. In the usage it is counted under a key name of its own.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::json;

use super::{invalid, read_body_of};
use crate::control::api::TryPrompt;
use crate::exchange::JsonText;
use crate::http::body::Sent;
use crate::http::error::Error;
use crate::http::{App, open, turns};
use crate::secret::AdmittedKey;
use crate::telemetry::request::About;
use protocol::openai::responses::Responses;

/// The route `/control/try`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/try", open("POST", post(ask)))
}

async fn ask(State(app): State<Arc<App>>, request: Request) -> Result<Response, Error> {
    let (mut parts, body) = request.into_parts();
    let sent = Sent { headers: parts.headers.clone(), body };
    // A conversation may have images, like the request of a client.
    let TryPrompt { model, input } = read_body_of(app.config.max_body_bytes, sent).await?;
    if input.is_empty() {
        return Err(invalid("input", "'input' is empty; write what the model is to be asked."));
    }
    let body =
        Bytes::from(json!({"model": model, "input": input, "stream": true, "store": false}).to_string());
    // The headers are captured together with this body, not with the body that was received.
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let key = AdmittedKey::window();
    if let Some(about) = parts.extensions.get::<About>() {
        about.key(key.name.as_str());
    }
    Ok(turns::respond::<Responses, _>(&app, &parts, &key, JsonText(body)).await)
}
