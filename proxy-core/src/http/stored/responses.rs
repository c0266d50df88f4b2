//! `/v1/responses/{id}`: stored responses.
//!
//! <https://platform.openai.com/docs/api-reference/responses/get>

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Uri};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::App;
use super::super::error::Error;
use super::super::segment::Segment;
use super::super::sse;
use super::super::turns::response::follow;
use super::super::usage::{invalid, value};
use super::{flag, list, not_found, page};
use crate::exchange::{StoredError, StoredEvents};
use crate::secret::AdmittedKey;
use protocol::openai::responses::unseal;

/// Returns a response, or its events.
pub(in crate::http) async fn get(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Response, Error> {
    if flag(&uri, "stream")? {
        let after = match value(&uri, "starting_after") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                invalid("starting_after", "'starting_after' has to be a whole number.".to_owned())
            })?),
        };
        let sealed = includes_sealed(&uri)?;
        return Ok(match app.exchanges.follow(&key.id, &id, after, sealed).await? {
            StoredEvents::Live(frames) => follow(frames, app.config.keepalive),
            StoredEvents::Replayed(frames) => {
                let mut events: Vec<u8> = frames.iter().flat_map(sse::render).collect();
                events.extend_from_slice(&sse::DONE);
                let mut response = Response::new(Body::from(events));
                let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
        });
    }
    let mut object = app.exchanges.response(&key.id, &id).await?.object;
    if !includes_sealed(&uri)? {
        object["output"].as_array_mut().into_iter().flatten().for_each(unseal);
    }
    Ok(Json(object).into_response())
}

/// Deletes a response.
pub(in crate::http) async fn delete(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
) -> Result<Json<Value>, Error> {
    app.exchanges.delete(&key.id, &id).await?;
    Ok(Json(json!({"id": id, "object": "response", "deleted": true})))
}

/// Cancels a background response.
pub(in crate::http) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
) -> Result<Json<Value>, Error> {
    let mut object = app.exchanges.cancel(&key.id, &id).await?;
    object["output"].as_array_mut().into_iter().flatten().for_each(unseal);
    Ok(Json(object))
}

/// Lists what the model was given.
pub(in crate::http) async fn input_items(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Json<Value>, Error> {
    let sealed = includes_sealed(&uri)?;
    let items = app.exchanges.store().input_items(&key.id, &id, &page(&uri, true)?).await?;
    let mut items = items.ok_or_else(|| not_found("Response", &id))?;
    if !sealed {
        items.data.iter_mut().for_each(unseal);
    }
    Ok(Json(list(&items)))
}

/// Whether the query asks for sealed reasoning. Everything else that can be included is there anyway.
fn includes_sealed(uri: &Uri) -> Result<bool, Error> {
    let mut sealed = false;
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let is_include =
            name == "include" || name.strip_prefix("include[").is_some_and(|rest| rest.ends_with(']'));
        if is_include {
            if !value.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c)) {
                return Err(invalid("include", "'include' has a name of no output.".to_owned()));
            }
            sealed |= value == "reasoning.encrypted_content";
        }
    }
    Ok(sealed)
}

impl From<StoredError> for Error {
    fn from(error: StoredError) -> Self {
        match error {
            StoredError::NotFound(id) => not_found("Response", &id),
            StoredError::NotBackground => invalid("response_id", error.to_string()),
            StoredError::NotStreamed => invalid("stream", error.to_string()),
            StoredError::Store(error) => error.into(),
        }
    }
}
