//! Prometheus metrics: counters that requests update, and values that are read for each scrape.
//!
//! Every label has a small number of values, whatever clients send: declared routes, known methods, models of
//! the catalogue. If metrics are off, each call only checks an `Option`.

mod meter;
mod process;
mod render;
mod snapshot;

use crate::threads::ThreadSource;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

pub use meter::{RequestMeter, TurnMeter};
pub use render::Exposition;
pub use snapshot::{LimitSample, Snapshot, WorkerSample};

use snapshot::Collected;

/// Histogram buckets in seconds, from a health check to a long turn.
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Histogram buckets in milliseconds, from a fake model to a long turn.
const MILLIS: [f64; 16] =
    [5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2e4, 3e4, 6e4, 1.2e5, 3e5];

/// Histogram buckets of an error, as a share of the true value.
const SHARES: [f64; 9] = [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// The counters of the proxy. Cheap to clone; off by default.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    snapshot: Arc<Mutex<Snapshot>>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    requests_in_flight: Gauge,
    queue_wait_seconds: Histogram,
    turns_running: Gauge,
    stream_ttfb_ms: Histogram,
    stream_duration_ms: Histogram,
    stream_end: Family<ReasonLabels, Counter>,
    turn_seconds: Histogram,
    turn_end: Family<ReasonLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    threads: Family<ThreadLabels, Counter>,
    images: Family<ResultLabels, Counter>,
    token_count_error: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Arc<str>,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Arc<str>,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    kind: &'static str,
    model: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ThreadLabels {
    thread: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// The kinds of tokens; they overlap as in the counts of OpenAI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// Tokens of the prompt, including cached ones.
    Input,
    /// Tokens of the prompt that were read from the cache.
    Cached,
    /// Tokens of the prompt that were written to the cache.
    CacheWrite,
    /// Tokens of the answer, including reasoning.
    Output,
    /// Tokens of the answer that were used for reasoning.
    Reasoning,
}

impl Tokens {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Cached => "cached",
            Self::CacheWrite => "cache_write",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
        }
    }
}

impl Metrics {
    /// Metrics that are on.
    pub fn on() -> Self {
        Self { inner: Some(Arc::new(Inner::new())) }
    }

    /// Whether metrics are on.
    pub fn is_on(&self) -> bool {
        self.inner.is_some()
    }

    /// Starts to measure a request; it ends when the meter is dropped. All unknown methods have one label.
    pub fn request(&self, method: &str) -> RequestMeter {
        RequestMeter::start(self.clone(), known_method(method))
    }

    /// Starts to measure a turn; it ends when the meter is dropped.
    pub fn turn(&self, streamed: bool) -> TurnMeter {
        TurnMeter::start(self.clone(), streamed)
    }

    /// Adds tokens of a request. `model` is a model of the catalogue, or "other".
    pub fn tokens(&self, kind: Tokens, model: &str, count: u64) {
        if let Some(inner) = &self.inner {
            let labels = TokenLabels { kind: kind.as_str(), model: Arc::from(model) };
            inner.tokens.get_or_create(&labels).inc_by(count);
        }
    }

    /// Records how long a request waited for a place on a worker.
    pub fn queue_wait(&self, waited: Duration) {
        if let Some(inner) = &self.inner {
            inner.queue_wait_seconds.observe(waited.as_secs_f64());
        }
    }

    /// Counts a turn by where its thread comes from.
    pub fn thread(&self, source: ThreadSource) {
        if let Some(inner) = &self.inner {
            let thread = source.as_str();
            inner.threads.get_or_create(&ThreadLabels { thread }).inc();
        }
    }

    /// Counts an image that was fetched, or a fetch that failed.
    pub fn image_fetch(&self, fetched: bool) {
        if let Some(inner) = &self.inner {
            let result = if fetched { "ok" } else { "error" };
            inner.images.get_or_create(&ResultLabels { result }).inc();
        }
    }

