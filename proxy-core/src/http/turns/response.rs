//! Writes a reply as an HTTP response.

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

use super::super::headers;
use crate::exchange::{Answer, Batch, End, FrameStream, Reply};
use crate::http::error::Error;
use crate::http::sse;
use crate::recording::Recording;
use protocol::openai::Encoder;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The response. Its head and its opening frames are sent at once. A silent stream gets a comment every
/// `keepalive`.
///
/// # Errors
/// If the answer cannot be written, which is a fault of the proxy.
pub(super) fn write<E: Encoder>(
    reply: Reply<E>,
    keepalive: Option<Duration>,
    recording: &Recording,
) -> Result<Response, Error> {
    let mut response = match reply.answer {
        Answer::Object(object, _) => {
            let bytes = json_bytes(&object)?;
            recording.answered(&bytes);
            recording.finish(StatusCode::OK.as_u16(), None);
            whole(bytes)
        }
        // It is recorded when it ends.
        Answer::Queued(object) => whole(json_bytes(&object)?),
        Answer::Stream(opening, frames) => {
            let recording = (!frames.is_background()).then(|| recording.clone());
            let mut events = EventStream::new(frames, keepalive, recording);
            events.take(Batch { frames: opening, end: None });
            streamed(events)
        }
    };
    response.headers_mut().extend(headers::notes(&reply.notes));
    response.headers_mut().extend(headers::limits(&reply.limits));
    Ok(response)
}

fn json_bytes(object: &Value) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(object).map_err(|error| {
        tracing::error!(%error, "an answer could not be written; this is a bug");
        Error::Internal
    })
}

fn whole(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The events of a background response that a client follows.
pub(in crate::http) fn follow<E: Encoder>(frames: FrameStream<E>, keepalive: Option<Duration>) -> Response {
    streamed(EventStream::new(frames, keepalive, None))
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

/// A streamed response body.
struct EventStream<E> {
    frames: FrameStream<E>,
    ready: VecDeque<Bytes>,
    keepalive: Option<Duration>,
    /// When the next comment is sent, if no frame comes before.
    quiet_until: Option<Instant>,
    /// The recording to be finished with the answer; an answer in the background has another end.
    recording: Option<Recording>,
}

impl<E: Encoder> EventStream<E> {
    fn new(frames: FrameStream<E>, keepalive: Option<Duration>, recording: Option<Recording>) -> Self {
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

    /// Takes the frames of a batch. Finishes the recording before the last events are sent.
    fn take(&mut self, batch: Batch) {
        // Rendered one by one, to save memory: the last frames of a long answer repeat all of its text.
        for frame in batch.frames {
            self.put(sse::render(&frame));
        }
        let Some(end) = batch.end else { return };
        self.put(sse::DONE);
        let Some(recording) = &self.recording else { return };
        match end {
            End::Complete => recording.finish(StatusCode::OK.as_u16(), None),
            End::Failed(error) => {
                let error = Error::from(error);
                recording.finish(error.status().as_u16(), error.code());
            }
        }
    }

    fn put(&mut self, event: Bytes) {
        if let Some(recording) = &self.recording {
            recording.answered(&event);
        }
        self.ready.push_back(event);
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::BodyDataStream;
    use futures_util::StreamExt as _;
    use serde_json::json;

    use super::*;
    use crate::exchange::tests::fake::{Options, Scene, Sender, begun, said};
    use crate::request_log::RequestState;
    use protocol::turn::{TurnError, TurnErrorKind, TurnEvent};

    const KEEPALIVE: Duration = Duration::from_secs(15);

    /// A streamed answer that has sent its first two events and goes on; with these two events.
    async fn begin(scene: &Scene) -> (Sender, BodyDataStream, String) {
        let turn = scene.backend.turn(begun("Hel"));
        let message = json!({"role": "user", "content": "hi"});
        let body = json!({"model": "gpt-test", "messages": [message], "stream": true});
        let recording = scene.begin();
        let reply = scene.ask_as(&body, &recording).await.unwrap();
        let response = write(reply, Some(KEEPALIVE), &recording).unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream; charset=utf-8");
        assert_eq!(response.headers()["x-proxy-effective-model"], "gpt-test");
        let mut body = response.into_body().into_data_stream();
        let events = next(&mut body).await + &next(&mut body).await;
        (turn, body, events)
    }

    async fn next(body: &mut BodyDataStream) -> String {
        let event = body.next().await.unwrap().unwrap();
        String::from_utf8(event.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_counted_before_its_last_events_go_out() {
        let scene = Scene::new(Options::default());
        let (turn, mut body, mut sent) = begin(&scene).await;
        assert!(sent.ends_with("\n\n") && sent.contains("Hel"), "{sent}");
        let silent = Instant::now();
        sent += &next(&mut body).await;
        assert!(sent.ends_with("}\n\n: keepalive\n\n"), "{sent}");
        assert_eq!(silent.elapsed(), KEEPALIVE);
        assert_eq!(scene.entry().state, RequestState::Running);

        said("lo").into_iter().skip(1).for_each(|event| turn.send(event).unwrap());
        sent += &next(&mut body).await;
        sent += &next(&mut body).await;
        let entry = scene.entry();
        assert_eq!((entry.state, entry.status), (RequestState::Done, Some(200)), "{sent}");
        let mut rest = String::new();
        while let Some(event) = body.next().await {
            rest += std::str::from_utf8(&event.unwrap()).unwrap();
        }
        assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
        assert_eq!(entry.response_bytes, (sent + &rest).len() as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_fails_has_the_status_that_it_would_have_had() {
        let scene = Scene::new(Options::default());
        let (turn, mut body, _) = begin(&scene).await;
        turn.send(TurnEvent::Failed(TurnError::new(TurnErrorKind::Upstream, "It broke."))).unwrap();
        assert!(next(&mut body).await.contains("upstream_error"));
        let entry = scene.entry();
        assert_eq!((entry.status, entry.error_code.as_deref()), (Some(502), Some("upstream_error")));
        assert_eq!(next(&mut body).await, "data: [DONE]\n\n");
        assert!(body.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_dropped_has_lost_its_client() {
        let scene = Scene::new(Options::default());
        let (turn, body, _) = begin(&scene).await;
        drop(body);
        assert!(turn.is_closed(), "the turn is interrupted");
        assert_eq!(scene.entry().state, RequestState::Cancelled);
    }
}
