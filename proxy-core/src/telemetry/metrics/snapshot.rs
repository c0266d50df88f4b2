//! Values that are read for each scrape instead of counted: workers, queue, limits, this process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::process;

/// The values at the time of a scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// All workers, in the order of their numbers.
    pub workers: Vec<WorkerSample>,
    /// Requests that wait for a place on a worker.
    pub queue_depth: usize,
    /// Whether Codex has the sign-in that it needs; `None` while that is unknown.
    pub signed_in: Option<bool>,
    /// The rest of the plan, as far as it is known.
    pub limits: Vec<LimitSample>,
    /// The delay of the usage store in seconds, if there is a store.
    pub usage_store_lag_seconds: Option<f64>,
    /// The number of log lines that were dropped because they came faster than they could be written.
    pub log_lines_dropped: u64,
}

/// The values of one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerSample {
    /// The number of the worker, from 0.
    pub id: usize,
    /// The state of the worker.
    pub state: &'static str,
    /// Whether the worker accepts turns.
    pub ready: bool,
    /// The version of its Codex.
    pub codex_version: Option<String>,
    /// Seconds since the process was started.
    pub uptime_seconds: Option<u64>,
    /// The number of times that a process was started again.
    pub restarts: u64,
    /// The number of running turns.
    pub turns_running: usize,
    /// The number of completed turns.
    pub turns_done: u64,
    /// The resident memory in bytes.
    pub resident_bytes: Option<u64>,
}

/// One window of the plan's limits.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitSample {
    /// `primary` or `secondary`.
    pub window: &'static str,
    /// The used part, in percent.
    pub used_percent: f64,
    /// When the window is reset, in seconds since the epoch.
    pub resets_at: Option<u64>,
}

/// A collector that renders the latest snapshot.
#[derive(Debug)]
pub(super) struct Collected {
    snapshot: Arc<Mutex<Snapshot>>,
}

impl Collected {
    pub(super) fn new(snapshot: Arc<Mutex<Snapshot>>) -> Self {
        Self { snapshot }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabels {
    worker: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    worker: u64,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodexLabels {
    worker: u64,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WindowLabels {
    window: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    version: &'static str,
}

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut out = Out(encoder);
        workers(&mut out, &snapshot.workers)?;
        out.gauge(
            "codex_proxy_queue_depth",
            "Requests that wait in the queue for a worker",
            Some(count(snapshot.queue_depth as u64)),
        )?;
        out.gauge(
            "codex_proxy_signed_in",
            "1 if Codex has the sign-in that it needs, otherwise 0",
            snapshot.signed_in.map(|signed_in| count(signed_in.into())),
        )?;
        let used = snapshot.limits.iter().map(|limit| (window(limit), limit.used_percent));
        out.gauges("codex_proxy_limit_used_percent", "Used part of a plan limit, in percent", used)?;
        let resets =
            snapshot.limits.iter().filter_map(|limit| Some((window(limit), count(limit.resets_at?))));
        out.gauges(
            "codex_proxy_limit_resets_at_seconds",
            "When a plan limit resets, in seconds since 1970",
            resets,
        )?;
        out.gauge(
            "codex_proxy_usage_store_lag_seconds",
            "How far the usage database is behind, in seconds",
            snapshot.usage_store_lag_seconds,
        )?;
        out.counter(
            "codex_proxy_log_lines_dropped",
            "Dropped log lines, because they came faster than the log could write them",
            snapshot.log_lines_dropped,
        )?;
        out.gauges(
            "codex_proxy_build_info",
            "1, with the proxy's version",
            [(VersionLabels { version: env!("CARGO_PKG_VERSION") }, 1.0)],
        )?;
        this_process(&mut out)
    }
}

fn workers(out: &mut Out<'_>, workers: &[WorkerSample]) -> fmt::Result {
    let label = |worker: &WorkerSample| WorkerLabels { worker: worker.id as u64 };
    let gauge = |value: fn(&WorkerSample) -> Option<f64>| {
        workers.iter().filter_map(move |worker| Some((label(worker), value(worker)?)))
    };
    out.gauges(
        "codex_worker_ready",
        "1 if a worker is ready for turns, otherwise 0",
        gauge(|worker| Some(count(worker.ready.into()))),
    )?;
    let states =
        workers.iter().map(|worker| (StateLabels { worker: worker.id as u64, state: worker.state }, 1.0));
    out.gauges("codex_worker_state", "1 for the present state of a worker, 0 for the others", states)?;
    let versions = workers.iter().filter_map(|worker| {
        let version = worker.codex_version.clone()?;
        Some((CodexLabels { worker: worker.id as u64, version }, 1.0))
    });
    out.gauges("codex_worker_codex_info", "1, with the version of a worker's Codex", versions)?;
    out.gauges(
        "codex_worker_uptime_seconds",
        "Seconds since the start of a worker's process",
        gauge(|worker| worker.uptime_seconds.map(count)),
    )?;
    out.gauges(
        "codex_worker_resident_memory_bytes",
        "A worker's resident memory at the last check",
        gauge(|worker| worker.resident_bytes.map(count)),
    )?;
    out.gauges(
        "codex_worker_turns_running",
        "Running turns of a worker",
        gauge(|worker| Some(count(worker.turns_running as u64))),
    )?;
    let counter =
        |value: fn(&WorkerSample) -> u64| workers.iter().map(move |worker| (label(worker), value(worker)));
    out.counters(
        "codex_worker_restarts",
        "How often a worker's process was restarted",
        counter(|worker| worker.restarts),
    )?;
    out.counters("codex_worker_turns", "Ended turns of a worker", counter(|worker| worker.turns_done))
}

/// The metrics that every Prometheus client has, under their standard names.
fn this_process(out: &mut Out<'_>) -> fmt::Result {
    let Some(now) = process::now() else { return Ok(()) };
    out.gauge("process_resident_memory_bytes", "Resident memory size", Some(count(now.resident_bytes)))?;
    out.gauge("process_virtual_memory_bytes", "Virtual memory size", Some(count(now.virtual_bytes)))?;
    out.counter("process_cpu_seconds", "User and system time spent", now.cpu_seconds)?;
    out.gauge("process_open_fds", "Open file descriptors", now.open_fds.map(count))?;
    out.gauge("process_max_fds", "Largest number of open file descriptors", now.max_fds.map(count))?;
    out.gauge("process_threads", "Operating system threads", Some(count(now.threads)))?;
    out.gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970",
        now.start_time_seconds,
    )
}

fn window(limit: &LimitSample) -> WindowLabels {
    WindowLabels { window: limit.window }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are floats")]
fn count(value: u64) -> f64 {
    value as f64
}

struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        value.map_or(Ok(()), |value| ConstGauge::new(value).encode(metric))
    }

    fn counter<N: EncodeCounterValue>(&mut self, name: &str, help: &str, value: N) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }
}
