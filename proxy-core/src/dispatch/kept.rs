//! The threads that wait for their next turn, on all workers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::{Instant as Timer, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::threads::{Found, Kept, Kind, Limits, ThreadSource, Threads};
use crate::worker::{Handle, KeptThread, WorkerPool};
use protocol::turn::lineage::{Hasher, Lineage};
use protocol::turn::{Finish, Item, ThreadSpec, Turn, TurnEvent, TurnOutput};

/// The threads that are kept. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct KeptThreads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    hasher: Hasher,
    threads: Mutex<Threads<KeptThread>>,
    /// Notified when a thread begins to wait.
    changed: Notify,
}

impl KeptThreads {
    /// None yet, within these limits for each of `workers`.
    pub(super) fn new(limits: Limits, workers: usize) -> Self {
        let limits = Limits { threads: limits.threads.saturating_mul(workers), ..limits };
        let hasher = Hasher::new(uuid::Uuid::new_v4().as_u64_pair().0);
        let threads = Mutex::new(Threads::new(limits));
        Self(Arc::new(Shared { limits, hasher, threads, changed: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Threads<KeptThread>> {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// What tells threads for such a turn of this key apart from others.
    pub(super) fn kind(&self, owner: &str, spec: &ThreadSpec) -> Kind {
        Kind { owner: owner.to_owned(), spec: self.0.hasher.spec(spec) }
    }

    /// The thread that has most of this turn's transcript.
    pub(super) fn take(&self, kind: &Kind, turn: &Turn, pool: &WorkerPool) -> Option<Found<KeptThread>> {
        if self.0.limits.threads == 0 {
            return None;
        }
        let mut history = self.0.hasher.history(&turn.items);
        self.lock()
            .take(kind, &mut history, &turn.items, |thread| !thread.is_gone() && pool.has(thread.session()))
    }

    /// Follows a turn, so that its thread can be kept.
    pub(super) fn follow(
        &self,
        kind: Kind,
        mut lineage: Lineage,
        new: &[Item],
        session: Option<&Handle>,
    ) -> Option<Follow> {
        let session = session.filter(|_| self.0.limits.threads > 0)?.clone();
        self.0.hasher.give(&mut lineage, new);
        let (said, shown) = (TurnOutput::default(), TurnOutput::default());
        Some(Follow { threads: self.clone(), kind, lineage, session, said, shown })
    }

    fn keep(&self, thread: Kept<KeptThread>) {
        let gone = self.lock().keep(thread);
        drop(gone);
        self.0.changed.notify_one();
    }

    /// Closes the threads of keys that do not exist any more.
    pub(super) fn forget_others(&self, exists: impl Fn(&str) -> bool) {
        let gone = self.lock().sweep(Instant::now(), |kind, _| !exists(&kind.owner));
        drop(gone);
    }

    /// Closes threads that have waited too long, or whose worker was replaced, until `shutdown`.
    pub(super) async fn sweep(&self, pool: WorkerPool, shutdown: CancellationToken) {
        let mut workers = pool.watch();
        loop {
            let next = self.lock().next_sweep();
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.0.changed.notified() => continue,
                changed = workers.changed() => if changed.is_err() { break },
                () = at(next) => {}
            }
            let gone = self.lock().sweep(Instant::now(), |_, thread| !pool.has(thread.session()));
            drop(gone);
        }
        let all = self.lock().sweep(Instant::now(), |_, _| true);
        drop(all);
    }

    /// Whether a thread of this kind can be started ahead, and none is ready.
    pub(super) fn lacks_warm(&self, kind: &Kind) -> bool {
        self.0.limits.warm > 0 && !self.lock().is_warm(kind)
    }

    /// Starts a thread ahead for the next chat of this kind, if there is none.
    pub(super) fn warm(&self, kind: Kind, spec: ThreadSpec, session: Handle) {
        if !self.lacks_warm(&kind) {
            return;
        }
        let threads = self.clone();
        tokio::spawn(async move {
            let Some(handle) = session.warm(spec).await else { return };
            let (lineage, calls) = (Lineage::default(), Vec::new());
            threads.keep(Kept { kind, lineage, calls, since: Instant::now(), handle });
        });
    }
}

/// A turn whose thread may be kept.
#[derive(Debug)]
pub(super) struct Follow {
    threads: KeptThreads,
    kind: Kind,
    lineage: Lineage,
    session: Handle,
    /// What the model has said: that is what the thread has.
    said: TurnOutput,
    /// What the client was shown of it: that is what it sends back.
    shown: TurnOutput,
}

impl Follow {
    /// The turn starts again, on a new thread with this transcript.
    pub(super) fn begin_again(&mut self, items: &[Item]) {
        (self.said, self.shown) = (TurnOutput::default(), TurnOutput::default());
        self.lineage = Lineage::default();
        self.threads.0.hasher.give(&mut self.lineage, items);
    }

    /// An event from Codex.
    pub(super) fn said(&mut self, event: &TurnEvent) {
        if let TurnEvent::Withdrawn { id } = event {
            self.said.withdraw(id);
        }
        self.said.push(event);
    }

    /// An event that the client gets.
    pub(super) fn shown(&mut self, event: &TurnEvent) {
        if let TurnEvent::Withdrawn { id } = event {
            self.shown.withdraw(id);
        }
        self.shown.push(event);
    }

    /// The turn is over. Its thread is kept if the client has all that the model has said, and nothing else.
    pub(super) fn end(mut self, source: ThreadSource, spec: ThreadSpec, thread: Option<KeptThread>) {
        let is_whole = matches!(self.shown.end, Some(Ok(Finish::Stop | Finish::ToolCalls)))
            && self.said.items == self.shown.items
            && self.threads.0.hasher.say(&mut self.lineage, &self.said.items);
        let Self { threads, kind, lineage, session, .. } = self;
        let Some(handle) = thread.filter(|_| is_whole) else { return };
        let calls = handle.calls().to_vec();
        threads.keep(Kept { kind: kind.clone(), lineage, calls, since: Instant::now(), handle });
        match source {
            ThreadSource::Fresh | ThreadSource::Warm => threads.warm(kind, spec, session),
            ThreadSource::Reused | ThreadSource::Parked => {}
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(Timer::from_std(time)).await,
        None => std::future::pending().await,
    }
}
