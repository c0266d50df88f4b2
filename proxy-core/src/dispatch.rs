//! Runs a turn on a worker: deadlines, interruption, and the shaping of the answer.

mod again;
mod kept;
mod observer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{Instant as Timer, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::recording::{Recording, TurnRecording};
use crate::secret::redact::redact_within;
use crate::telemetry::{Metrics, trace};
use crate::threads::{Found, Kind, Limits, ThreadSource};
use crate::worker::{KeptThread, Lease, Observer, TurnStream, WorkerPool};
use again::Again;
use kept::{Follow, KeptThreads};
use protocol::turn::lineage::Lineage;
use protocol::turn::shape::{Shaper, TailControls, Verdict};
use protocol::turn::{Catalogue, Task, ThreadSpec, Turn, TurnError, TurnErrorKind, TurnEvent};

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
    /// How many threads wait for their next turn on each worker, and how long.
    pub threads: Limits,
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
    /// The threads that wait for their next turn.
    threads: KeptThreads,
}

impl Dispatcher {
    /// A dispatcher over `pool`.
    pub fn new(pool: WorkerPool, config: Config) -> Self {
        let threads = KeptThreads::new(config.threads, pool.watch().borrow().len());
        Self { pool, config, metrics: Metrics::default(), tool_blocks: Arc::default(), threads }
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

    /// The number of workers, ready or not.
    pub fn workers(&self) -> usize {
        self.pool.watch().borrow().len()
    }

    /// The catalogue of models, while a worker is ready.
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.pool.catalogue()
    }

    /// Closes threads that have waited too long for their next turn, until `shutdown`, and then the others.
    pub async fn look_after_threads(self, shutdown: CancellationToken) {
        self.threads.sweep(self.pool, shutdown).await;
    }

    /// Closes the threads of keys that do not exist any more.
    pub fn forget_others(&self, exists: impl Fn(&str) -> bool) {
        self.threads.forget_others(exists);
    }

    /// How many threads wait for their next turn.
    pub fn waiting_threads(&self) -> usize {
        self.threads.len()
    }

    /// A place for one turn, on any worker.
    ///
    /// # Errors
    /// `WorkerNotReady` when there is none within the configured time, `LoginRequired` when no account is signed
    /// in.
    pub async fn place(&self) -> Result<Admission, TurnError> {
        let (asked, span) = (Instant::now(), trace::dispatch());
        let lease = self.pool.acquire().instrument(span.clone()).await?;
        self.metrics.queue_wait(asked.elapsed());
        Ok(self.admission(lease, None, span))
    }

    /// A place for this turn of the key with the id `owner`: on the thread that has most of its transcript, if the
    /// thread's worker has a place now, else on any worker.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub async fn place_for(&self, owner: &str, turn: &Turn) -> Result<Admission, TurnError> {
        if turn.task == Task::Compact {
            return self.place().await;
        }
        let kind = self.threads.kind(owner, &turn.spec);
        if let Some(found) = self.threads.take(&kind, turn, &self.pool) {
            let span = trace::dispatch();
            if let Some(lease) = self.pool.acquire_on(found.handle.session()).instrument(span.clone()).await {
                self.metrics.queue_wait(Duration::ZERO);
                return Ok(self.admission(lease, Some((kind, Some(found))), span));
            }
        }
        let mut admission = self.place().await?;
        admission.wanted = Some((kind, None));
        Ok(admission)
    }

    /// Starts a thread ahead for a turn of the key with the id `owner` that is about to come, if a worker has a place.
    pub fn warm(&self, owner: &str, spec: &ThreadSpec) {
        let kind = self.threads.kind(owner, spec);
        if !self.threads.lacks_warm(&kind) {
            return;
        }
        let (dispatcher, spec) = (self.clone(), spec.clone());
        tokio::spawn(async move {
            // Signed out, or no worker: the turn itself will say so.
            let Ok(lease) = dispatcher.pool.acquire().await else { return };
            if let Some(session) = lease.session().cloned() {
                dispatcher.threads.warm(kind, spec, session);
            }
        });
    }

    fn admission(&self, lease: Lease, wanted: Option<Wanted>, span: Span) -> Admission {
        trace::placed(&span, lease.worker());
        Admission { lease, dispatcher: self.clone(), wanted, span }
    }
}

/// The kind of thread that a turn runs on, and the one that was found for it.
type Wanted = (Kind, Option<Found<KeptThread>>);

