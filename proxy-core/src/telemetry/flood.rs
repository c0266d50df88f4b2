//! Limits what one place in the code may log: a child process or a client that causes endless lines must not
//! fill the disk, or push other lines out of the log.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::secret::redact::redact;

/// The time over which lines are counted. At its end, the number of lines that were left out is logged.
const WINDOW: Duration = Duration::from_secs(60);

/// The target of the line with this number, which is never left out itself.
const LEFT_OUT: &str = "proxy_core::telemetry::flood";

/// The target of the lines from Codex's standard error.
const CODEX: &str = "codex";

/// The number of characters of a line that are logged as a sample.
const SAMPLE: usize = 120;

/// The maximum number of lines of one kind in a window. Errors repeat, so they have a small limit; debug lines
/// are only logged on request, so they have a large one.
fn budget(metadata: &Metadata<'_>) -> u64 {
    match *metadata.level() {
        _ if metadata.target() == LEFT_OUT => u64::MAX,
        Level::ERROR | Level::WARN => 20,
        Level::INFO => 100,
        _ if metadata.target() == CODEX => 500,
        _ => 10_000,
    }
}

/// Decides which lines are logged. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Flood(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kinds: Mutex<Kinds>,
    /// Signalled when the first line of a window is left out.
    left_out: Condvar,
}

impl Flood {
    /// Starts the thread that logs how many lines were left out; it ends with the process.
    pub(super) fn start() -> std::io::Result<Self> {
        let flood = Self::default();
        let teller = flood.clone();
        std::thread::Builder::new().name("log-flood".to_owned()).spawn(move || {
            loop {
                teller.wait();
                std::thread::park_timeout(WINDOW);
                teller.tell();
            }
        })?;
        Ok(flood)
    }

    /// Logs how many lines were left out since the last call.
    pub(super) fn tell(&self) {
        let told = self.kinds().take_left_out();
        for (sample, lines) in told {
            tracing::warn!(
                target: LEFT_OUT,
                lines,
                like = sample,
                "log lines were left out: there were too many of one kind"
            );
        }
    }

    /// Counts an event. Returns whether to log it.
    fn lets(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let verdict = self.kinds().count(metadata.callsite(), budget(metadata), Instant::now());
        if verdict == Verdict::FirstLeftOut {
            // Formatting the event may log, so the lock must not be held.
            let sample = Sample::of(event);
            self.kinds().sample(&metadata.callsite(), sample);
            self.0.left_out.notify_all();
        }
        verdict == Verdict::Passes
    }

    fn wait(&self) {
        let mut kinds = self.kinds();
        while !kinds.any_left_out() {
            kinds = self.0.left_out.wait(kinds).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A layer that gets only the events within the limit. A filter cannot do this: one that decides by the event,
/// and not only by its place in the code, breaks the decisions of other filters (`tracing-subscriber` 0.3).
#[derive(Debug)]
pub(super) struct Limited<L> {
    inner: L,
    flood: Flood,
}

impl<L> Limited<L> {
    /// Passes to `inner` only what `flood` allows.
    pub(super) fn new(inner: L, flood: Flood) -> Self {
        Self { inner, flood }
    }
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Limited<L> {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.inner.on_register_dispatch(dispatch);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.inner.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.inner.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.inner.enabled(metadata, context)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.inner.on_new_span(attributes, id, context);
    }

    fn on_record(&self, span: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.inner.on_record(span, values, context);
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, context: Context<'_, S>) {
        self.inner.on_follows_from(span, follows, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.flood.lets(event) {
            self.inner.on_event(event, context);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.inner.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.inner.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.inner.on_close(id, context);
    }

    fn on_id_change(&self, old: &Id, new: &Id, context: Context<'_, S>) {
        self.inner.on_id_change(old, new, context);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passes,
    LeftOut,
    /// The first line that is left out since the last report.
    FirstLeftOut,
}

/// The counts for each place in the code that logs.
#[derive(Debug, Default)]
struct Kinds(HashMap<Identifier, Kind>);

#[derive(Debug)]
struct Kind {
    since: Instant,
    passed: u64,
    left_out: u64,
    sample: String,
}

impl Kinds {
    fn count(&mut self, id: Identifier, budget: u64, now: Instant) -> Verdict {
        let new = || Kind { since: now, passed: 0, left_out: 0, sample: String::new() };
        let kind = self.0.entry(id).or_insert_with(new);
        if now.saturating_duration_since(kind.since) >= WINDOW {
            (kind.since, kind.passed) = (now, 0);
        }
        if kind.passed < budget {
            kind.passed += 1;
            return Verdict::Passes;
        }
        kind.left_out += 1;
        if kind.left_out == 1 { Verdict::FirstLeftOut } else { Verdict::LeftOut }
    }

    fn sample(&mut self, id: &Identifier, sample: String) {
        if let Some(kind) = self.0.get_mut(id) {
            kind.sample = sample;
        }
    }

    fn any_left_out(&self) -> bool {
        self.0.values().any(|kind| kind.left_out > 0)
    }

    fn take_left_out(&mut self) -> Vec<(String, u64)> {
        let flooded = self.0.values_mut().filter(|kind| kind.left_out > 0);
        flooded.map(|kind| (std::mem::take(&mut kind.sample), std::mem::take(&mut kind.left_out))).collect()
    }
}

/// The message of an event.
#[derive(Debug, Default)]
struct Sample(String);

impl Sample {
    /// Redacted before it is shortened, because half a key would not be recognized.
    fn of(event: &Event<'_>) -> String {
        let mut sample = Self::default();
        event.record(&mut sample);
        redact(&sample.0).chars().take(SAMPLE).collect()
    }
}

impl Visit for Sample {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::Callsite as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Collects the messages that pass.
    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(Sample::of(event));
        }
    }

    #[test]
    fn what_comes_too_often_is_left_out_and_told_of() {
        let (flood, heard) = (Flood::default(), Heard::default());
        let subscriber = tracing_subscriber::registry().with(Limited::new(heard.clone(), flood.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..1000 {
                tracing::warn!("a line with Bearer abcdefgh {number}");
            }
            tracing::warn!("another");
            flood.tell();
            tracing::debug!("told once");
            flood.tell();
        });
        let heard = heard.0.lock().unwrap();
        let lines = heard.iter().filter(|line| line.starts_with("a line")).count();
        assert_eq!(lines, 20);
        let rest: Vec<&str> = heard[20..].iter().map(String::as_str).collect();
        let expected = ["another", "log lines were left out: there were too many of one kind", "told once"];
        assert_eq!(rest, expected);
        assert!(!heard.iter().any(|line| line.contains("abcdefgh")));
    }

    #[test]
    fn the_next_window_begins_anew() {
        let id =
            tracing::callsite!(name: "one", kind: tracing::metadata::Kind::EVENT, fields: message).metadata();
        let (mut kinds, start) = (Kinds::default(), Instant::now());
        let mut count = |after: Duration| kinds.count(id.callsite(), 2, start + after);
        assert_eq!([count(Duration::ZERO), count(Duration::ZERO)], [Verdict::Passes; 2]);
        assert_eq!(count(Duration::ZERO), Verdict::FirstLeftOut);
        assert_eq!(count(WINDOW / 2), Verdict::LeftOut);
        assert_eq!(count(WINDOW), Verdict::Passes);
        assert_eq!(kinds.take_left_out(), [(String::new(), 2)]);
        assert!(!kinds.any_left_out());
    }
}
