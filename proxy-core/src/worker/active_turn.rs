//! What a session keeps of a turn until Codex has ended it, however long its client stays.

use std::fmt::Debug;
use std::sync::Arc;

use protocol::turn::Usage;

/// Gets what a turn costs and sends until Codex has ended it; dropped then.
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

/// The turn's place among those that a worker has. Dropping it gives the place back.
pub(super) trait Place: Debug + Send {
    /// The turn has started: the worker has time for the next one. It comes once or not at all.
    fn started(&mut self);
}

/// What a turn has on a worker.
#[derive(Debug)]
pub struct ActiveTurn {
    place: Box<dyn Place>,
    observer: Option<Arc<dyn Observer>>,
}

impl ActiveTurn {
    /// Keeps `place` until the turn has ended, and tells `observer`.
    pub(super) fn new(place: impl Place + 'static, observer: Option<Arc<dyn Observer>>) -> Self {
        Self { place: Box::new(place), observer }
    }

    pub(super) fn started(&mut self) {
        self.place.started();
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
