//! `/v1/models`: the list of models.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::App;
use super::error::Error;
use super::segment::Segment;
use protocol::openai::models;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    Json(models::list(&app.openai, &app.dispatcher.catalogue().unwrap_or_default(), app.started))
}

pub(super) async fn get(State(app): State<Arc<App>>, Segment(id): Segment) -> Result<Json<Value>, Error> {
    let catalogue = app.dispatcher.catalogue().unwrap_or_default();
    Ok(Json(models::get(&id, &app.openai, &catalogue, app.started)?))
}
