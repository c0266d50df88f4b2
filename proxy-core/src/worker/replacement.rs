//! Selects workers to replace, and waits for their replacement.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;

use super::State;
use super::facts::WorkerFacts;

/// The workers to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those that are starting now.
    Unready,
    /// Those that are up with a process that read another sign-in at its start than the one written at this time.
    StartedWithout(SystemTime),
}

impl Which {
    pub(super) fn includes(self, worker: &WorkerFacts) -> bool {
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
    pub(super) limit: Duration,
    pub(super) facts: watch::Receiver<Vec<WorkerFacts>>,
    /// Each worker, and the sign-in that its old process read.
    pub(super) replaced: Vec<(usize, Option<SystemTime>)>,
}

impl Replacement {
    /// Whether there is no worker to replace.
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty()
    }

    /// Waits until the new processes, which have read another sign-in at their start, take turns, for at most the
    /// start time of a worker.
    pub async fn with_other_sign_in(mut self) {
        let is_old =
            |worker: &WorkerFacts| worker.is_up() && self.replaced.contains(&(worker.id, worker.sign_in));
        let taken_over = self.facts.wait_for(|workers| !workers.iter().any(is_old));
        // The other workers take the turns of one that cannot be replaced in time.
        let _ = timeout(self.limit, taken_over).await;
    }
}
