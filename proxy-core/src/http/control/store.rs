//! The routes of the stored responses under `/control/store`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use super::super::error::Error;
use super::super::{App, open};
use crate::control::api::{Store, StoreRemoval};
use crate::response_store::StoreError;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/store", open("GET, HEAD", get(show)))
        .route("/store/export", open("GET, HEAD", get(export)))
        .route("/store/prune", open("POST", post(prune)))
        .route("/store/clear", open("POST", post(clear)))
}

fn failed(error: &StoreError) -> Error {
    tracing::warn!(%error, "an operation on stored responses has failed");
    Error::File(error.to_string())
}

async fn show(State(app): State<Arc<App>>) -> Result<Json<Store>, Error> {
    Ok(Json(app.control.store().await.map_err(|error| failed(&error))?))
}

async fn prune(State(app): State<Arc<App>>) -> Result<Json<StoreRemoval>, Error> {
    Ok(Json(app.control.prune_store().await.map_err(|error| failed(&error))?))
}

async fn clear(State(app): State<Arc<App>>) -> Result<Json<StoreRemoval>, Error> {
    Ok(Json(app.control.clear_store().await.map_err(|error| failed(&error))?))
}

/// Everything, as a file with one JSON object a line.
async fn export(State(app): State<Arc<App>>) -> Response {
    let entries = app.control.export_store();
    // An error ends the connection before the end of the body, so that a client does not take half a file for a
    // complete one.
    let body = stream::unfold(entries, |mut entries| async move { Some((entries.recv().await?, entries)) });
    let headers = [
        (CONTENT_TYPE, "application/jsonl"),
        (CONTENT_DISPOSITION, "attachment; filename=\"responses.jsonl\""),
    ];
    (headers, Body::from_stream(body)).into_response()
}
