//! The control API over HTTP, for the command line and the browser: loopback only, with a token of its own.

mod account;
mod clients;
mod codex;
mod diagnostics;
mod keys;
mod logs;
mod models;
mod proofs;
mod requests;
mod settings;
mod share;
mod store;
mod try_out;
mod usage;

use std::convert::Infallible;
use std::sync::Arc;

use super::body::{self, Sent};
use super::caller::Caller;
use super::error::Error;
use super::segment::Segment;
use super::{App, bearer, open, sse};
use crate::control::api::{Event, Paused, Status};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::frame::Frames;
use serde::de::DeserializeOwned;

/// The routes under `/control`.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/status", open("GET, HEAD", get(status)))
        .route("/events", open("GET, HEAD", get(events)))
        .route("/pause", open("POST", post(pause)))
        .route("/resume", open("POST", post(resume)))
        .route("/workers/restart", open("POST", post(restart_all)))
        .route("/workers/{id}/restart", open("POST", post(restart_one)))
        .route("/shutdown", open("POST", post(shut_down)))
        .merge(codex::routes())
        .merge(proofs::routes())
        .merge(account::routes())
        .merge(keys::routes())
        .merge(requests::routes())
        .merge(usage::routes())
        .merge(store::routes())
        .merge(logs::routes())
        .merge(models::routes())
        .merge(try_out::routes())
        .merge(settings::routes())
        .merge(share::routes())
        .merge(diagnostics::routes())
        .merge(clients::routes())
        .layer(middleware::from_fn_with_state(app.clone(), require_token))
}

async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    Json(app.control.status())
}

async fn pause(State(app): State<Arc<App>>) -> Json<Paused> {
    app.control.pause(true);
    Json(Paused { paused: true })
}

async fn resume(State(app): State<Arc<App>>) -> Json<Paused> {
    app.control.pause(false);
    Json(Paused { paused: false })
}

/// The events of the proxy, as server-sent events.
async fn events(State(app): State<Arc<App>>) -> Response {
    let frames = stream::unfold(app.control.events(), |mut events| async move {
        let frame = frame(&events.next().await?);
        Some((frame, events))
    });
    let body = frames.flat_map(|mut frames| {
        stream::iter(frames.take()).map(|frame| Ok::<_, Infallible>(sse::render(&frame)))
    });
    ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(body)).into_response()
}

fn frame(event: &Event) -> Frames {
    let mut frame = Frames::default();
    match event {
        Event::Status(status) => frame.event("status", status),
        Event::Request(request) => frame.event("request", request),
    }
    frame
}

async fn restart_all(State(app): State<Arc<App>>) -> StatusCode {
    app.control.restart_workers();
    StatusCode::ACCEPTED
}

async fn restart_one(State(app): State<Arc<App>>, Segment(id): Segment) -> Result<StatusCode, Error> {
    let known = id.parse().is_ok_and(|id| app.control.restart_worker(id));
    if known { Ok(StatusCode::ACCEPTED) } else { Err(Error::UnknownRoute(format!("/control/workers/{id}"))) }
}

/// Ends the proxy and the application that it runs in. The answer is sent first.
async fn shut_down(State(app): State<Arc<App>>) -> StatusCode {
    tracing::info!("shutting down: the control API was asked to");
    app.control.shut_down();
    StatusCode::ACCEPTED
}

/// The largest request body of the control API, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Reads a JSON body. An empty body is an empty object.
async fn read_body<T: DeserializeOwned>(sent: Sent) -> Result<T, Error> {
    read_body_of(MAX_BODY, sent).await
}

/// Reads a JSON body of at most `limit` bytes.
async fn read_body_of<T: DeserializeOwned>(limit: usize, sent: Sent) -> Result<T, Error> {
    let headers = sent.headers.clone();
    let bytes = body::utf8(&headers, body::read(sent, limit, None).await?)?;
    let bytes = if bytes.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { bytes };
    // The message of serde could contain a part of a key.
    serde_json::from_slice(&bytes).map_err(|error| {
        let kind =
            if error.is_data() { RequestErrorKind::InvalidValue } else { RequestErrorKind::InvalidJson };
        let (line, column) = (error.line(), error.column());
        let words = error.to_string();
        // Of the messages of serde, only this one never quotes the body.
        let missing = words.strip_prefix("missing field ").and_then(|rest| rest.split(" at line").next());
        let message = match missing {
            Some(field) => format!("The request body lacks the field {field}."),
            None => format!("The request body is not as expected at line {line}, column {column}."),
        };
        Error::Request(RequestError { kind, message, param: None })
    })
}

/// Runs `work` on a thread that may block, so that waiting for a disk does not stop other requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Internal)
}

fn invalid(param: &str, message: impl Into<String>) -> Error {
    RequestError::new(RequestErrorKind::InvalidValue, param, message).into()
}

/// Lets in only programs on this machine that can read the token.
async fn require_token(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let near = request.extensions().get::<Caller>().is_some_and(Caller::is_near);
    match bearer(request.headers()) {
        Some(shown) if near && app.control_token.matches(shown) => next.run(request).await,
        _ => Error::ControlDenied.into_response(),
    }
}
