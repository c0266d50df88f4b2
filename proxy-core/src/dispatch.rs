//! From a turn to a worker and back: deadlines, interruption, and the shaping of the answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Instant as Timer, sleep_until};

use crate::turn::shape::{Shaper, TailControls, Verdict};
use crate::turn::{Catalogue, Turn, TurnError, TurnErrorKind, TurnEvent};
pub use crate::worker::Observer;
use crate::worker::{Lease, TurnStream, WorkerPool};

/// What the operator decides about running turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Longest that a turn may take that is not streamed.
    pub timeout: Duration,
    /// Longest that the backend of such a turn may leave it untouched. A model that thinks is not idle.
    pub idle_timeout: Duration,
    /// Longest silence of the backend in a streamed turn.
    pub stream_idle_timeout: Duration,
    /// Longest silence of the legacy backend, where it is used, in a turn that is not streamed.
    pub legacy_idle_timeout: Option<Duration>,
    /// Whether a client that hangs up also ends the worker, not only its turn. The worker is replaced; other
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
}

impl Dispatcher {
    /// A dispatcher over `pool`.
    pub fn new(pool: WorkerPool, config: Config) -> Self {
        Self { pool, config }
    }

    /// The models there are, while a worker is ready.
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.pool.catalogue()
    }

    /// A place for one turn.
    ///
    /// # Errors
    /// `WorkerNotReady` when there is none within the configured time, `LoginRequired` when nobody is signed in.
    pub async fn place(&self) -> Result<Place, TurnError> {
        let lease = self.pool.acquire().await?;
        let leaving = self.config.kill_on_disconnect.then(|| (self.pool.clone(), lease.worker()));
        Ok(Place { lease, config: self.config.clone(), leaving })
    }
}

/// A place on a worker.
#[derive(Debug)]
pub struct Place {
    lease: Lease,
    config: Config,
    /// The worker to replace when the client hangs up.
    leaving: Option<(WorkerPool, usize)>,
}

impl Place {
    /// The models this worker offers.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.lease.catalogue()
    }

    /// Which worker it is on, from 0.
    pub fn worker(&self) -> usize {
        self.lease.worker()
    }

    /// Starts a turn; `observer` hears about it until Codex has ended it.
    ///
    /// # Errors
    /// When the turn cannot run at all: this Codex is too old for it, or has just ended.
    pub async fn start(
        self,
        turn: Turn,
        streamed: bool,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<TurnEvents, TurnError> {
        let shaper = Shaper::new(&turn, &self.config.tail);
        let stream = self.lease.start(turn, observer).await?;
        let now = Timer::now();
        let legacy = self.config.legacy_idle_timeout;
        let idle = if streamed {
            self.config.stream_idle_timeout
        } else {
            legacy.unwrap_or(self.config.idle_timeout)
        };
        Ok(TurnEvents {
            stream: Some(stream),
            shaper,
            shaped: VecDeque::new(),
            buffer: Vec::new(),
            deadline: (!streamed).then(|| now + self.config.timeout),
            idle,
            idle_until: Some(now + idle),
            watched: streamed || legacy.is_some(),
            leaving: self.leaving,
        })
    }
}

/// A turn's events as the client is to see them. Dropping it before the end interrupts the turn.
#[derive(Debug)]
pub struct TurnEvents {
    /// `None` once the turn is over for the client.
    stream: Option<TurnStream>,
    shaper: Shaper,
    shaped: VecDeque<TurnEvent>,
    buffer: Vec<TurnEvent>,
    deadline: Option<Timer>,
    idle: Duration,
    idle_until: Option<Timer>,
    /// Whether silence counts even after Codex has taken the turn.
    watched: bool,
    leaving: Option<(WorkerPool, usize)>,
}

impl Drop for TurnEvents {
    fn drop(&mut self) {
        if let (Some(_), Some((pool, worker))) = (&self.stream, &self.leaving) {
            tracing::info!(worker, "a client has gone; its worker is replaced (PROXY_KILL_ON_DISCONNECT)");
            pool.restart_one(*worker);
        }
    }
}

/// What woke the wait for the next event.
enum Woken {
    Event(Option<TurnEvent>),
    Deadline,
    Idle,
    Tick,
}

impl TurnEvents {
    /// The next event; `None` after the terminal one.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        loop {
            if let Some(event) = self.shaped.pop_front() {
                return Some(event);
            }
            let stream = self.stream.as_mut()?;
            let tick = self.shaper.deadline().map(Timer::from_std);
            let woken = tokio::select! {
                biased;
                event = stream.next() => Woken::Event(event),
                () = at(self.deadline) => Woken::Deadline,
                () = at(tick) => Woken::Tick,
                () = at(self.idle_until) => Woken::Idle,
            };
            let verdict = match woken {
                Woken::Event(Some(event)) => {
                    self.alive();
                    log(&event);
                    self.shaper.push(event, Instant::now(), &mut self.buffer)
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
            };
            self.shaped.extend(self.buffer.drain(..));
            if verdict == Verdict::Cut {
                self.stream = None;
            }
        }
    }

    /// A turn that is not streamed is only watched until Codex has taken it: then Codex works, however quietly.
    /// The legacy Codex does not tell as much.
    fn alive(&mut self) {
        self.idle_until = self.watched.then(|| Timer::now() + self.idle);
    }

    fn time_out(&mut self, kind: TurnErrorKind, message: &str) -> Verdict {
        let error = TurnError::new(kind, message);
        tracing::warn!(?kind, "a turn was given up");
        // The turn is given up, whatever the shaper makes of its end.
        let _ = self.shaper.push(TurnEvent::Failed(error), Instant::now(), &mut self.buffer);
        Verdict::Cut
    }
}

async fn at(time: Option<Timer>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
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
