//! A scriptable upstream for the Responses API on a loopback port. Tests configure a real Codex to use it.
//!
//! There are two kinds: a plain provider over HTTP, and OpenAI's service for a signed-in user, with its WebSocket and its
//! accounts. Both use the same scripts and records.
//!
//! Each request takes the next script of the marker found in the tool output that it ends with or in its last
//! user message, else the next of the queue. A request without a script gets a 400, which Codex does not retry.
//! [`FakeOpenAi::unscripted`] lists it.

mod gate;
mod http;
pub mod issuer;
mod play;
mod recorded;
mod script;
mod socket;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use gate::Gate;
pub use recorded::{Ending, Offered, Recorded};
pub use script::{Script, Usage, ev_created, ev_item_added, ev_text_delta};

use issuer::Issuer;

const PATIENCE: Duration = Duration::from_secs(60);

/// The ways in which Codex reaches a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// A provider of the configuration, over HTTP, without a sign-in.
    Plain,
    /// OpenAI's own service, over a WebSocket, with a sign-in.
    SignedIn,
}

/// Both, for tests that must pass on each of them.
pub const UPSTREAMS: [Upstream; 2] = [Upstream::Plain, Upstream::SignedIn];

/// The connections of Codex so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// WebSockets that are open.
    pub open: usize,
    /// WebSockets that have ever been open.
    pub ever: usize,
    /// Frames that came over all of them.
    pub frames: usize,
}

/// A running fake upstream; it stops when dropped.
#[derive(Debug)]
pub struct FakeOpenAi {
    address: SocketAddr,
    issuer: Option<Issuer>,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl FakeOpenAi {
    /// Starts a plain one on a free loopback port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            changed: watch::channel(0).0,
            breaks: watch::channel(0).0,
            inner: Mutex::default(),
        });
        let router = Router::new().fallback(http::answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving on loopback");
        });
        Self { address, issuer: None, shared, server }
    }

    /// Starts OpenAI's own service, for a Codex that is signed in.
    pub async fn signed_in() -> Self {
        let mut upstream = Self::start().await;
        upstream.issuer = Some(Issuer::start().await);
        upstream
    }

    /// Starts one of this kind, and prints the kind for the output of a failed test.
    pub async fn of(kind: Upstream) -> Self {
        eprintln!("on the upstream {kind:?}:");
        match kind {
            Upstream::Plain => Self::start().await,
            Upstream::SignedIn => Self::signed_in().await,
        }
    }

    /// The accounts of an upstream with sign-in.
    pub fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
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

    /// Answers every request without another script.
    pub fn fall_back_to(&self, script: Script) {
        self.shared.lock().fallback = Some(script);
    }

    /// The requests for a response so far, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().turns.iter().map(|turn| turn.request.clone()).collect()
    }

    /// The frames with which Codex opened a connection in advance, without a request.
    pub fn warm_ups(&self) -> Vec<Recorded> {
        self.shared.lock().warm_ups.clone()
    }

    /// Requests and upgrades for a response that were refused before a script was chosen.
    pub fn refused(&self) -> Vec<Recorded> {
        self.shared.lock().refused.clone()
    }

    /// Requests to any other path, for example Codex's check of `/models`, and frames that request no response.
    pub fn other_requests(&self) -> Vec<Recorded> {
        self.shared.lock().others.clone()
    }

    /// The WebSockets so far.
    pub fn connections(&self) -> Connections {
        self.shared.lock().connections
    }

    /// Waits until the WebSockets match.
    pub async fn wait_for_connections(&self, what: &str, condition: impl Fn(Connections) -> bool) {
        self.wait(|inner| condition(inner.connections), what).await;
    }

    /// Simulates a network with this round-trip time: a frame or a request takes it once, opening a WebSocket takes it three
    /// times.
    pub fn set_round_trip(&self, time: Duration) {
        self.shared.lock().round_trip = time;
    }

    /// Answers this to every upgrade from now on, or upgrades again.
    pub fn refuse_upgrades(&self, answer: Option<(u16, Value)>) {
        self.shared.lock().no_upgrades = answer;
    }

    /// Answers 401 to every upgrade and request with this token.
    pub fn refuse_token(&self, token: &str) {
        self.shared.lock().refused_tokens.push(token.to_owned());
    }

    /// Cuts every open WebSocket.
    pub fn break_off(&self) {
        self.shared.breaks.send_modify(|n| *n += 1);
    }

    /// Forgets the earlier response the next time that a frame continues one.
    pub fn forget_next(&self) {
        self.shared.lock().forgets_next = true;
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

    /// The state of the answer to the request number `index` (from 0).
    pub fn ending(&self, index: usize) -> Ending {
        self.shared.lock().turns[index].ending
    }

    /// Waits until the answer to the request number `index` has ended, and returns how.
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
    breaks: watch::Sender<u64>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Script>,
    marked: HashMap<String, VecDeque<Script>>,
    fallback: Option<Script>,
    turns: Vec<Turn>,
    warm_ups: Vec<Recorded>,
    refused: Vec<Recorded>,
    others: Vec<Recorded>,
    unscripted: Vec<String>,
    connections: Connections,
    round_trip: Duration,
    no_upgrades: Option<(u16, Value)>,
    refused_tokens: Vec<String>,
    forgets_next: bool,
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

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|n| *n += 1);
        result
    }

    /// Records a request for a turn and picks its script.
    fn accept(&self, request: &Recorded) -> (usize, Script) {
        let user_text = request.last_user_text();
        self.change(|inner| {
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
                let error = json!({"error": {"message": message, "type": "invalid_request_error"}});
                Script::http_error(400, error, &[])
            });
            inner.turns.push(Turn { request: request.clone(), user_text, ending: Ending::Open });
            (inner.turns.len() - 1, script)
        })
    }

    fn end(&self, index: usize, ending: Ending) {
        self.change(|inner| inner.turns[index].ending = ending);
    }

    fn record_other(&self, request: Recorded) {
        self.change(|inner| inner.others.push(request));
    }

    fn record_refused(&self, request: Recorded) {
        self.change(|inner| inner.refused.push(request));
    }

    /// Records a warm-up. Returns the id of its response.
    fn record_warm_up(&self, request: &Recorded) -> String {
        self.change(|inner| {
            inner.warm_ups.push(request.clone());
            format!("resp_warm_{}", inner.warm_ups.len())
        })
    }

    /// The answer to a refused client.
    fn refusal(&self, request: &Recorded, is_upgrade: bool) -> Option<(u16, Value)> {
        let inner = self.lock();
        let bearer = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if inner.refused_tokens.iter().any(|token| Some(token.as_str()) == bearer) {
            let error = json!({"message": "the token is not accepted", "type": "invalid_request_error"});
            return Some((401, json!({"error": error})));
        }
        inner.no_upgrades.clone().filter(|_| is_upgrade)
    }

    fn connect(self: &Arc<Self>) -> Open {
        let number = self.change(|inner| {
            inner.connections.open += 1;
            inner.connections.ever += 1;
            inner.connections.ever - 1
        });
        Open { shared: self.clone(), number }
    }

    fn count_frame(&self) {
        self.change(|inner| inner.connections.frames += 1);
    }

    fn forgets(&self) -> bool {
        std::mem::take(&mut self.lock().forgets_next)
    }

    /// Waits for the duration of this number of round trips.
    async fn travel(&self, trips: u32) {
        let time = self.lock().round_trip * trips;
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }
}

/// A WebSocket that is open.
struct Open {
    shared: Arc<Shared>,
    number: usize,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.change(|inner| inner.connections.open -= 1);
    }
}

#[cfg(test)]
mod tests;
