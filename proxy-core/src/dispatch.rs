//! Runs a turn on a worker: deadlines, interruption, and the shaping of the answer.

mod observer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{Instant as Timer, sleep_until};
use tracing::{Instrument as _, Span};

use crate::recording::{Recording, TurnRecording};
use crate::secret::redact::redact_within;
use crate::telemetry::{Metrics, trace};
use crate::worker::{Lease, TurnStream, WorkerPool};
use protocol::turn::shape::{Shaper, TailControls, Verdict};
use protocol::turn::{Catalogue, Turn, TurnError, TurnErrorKind, TurnEvent};

/// The operator's settings for running turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The longest duration of a turn that is not streamed.
    pub timeout: Duration,
    /// How long the backend may take to accept such a turn. Later silence is allowed, because a reasoning model is
    /// not idle.
    pub idle_timeout: Duration,
    /// The longest silence of the backend in a streamed turn.
    pub stream_idle_timeout: Duration,
    /// The longest silence of the legacy backend, where it is used, in a turn that is not streamed.
    pub legacy_idle_timeout: Option<Duration>,
    /// Whether a client that disconnects also ends the worker, not only its turn. The worker is replaced; other
    /// clients' turns finish on the old one.
    pub kill_on_disconnect: bool,
    /// What happens to text after `<use_tool>` blocks.
    pub tail: TailControls,
}

/// Runs turns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    pool: WorkerPool,
    config: Config,
    metrics: Metrics,
    /// The number of calls that were written as `<use_tool>` blocks.
    tool_blocks: Arc<AtomicU64>,
}

impl Dispatcher {
    /// A dispatcher over `pool`.
    pub fn new(pool: WorkerPool, config: Config) -> Self {
        Self { pool, config, metrics: Metrics::default(), tool_blocks: Arc::default() }
    }

    /// The same dispatcher, with metrics.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The number of calls written as `<use_tool>` blocks by ended turns, since the start or the last reset.
    pub fn tool_blocks(&self) -> u64 {
        self.tool_blocks.load(Ordering::Relaxed)
    }

    /// Resets that count to zero.
    pub fn reset_tool_blocks(&self) {
        self.tool_blocks.store(0, Ordering::Relaxed);
    }

    /// The catalogue of models, while a worker is ready.
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.pool.catalogue()
    }

    /// A place for one turn.
    ///
    /// # Errors
    /// `WorkerNotReady` when there is none within the configured time, `LoginRequired` when no account is signed
    /// in.
    pub async fn place(&self) -> Result<Admission, TurnError> {
        let (asked, span) = (Instant::now(), trace::dispatch());
        let lease = self.pool.acquire().instrument(span.clone()).await?;
        self.metrics.queue_wait(asked.elapsed());
        trace::placed(&span, lease.worker());
        let leaving = self.config.kill_on_disconnect.then(|| (self.pool.clone(), lease.worker()));
        let (config, tool_blocks) = (self.config.clone(), self.tool_blocks.clone());
        Ok(Admission { lease, config, leaving, tool_blocks, span })
    }
}

/// A place on a worker.
#[derive(Debug)]
pub struct Admission {
    lease: Lease,
    config: Config,
    /// The worker to replace when the client disconnects.
    leaving: Option<(WorkerPool, usize)>,
    tool_blocks: Arc<AtomicU64>,
    /// The span of the wait for this place, in traces.
    span: Span,
}

impl Admission {
    /// The models that this worker offers.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.lease.catalogue()
    }

    /// Starts a turn. Its usage is recorded in `recording`.
    ///
    /// # Errors
    /// When the turn cannot run at all: this Codex is too old for it, or has just ended.
    pub async fn start(
        self,
        turn: Turn,
        streamed: bool,
        recording: &Recording,
    ) -> Result<TurnEvents, TurnError> {
        let shaper = Shaper::new(&turn, &self.config.tail);
        let catalogue = self.lease.catalogue();
        let recording = recording.turn(self.lease.worker(), &turn, &catalogue, streamed, self.span);
        let stream = self.lease.start(turn, Some(Arc::new(recording.tokens()))).await?;
        let now = Timer::now();
        let legacy = self.config.legacy_idle_timeout;
        let idle = if streamed {
            self.config.stream_idle_timeout
        } else {
            legacy.unwrap_or(self.config.idle_timeout)
        };
        let running = Running {
            stream,
            shaper,
            buffer: Vec::new(),
            deadline: (!streamed).then(|| now + self.config.timeout),
            idle,
            idle_until: Some(now + idle),
            watched: streamed || legacy.is_some(),
            leaving: self.leaving,
            tool_blocks: self.tool_blocks,
            recording,
            asked: false,
            over: false,
        };
        Ok(TurnEvents { running: Some(running), shaped: VecDeque::new(), unmet: false })
    }
}

/// A turn's events in the form for the client. Dropping it before the end interrupts the turn.
#[derive(Debug)]
pub struct TurnEvents {
    /// `None` once the turn is over for the client.
    running: Option<Running>,
    shaped: VecDeque<TurnEvent>,
    unmet: bool,
}

/// The reason why the wait for the next event ended.
enum Woken {
    Event(Option<TurnEvent>),
    Deadline,
    Idle,
    Tick,
}