    /// Compares the input tokens that were counted for a request with those that the vendor reports.
    pub fn token_count(&self, counted: u64, reported: u64) {
        if let Some(inner) = &self.inner {
            inner.token_count_error.observe(counted.abs_diff(reported) as f64 / reported.max(1) as f64);
        }
    }

    /// All metrics as text, with `snapshot` for the values that are not counted here; `None` if metrics are off.
    pub fn render(&self, snapshot: Snapshot, exposition: Exposition) -> Option<String> {
        let inner = self.inner.as_ref()?;
        *inner.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        render::render(&inner.registry, exposition)
    }
}

impl Inner {
    fn new() -> Self {
        let snapshot = Arc::new(Mutex::new(Snapshot::default()));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collected::new(snapshot.clone())));
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut add = Adding(&mut registry);
        let inner = Self {
            requests: add.metric(
                "codex_proxy_http_requests",
                "Answered requests, by route, method and status class",
                Family::default(),
            ),
            request_seconds: add.unit(
                "codex_proxy_http_request_duration",
                "Time from the headers of a request to the last byte of its answer",
                Unit::Seconds,
                Family::new_with_constructor(seconds),
            ),
            requests_in_flight: add.metric(
                "codex_proxy_http_requests_in_flight",
                "Requests in progress, including streams",
                Gauge::default(),
            ),
            queue_wait_seconds: add.unit(
                "codex_proxy_queue_wait",
                "Time that requests waited in the queue for a worker",
                Unit::Seconds,
                seconds(),
            ),
            turns_running: add.metric(
                "codex_proxy_turns_running",
                "Running turns that a client waits for",
                Gauge::default(),
            ),
            stream_ttfb_ms: add.metric(
                "codex_stream_ttfb_ms",
                "Milliseconds from the start of a streamed turn to the first output of the model",
                Histogram::new(MILLIS),
            ),
            stream_duration_ms: add.metric(
                "codex_stream_duration_ms",
                "Milliseconds from the start of a streamed turn to its end",
                Histogram::new(MILLIS),
            ),
            stream_end: add.metric("codex_stream_end", "Ended streamed turns, by reason", Family::default()),
            turn_seconds: add.unit(
                "codex_proxy_turn_duration",
                "Time from the start of a turn to its end, streamed or not",
                Unit::Seconds,
                seconds(),
            ),
            turn_end: add.metric(
                "codex_proxy_turns",
                "Ended turns, streamed or not, by reason",
                Family::default(),
            ),
            tokens: add.metric(
                "codex_proxy_tokens",
                "Used tokens, by kind and model; the kinds overlap, as in OpenAI's counts",
                Family::default(),
            ),
            threads: add.metric(
                "codex_proxy_threads",
                "Turns, by where their Codex thread comes from: fresh, warm (started ahead), reused or parked",
                Family::default(),
            ),
            images: add.metric(
                "codex_proxy_image_fetches",
                "Image downloads by URL, by result",
                Family::default(),
            ),
            token_count_error: add.metric(
                "codex_proxy_token_count_error_ratio",
                "How far the input tokens that were counted for a request are from those that Codex reports, as a share of \
                 these",
                Histogram::new(SHARES),
            ),
            snapshot,
            registry: Registry::default(),
        };
        // A counter without events is 0, not missing.
        for result in ["ok", "error"] {
            inner.images.get_or_create(&ResultLabels { result }).inc_by(0);
        }
        for thread in ThreadSource::ALL.iter().copied().map(ThreadSource::as_str) {
            inner.threads.get_or_create(&ThreadLabels { thread }).inc_by(0);
        }
        Self { registry, ..inner }
    }
}

/// Registers metrics and returns their handles.
struct Adding<'a>(&'a mut Registry);

impl Adding<'_> {
    fn metric<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn unit<M: Metric + Clone>(&mut self, name: &str, help: &str, unit: Unit, metric: M) -> M {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }
}

/// The name of a method that HTTP defines; one common name for all others.
pub fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("OTHER")
}

#[cfg(test)]
mod tests;
