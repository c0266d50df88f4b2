//! What a session keeps of a turn until Codex has ended it, however long its client stays.

use std::fmt::Debug;
use std::sync::Arc;

use super::admission_queue::Generation;
use super::pool::Shared;
use protocol::turn::Usage;

/// Hears about a turn until Codex has ended it; dropped then.
pub trait Observer: Debug + Send + Sync {
    /// Tokens used so far. Comes again as they grow, also when the client has gone.
    fn used(&self, usage: Usage);

    /// Whether [`sent`](Self::sent) is of interest.
    fn wants_lines(&self) -> bool {
        false
    }

    /// A line about this turn that is written to Codex.
    fn sent(&self, _line: &str) {}
}

/// Holds a place until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    shared: Arc<Shared>,
    generation: Generation,
    worker: usize,
    /// Whether a turn is to be started on it, or is being.
    starting: bool,
    /// Whether a turn was started on it.
    used: bool,
}

impl Permit {
    /// For a place that the queue has just given out.
    pub(super) fn new(shared: Arc<Shared>, generation: Generation, worker: usize) -> Self {
        Self { shared, generation, worker, starting: true, used: false }
    }

    /// The turn has started: the worker has time for the next one.
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

/// A turn's place on a worker.
#[derive(Debug)]
pub struct ActiveTurn {
    permit: Permit,
    observer: Option<Arc<dyn Observer>>,
}

impl ActiveTurn {
    /// A place that keeps `permit` until the turn has ended, and tells `observer`.
    pub(super) fn new(mut permit: Permit, observer: Option<Arc<dyn Observer>>) -> Self {
        permit.used = true;
        Self { permit, observer }
    }

    pub(super) fn started(&mut self) {
        self.permit.started();
    }

    pub(super) fn used(&self, usage: Usage) {
        if let Some(observer) = &self.observer {
            observer.used(usage);
        }
    }

    pub(super) fn sent(&self, line: &str) {
        if let Some(observer) = self.observer.as_ref().filter(|observer| observer.wants_lines()) {
            observer.sent(line);
        }
    }
}
