//! The models for the window and the tray.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use crate::http::{App, open};
use protocol::openai::models;

/// The route `/control/models`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/models", open("GET, HEAD", get(list)))
}

async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    let catalogue = app.dispatcher.catalogue().unwrap_or_default();
    Json(models::overview(&app.openai, &catalogue, app.control.takes_tools()))
}
