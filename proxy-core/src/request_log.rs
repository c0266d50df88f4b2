//! The log of the latest requests for a person: what was sent, how long it took and what it cost. While a person
//! has turned the capture on, it also keeps the exact texts between client and Codex.
//!
//! Everything is in memory and has a limit. The next start restores requests from the usage store
//! ([`RequestLog::recall`]); texts and refused requests are lost with the process.

mod capture;
mod refusals;

pub use capture::{CaptureState, Captured};
pub use refusals::{Refusal, RefusalReason};

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use capture::Window;

/// The number of changes that are kept for a slow watcher. After that it misses some.
const WATCHED: usize = 256;

/// The maximum number of bytes of all captured texts.
const MAX_CAPTURED: usize = 32 << 20;

/// What the operator decides about the request log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The maximum number of requests.
    pub kept: usize,
}

/// One request as a person sees it. Times are in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RequestEntry {
    /// The request's id, as the response header `x-request-id` says it.
    pub id: String,
    /// When it came, in milliseconds since the epoch.
    pub at: u64,
    /// HTTP method.
    pub method: String,
    /// The route, without query.
    pub route: String,
    /// `responses` or `chat`.
    pub surface: String,
    /// The name of the key that was shown.
    pub key: Option<String>,
    /// The kind of client, by its user agent.
    pub client: String,
    /// The user agent, shortened.
    pub user_agent: String,
    /// The client's address, by what trusted reverse proxies say of it; none of requests of before the start.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The status; 499 for a client that left, nothing while the request runs.
    pub status: Option<u16>,
    /// The code of the error, if there was one.
    pub error_code: Option<String>,
    /// The model as the client named it.
    pub requested_model: Option<String>,
    /// The model that was asked.
    pub effective_model: Option<String>,
    /// The reasoning effort that was asked for.
    pub effort: Option<String>,
    /// The service tier that was asked for; none for the account's default.
    pub service_tier: Option<String>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// Size of the request's body.
    pub request_bytes: u64,
    /// Size of the response's body so far.
    pub response_bytes: u64,
    /// From the request to the first word of the model.
    pub ttft_ms: Option<u64>,
    /// From the request to the end of the response.
    pub duration_ms: Option<u64>,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Those of them that were cached.
    pub cached_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Whether the tokens are estimates.
    pub estimated: bool,
    /// Function calls in the answer.
    pub tool_calls: u32,
    /// The worker that ran it.
    pub worker: Option<usize>,
    /// Where the thread of Codex comes from: `fresh`, `warm`, `reused` or `parked`.
    pub thread: Option<String>,
    /// `running`, `done`, `failed` or `cancelled`.
    pub state: RequestState,
    /// Whether its texts were captured.
    pub has_capture: bool,
    /// Why it was not let in; only of requests that were not.
    #[serde(default)]
    pub refusal: Option<Refusal>,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It is being answered.
    Running,
    /// It was answered.
    Done,
    /// It was answered with an error, or its answer broke off.
    Failed,
    /// The client left.
    Cancelled,
}

/// The request log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    ring: Mutex<Ring>,
    changes: broadcast::Sender<RequestEntry>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The entries, oldest first.
    entries: VecDeque<(RequestEntry, Option<Captured>)>,
    captured_bytes: usize,
    window: Option<Window>,
}

impl RequestLog {
    /// An empty log.
    pub fn new(config: Config) -> Self {
        let changes = broadcast::Sender::new(WATCHED);
        Self { shared: Arc::new(Shared { config, ring: Mutex::default(), changes }) }
    }

    /// Adds a request, or updates it.
    pub fn put(&self, entry: RequestEntry) {
        {
            let mut ring = self.lock();
            match ring.entries.iter_mut().rev().find(|(known, _)| known.id == entry.id) {
                Some((known, captured)) => {
                    *known = entry.clone();
                    known.has_capture = captured.is_some();
                }
                None => ring.entries.push_back((entry.clone(), None)),
            }
            while ring.entries.len() > self.shared.config.kept {
                ring.drop_oldest();
            }
        }
        // There may be no watcher.
        let _ = self.shared.changes.send(entry);
    }

