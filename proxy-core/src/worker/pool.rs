//! All workers together: a fair queue for their places, and the facts about each.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::facts::WorkerFacts;
use super::launch::{CodexLauncher, Launcher};
use super::notices::SessionId;
use super::replacement::{Replacement, Which};
use super::shared::{Lease, Runner, Shared};
use super::supervisor::Supervisor;
use super::{Config, starting};
use protocol::codex::Account;
use protocol::turn::{Catalogue, TurnError, TurnErrorKind};

/// The workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerPool {
    pub(super) shared: Arc<Shared>,
}

impl WorkerPool {
    /// Starts the workers' supervisors on `tasks`; they work until `shutdown`.
    pub fn start(config: Config, tasks: &TaskTracker, shutdown: CancellationToken) -> Self {
        let launcher: Arc<dyn Launcher> = Arc::new(CodexLauncher::new(config.clone(), shutdown.clone()));
        Self::start_with(&launcher, config, tasks, shutdown)
    }

    /// The same with another source of processes.
    pub(super) fn start_with(
        launcher: &Arc<dyn Launcher>,
        config: Config,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let pool = Self::idle(config, shutdown);
        for id in 0..pool.shared.config.count {
            let supervisor = Supervisor::new(id, pool.shared.clone(), launcher.clone(), tasks.clone());
            tasks.spawn(supervisor.run());
        }
        pool
    }

    /// A pool with workers that are never started.
    pub(super) fn idle(config: Config, shutdown: CancellationToken) -> Self {
        Self { shared: Arc::new(Shared::new(config, shutdown)) }
    }

    /// A place on the least-loaded worker. Waits in the queue for at most the configured time.
    ///
    /// # Errors
    /// `LoginRequired` when its process has no sign-in, `WorkerNotReady` with the reason when no worker is up,
    /// `RateLimited` when the queue is full or the wait was too long.
    pub async fn acquire(&self) -> Result<Lease, TurnError> {
        let lease = self.place().await?;
        let Runner::Session(session) = &lease.runner else { return Ok(lease) };
        match session.account().await {
            Some(Account::SignedOut) => Err(login_required()),
            Some(Account::Usable) | None => Ok(lease),
        }
    }

    /// A place on the worker of this session, if it has one now and its process is signed in.
    pub async fn acquire_on(&self, wanted: SessionId) -> Option<Lease> {
        let is_wanted = |runner: &Runner| runner.session().is_some_and(|session| session.id() == wanted);
        let (generation, runner) = {
            let mut queue = self.shared.queue();
            queue.sweep(Runner::is_closed);
            queue.take_on(is_wanted)?
        };
        let lease = self.shared.lease(generation, runner);
        match lease.session()?.account().await {
            Some(Account::SignedOut) => None,
            Some(Account::Usable) | None => Some(lease),
        }
    }

    /// Whether the worker of this session takes turns.
    pub fn has(&self, wanted: SessionId) -> bool {
        self.shared.queue().all().any(|runner| runner.session().is_some_and(|session| session.id() == wanted))
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

    /// Replaces every worker: new turns go to the new processes, running ones finish on the old.
    pub fn restart(&self) {
        self.replace(Which::All);
    }

    /// Replaces one worker. Returns whether there is such a worker.
    pub fn restart_one(&self, id: usize) -> bool {
        self.shared.ask_restart(id)
    }

    /// The facts about the workers, as they change.
    pub fn watch(&self) -> watch::Receiver<Vec<WorkerFacts>> {
        self.shared.watch()
    }

    /// The number of requests that wait for a place.
    pub fn queue_depth(&self) -> usize {
        let mut queue = self.shared.queue();
        queue.forget(oneshot::Sender::is_closed);
        queue.queue_depth()
    }

    /// The models of a worker that is ready.
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.shared.queue().least_loaded().map(Runner::catalogue)
    }

    async fn place(&self) -> Result<Lease, TurnError> {
        let shared = &self.shared;
        let waiter = {
            let mut queue = shared.queue();
            queue.sweep(Runner::is_closed);
            if let Some((generation, handle)) = queue.take() {
                drop(queue);
                return Ok(shared.lease(generation, handle));
            }
            let (sender, waiter) = oneshot::channel();
            queue.forget(oneshot::Sender::is_closed);
            if queue.join(sender).is_err() {
                let message = "Too many requests are waiting for Codex already. Try again later.";
                return Err(
                    TurnError::new(TurnErrorKind::RateLimited, message).retry_after(Duration::from_secs(5))
                );
            }
            waiter
        };
        // A turn may have ended, or a worker may have come up, just before the request joined the queue.
        shared.pump();
        self.wait_in_line(waiter).await
    }

    async fn wait_in_line(&self, mut waiter: oneshot::Receiver<Lease>) -> Result<Lease, TurnError> {
        let shared = &self.shared;
        let mut joined = Instant::now();
        let mut down_since = None;
        let mut facts = shared.watch();
        loop {
            let workers = facts.borrow_and_update().clone();
            if !workers.iter().any(WorkerFacts::is_worth_waiting_for) {
                return Err(self.not_ready(&workers));
            }
            let up = workers.iter().any(WorkerFacts::is_up);
            let (since, limit) = if up {
                down_since = None;
                (joined, shared.config.queue_timeout)
            } else {
                (*down_since.get_or_insert_with(Instant::now), shared.config.ready_wait)
            };
            tokio::select! {
                biased;
                lease = &mut waiter => return lease.map_err(|_| shutting_down()),
                () = shared.shutdown().cancelled() => return Err(shutting_down()),
                () = sleep_until(since + limit) => {
                    if !up {
                        return Err(self.not_ready(&workers));
                    }
                    if shared.queue().free() == 0 {
                        return Err(waited_too_long(limit));
                    }
                    // There are free places, but Codex is still starting other turns. If it does not start one,
                    // that turn is given up.
                    joined = Instant::now();
                }
                _ = facts.changed() => {}
            }
        }
    }

    fn not_ready(&self, workers: &[WorkerFacts]) -> TurnError {
        if self.shared.shutdown().is_cancelled() {
            return shutting_down();
        }
        let next_try = workers.iter().find_map(|worker| worker.last_exit.as_ref().and(worker.next_try));
        let wait = next_try.and_then(|time| time.duration_since(SystemTime::now()).ok()).unwrap_or_default();
        TurnError::new(TurnErrorKind::WorkerNotReady, starting::why_down(workers).to_string())
            .retry_after(wait.max(Duration::from_secs(1)))
    }
}

fn login_required() -> TurnError {
    let message = "Codex is not signed in. Sign in with `codex-proxy login`, then try again.";
    TurnError::new(TurnErrorKind::LoginRequired, message)
}

fn shutting_down() -> TurnError {
    TurnError::new(TurnErrorKind::WorkerNotReady, "Codex Proxy is shutting down.")
        .retry_after(Duration::from_secs(5))
}

fn waited_too_long(limit: Duration) -> TurnError {
    let message = format!(
        "All places on Codex have been taken for {} s. Try again later, or ask for less at once.",
        limit.as_secs()
    );
    TurnError::new(TurnErrorKind::RateLimited, message).retry_after(Duration::from_secs(10))
}

#[cfg(test)]
mod tests;
