//! What a session keeps of a turn until Codex has ended it, however long its client stays.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use crate::turn::Usage;

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

/// A turn's place on a worker.
#[derive(Debug)]
pub struct Place {
    _held: Box<dyn Any + Send>,
    observer: Option<Arc<dyn Observer>>,
}

impl Place {
    /// A place that keeps `held` until the turn has ended, and tells `observer`.
    pub fn new(held: impl Any + Send, observer: Option<Arc<dyn Observer>>) -> Self {
        Self { _held: Box::new(held), observer }
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
