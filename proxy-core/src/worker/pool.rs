//! The workers as one: a fair queue for their places, and what is known about each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Config;
use super::active_turn::{ActiveTurn, Observer, Permit};
use super::admission_queue::{AdmissionQueue, Generation, Limits};
use super::legacy::Legacy;
use super::lifecycle::State;
use super::notices::Notices;
use super::record::Records;
use super::session::{Handle, TurnStream};
use super::sessions::Which;
use super::starting::{self, Starting};
use super::supervisor::Supervisor;
use protocol::codex::{Account, Capabilities};
use protocol::turn::{Catalogue, Turn, TurnError, TurnErrorKind};

/// Turns that a worker may be starting at once.
const STARTING: usize = 16;

/// The workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerPool {
    pub(super) shared: Arc<Shared>,
}

/// What the pool and its supervisors share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) records: Records,
    pub(super) notices: Notices,
    queue: Mutex<AdmissionQueue<Backend, oneshot::Sender<Lease>>>,
    /// Told whenever a turn ends: drains wait for it.
    pub(super) released: Notify,
    facts: watch::Sender<Vec<WorkerFacts>>,
    restarts: Vec<Notify>,
    shutdown: CancellationToken,
}

/// What is known about one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Which worker, from 0.
    pub id: usize,
    /// Where it stands.
    pub state: State,
    /// Whether one of its processes has been ready lately.
    pub was_ready: bool,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// The version of its Codex, once it has said so.
    pub version: Option<String>,
    /// Whether that Codex takes function tools.
    pub takes_tools: bool,
    /// When the process was started.
    pub started: Option<SystemTime>,
    /// How many times a process has been started again.
    pub restarts: u64,
    /// Starts in a row that ended soon.
    pub failures: u32,
    /// When it was last ready, and how long the start before had taken.
    pub got_ready: Option<(SystemTime, Duration)>,
    /// How the last process ended, in words, and when.
    pub last_exit: Option<(SystemTime, String)>,
    /// When the next try is due, while it is down.
    pub next_try: Option<SystemTime>,
    /// The start that is under way.
    pub starting: Option<Starting>,
    /// Turns it is working on.
    pub turns_running: usize,
    /// Turns it has ended.
    pub turns_done: u64,
    /// Its resident memory, when last looked at.
    pub resident_bytes: Option<u64>,
    /// When the sign-in was written that its process found at its start; it does not look again.
    pub sign_in: Option<SystemTime>,
}

impl WorkerFacts {
    pub(super) fn new(id: usize) -> Self {
        Self {
            id,
            state: State::Starting,
            was_ready: false,
            pid: None,
            version: None,
            takes_tools: false,
            started: None,
            restarts: 0,
            failures: 0,
            got_ready: None,
            last_exit: None,
            next_try: None,
            starting: None,
            turns_running: 0,
            turns_done: 0,
            resident_bytes: None,
            sign_in: None,
        }
    }

    /// Whether it has a process that answers.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Ready | State::Draining)
    }

    fn is_worth_waiting_for(&self) -> bool {
        match self.state {
            State::Starting | State::Ready | State::Draining => true,
            State::BackingOff | State::Failed => self.was_ready,
        }
    }
}

impl WorkerPool {
    /// Starts the workers' supervisors on `tasks`; they work until `shutdown`.
    pub fn start(config: Config, tasks: &TaskTracker, shutdown: CancellationToken) -> Self {
        let pool = Self::idle(config, shutdown);
        let preparing = Arc::new(tokio::sync::Mutex::new(()));
        for id in 0..pool.shared.config.count {
            let supervisor = Supervisor::new(id, pool.shared.clone(), preparing.clone(), tasks.clone());
            tasks.spawn(supervisor.run());
        }
        pool
    }

    /// One whose workers nothing starts.
    pub(super) fn idle(config: Config, shutdown: CancellationToken) -> Self {
        let limits = Limits {
            per_worker: config.max_concurrency,
            starting: STARTING,
            total: config.max_total,
            waiting: config.queue_limit,
        };
        let shared = Arc::new(Shared {
            records: Records::open(config.records_dir.clone()),
            notices: Notices::default(),
            queue: Mutex::new(AdmissionQueue::new(limits)),
            released: Notify::new(),
            facts: watch::Sender::new((0..config.count).map(WorkerFacts::new).collect()),
            restarts: (0..config.count).map(|_| Notify::new()).collect(),
            shutdown,
            config,
        });
        Self { shared }
    }

    /// A place on the least-loaded worker, waiting in line for one within the configured time.
    ///
    /// # Errors
    /// `LoginRequired` when its process knows of no sign-in, `WorkerNotReady` with the reason when no worker is up,
    /// `RateLimited` when the queue is full or the wait was too long.
    pub async fn acquire(&self) -> Result<Lease, TurnError> {
        let lease = self.place().await?;
        let Backend::Session(session) = &lease.backend else { return Ok(lease) };
        match session.account().await {
            Some(Account::SignedOut) => Err(login_required()),
            Some(Account::Usable) | None => Ok(lease),
        }
    }

    /// Replaces every worker: new turns go to the new processes, running ones finish on the old.
    pub fn restart(&self) {
        self.replace(Which::All);
    }

    /// Replaces one worker. Returns whether there is such a worker.
    pub fn restart_one(&self, id: usize) -> bool {
        self.shared.restarts.get(id).map(Notify::notify_one).is_some()
    }

    /// What is known about the workers, as it changes.
    pub fn watch(&self) -> watch::Receiver<Vec<WorkerFacts>> {
        self.shared.facts.subscribe()
    }

