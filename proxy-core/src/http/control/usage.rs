//! The routes of the usage under `/control`, for the command line and the tray.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use http::Uri;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::control::api::Usage;
use crate::http::error::Error;
use crate::http::{App, open, usage};
use crate::usage::export::Format;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/usage", open("GET, HEAD", get(sums)))
        .route("/usage/raw", open("GET, HEAD", get(usage::raw)))
        .route("/usage/export", open("GET, HEAD", get(export)))
}

/// The sums over a time range.
async fn sums(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<Usage>, Error> {
    Ok(Json(app.control.usage_summary(usage::query(&app, &uri)?).await?))
}

/// Every event of a time range, as a file.
async fn export(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Error> {
    let (format, kind, name) = match usage::value(&uri, "format").as_deref() {
        None | Some("" | "csv") => (Format::Csv, "text/csv; charset=utf-8; header=present", "usage.csv"),
        Some("json") => (Format::Json, "application/json", "usage.json"),
        Some(_) => return Err(usage::invalid("format", "'format' has to be csv or json.".to_owned())),
    };
    let pieces = app.control.usage_export(&usage::query(&app, &uri)?, format);
    // An error ends the connection before the end of the body, so that a client does not take half a file for a
    // complete one.
    let body = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    let headers =
        [(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))];
    Ok((headers, Body::from_stream(body)).into_response())
}
