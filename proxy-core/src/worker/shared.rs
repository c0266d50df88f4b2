//! The state that the pool and its supervisors share: places, facts about each worker, and requested replacements.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::active_turn::{ActiveTurn, Observer, Place};
use super::admission_queue::{AdmissionQueue, Generation, Limits};
use super::facts::WorkerFacts;
use super::legacy::Legacy;
use super::notices::Notices;
use super::orphans::PidFiles;
use super::session::{Handle, KeptThread, TurnStream};
use protocol::codex::Capabilities;
use protocol::turn::{Catalogue, Turn, TurnError};

/// The most turns that a worker may be starting at the same time.
const STARTING: usize = 16;

/// The state that the pool and its supervisors share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) pid_files: PidFiles,
    pub(super) notices: Notices,
    queue: Mutex<AdmissionQueue<Runner, oneshot::Sender<Lease>>>,
    /// Notified whenever a turn ends: drains wait for it.
    pub(super) released: Notify,
    facts: watch::Sender<Vec<WorkerFacts>>,
    restarts: Vec<Notify>,
    shutdown: CancellationToken,
}

impl Shared {
    /// The state for the number of workers in `config`; none of them takes turns yet.
    pub(super) fn new(config: Config, shutdown: CancellationToken) -> Self {
        let limits = Limits {
            per_worker: config.max_concurrency,
            starting: STARTING,
            total: config.max_total,
            waiting: config.queue_limit,
        };
        Self {
            pid_files: PidFiles::open(config.records_dir.clone()),
            notices: Notices::default(),
            queue: Mutex::new(AdmissionQueue::new(limits)),
            released: Notify::new(),
            facts: watch::Sender::new((0..config.count).map(WorkerFacts::new).collect()),
            restarts: (0..config.count).map(|_| Notify::new()).collect(),
            shutdown,
            config,
        }
    }

    /// The facts about the workers, as they change.
    pub(super) fn watch(&self) -> watch::Receiver<Vec<WorkerFacts>> {
        self.facts.subscribe()
    }

    /// A worker takes turns from now on.
    pub(super) fn open(self: &Arc<Self>, runner: Runner) -> Generation {
        let generation = self.queue().open(runner);
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

    /// Waits until a replacement of this worker is requested.
    pub(super) async fn restart_asked(&self, id: usize) {
        match self.restarts.get(id) {
            Some(restart) => restart.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Requests a replacement of this worker. Returns whether there is such a worker.
    pub(super) fn ask_restart(&self, id: usize) -> bool {
        self.restarts.get(id).map(Notify::notify_one).is_some()
    }

    /// Changes the facts about a worker.
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

    /// A lease on a place that the queue has just given out.
    pub(super) fn lease(self: &Arc<Self>, generation: Generation, runner: Runner) -> Lease {
        let id = runner.worker();
        self.note(id, |worker| worker.turns_running += 1);
        Lease { permit: Permit::new(self.clone(), generation, id), runner }
    }

    /// Gives free places to waiting requests.
    pub(super) fn pump(self: &Arc<Self>) {
        loop {
            let next = {
                let mut queue = self.queue();
                queue.forget(oneshot::Sender::is_closed);
                queue.sweep(Runner::is_closed);
                queue.admit_next()
            };
            let Some((waiter, generation, handle)) = next else { return };
            // A waiter that has just been dropped gives the place back: its lease is dropped too.
            let _ = waiter.send(self.lease(generation, handle));
        }
    }

    /// The places, and the queue for them.
    pub(super) fn queue(&self) -> MutexGuard<'_, AdmissionQueue<Runner, oneshot::Sender<Lease>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a place until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    shared: Arc<Shared>,
    generation: Generation,
    worker: usize,
    /// Whether a turn has still to be started on it, or is starting.
    starting: bool,
    /// Whether a turn was started on it.
    used: bool,
}

impl Permit {
    /// For a place that the queue has just given out.
    fn new(shared: Arc<Shared>, generation: Generation, worker: usize) -> Self {
        Self { shared, generation, worker, starting: true, used: false }
    }
}

impl Place for Permit {
    fn started(&mut self) {
        if std::mem::take(&mut self.starting) {
            self.shared.queue().started(self.generation);
            self.shared.pump();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut queue = self.shared.queue();
            if self.starting {
                queue.started(self.generation);
            }
            queue.give_back(self.generation);
        }
        self.shared.note(self.worker, |worker| {
            worker.turns_running = worker.turns_running.saturating_sub(1);
            worker.turns_done += u64::from(self.used);
        });
        self.shared.released.notify_waiters();
        self.shared.pump();
    }
}

/// The target of a place.
#[derive(Debug, Clone)]
pub(super) enum Runner {
    /// A session with a process that runs many turns.
    Session(Handle),
    /// A Codex that is started for each turn.
    Legacy(Arc<Legacy>),
}

impl Runner {
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

    /// The session; the legacy Codex has none that lasts.
    pub(super) fn session(&self) -> Option<&Handle> {
        match self {
            Self::Session(session) => Some(session),
            Self::Legacy(_) => None,
        }
    }

    fn capabilities(&self) -> &Capabilities {
        match self {
            Self::Session(session) => session.capabilities(),
            Self::Legacy(legacy) => legacy.capabilities(),
        }
    }

    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
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
    pub(super) runner: Runner,
}

impl Lease {
    /// The capabilities of this worker's Codex.
    pub fn capabilities(&self) -> &Capabilities {
        self.runner.capabilities()
    }

    /// The worker's number, from 0.
    pub fn worker(&self) -> usize {
        self.runner.worker()
    }

    /// The models of this worker.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.runner.catalogue()
    }

    /// The session that the place is on; the legacy Codex has none that lasts.
    pub fn session(&self) -> Option<&Handle> {
        self.runner.session()
    }

    /// Starts a turn on a thread of this worker that was kept. Its transcript has only what the thread does not have.
    ///
    /// # Errors
    /// When this Codex cannot run such a turn, or the worker has just ended.
    pub fn extend(
        self,
        thread: KeptThread,
        turn: Turn,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<TurnStream, TurnError> {
        let Self { mut permit, runner: _ } = self;
        permit.used = true;
        thread.extend(turn, ActiveTurn::new(permit, observer))
    }

    /// Starts a turn. The place is taken, and `observer` gets reports, until Codex has ended the turn.
    ///
    /// # Errors
    /// When this Codex cannot run such a turn, or the worker has just ended.
    pub async fn start(
        self,
        turn: Turn,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<TurnStream, TurnError> {
        let Self { mut permit, runner } = self;
        permit.used = true;
        let active = ActiveTurn::new(permit, observer);
        match runner {
            Runner::Session(session) => session.start(turn, active),
            Runner::Legacy(legacy) => legacy.start(turn, active).await,
        }
    }
}
