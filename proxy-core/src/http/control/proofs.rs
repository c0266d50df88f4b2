//! `/control/proofs` and `/control/prove`: shows and checks what Codex adds to a prompt.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;

use super::super::{App, open};
use super::blocking;
use crate::control::api::{ProofJob, Proofs};
use crate::http::error::Error;

/// The routes under `/control/proofs` and `/control/prove`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/proofs", open("GET, HEAD", get(proofs))).route("/prove", open("POST", post(prove)))
}

async fn proofs(State(app): State<Arc<App>>) -> Result<Json<Proofs>, Error> {
    blocking(move || app.control.proofs()).await.map(Json)
}

async fn prove(State(app): State<Arc<App>>) -> Result<(StatusCode, Json<Option<ProofJob>>), Error> {
    match app.control.prove() {
        Ok(job) => Ok((StatusCode::ACCEPTED, Json(job))),
        Err(error) => Err(Error::Conflict(error.to_string())),
    }
}
