//! Answers over HTTP: a script as server-sent events.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::play::{Carrier, play};
use super::recorded::{Ending, Recorded};
use super::script::{Head, Script};
use super::{Shared, socket};

pub(super) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await.ok();
    let raw = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let request = Recorded::http(&parts, raw);
    let is_for_a_response = parts.uri.path().ends_with("/responses");
    let is_a_turn = is_for_a_response && (upgrade.is_some() || parts.method == Method::POST);
    if !is_a_turn {
        shared.record_other(request);
        return json_response(404, &[], &json!({"error": {"message": "not found"}}));
    }
    if let Some((status, body)) = shared.refusal(&request, upgrade.is_some()) {
        shared.record_refused(request);
        return json_response(status, &[], &body);
    }
    match upgrade {
        Some(upgrade) => socket::open(shared, upgrade, request).await,
        None => {
            shared.travel(1).await;
            stream_of_events(shared, request)
        }
    }
}

fn stream_of_events(shared: Arc<Shared>, request: Recorded) -> Response {
    let (index, script) = shared.accept(&request);
    let headers = match script.head() {
        Head::Stream { headers } => headers.clone(),
        Head::Error { status, headers, body } => {
            let response = json_response(*status, headers, body);
            shared.end(index, Ending::Sent);
            return response;
        }
    };
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(tell(shared, index, script, request, sender));
    let body = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Chunk>| {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let mut response = Response::builder()
        .status(200)
        .header("content-type", "text/event-stream")
        .header("cache-control", "no-cache");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from_stream(body)).expect("the test gave valid headers")
}

async fn tell(
    shared: Arc<Shared>,
    index: usize,
    script: Script,
    request: Recorded,
    sender: mpsc::Sender<Chunk>,
) {
    let steps = script.played(index, &request).steps;
    let mut carrier = Events { sender: sender.clone(), sizes: Vec::new(), sent: 0 };
    // Both are polled, so that an answer that waits at a gate also detects that the receiver was dropped.
    let ending = tokio::select! {
        ending = play(steps, &mut carrier) => ending,
        () = sender.closed() => Ending::ClosedEarly,
    };
    shared.end(index, ending);
}

type Chunk = Result<Bytes, io::Error>;

struct Events {
    sender: mpsc::Sender<Chunk>,
    sizes: Vec<usize>,
    sent: usize,
}

impl Carrier for Events {
    async fn event(&mut self, event: &Value) -> bool {
        let name = event["type"].as_str().expect("an upstream event has a type");
        let mut frame = Bytes::from(format!("event: {name}\ndata: {event}\n\n"));
        while !frame.is_empty() {
            let size = match self.sizes.len() {
                0 => frame.len(),
                count => self.sizes[self.sent % count],
            };
            self.sent += 1;
            let chunk = frame.split_to(size.min(frame.len()));
            if self.sender.send(Ok(chunk)).await.is_err() {
                return false;
            }
        }
        true
    }

    fn cut_into(&mut self, sizes: Vec<usize>) {
        self.sizes = sizes;
        self.sent = 0;
    }

    async fn break_off(&mut self) {
        let cut = io::Error::new(io::ErrorKind::ConnectionAborted, "scripted disconnect");
        // If the receiver was dropped, there is no connection to break.
        drop(self.sender.send(Err(cut)).await);
    }
}

fn json_response(status: u16, headers: &[(String, String)], body: &Value) -> Response {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    // A body that is text represents the HTML page of a gateway.
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    response.body(Body::from(body)).expect("the test gave valid headers")
}
