//! The progress of a proof, for watchers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::{ProveError, Report};
use crate::codex_install::proofs::Verdict;

/// The stage of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Codex is being started.
    Starting,
    /// Requests are being made.
    Asking,
    /// The proof is complete.
    Done,
    /// No proof could be made.
    Failed,
}

/// A proof, running or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The stage of the proof.
    pub phase: Phase,
    /// The version that is proved, once that is known.
    pub version: Option<String>,
    /// Requests that have been answered.
    pub done: usize,
    /// All requests of the proof.
    pub all: usize,
    /// The verdict, once there is one.
    pub verdict: Option<Verdict>,
    /// Why no proof could be made.
    pub error: Option<String>,
}

impl Job {
    /// Whether the proof has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Failed)
    }
}

/// The single slot for a proof. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct JobSlot {
    job: watch::Sender<Option<Job>>,
    place: Arc<Mutex<()>>,
}

impl Default for JobSlot {
    fn default() -> Self {
        Self { job: watch::Sender::new(None), place: Arc::default() }
    }
}

impl JobSlot {
    pub(super) fn watch(&self) -> watch::Receiver<Option<Job>> {
        self.job.subscribe()
    }

    /// Starts a proof unless one is being made.
    pub(super) fn begin(&self) -> Result<Running, ProveError> {
        let place = self.place.clone().try_lock_owned().map_err(|_| ProveError::Busy)?;
        Ok(self.run(place))
    }

    /// Starts a proof once the one that is being made has ended.
    pub(super) async fn wait(&self) -> Running {
        let place = self.place.clone().lock_owned().await;
        self.run(place)
    }

    fn run(&self, place: OwnedMutexGuard<()>) -> Running {
        let job = Job { phase: Phase::Starting, version: None, done: 0, all: 0, verdict: None, error: None };
        self.job.send_replace(Some(job));
        Running { job: self.job.clone(), _place: place }
    }
}

/// A proof that is being made. Dropping it before its end counts as a failure.
#[derive(Debug)]
pub(super) struct Running {
    job: watch::Sender<Option<Job>>,
    _place: OwnedMutexGuard<()>,
}

impl Running {
    pub(super) fn job(&self) -> Option<Job> {
        self.job.borrow().clone()
    }

    pub(super) fn about(&self, version: &str) {
        self.change(|job| job.version = Some(version.to_owned()));
    }

    pub(super) fn asked(&self, done: usize, all: usize) {
        self.change(|job| (job.phase, job.done, job.all) = (Phase::Asking, done, all));
    }

    pub(super) fn end(self, made: Result<&Report, &ProveError>) {
        self.change(|job| match made {
            Ok(report) => (job.phase, job.verdict) = (Phase::Done, Some(report.verdict)),
            Err(error) => (job.phase, job.error) = (Phase::Failed, Some(error.to_string())),
        });
    }

    fn change(&self, change: impl FnOnce(&mut Job)) {
        self.job.send_if_modified(|job| job.as_mut().map(change).is_some());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.job.send_if_modified(|job| match job {
            Some(job) if !job.is_over() => {
                (job.phase, job.error) = (Phase::Failed, Some("it was broken off. Try again.".to_owned()));
                true
            }
            Some(_) | None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_one_that_is_dropped_has_failed() {
        let slot = JobSlot::default();
        let running = slot.begin().unwrap();
        running.asked(1, 9);
        assert!(matches!(slot.begin(), Err(ProveError::Busy)));
        drop(running);
        assert_eq!(slot.watch().borrow().as_ref().unwrap().phase, Phase::Failed);
        slot.wait().await.end(Err(&ProveError::Legacy));
        assert!(slot.watch().borrow().as_ref().unwrap().error.as_ref().unwrap().contains("proto"));
        assert!(slot.begin().is_ok());
    }
}
