//! The routes of the API keys under `/control/keys`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::body::Sent;
use super::super::error::Error;
use super::super::segment::Segment;
use super::super::{App, open};
use super::read_body;
use crate::control::keys::{Changed, Destination, KeyList};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/keys", open("GET, HEAD, POST", get(list).post(create)))
        .route("/keys/migrate", open("POST", post(migrate)))
        .route("/keys/{key}", open("PATCH, DELETE", patch(update).delete(remove)))
        .route("/keys/{key}/reveal", open("POST", post(reveal)))
        .route("/keys/{key}/rotate", open("POST", post(rotate)))
}

async fn list(State(app): State<Arc<App>>) -> Json<KeyList> {
    Json(app.control.list_keys())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
}

async fn create(State(app): State<Arc<App>>, body: Sent) -> Result<Json<Changed>, Error> {
    let Create { name } = read_body(body).await?;
    Ok(Json(app.control.create_key(name).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    name: Option<String>,
    enabled: Option<bool>,
}

async fn update(
    State(app): State<Arc<App>>,
    Segment(key): Segment,
    body: Sent,
) -> Result<Json<Changed>, Error> {
    let Update { name, enabled } = read_body(body).await?;
    Ok(Json(app.control.update_key(key, name, enabled).await?))
}

/// 204, or 200 with a warning if not all of it is gone yet.
async fn remove(State(app): State<Arc<App>>, Segment(key): Segment) -> Result<Response, Error> {
    Ok(match app.control.delete_key(key).await? {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(warning) => Json(json!({"warning": warning})).into_response(),
    })
}

async fn reveal(State(app): State<Arc<App>>, Segment(key): Segment) -> Result<Json<Value>, Error> {
    let secret = app.control.reveal_key(key).await?;
    Ok(Json(json!({"secret": secret.expose()})))
}

async fn rotate(State(app): State<Arc<App>>, Segment(key): Segment) -> Result<Json<Changed>, Error> {
    Ok(Json(app.control.rotate_key(key).await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    Keychain,
    File,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Migrate {
    to: To,
}

async fn migrate(State(app): State<Arc<App>>, body: Sent) -> Result<Json<KeyList>, Error> {
    let to = match read_body::<Migrate>(body).await?.to {
        To::Keychain => Destination::Keychain,
        To::File => Destination::File,
    };
    Ok(Json(app.control.migrate_keys(to).await?))
}