    /// How many requests wait for a place.
    pub fn queue_depth(&self) -> usize {
        let mut queue = self.shared.queue();
        queue.forget(oneshot::Sender::is_closed);
        queue.queue_depth()
    }

    /// The models of a worker that is ready.
    pub fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.shared.queue().least_loaded().map(Backend::catalogue)
    }

    async fn place(&self) -> Result<Lease, TurnError> {
        let shared = &self.shared;
        let waiter = {
            let mut queue = shared.queue();
            queue.sweep(Backend::is_closed);
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
        // A turn may have ended, or a worker come up, just before the queue was joined.
        shared.pump();
        self.wait_in_line(waiter).await
    }

    async fn wait_in_line(&self, mut waiter: oneshot::Receiver<Lease>) -> Result<Lease, TurnError> {
        let shared = &self.shared;
        let mut joined = Instant::now();
        let mut down_since = None;
        let mut facts = shared.facts.subscribe();
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
                () = shared.shutdown.cancelled() => return Err(shutting_down()),
                () = sleep_until(since + limit) => {
                    if !up {
                        return Err(self.not_ready(&workers));
                    }
                    if shared.queue().free() == 0 {
                        return Err(waited_too_long(limit));
                    }
                    // There are places; Codex is busy starting turns. One that it does not start is given up.
                    joined = Instant::now();
                }
                _ = facts.changed() => {}
            }
        }
    }

    fn not_ready(&self, workers: &[WorkerFacts]) -> TurnError {
        if self.shared.shutdown.is_cancelled() {
            return shutting_down();
        }
        let next_try = workers.iter().find_map(|worker| worker.last_exit.as_ref().and(worker.next_try));
        let wait = next_try.and_then(|time| time.duration_since(SystemTime::now()).ok()).unwrap_or_default();
        TurnError::new(TurnErrorKind::WorkerNotReady, starting::why_down(workers))
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

impl Shared {
    /// A worker takes turns from now on.
    pub(super) fn open(self: &Arc<Self>, backend: Backend) -> Generation {
        let generation = self.queue().open(backend);
        self.pump();
        generation
    }

    /// A worker takes no more turns.
    pub(super) fn close(&self, generation: Generation) {
        self.queue().close(generation);
    }

    /// Turns that a worker has not ended yet.
    pub(super) fn taken(&self, generation: Generation) -> usize {
        self.queue().taken(generation)
    }

    pub(super) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Waits until a replacement of this worker is asked for.
    pub(super) async fn restart_asked(&self, id: usize) {
        match self.restarts.get(id) {
            Some(restart) => restart.notified().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn ask_restart(&self, id: usize) {
        if let Some(restart) = self.restarts.get(id) {
            restart.notify_one();
        }
    }

    /// Changes what is known about a worker.
    pub(super) fn note(&self, id: usize, change: impl FnOnce(&mut WorkerFacts)) {
        self.facts.send_if_modified(|facts| {
            let Some(worker) = facts.get_mut(id) else { return false };
            let before = worker.clone();
            change(worker);
            *worker != before
        });
    }

    /// Turns that a worker has ended.
    pub(super) fn turns_done(&self, id: usize) -> u64 {
        self.facts.borrow().get(id).map_or(0, |worker| worker.turns_done)
    }

    fn lease(self: &Arc<Self>, generation: Generation, backend: Backend) -> Lease {
        let id = backend.worker();
        self.note(id, |worker| worker.turns_running += 1);
        Lease { permit: Permit::new(self.clone(), generation, id), backend }
    }

    /// Gives free places to those who wait.
    pub(super) fn pump(self: &Arc<Self>) {
        loop {
            let next = {
                let mut queue = self.queue();
                queue.forget(oneshot::Sender::is_closed);
                queue.sweep(Backend::is_closed);
                queue.admit_next()
            };
            let Some((waiter, generation, handle)) = next else { return };
            // Whoever has just stopped waiting gives the place back by dropping it.
            let _ = waiter.send(self.lease(generation, handle));
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, AdmissionQueue<Backend, oneshot::Sender<Lease>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a place is on.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    /// A session with a process that runs many turns.
    Session(Handle),
    /// A Codex that is started for each turn.
    Legacy(Arc<Legacy>),
}

impl Backend {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Session(session) => session.is_closed(),
            Self::Legacy(legacy) => legacy.is_closed(),
        }
    }

    fn worker(&self) -> usize {
        match self {
            Self::Session(session) => session.worker(),
            Self::Legacy(legacy) => legacy.worker(),
        }
    }

    fn capabilities(&self) -> &Capabilities {
        match self {
            Self::Session(session) => session.capabilities(),
            Self::Legacy(legacy) => legacy.capabilities(),
        }
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        match self {
            Self::Session(session) => session.catalogue(),
            Self::Legacy(legacy) => legacy.catalogue(),
        }
    }
}

/// A place on a worker.
#[derive(Debug)]
pub struct Lease {
    permit: Permit,
    backend: Backend,
}

impl Lease {
    /// What this worker's Codex can do.
    pub fn capabilities(&self) -> &Capabilities {
        self.backend.capabilities()
    }

    /// Which worker it is on, from 0.
    pub fn worker(&self) -> usize {
        self.backend.worker()
    }

    /// The models of this worker.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.backend.catalogue()
    }

    /// Starts a turn; the place is taken, and `observer` told, until Codex has ended it.
    ///
    /// # Errors
    /// When this Codex cannot run such a turn, or the worker has just ended.
    pub async fn start(
        self,
        turn: Turn,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<TurnStream, TurnError> {
        let active = ActiveTurn::new(self.permit, observer);
        match self.backend {
            Backend::Session(session) => session.start(turn, active),
            Backend::Legacy(legacy) => legacy.start(turn, active).await,
        }
    }
}
