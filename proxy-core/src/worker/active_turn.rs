//! A session's state of a turn until Codex has ended it, even if its client has gone before.

use std::fmt::Debug;
use std::sync::Arc;

use protocol::turn::Usage;

/// Receives a turn's usage and the sent lines until Codex has ended the turn; dropped then.
pub trait Observer: Debug + Send + Sync {
    /// Tokens used so far. Called again as they grow, also after the client has gone.
    fn used(&self, usage: Usage);

    /// Whether [`sent`](Self::sent) is to be called.
    fn wants_lines(&self) -> bool {
        false
    }

    /// A line about this turn that is written to Codex.
    fn sent(&self, _line: &str) {}
}

/// The turn's place among those that a worker has. Dropping it gives the place back.
pub(super) trait Place: Debug + Send {
    /// The turn has started, so the worker can start the next one. Called once at most.
    fn started(&mut self);
}

/// The resources of a turn on a worker.
#[derive(Debug)]
pub struct ActiveTurn {
    place: Box<dyn Place>,
    observer: Option<Arc<dyn Observer>>,
}

impl ActiveTurn {
    /// Keeps `place` until the turn has ended, and reports to `observer`.
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