    /// Adds earlier requests before all existing ones, oldest first. Watchers do not get them.
    pub fn recall(&self, earlier: Vec<RequestEntry>) {
        let mut ring = self.lock();
        for entry in earlier.into_iter().rev() {
            if ring.entries.len() >= self.shared.config.kept {
                return;
            }
            ring.entries.push_front((entry, None));
        }
    }

    /// The maximum number of requests.
    pub fn kept(&self) -> usize {
        self.shared.config.kept
    }

    /// Adds the captured texts to a request in the log.
    pub fn keep(&self, id: &str, texts: Captured) {
        let mut ring = self.lock();
        let Some((entry, captured)) = ring.entries.iter_mut().rev().find(|(known, _)| known.id == id) else {
            return;
        };
        entry.has_capture = true;
        let (new, old) = (texts.bytes(), captured.as_ref().map_or(0, Captured::bytes));
        *captured = Some(texts);
        ring.captured_bytes = ring.captured_bytes + new - old;
        ring.forget_texts();
    }

    /// The newest `limit` requests that are older than the request with the id `before`, newest first.
    pub fn list(&self, limit: usize, before: Option<&str>) -> Vec<RequestEntry> {
        let ring = self.lock();
        let newest_first = ring.entries.iter().rev().map(|(entry, _)| entry);
        match before {
            None => newest_first.take(limit).cloned().collect(),
            Some(id) => {
                newest_first.skip_while(|entry| entry.id != id).skip(1).take(limit).cloned().collect()
            }
        }
    }

    /// One request with its texts, if they were captured.
    pub fn get(&self, id: &str) -> Option<(RequestEntry, Option<Captured>)> {
        self.lock().entries.iter().rev().find(|(entry, _)| entry.id == id).cloned()
    }

    /// A watch on all changes from now on.
    pub fn watch(&self) -> broadcast::Receiver<RequestEntry> {
        self.shared.changes.subscribe()
    }

    /// Captures the texts of requests for the time `length`, with the key of this name, or of all requests.
    pub fn capture(&self, key: Option<String>, length: Duration) -> CaptureState {
        let until = SystemTime::now() + length;
        let mut ring = self.lock();
        ring.window = Some(Window { key, until });
        ring.capture_state()
    }

    /// Stops the capture.
    pub fn stop_capture(&self) -> CaptureState {
        let mut ring = self.lock();
        ring.window = None;
        ring.capture_state()
    }

    /// Whether texts are being captured.
    pub fn capture_state(&self) -> CaptureState {
        self.lock().capture_state()
    }

    /// Whether to capture the texts of a request with the key of this name.
    pub fn captures(&self, key: Option<&str>) -> bool {
        let mut ring = self.lock();
        ring.close_window();
        ring.window.as_ref().is_some_and(|window| window.is_for(key))
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn drop_oldest(&mut self) {
        if let Some((_, Some(captured))) = self.entries.pop_front() {
            self.captured_bytes -= captured.bytes();
        }
    }

    /// Removes the oldest texts until the rest is within the limit.
    fn forget_texts(&mut self) {
        for (entry, captured) in &mut self.entries {
            if self.captured_bytes <= MAX_CAPTURED {
                return;
            }
            if let Some(captured) = captured.take() {
                entry.has_capture = false;
                self.captured_bytes -= captured.bytes();
            }
        }
    }

    fn close_window(&mut self) {
        if self.window.as_ref().is_some_and(|window| window.until <= SystemTime::now()) {
            self.window = None;
        }
    }

    fn capture_state(&mut self) -> CaptureState {
        self.close_window();
        CaptureState::of(self.window.as_ref())
    }
}

#[cfg(test)]
mod tests;
