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
mod try_out;
mod usage;

use std::convert::Infallible;
use std::sync::Arc;

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
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::time::{Duration, Interval, interval};

use super::body::{self, Sent};
use super::caller::Caller;
use super::error::Error;
use super::segment::Segment;
use super::{App, bearer, open, sse};
use crate::control::{Changes, Status};
use crate::request_log::RequestEntry;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::frame::Frames;

/// How often a stream of events tells the state even if nothing has changed: uptimes and queues move on.
const REFRESH: Duration = Duration::from_secs(15);

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
        .merge(logs::routes())
        .merge(models::routes())
        .merge(try_out::routes())
        .merge(settings::routes())
        .merge(diagnostics::routes())
        .merge(clients::routes())
        .layer(middleware::from_fn_with_state(app.clone(), require_token))
}

async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    Json(app.control.status())
}

async fn pause(State(app): State<Arc<App>>) -> Json<Value> {
    app.control.pause(true);
    Json(json!({"paused": true}))
}

async fn resume(State(app): State<Arc<App>>) -> Json<Value> {
    app.control.pause(false);
    Json(json!({"paused": false}))
}

/// What a stream of events is made from.
struct Events {
    app: Arc<App>,
    state: Changes,
    requests: broadcast::Receiver<RequestEntry>,
    refresh: Interval,
}

/// The state now, and again whenever it changes; requests when they come and when they are over.
async fn events(State(app): State<Arc<App>>) -> Response {
    let mut refresh = interval(REFRESH);
    refresh.reset();
    let (state, requests) = (app.control.watch(), app.control.watch_requests());
    let mut first = Frames::default();
    first.event("status", &app.control.status());
    let events = Events { app, state, requests, refresh };
    let later = stream::unfold(events, |mut events| async move {
        let frames = events.next().await?;
        Some((frames, events))
    });
    let frames = stream::iter([first]).chain(later);
    let body = frames.flat_map(|mut frames| {
        stream::iter(frames.take()).map(|frame| Ok::<_, Infallible>(sse::render(&frame)))
    });
    ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(body)).into_response()
}

impl Events {
    /// Waits for the next thing to tell.
    async fn next(&mut self) -> Option<Frames> {
        let mut frames = Frames::default();
        tokio::select! {
            changed = self.state.changed() => changed.then_some(())?,
            _ = self.refresh.tick() => {}
            () = self.app.control.closing() => return None,
            request = self.requests.recv() => {
                // Whoever reads too slowly misses some; the list has them all.
                match request {
                    Ok(request) => frames.event("request", &request),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
                return Some(frames);
            }
        }
        self.state.mark_seen();
        frames.event("status", &self.app.control.status());
        Some(frames)
    }
}

async fn restart_all(State(app): State<Arc<App>>) -> StatusCode {
    app.control.restart_workers();
    StatusCode::ACCEPTED
}

async fn restart_one(State(app): State<Arc<App>>, Segment(id): Segment) -> Result<StatusCode, Error> {
    let known = id.parse().is_ok_and(|id| app.control.restart_worker(id));
    if known { Ok(StatusCode::ACCEPTED) } else { Err(Error::UnknownRoute(format!("/control/workers/{id}"))) }
}

/// Ends the proxy, and the application that it runs in. The answer comes before the end.
async fn shut_down(State(app): State<Arc<App>>) -> StatusCode {
    tracing::info!("shutting down: the control API was asked to");
    app.control.shut_down();
    StatusCode::ACCEPTED
}

/// The largest body that is read here.
const MAX_BODY: usize = 64 * 1024;

/// A JSON body; none at all is an empty object.
async fn read_body<T: DeserializeOwned>(sent: Sent) -> Result<T, Error> {
    let headers = sent.headers.clone();
    let bytes = body::utf8(&headers, body::read(sent, MAX_BODY, None).await?)?;
    let bytes = if bytes.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { bytes };
    // The error's own words could hold a part of a key.
    serde_json::from_slice(&bytes).map_err(|error| {
        let kind =
            if error.is_data() { RequestErrorKind::InvalidValue } else { RequestErrorKind::InvalidJson };
        let (line, column) = (error.line(), error.column());
        let words = error.to_string();
        // Of serde's sentences, only this one never quotes the body.
        let missing = words.strip_prefix("missing field ").and_then(|rest| rest.split(" at line").next());
        let message = match missing {
            Some(field) => format!("The request body lacks the field {field}."),
            None => format!("The request body is not as expected at line {line}, column {column}."),
        };
        Error::Request(RequestError { kind, message, param: None })
    })
}

/// What `work` gives, done where waiting for a disk keeps nobody else waiting.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Internal)
}

fn invalid(param: &str, message: impl Into<String>) -> Error {
    RequestError::new(RequestErrorKind::InvalidValue, param, message).into()
}

/// Lets only programs of this machine in that can read the token.
async fn require_token(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let near = request.extensions().get::<Caller>().is_some_and(Caller::is_near);
    match bearer(request.headers()) {
        Some(shown) if near && app.control_token.matches(shown) => next.run(request).await,
        _ => Error::ControlDenied.into_response(),
    }
}
