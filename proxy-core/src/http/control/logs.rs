//! The routes of the log under `/control/logs`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::Uri;

use crate::control::api::{LogLevel, LogTail, SetLogLevel};
use crate::http::body::{self, Sent};
use crate::http::error::Error;
use crate::http::{App, open};
use protocol::openai::error::{RequestError, RequestErrorKind};

/// The largest body that sets a filter.
const MAX_BYTES: usize = 16 * 1024;

/// The routes under `/control/logs`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/logs", open("GET, HEAD", get(tail)))
        .route("/logs/level", open("GET, HEAD, PUT", get(level).put(set_level)))
}

async fn tail(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<LogTail>, Error> {
    let lines = match parameter(&uri, "lines") {
        Some(lines) => lines.parse().map_err(|_| invalid("lines", "'lines' has to be a whole number."))?,
        None => 200,
    };
    let control = app.control.clone();
    let read = tokio::task::spawn_blocking(move || control.log_tail(lines)).await;
    match read {
        Ok(Ok(tail)) => Ok(Json(tail)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the log file could not be read");
            Err(Error::Internal)
        }
        Err(_) => Err(Error::Internal),
    }
}

async fn level(State(app): State<Arc<App>>) -> Json<LogLevel> {
    Json(app.control.log_level())
}

async fn set_level(State(app): State<Arc<App>>, sent: Sent) -> Result<Json<LogLevel>, Error> {
    let headers = sent.headers.clone();
    let bytes = body::utf8(&headers, body::read(sent, MAX_BYTES, None).await?)?;
    let new: SetLogLevel = serde_json::from_slice(&bytes)
        .map_err(|_| invalid("filter", "The body has to be {\"filter\": \"info\"} or the like."))?;
    app.control.set_log_level(&new.filter).map(Json).map_err(|error| invalid("filter", &error.to_string()))
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn invalid(param: &str, message: &str) -> Error {
    RequestError::new(RequestErrorKind::InvalidValue, param, message).into()
}
