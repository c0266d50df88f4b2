//! The two APIs over HTTP: takes the headers and the body of a request, returns headers and an object or
//! server-sent events.

mod request;
pub(super) mod response;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::caller::Caller;
use super::error::Error;
use super::headers;
use super::{App, RequestId};
use crate::exchange::{Incoming, Refusal, Reply};
use crate::recording::{Arrival, Recording};
use crate::secret::AdmittedKey;
use crate::telemetry::request::About;
use protocol::openai::responses::Responses;
use protocol::openai::{Encoder, Surface};
use request::Unread;
pub(super) use request::{output_mode, parse};

/// Answers a request of surface `S`.
pub(super) async fn create<S: Surface>(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(key) = parts.extensions.get::<AdmittedKey>() else { return Error::Internal.into_response() };
    let body = Unread { headers: &parts.headers, body, limit: app.config.max_body_bytes };
    respond::<S, _>(&app, &parts, key, body).await
}

/// Answers a request with these headers and this key. Every answer has headers with the rest of the plan.
pub(super) async fn respond<S: Surface, I: Incoming>(
    app: &App,
    parts: &Parts,
    key: &AdmittedKey,
    incoming: I,
) -> Response
where
    Error: From<I::Error>,
{
    let recording = app.exchanges.recorder().begin(arrival::<S>(parts, key));
    capture_headers(&recording, &parts.headers);
    let reply = app.exchanges.open::<S, _>(incoming, key, &recording).await.map_err(Error::from);
    written(app, reply, &recording)
}

/// Counts the input tokens of a request of the Responses API.
///
/// <https://platform.openai.com/docs/api-reference/responses/input-tokens>
pub(super) async fn count(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(key) = parts.extensions.get::<AdmittedKey>() else { return Error::Internal.into_response() };
    let body = Unread { headers: &parts.headers, body, limit: app.config.max_body_bytes };
    let recording = app.exchanges.recorder().begin(arrival::<Responses>(&parts, key));
    capture_headers(&recording, &parts.headers);
    let reply = app.exchanges.count(body, key, &recording).await;
    written(&app, reply, &recording)
}

fn written<E: Encoder>(app: &App, reply: Result<Reply<E>, Error>, recording: &Recording) -> Response {
    let response = reply.and_then(|reply| response::write(reply, app.config.keepalive, recording));
    let mut response = response.unwrap_or_else(|error| {
        recording.answered(&error.bytes());
        recording.finish(error.status().as_u16(), error.code());
        error.into_response()
    });
    if let Some(limits) = app.exchanges.plan() {
        response.headers_mut().extend(headers::plan(&limits));
    }
    response
}

/// Captures the headers, while capturing is on.
pub(super) fn capture_headers(recording: &Recording, headers: &HeaderMap) {
    if let Some(capture) = recording.capture() {
        capture.headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    }
}

/// The arrival of a request with these headers and this key.
pub(super) fn arrival<S: Surface>(parts: &Parts, key: &AdmittedKey) -> Arrival {
    let user_agent = parts.headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    Arrival {
        route: parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned(),
        method: parts.method.to_string(),
        surface: S::NAME,
        id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
        key: Some(key.clone()),
        user_agent: String::from_utf8_lossy(user_agent).into_owned(),
        address: parts.extensions.get::<Caller>().and_then(|caller| caller.address),
        about: parts.extensions.get::<About>().cloned(),
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Throttled(error) => Self::Throttled(error),
            Refusal::Paused => Self::Paused,
            Refusal::TooManyStreams(count) => Self::TooManyStreams(count),
            Refusal::Request(error) => Self::Request(error),
            Refusal::Turn(error) => Self::Turn(error),
            Refusal::Store(error) => Self::StoreUnavailable(error),
        }
    }
}
