//! Answers over a WebSocket, like OpenAI's service for signed-in users: one connection per thread. A request may continue an
//! earlier response of the same connection.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{Message, WebSocket};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use super::Shared;
use super::play::{Carrier, play};
use super::recorded::{Ending, Recorded};
use super::script::Head;

/// The number of round trips to connect: TCP, TLS, and the upgrade.
const TRIPS_TO_CONNECT: u32 = 3;

pub(super) async fn open(shared: Arc<Shared>, upgrade: WebSocketUpgrade, opening: Recorded) -> Response {
    shared.travel(TRIPS_TO_CONNECT).await;
    let upgrade = upgrade.max_message_size(usize::MAX).max_frame_size(usize::MAX);
    upgrade.on_upgrade(async move |socket| {
        let open = shared.connect();
        let mut broken_off = shared.breaks.subscribe();
        let (sink, stream) = socket.split();
        let mut connection = Connection {
            shared: shared.clone(),
            number: open.number,
            opening,
            sink: Sink(Some(sink)),
            frames: Frames { stream, waiting: VecDeque::new() },
            history: HashMap::new(),
        };
        tokio::select! {
            () = connection.serve() => {}
            _ = broken_off.changed() => {}
        }
    })
}

struct Connection {
    shared: Arc<Shared>,
    number: usize,
    opening: Recorded,
    sink: Sink,
    frames: Frames,
    /// The conversation up to and including each response.
    history: HashMap<String, Vec<Value>>,
}

impl Connection {
    async fn serve(&mut self) {
        while let Some(raw) = self.frames.next().await {
            self.shared.count_frame();
            let request = Recorded::frame(&self.opening, self.number, raw);
            if request.sent["type"] == "response.create" {
                self.shared.travel(1).await;
                self.respond(request).await;
            } else {
                self.shared.record_other(request);
            }
            if self.sink.0.is_none() {
                return;
            }
        }
    }

    async fn respond(&mut self, mut request: Recorded) {
        let earlier = match request.sent["previous_response_id"].as_str() {
            None => Vec::new(),
            Some(id) => match self.history.get(id).filter(|_| !self.shared.forgets()) {
                Some(earlier) => earlier.clone(),
                None => {
                    self.shared.record_refused(request);
                    self.sink.event(&not_found()).await;
                    return;
                }
            },
        };
        request.resolve(&earlier);
        if request.sent["generate"] == false {
            let id = self.shared.record_warm_up(&request);
            self.history.insert(id.clone(), request.input().to_vec());
            for event in warm_up(&id) {
                self.sink.event(&event).await;
            }
            return;
        }
        let (index, script) = self.shared.accept(&request);
        if let Head::Error { status, headers, body } = script.head() {
            let headers: HashMap<_, _> = headers.iter().cloned().collect();
            let error = json!({
                "type": "error", "status": status, "error": body["error"], "headers": headers,
            });
            self.sink.event(&error).await;
            self.shared.end(index, Ending::Sent);
            return;
        }
        let played = script.played(index, &request);
        let mut broken_off = self.shared.breaks.subscribe();
        let ending = tokio::select! {
            ending = play(played.steps, &mut self.sink) => ending,
            () = self.frames.closed() => Ending::ClosedEarly,
            _ = broken_off.changed() => Ending::Sent,
        };
        let whole = [request.input(), &played.items].concat();
        self.history.insert(played.response_id, whole);
        self.shared.end(index, ending);
    }
}

fn warm_up(id: &str) -> [Value; 2] {
    let usage = json!({
        "input_tokens": 0, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0,
    });
    [
        json!({"type": "response.created", "response": {"id": id, "status": "in_progress"}}),
        json!({
            "type": "response.completed",
            "response": {"id": id, "status": "completed", "output": [], "usage": usage},
        }),
    ]
}

fn not_found() -> Value {
    json!({
        "type": "error", "status": 400,
        "error": {
            "type": "invalid_request_error", "code": "previous_response_not_found",
            "message": "the previous response was not found", "param": "previous_response_id",
        },
    })
}

/// The frames from Codex, read in advance while an answer is sent, so that the end of the connection is
/// detected.
struct Frames {
    stream: SplitStream<WebSocket>,
    waiting: VecDeque<Bytes>,
}

impl Frames {
    async fn next(&mut self) -> Option<Bytes> {
        match self.waiting.pop_front() {
            Some(frame) => Some(frame),
            None => self.read().await,
        }
    }

    /// Returns when Codex has closed the connection.
    async fn closed(&mut self) {
        while let Some(frame) = self.read().await {
            self.waiting.push_back(frame);
        }
    }

    async fn read(&mut self) -> Option<Bytes> {
        loop {
            match self.stream.next().await?.ok()? {
                Message::Text(text) => return Some(text.into()),
                Message::Binary(bytes) => return Some(bytes),
                Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    }
}

/// The sending half to Codex, until the connection is cut.
struct Sink(Option<SplitSink<WebSocket, Message>>);

impl Carrier for Sink {
    async fn event(&mut self, event: &Value) -> bool {
        let Some(sink) = &mut self.0 else { return false };
        sink.send(Message::Text(event.to_string().into())).await.is_ok()
    }

    /// WebSocket messages are not split here.
    fn cut_into(&mut self, _: Vec<usize>) {}

    async fn break_off(&mut self) {
        self.0 = None;
    }
}
