//! The routes under `/control/share`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::{invalid, read_body};
use crate::control::api::{Share, StartShare};
use crate::control::share::ShareError;
use crate::http::body::Sent;
use crate::http::error::Error;
use crate::http::{App, open};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/share", open("GET, HEAD, POST, DELETE", get(show).post(start).delete(stop)))
}

async fn show(State(app): State<Arc<App>>) -> Json<Share> {
    Json(app.control.share())
}

async fn start(State(app): State<Arc<App>>, body: Sent) -> Result<Json<Share>, Error> {
    let StartShare { address } = read_body(body).await?;
    Ok(Json(app.control.start_sharing(&address).await.map_err(refused)?))
}

async fn stop(State(app): State<Arc<App>>) -> Result<Json<Share>, Error> {
    Ok(Json(app.control.stop_sharing().await.map_err(refused)?))
}

fn refused(error: ShareError) -> Error {
    match error {
        ShareError::NotPrivate(_) => invalid("address", error.to_string()),
        ShareError::NotOpen(message) => Error::Conflict(message),
        ShareError::Key(error) => error.into(),
        ShareError::File(_) => Error::File(error.to_string()),
    }
}
