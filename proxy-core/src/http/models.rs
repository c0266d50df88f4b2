//! `/v1/models`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::App;
use super::error::Error;
use super::segment::Segment;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::models;
use crate::openai::read::excerpt;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    Json(models::list(&app.openai, &app.dispatcher.catalogue().unwrap_or_default(), app.started))
}

pub(super) async fn get(State(app): State<Arc<App>>, Segment(id): Segment) -> Result<Json<Value>, Error> {
    let catalogue = app.dispatcher.catalogue().unwrap_or_default();
    models::get(&id, &app.openai, &catalogue, app.started).map(Json).ok_or_else(|| {
        let message = format!(
            "The model '{}' does not exist here. GET /v1/models lists the models there are.",
            excerpt(&id)
        );
        RequestError::new(RequestErrorKind::ModelNotFound, "model", message).into()
    })
}
