//! A reply as an HTTP response.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::headers;
use crate::exchange::{Answer, Batch, End, FrameStream, Reply};
use crate::http::error::Error;
use crate::http::sse;
use crate::recording::Recording;
use protocol::openai::Encoder;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The response, whose head and opening frames go out at once. A silent stream gets a comment every `keepalive`.
///
/// # Errors
/// If the answer cannot be written, which is a fault of the proxy.
pub(super) fn write<E: Encoder>(
    reply: Reply<E>,
    keepalive: Option<Duration>,
    recording: &Recording,
) -> Result<Response, Error> {
    let mut response = match reply.answer {
        Answer::Object(object) => whole(&object, recording)?,
        Answer::Stream(opening, frames) => {
            let mut events = EventStream::new(frames, keepalive, recording.clone());
            events.take(Batch { frames: opening, end: None });
            streamed(events)
        }
    };
    response.headers_mut().extend(headers::notes(&reply.notes));
    response.headers_mut().extend(headers::limits(&reply.limits));
    Ok(response)
}

fn whole(object: &Value, recording: &Recording) -> Result<Response, Error> {
    let body = serde_json::to_vec(object).map_err(|error| {
        tracing::error!(%error, "an answer could not be written; this is a bug");
        Error::Internal
    })?;
    recording.answered(&body);
    recording.finish(StatusCode::OK.as_u16(), None);
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

fn streamed<E: Encoder>(events: EventStream<E>) -> Response {
    let body = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok::<_, Infallible>(event), events))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A stream on its way out.
struct EventStream<E> {
    frames: FrameStream<E>,
    ready: VecDeque<Bytes>,
    keepalive: Option<Duration>,
    /// When a comment is due, if nothing comes before.
    quiet_until: Option<Instant>,
    recording: Recording,
}

impl<E: Encoder> EventStream<E> {
    fn new(frames: FrameStream<E>, keepalive: Option<Duration>, recording: Recording) -> Self {
        let quiet_until = keepalive.map(|time| Instant::now() + time);
        Self { frames, ready: VecDeque::new(), keepalive, quiet_until, recording }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.quiet_until = self.keepalive.map(|time| Instant::now() + time);
                return Some(event);
            }
            tokio::select! {
                biased;
                batch = self.frames.next() => self.take(batch?),
                () = at(self.quiet_until) => self.put(sse::KEEPALIVE),
            }
        }
    }

    /// The recording is finished before the last events go out.
    fn take(&mut self, batch: Batch) {
        for frame in &batch.frames {
            self.put(sse::render(frame));
        }
        let Some(end) = batch.end else { return };
        self.put(sse::DONE);
        match end {
            End::Complete => self.recording.finish(StatusCode::OK.as_u16(), None),
            End::Failed(error) => {
                let error = Error::from(error);
                self.recording.finish(error.status().as_u16(), error.code());
            }
        }
    }

    fn put(&mut self, event: Bytes) {
        self.recording.answered(&event);
        self.ready.push_back(event);
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
