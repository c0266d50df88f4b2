//! `/control/codex`: shows and changes which Codex is used.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::StatusCode;

use super::super::{App, open};
use super::read_body;
use crate::codex_install::{Action, CodexError};
use crate::control::api::{CodexStatus, InstallCodex, Job, UpdateCodex};
use crate::http::body::Sent;
use crate::http::error::Error;
use protocol::openai::error::{RequestError, RequestErrorKind};

/// The routes under `/control/codex`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/codex", open("GET, HEAD", get(status)))
        .route("/codex/install", open("POST", post(install)))
        .route("/codex/update", open("POST", post(update)))
        .route("/codex/rollback", open("POST", post(rollback)))
        .route("/codex/job", open("DELETE", delete(cancel)))
}

async fn status(State(app): State<Arc<App>>) -> Json<CodexStatus> {
    Json(app.control.codex().await)
}

async fn install(State(app): State<Arc<App>>, body: Sent) -> Result<(StatusCode, Json<Job>), Error> {
    let wanted: Option<InstallCodex> = read_body(body).await?;
    let (version, file) = wanted.map_or((None, None), |wanted| (wanted.version, wanted.file));
    match (version, file) {
        (version, None) => accepted(app.control.change_codex(Action::Install, version.as_deref())),
        (None, Some(file)) if file.is_absolute() => accepted(app.control.install_codex_file(&file)),
        (None, Some(_)) => Err(wrong("file", "Give the whole path of the file.")),
        (Some(_), Some(_)) => Err(wrong("file", "Give a version or a file, not both.")),
    }
}

fn wrong(param: &str, message: &str) -> Error {
    RequestError::new(RequestErrorKind::InvalidValue, param, message.to_owned()).into()
}

async fn update(state: State<Arc<App>>, body: Sent) -> Result<(StatusCode, Json<Job>), Error> {
    begin(state, Action::Update, body).await
}

async fn rollback(State(app): State<Arc<App>>) -> Result<(StatusCode, Json<Job>), Error> {
    accepted(app.control.change_codex(Action::Rollback, None))
}

async fn cancel(State(app): State<Arc<App>>) -> StatusCode {
    app.control.cancel_codex_job();
    StatusCode::NO_CONTENT
}

async fn begin(
    State(app): State<Arc<App>>,
    action: Action,
    body: Sent,
) -> Result<(StatusCode, Json<Job>), Error> {
    let asked: Option<UpdateCodex> = read_body(body).await?;
    let version = asked.and_then(|asked| asked.version);
    accepted(app.control.change_codex(action, version.as_deref()))
}

fn accepted(begun: Result<Job, CodexError>) -> Result<(StatusCode, Json<Job>), Error> {
    match begun {
        Ok(job) => Ok((StatusCode::ACCEPTED, Json(job))),
        Err(error @ CodexError::Busy) => Err(Error::Conflict(error.to_string())),
        Err(error) => {
            Err(RequestError::new(RequestErrorKind::InvalidValue, "version", error.to_string()).into())
        }
    }
}
