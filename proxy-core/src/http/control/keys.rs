//! The routes of the API keys under `/control/keys`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use http::StatusCode;

use super::super::body::Sent;
use super::super::error::Error;
use super::super::segment::Segment;
use super::super::{App, open};
use super::read_body;
use crate::control::api::{ChangedKey, CreateKey, DeletedKey, KeyList, MigrateKeys, RevealedKey, UpdateKey};

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

async fn create(State(app): State<Arc<App>>, body: Sent) -> Result<Json<ChangedKey>, Error> {
    let CreateKey { name } = read_body(body).await?;
    Ok(Json(app.control.create_key(name).await?))
}

async fn update(
    State(app): State<Arc<App>>,
    Segment(key): Segment,
    body: Sent,
) -> Result<Json<ChangedKey>, Error> {
    let UpdateKey { name, enabled } = read_body(body).await?;
    Ok(Json(app.control.update_key(key, name, enabled).await?))
}

/// 204, or 200 with a warning if not all of it is gone yet.
async fn remove(State(app): State<Arc<App>>, Segment(key): Segment) -> Result<Response, Error> {
    let warning = app.control.delete_key(key).await?;
    let left = app.control.list_keys().keys;
    app.dispatcher.forget_others(|owner| left.iter().any(|key| key.id == owner));
    Ok(match warning {
        None => StatusCode::NO_CONTENT.into_response(),
        warning @ Some(_) => Json(DeletedKey { warning }).into_response(),
    })
}

async fn reveal(State(app): State<Arc<App>>, Segment(key): Segment) -> Result<Json<RevealedKey>, Error> {
    Ok(Json(RevealedKey { secret: app.control.reveal_key(key).await? }))
}

async fn rotate(State(app): State<Arc<App>>, Segment(key): Segment) -> Result<Json<ChangedKey>, Error> {
    Ok(Json(app.control.rotate_key(key).await?))
}

async fn migrate(State(app): State<Arc<App>>, body: Sent) -> Result<Json<KeyList>, Error> {
    let MigrateKeys { to } = read_body(body).await?;
    Ok(Json(app.control.migrate_keys(to).await?))
}
