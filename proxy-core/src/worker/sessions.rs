//! The sessions behind the places, for requests to Codex that are no turns.

use std::time::{Duration, SystemTime};

use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

use super::facts::WorkerFacts;
use super::notices::{SessionId, Told};
use super::pool::WorkerPool;
use super::session::Handle;
use super::shared::Backend;
use super::{State, starting};

/// Why there is no session to ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// No worker is up; the sentence says why.
    #[error("{0}")]
    Down(String),
    /// The proxy is about to end.
    #[error("Codex Proxy is shutting down.")]
    ShuttingDown,
    /// The legacy protocol has processes only while turns run.
    #[error("the legacy protocol (`codex proto`) cannot do this")]
    Legacy,
}

/// Which workers are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those that are just starting.
    Unready,
    /// Those that are up with a process that found another sign-in at its start than the one that was written at this
    /// time.
    StartedWithout(SystemTime),
}

impl Which {
    fn includes(self, worker: &WorkerFacts) -> bool {
        match self {
            Self::All => true,
            Self::Unready => worker.state != State::Ready,
            Self::StartedWithout(sign_in) => worker.is_up() && worker.sign_in != Some(sign_in),
        }
    }
}

/// Workers that are being replaced.
#[derive(Debug)]
pub struct Replacement {
    limit: Duration,
    facts: watch::Receiver<Vec<WorkerFacts>>,
    /// Each worker, and the sign-in that its old process found.
    replaced: Vec<(usize, Option<SystemTime>)>,
}

impl Replacement {
    /// Whether there is no worker to replace.
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty()
    }

    /// Waits until processes have taken over that found another sign-in at their start, within the time that a worker
    /// has for that.
    pub async fn with_other_sign_in(mut self) {
        let is_old =
            |worker: &WorkerFacts| worker.is_up() && self.replaced.contains(&(worker.id, worker.sign_in));
        let taken_over = self.facts.wait_for(|workers| !workers.iter().any(is_old));
        // A worker that cannot be replaced in time leaves its turns to the others.
        let _ = timeout(self.limit, taken_over).await;
    }
}

impl WorkerPool {
    /// News about the account from now on, from every session.
    pub fn notices(&self) -> broadcast::Receiver<Told> {
        self.shared.notices.subscribe()
    }

    /// A session of a worker that is up, waiting for one for at most `limit`.
    ///
    /// # Errors
    /// That there is none, and why.
    pub async fn session(&self, limit: Duration) -> Result<Handle, NoSession> {
        let mut facts = self.watch();
        let found = timeout(limit, async {
            loop {
                facts.borrow_and_update();
                match self.any_seat() {
                    Some(Backend::Session(session)) => return Ok(session),
                    Some(Backend::Legacy(_)) => return Err(NoSession::Legacy),
                    None => {}
                }
                if facts.changed().await.is_err() {
                    return Err(NoSession::ShuttingDown);
                }
            }
        });
        found.await.unwrap_or_else(|_| Err(NoSession::Down(starting::why_down(&self.watch().borrow()))))
    }

    /// The sessions of every worker that is up.
    pub fn sessions(&self) -> Vec<Handle> {
        let queue = self.shared.queue();
        let seats = queue.all().filter_map(|backend| match backend {
            Backend::Session(session) if !session.is_closed() => Some(session.clone()),
            Backend::Session(_) | Backend::Legacy(_) => None,
        });
        seats.collect()
    }

    /// The session that was started last, ready or not.
    pub fn latest_session(&self) -> SessionId {
        self.shared.notices.latest()
    }

    /// Replaces workers: new turns go to the new processes, running ones finish on the old.
    pub fn replace(&self, which: Which) -> Replacement {
        let facts = self.watch();
        let workers = facts.borrow();
        let replaced = workers.iter().filter(|worker| which.includes(worker));
        let replaced: Vec<_> = replaced.map(|worker| (worker.id, worker.sign_in)).collect();
        drop(workers);
        for (id, _) in &replaced {
            self.restart_one(*id);
        }
        Replacement { limit: self.shared.config.startup_timeout, facts, replaced }
    }

    fn any_seat(&self) -> Option<Backend> {
        let mut queue = self.shared.queue();
        queue.sweep(Backend::is_closed);
        queue.least_loaded().cloned()
    }
}