/// A place on a worker.
#[derive(Debug)]
pub struct Admission {
    lease: Lease,
    dispatcher: Dispatcher,
    /// `None` for a turn whose thread is not kept.
    wanted: Option<Wanted>,
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
        let Self { lease, dispatcher, wanted, span } = self;
        let Dispatcher { config, threads, .. } = &dispatcher;
        let shaper = Shaper::new(&turn, &config.tail);
        let catalogue = lease.catalogue();
        let worker = lease.worker();
        let (kind, found) = wanted.unzip();
        let (found, source) = found.flatten().map_or((None, ThreadSource::Fresh), |found| {
            let source = found.source;
            (Some(found), source)
        });
        let recording = recording.turn(worker, &turn, &catalogue, streamed, source, span);
        let observer: Arc<dyn Observer> = Arc::new(recording.tokens());
        let session = lease.session().cloned();
        let spec = turn.spec.clone();
        let (stream, follow, again) = match found {
            None => {
                let follow = kind
                    .and_then(|kind| threads.follow(kind, Lineage::default(), &turn.items, session.as_ref()));
                (lease.start(turn, Some(observer)).await?, follow, None)
            }
            Some(Found { handle, lineage, known, .. }) => {
                let new = turn.items[known..].to_vec();
                let follow = kind.and_then(|kind| threads.follow(kind, lineage, &new, session.as_ref()));
                let short = Turn { items: new, ..turn.without_items() };
                let stream = lease.extend(handle, short, Some(observer.clone()))?;
                (stream, follow, Some(Again::new(dispatcher.clone(), turn, observer)))
            }
        };
        let now = Timer::now();
        let legacy = config.legacy_idle_timeout;
        let idle = if streamed { config.stream_idle_timeout } else { legacy.unwrap_or(config.idle_timeout) };
        let running = Running {
            stream,
            source,
            spec,
            follow,
            again,
            shaper,
            buffer: Vec::new(),
            deadline: (!streamed).then(|| now + config.timeout),
            idle,
            idle_until: Some(now + idle),
            watched: streamed || legacy.is_some(),
            leaving: config.kill_on_disconnect.then(|| (dispatcher.pool.clone(), worker)),
            tool_blocks: dispatcher.tool_blocks.clone(),
            recording,
            asked: false,
            over: false,
        };
        Ok(TurnEvents { running: Some(running), shaped: VecDeque::new(), unmet: false, source })
    }
}

/// A turn's events in the form for the client. Dropping it before the end interrupts the turn.
#[derive(Debug)]
pub struct TurnEvents {
    /// `None` once the turn is over for the client.
    running: Option<Running>,
    shaped: VecDeque<TurnEvent>,
    unmet: bool,
    source: ThreadSource,
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

    /// How the turn got its thread.
    pub fn source(&self) -> ThreadSource {
        self.source
    }

    /// The next event; `None` after the terminal one.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        loop {
            if let Some(event) = self.shaped.pop_front() {
                return Some(event);
            }
            let running = self.running.as_mut()?;
            let verdict = running.next().await;
            let Running { recording, follow, buffer, .. } = running;
            self.shaped.extend(buffer.drain(..).inspect(|event| {
                recording.see(event);
                if let Some(follow) = follow {
                    follow.shown(event);
                }
            }));
            if verdict == Verdict::Cut {
                self.unmet = running.shaper.is_unmet();
                if self.unmet {
                    tracing::warn!("the model's answer is not the JSON that the client asked for");
                }
                running.over = true;
                // Before the client has the end: its next request may follow at once.
                running.keep_thread();
                self.running = None;
            }
        }
    }
}

/// A turn on a worker.
#[derive(Debug)]
struct Running {
    stream: TurnStream,
    source: ThreadSource,
    spec: ThreadSpec,
    /// What the thread and the client have of the answer; `None` if the thread is not kept.
    follow: Option<Follow>,
    /// How the turn starts again, on a new thread, if it fails on one that was kept before the model says anything.
    again: Option<Again>,
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
        if let Some(started) = Again::started(&mut self.again).await {
            match started {
                Ok(stream) => self.stream = stream,
                Err(error) => return self.fail(error),
            }
        }
        let tick = self.shaper.deadline().map(Timer::from_std);
        let woken = tokio::select! {
            biased;
            event = self.stream.next() => Woken::Event(event),
            () = at(self.deadline) => Woken::Deadline,
            () = at(tick) => Woken::Tick,
            () = at(self.idle_until) => Woken::Idle,
        };
        match woken {
            Woken::Event(Some(event)) if self.starts_again(&event) => Verdict::Continue,
            // The client knows: the turn has started again.
            Woken::Event(Some(TurnEvent::Started)) if self.asked => {
                self.alive();
                Verdict::Continue
            }
            Woken::Event(Some(mut event)) => {
                self.alive();
                if let Some(follow) = &mut self.follow {
                    follow.said(&event);
                }
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

    /// Whether a turn on a thread that was kept starts again on a new one: the thread is of no use, and the client has
    /// seen nothing yet.
    fn starts_again(&mut self, event: &TurnEvent) -> bool {
        if matches!(event, TurnEvent::Started | TurnEvent::Retrying { .. }) {
            return false;
        }
        let is_lost = matches!(event, TurnEvent::Failed(error) if Again::helps(error, self.asked));
        let Some(again) = self.again.take().filter(|_| is_lost) else { return false };
        tracing::info!(
            source = self.source.as_str(),
            "a thread that was kept is of no use; the chat goes on with a new one"
        );
        if let Some(follow) = &mut self.follow {
            follow.begin_again(again.items());
        }
        self.again = Some(again.start());
        self.alive();
        true
    }

    /// Keeps the turn's thread for the next turn of its chat, if it may be.
    fn keep_thread(&mut self) {
        if let Some(follow) = self.follow.take() {
            follow.end(self.source, self.spec.clone(), self.stream.kept());
        }
    }

    fn fail(&mut self, error: TurnError) -> Verdict {
        let event = TurnEvent::Failed(error);
        log(&event);
        // The turn ends here, whatever verdict the shaper returns.
        let _ = self.shaper.push(event, Instant::now(), &mut self.buffer);
        Verdict::Cut
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
