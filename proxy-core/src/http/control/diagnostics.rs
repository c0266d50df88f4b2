//! The route that gives the diagnostics as a file.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use super::blocking;
use crate::http::error::Error;
use crate::http::{App, open};

/// The route `/control/diagnostics`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/diagnostics", open("GET, HEAD", get(bundle)))
}

async fn bundle(State(app): State<Arc<App>>) -> Result<Response, Error> {
    let control = app.control.clone();
    let told = blocking(move || serde_json::to_vec_pretty(&control.diagnostics())).await?;
    let text = told.map_err(|error| {
        tracing::error!(%error, "the diagnostics could not be written; this is a bug");
        Error::Internal
    })?;
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CONTENT_DISPOSITION, "attachment; filename=\"codex-proxy-diagnostics.json\""),
    ];
    Ok((headers, text).into_response())
}