impl TurnEvents {
    /// Whether the answer, which has ended, is not the requested JSON.
    pub fn is_unmet(&self) -> bool {
        self.unmet
    }

    /// The next event; `None` after the terminal one.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        loop {
            if let Some(event) = self.shaped.pop_front() {
                return Some(event);
            }
            let running = self.running.as_mut()?;
            let verdict = running.next().await;
            let recording = &mut running.recording;
            self.shaped.extend(running.buffer.drain(..).inspect(|event| recording.see(event)));
            if verdict == Verdict::Cut {
                self.unmet = running.shaper.is_unmet();
                if self.unmet {
                    tracing::warn!("the model's answer is not the JSON that the client asked for");
                }
                running.over = true;
                self.running = None;
            }
        }
    }
}

/// A turn on a worker.
#[derive(Debug)]
struct Running {
    stream: TurnStream,
    shaper: Shaper,
    buffer: Vec<TurnEvent>,
    deadline: Option<Timer>,
    idle: Duration,
    idle_until: Option<Timer>,
    /// Whether silence counts even after Codex has accepted the turn.
    watched: bool,
    leaving: Option<(WorkerPool, usize)>,
    tool_blocks: Arc<AtomicU64>,
    recording: TurnRecording,
    /// Whether Codex has sent the turn to the model.
    asked: bool,
    /// Whether the client has received the end.
    over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tool_blocks.fetch_add(self.shaper.blocks(), Ordering::Relaxed);
        if self.over {
            return;
        }
        self.estimate();
        if let Some((pool, worker)) = &self.leaving {
            tracing::info!(worker, "a client has gone; its worker is replaced (PROXY_KILL_ON_DISCONNECT)");
            pool.restart_one(*worker);
        }
    }
}

impl Running {
    /// Waits for the next event, and puts its result for the client into the buffer.
    async fn next(&mut self) -> Verdict {
        let tick = self.shaper.deadline().map(Timer::from_std);
        let woken = tokio::select! {
            biased;
            event = self.stream.next() => Woken::Event(event),
            () = at(self.deadline) => Woken::Deadline,
            () = at(tick) => Woken::Tick,
            () = at(self.idle_until) => Woken::Idle,
        };
        match woken {
            Woken::Event(Some(mut event)) => {
                self.alive();
                mask(&mut event);
                log(&event);
                self.asked |= matches!(event, TurnEvent::Started);
                let failed = matches!(event, TurnEvent::Failed(_));
                let ended = event.is_terminal();
                let verdict = self.shaper.push(event, Instant::now(), &mut self.buffer);
                if failed {
                    self.estimate_what_was_said();
                }
                if ended { Verdict::Cut } else { verdict }
            }
            Woken::Event(None) => Verdict::Cut,
            Woken::Tick => self.shaper.tick(Instant::now(), &mut self.buffer),
            Woken::Deadline => self.time_out(
                TurnErrorKind::RequestTimeout,
                "The answer was not complete within the time allowed (PROXY_TIMEOUT_MS). Ask for a stream, or \
                 for less.",
            ),
            Woken::Idle => self.time_out(
                TurnErrorKind::IdleTimeout,
                "Codex has said nothing for longer than allowed. Try again; if it happens again, look at the \
                 log.",
            ),
        }
    }

    /// The idle deadline of a turn that is not streamed ends when Codex has accepted the turn: from then on Codex
    /// works, even without output. The legacy Codex does not report that it has accepted a turn.
    fn alive(&mut self) {
        self.idle_until = self.watched.then(|| Timer::now() + self.idle);
    }

    fn time_out(&mut self, kind: TurnErrorKind, message: &str) -> Verdict {
        let error = TurnError::new(kind, message);
        tracing::warn!(?kind, "a turn was given up");
        self.estimate();
        // The turn is given up, whatever events the shaper makes of its end.
        let _ = self.shaper.push(TurnEvent::Failed(error), Instant::now(), &mut self.buffer);
        Verdict::Cut
    }

    /// The turn ends early: the estimated usage counts, unless the vendor still reports the real one.
    fn estimate(&self) {
        if self.asked {
            self.recording.estimate(self.shaper.estimate());
        }
    }

    /// A turn that failed before the model sent anything has probably used no tokens.
    fn estimate_what_was_said(&self) {
        if self.shaper.estimate().output > 0 {
            self.estimate();
        }
    }
}

async fn at(time: Option<Timer>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The upstream and Codex may repeat a part of their input in an error.
fn mask(event: &mut TurnEvent) {
    const MOST: usize = 2000;
    if let TurnEvent::Retrying { message } = event {
        *message = redact_within(message, MOST);
    } else if let TurnEvent::Failed(error) = event {
        error.message = redact_within(&error.message, MOST);
        error.param = error.param.as_deref().map(|param| redact_within(param, MOST));
        error.detail = error.detail.as_deref().map(|detail| redact_within(detail, MOST));
    }
}

fn log(event: &TurnEvent) {
    if let TurnEvent::Retrying { message } = event {
        tracing::info!(message, "codex tries its upstream again");
    } else if let TurnEvent::Failed(error) = event {
        tracing::warn!(kind = ?error.kind, message = error.message, detail = error.detail, "a turn failed");
    } else if let TurnEvent::Usage(usage) = event {
        tracing::debug!(?usage, "a turn's usage");
    }
}

#[cfg(test)]
mod tests;
