//! The routes that set up other programs as clients of the proxy.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;

use super::{blocking, read_body};
use crate::client_setup::ClientsError;
use crate::control::api::{Applied, ClientConfig, Preview, SetUpFor};
use crate::control::keys::{KeysError, KeysErrorKind};
use crate::http::body::Sent;
use crate::http::error::Error;
use crate::http::segment::Segment;
use crate::http::{App, open};
use protocol::openai::error::{RequestError, RequestErrorKind};

/// The routes under `/control/clients`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/clients", open("GET, HEAD", get(list)))
        .route("/clients/{id}/preview", open("POST", post(preview)))
        .route("/clients/{id}/apply", open("POST", post(apply)))
        .route("/clients/{id}/undo", open("POST", post(undo)))
}

async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<ClientConfig>>, Error> {
    let control = app.control.clone();
    blocking(move || control.client_configs()).await.map(Json)
}

async fn preview(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    body: Sent,
) -> Result<Json<Preview>, Error> {
    check_key(&app, read_body(body).await?)?;
    let control = app.control.clone();
    blocking(move || control.preview_client(&id)).await?.map(Json).map_err(Error::from)
}

async fn apply(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    body: Sent,
) -> Result<Json<Applied>, Error> {
    check_key(&app, read_body(body).await?)?;
    let control = app.control.clone();
    blocking(move || control.apply_client(&id)).await?.map(Json).map_err(Error::from)
}

async fn undo(State(app): State<Arc<App>>, Segment(id): Segment) -> Result<StatusCode, Error> {
    let control = app.control.clone();
    blocking(move || control.undo_client(&id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

fn check_key(app: &App, SetUpFor { key_id }: SetUpFor) -> Result<(), Error> {
    let Some(wanted) = key_id else { return Ok(()) };
    let known =
        app.control.list_keys().keys.into_iter().any(|key| key.id.as_str() == wanted || key.name == wanted);
    if known {
        return Ok(());
    }
    let message = "The key is not there any more. Make another one for this client.".to_owned();
    Err(KeysError { kind: KeysErrorKind::Unknown, message }.into())
}

impl From<ClientsError> for Error {
    fn from(error: ClientsError) -> Self {
        let message = error.to_string();
        match error {
            ClientsError::Unknown(_) => {
                RequestError { kind: RequestErrorKind::NotFound, message, param: None }.into()
            }
            ClientsError::Unfit { .. } | ClientsError::Unchanged(_) => Self::Conflict(message),
            ClientsError::File { .. } => Self::File(message),
        }
    }
}
