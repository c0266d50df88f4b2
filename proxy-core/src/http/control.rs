//! The control API over HTTP, for the command line and the browser: loopback only, with a token of its own.

mod account;
mod codex;
mod keys;
mod usage;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::time::{Duration, interval};

use super::error::Error;
use super::{App, bearer, open};
use crate::control::Status;
use crate::openai::sse::{Frames, KEEPALIVE};

/// How often a stream of events tells the state even if nothing has changed: uptimes and queues move on.
const REFRESH: Duration = Duration::from_secs(15);

/// The routes under `/control`.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/status", open("GET, HEAD", get(status)))
        .route("/events", open("GET, HEAD", get(events)))
        .route("/workers/restart", open("POST", post(restart_all)))
        .route("/workers/{id}/restart", open("POST", post(restart_one)))
        .merge(codex::routes())
        .merge(account::routes())
        .merge(keys::routes())
        .merge(usage::routes())
        .layer(middleware::from_fn_with_state(app.clone(), require_token))
}

async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    Json(app.control.status())
}

/// The state now, and again whenever it changes.
async fn events(State(app): State<Arc<App>>) -> Response {
    let changes = app.control.watch();
    let mut refresh = interval(REFRESH);
    refresh.reset();
    let body =
        stream::unfold((app, changes, refresh, true), |(app, mut changes, mut refresh, first)| async move {
            if !first {
                tokio::select! {
                    true = changes.changed() => {}
                    _ = refresh.tick() => {}
                    () = app.control.closing() => return None,
                }
            }
            changes.mark_seen();
            let mut frames = Frames::default();
            frames.event("status", &app.control.status());
            let frame = frames.take().into_iter().next().unwrap_or(KEEPALIVE);
            Some((Ok::<_, Infallible>(frame), (app, changes, refresh, false)))
        });
    ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(body)).into_response()
}

async fn restart_all(State(app): State<Arc<App>>) -> StatusCode {
    app.control.restart_workers();
    StatusCode::ACCEPTED
}

async fn restart_one(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let known = id.parse().is_ok_and(|id| app.control.restart_worker(id));
    if known { Ok(StatusCode::ACCEPTED) } else { Err(Error::UnknownRoute(format!("/control/workers/{id}"))) }
}

/// Lets only programs of this machine in that can read the token.
async fn require_token(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    let near = peer.is_some_and(|address| address.is_loopback());
    match bearer(request.headers()) {
        Some(shown) if near && app.control_token.matches(shown) => next.run(request).await,
        _ => Error::ControlDenied.into_response(),
    }
}
