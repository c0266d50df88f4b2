//! A scriptable Responses upstream on a loopback port, which a real Codex is pointed to.
//!
//! Each request takes the next script of the marker found in the tool output that it ends with or in its last
//! user message, else the next of the queue. A request that no script was meant for gets a 400, which Codex does not retry, and is listed by
//! [`FakeOpenAi::unscripted`].

pub mod issuer;
mod script;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use script::{Gate, Script, Usage, ev_created, ev_item_added, ev_text_delta};
use script::{Head, Step};

const PATIENCE: Duration = Duration::from_secs(60);

/// One request that Codex sent.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers with lower-case names; a repeated one keeps its last value.
    pub headers: HashMap<String, String>,
    /// The body as it came.
    pub raw: Bytes,
    /// The body as JSON, or null if it is not.
    pub body: Value,
}

impl Recorded {
    /// The text of the last user message of the request.
    pub fn last_user_text(&self) -> String {
        let items = self.body["input"].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().rev().find(|item| item["role"] == "user").map(message_text).unwrap_or_default()
    }

    /// The output of a tool, if the request ends with one.
    pub fn last_output(&self) -> Option<&str> {
        let last = self.body["input"].as_array()?.last()?;
        last["output"].as_str().filter(|_| last["type"] == "function_call_output")
    }

    /// The input items without the ids that Codex adds.
    pub fn input_without_ids(&self) -> Vec<Value> {
        let mut items = self.body["input"].as_array().cloned().unwrap_or_default();
        for item in &mut items {
            if let Some(item) = item.as_object_mut() {
                item.remove("id");
            }
        }
        items
    }
}

/// How the answer to a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Still being answered.
    Open,
    /// The whole script was sent.
    Sent,
    /// Codex closed the connection before the script's end.
    ClosedEarly,
}

/// A running fake upstream; it stops when dropped.
#[derive(Debug)]
pub struct FakeOpenAi {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl FakeOpenAi {
    /// Starts on a free loopback port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { changed: watch::channel(0).0, inner: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving on loopback");
        });
        Self { address, shared, server }
    }

    /// The base URL for Codex's configuration, with `/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Adds an answer for the next request without a known marker.
    pub fn push(&self, script: Script) {
        self.shared.lock().queue.push_back(script);
    }

    /// Adds answers for requests whose last tool output or user message holds `marker`, in order.
    pub fn on_marker(&self, marker: &str, scripts: impl IntoIterator<Item = Script>) {
        self.shared.lock().marked.entry(marker.to_owned()).or_default().extend(scripts);
    }

    /// Answers every request that nothing else is meant for.
    pub fn fall_back_to(&self, script: Script) {
        self.shared.lock().fallback = Some(script);
    }

    /// The `POST …/responses` requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().turns.iter().map(|turn| turn.request.clone()).collect()
    }

    /// Requests to any other path, for example Codex's look at `/models`.
    pub fn other_requests(&self) -> Vec<Recorded> {
        self.shared.lock().others.clone()
    }

    /// The last user texts of the requests that found no script.
    pub fn unscripted(&self) -> Vec<String> {
        self.shared.lock().unscripted.clone()
    }

    /// Waits until `count` requests have come and returns them all.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Recorded> {
        self.wait(|inner| inner.turns.len() >= count, &format!("{count} requests upstream")).await;
        self.requests()
    }

    /// The request whose last user message holds `marker`, waiting for it if need be.
    pub async fn wait_for_marker(&self, marker: &str) -> Recorded {
        let found = |inner: &Inner| inner.turns.iter().position(|turn| turn.user_text.contains(marker));
        self.wait(|inner| found(inner).is_some(), &format!("a request with {marker:?}")).await;
        let inner = self.shared.lock();
        let index = found(&inner).expect("just seen");
        inner.turns[index].request.clone()
    }

    /// How the answer to the request number `index` (from 0) stands.
    pub fn ending(&self, index: usize) -> Ending {
        self.shared.lock().turns[index].ending
    }

    /// Waits until the answer to the request number `index` has ended and tells how.
    pub async fn wait_for_ending(&self, index: usize) -> Ending {
        let ended = |inner: &Inner| inner.turns.get(index).is_some_and(|turn| turn.ending != Ending::Open);
        self.wait(ended, &format!("the end of answer {index}")).await;
        self.ending(index)
    }

    async fn wait(&self, condition: impl Fn(&Inner) -> bool, what: &str) {
        let mut changed = self.shared.changed.subscribe();
        let met = changed.wait_for(|_| condition(&self.shared.lock()));
        if tokio::time::timeout(PATIENCE, met).await.is_err() {
            panic!("waited {PATIENCE:?} in vain for {what}; upstream has seen {:#?}", self.requests());
        }
    }
}

