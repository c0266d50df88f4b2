//! The routes of the settings under `/control/settings`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value};

use super::{blocking, invalid, read_body};
use crate::control::api::Settings;
use crate::control::settings::SettingsError;
use crate::http::body::Sent;
use crate::http::error::Error;
use crate::http::{App, open};

/// The routes under `/control/settings`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/settings", open("GET, HEAD, PATCH", get(read).patch(change)))
}

async fn read(State(app): State<Arc<App>>) -> Result<Json<Settings>, Error> {
    let control = app.control.clone();
    blocking(move || control.settings()).await.map(Json)
}

async fn change(State(app): State<Arc<App>>, body: Sent) -> Result<Json<Settings>, Error> {
    let changes: Map<String, Value> = read_body(body).await?;
    let control = app.control.clone();
    let changed = blocking(move || control.change_settings(&changes)).await?;
    changed.map(Json).map_err(|error| match error {
        SettingsError::Invalid { key, message } => invalid(&key, message),
        SettingsError::Locked(message) => Error::Conflict(message),
        SettingsError::File(message) => Error::File(message),
    })
}
