//! The state of one exchange that both ends of a connection share. The socket detects that the client has closed
//! its side; the answer tests whether the client still reads.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{StatusCode, Version};
use http_body::{Frame, SizeHint};

/// The state of one connection. One task polls both ends, so there are no races.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    /// A request is being answered.
    busy: AtomicBool,
    /// A part of the answer has been written.
    begun: AtomicBool,
    /// The client can read interim responses, because it uses HTTP/1.1.
    interim: AtomicBool,
    /// The client has closed its side; whether it still reads is not known.
    ended: AtomicBool,
    /// It has become another connection, such as a WebSocket.
    upgraded: AtomicBool,
    /// It has had a request.
    used: AtomicBool,
}

impl ConnectionState {
    /// A request has come. It is being answered until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Busy {
        self.begun.store(false, Ordering::Relaxed);
        self.ended.store(false, Ordering::Relaxed);
        self.interim.store(version >= Version::HTTP_11, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        Busy(self.clone())
    }

    pub(super) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Records that a part of the answer was written.
    pub(super) fn note_begun(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub(super) fn takes_interim(&self) -> bool {
        self.interim.load(Ordering::Relaxed)
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }

    /// Records that the client has closed its side.
    pub(super) fn note_ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// While this value exists, the request is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<ConnectionState>);

impl Busy {
    /// The answer. When it is dropped, the request is no longer being answered.
    pub(super) fn answer(self, response: Response) -> Response {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.0.upgraded.store(true, Ordering::Relaxed);
        }
        let kind = response.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        let is_events = kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
        response.map(|body| Body::new(Answer { body, asks: is_events, busy: self }))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    /// Whether to send one comment, which clients ignore, after the client has closed its side. It tests whether
    /// it reads.
    asks: bool,
    busy: Busy,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let next = Pin::new(&mut self.body).poll_frame(cx);
        if next.is_pending() && self.asks && self.busy.0.ended.load(Ordering::Relaxed) {
            self.asks = false;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b": keepalive\n\n")))));
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