impl Drop for FakeOpenAi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Debug)]
struct Shared {
    changed: watch::Sender<u64>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Script>,
    marked: HashMap<String, VecDeque<Script>>,
    fallback: Option<Script>,
    turns: Vec<Turn>,
    others: Vec<Recorded>,
    unscripted: Vec<String>,
}

#[derive(Debug)]
struct Turn {
    request: Recorded,
    user_text: String,
    ending: Ending,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test thread panics while it holds the lock")
    }

    fn bump(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Records a request for a turn and picks its script.
    fn accept(&self, request: Recorded) -> (usize, Script) {
        let user_text = request.last_user_text();
        let mut inner = self.lock();
        let marker_in = |text: &str| {
            let mut known = inner.marked.iter();
            known.find(|(m, s)| text.contains(m.as_str()) && !s.is_empty()).map(|(m, _)| m.clone())
        };
        let marker = request.last_output().and_then(marker_in).or_else(|| marker_in(&user_text));
        let script = match marker {
            Some(marker) => inner.marked.get_mut(&marker).and_then(VecDeque::pop_front),
            None => inner.queue.pop_front().or_else(|| inner.fallback.clone()),
        };
        let script = script.unwrap_or_else(|| {
            inner.unscripted.push(user_text.clone());
            let message = "the test has no script for this request";
            Script::http_error(
                400,
                json!({"error": {"message": message, "type": "invalid_request_error"}}),
                &[],
            )
        });
        inner.turns.push(Turn { request, user_text, ending: Ending::Open });
        let index = inner.turns.len() - 1;
        drop(inner);
        self.bump();
        (index, script)
    }

    fn end(&self, index: usize, ending: Ending) {
        self.lock().turns[index].ending = ending;
        self.bump();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    let raw = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let recorded = Recorded {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: serde_json::from_slice(&raw).unwrap_or_default(),
        raw,
    };
    if parts.method != http::Method::POST || !parts.uri.path().ends_with("/responses") {
        shared.lock().others.push(recorded);
        shared.bump();
        return Ok(json_response(404, &[], &json!({"error": {"message": "not found"}})));
    }
    let (index, script) = shared.accept(recorded);
    if let Head::Error { status, headers, body } = &script.head {
        let response = json_response(*status, headers, body);
        shared.end(index, Ending::Sent);
        return Ok(response);
    }
    let headers = if let Head::Stream { headers } = &script.head { headers.clone() } else { Vec::new() };
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let steps = script.into_steps();
        // Waiting for the receiver to go beside playing means that an answer held at a gate notices it too.
        let ending = tokio::select! {
            ending = play(steps, &sender) => ending,
            () = sender.closed() => Ending::ClosedEarly,
        };
        shared.end(index, ending);
    });
    let body =
        stream::unfold(receiver, |mut rx| async move { rx.recv().await.map(|chunk: Chunk| (chunk, rx)) });
    let mut response = Response::builder()
        .status(200)
        .header("content-type", "text/event-stream")
        .header("cache-control", "no-cache");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Body::from_stream(body)).expect("the test gave valid headers"))
}

type Chunk = Result<Bytes, std::io::Error>;

async fn play(steps: Vec<Step>, sender: &mpsc::Sender<Chunk>) -> Ending {
    let mut sizes = Vec::new();
    let mut next_size = 0;
    for step in steps {
        let event = match step {
            Step::Event(event) => event,
            Step::Gate(gate) => {
                gate.pass().await;
                continue;
            }
            Step::ChunkSizes(new) => {
                sizes = new;
                continue;
            }
            Step::Disconnect => {
                let cut = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "scripted disconnect");
                return if sender.send(Err(cut)).await.is_ok() { Ending::Sent } else { Ending::ClosedEarly };
            }
        };
        let mut frame = Bytes::from(sse_frame(&event));
        while !frame.is_empty() {
            let size = if sizes.is_empty() { frame.len() } else { sizes[next_size % sizes.len()] };
            next_size += 1;
            let chunk = frame.split_to(size.min(frame.len()));
            if sender.send(Ok(chunk)).await.is_err() {
                return Ending::ClosedEarly;
            }
        }
    }
    Ending::Sent
}

fn sse_frame(event: &Value) -> String {
    let name = event["type"].as_str().expect("an upstream event has a type");
    format!("event: {name}\ndata: {event}\n\n")
}

fn json_response(status: u16, headers: &[(String, String)], body: &Value) -> Response {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body.to_string())).expect("the test gave valid headers")
}

fn message_text(item: &Value) -> String {
    if let Some(text) = item["content"].as_str() {
        return text.to_owned();
    }
    let parts = item["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
