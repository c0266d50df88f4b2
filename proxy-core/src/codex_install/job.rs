//! The progress of an installation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::CodexError;

/// The purpose of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Put a version into use: the pinned one unless the caller names another.
    Install,
    /// Put the newest version into use, unless the caller names another.
    Update,
    /// Put the previous version into use.
    Rollback,
}

/// The stage of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Reading the registry's list of versions.
    Resolving,
    /// Downloading the archive.
    Downloading,
    /// Checking the archive's digest.
    Verifying,
    /// Unpacking the archive.
    Unpacking,
    /// Running the new binary once.
    Checking,
    /// Proving that it adds nothing to prompts.
    Proving,
    /// Putting the version into use.
    Switching,
    /// The version is in use.
    Done,
    /// The job has failed, and nothing has changed.
    Failed,
}

/// An installation, an update or a rollback, running or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The purpose of the job.
    pub action: Action,
    /// The stage of the job.
    pub phase: Phase,
    /// The version that it puts into use, once that is known.
    pub version: Option<String>,
    /// Downloaded bytes of the archive.
    pub bytes: u64,
    /// All bytes of the archive, once they are known.
    pub total_bytes: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Job {
    /// Whether the job has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Failed)
    }
}

/// The single slot for a job. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct JobSlot {
    job: watch::Sender<Option<Job>>,
    running: Arc<Mutex<Option<CancellationToken>>>,
}

impl Default for JobSlot {
    fn default() -> Self {
        Self { job: watch::Sender::new(None), running: Arc::default() }
    }
}

impl JobSlot {
    /// The last job, as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Job>> {
        self.job.subscribe()
    }

    /// Starts a job unless one is running.
    pub(super) fn begin(&self, action: Action, version: Option<String>) -> Result<Running, CodexError> {
        let mut running = self.running();
        if running.is_some() {
            return Err(CodexError::Busy);
        }
        let cancel = running.insert(CancellationToken::new()).clone();
        let phase = Phase::Resolving;
        self.job.send_replace(Some(Job { action, phase, version, bytes: 0, total_bytes: None, error: None }));
        Ok(Running { slot: self.clone(), cancel, told: AtomicU64::new(0), ended: false })
    }

    /// Requests the running job to stop. Returns whether there is one.
    pub(super) fn cancel(&self) -> bool {
        self.running().as_ref().map(CancellationToken::cancel).is_some()
    }

    fn running(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running job. Dropping it ends it, as cancelled unless another end was set.
#[derive(Debug)]
pub(super) struct Running {
    slot: JobSlot,
    cancel: CancellationToken,
    /// The number of bytes that watchers last got.
    told: AtomicU64,
    ended: bool,
}

/// The number of steps in which watchers get the bytes, or, if the size is not known, the bytes of one step.
const STEPS: u64 = 256;
const STEP: u64 = 1 << 18;

impl Running {
    pub(super) fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The job as it is now.
    pub(super) fn job(&self) -> Option<Job> {
        self.slot.job.borrow().clone()
    }

    pub(super) fn enter(&self, phase: Phase) {
        tracing::debug!(?phase, "installing Codex");
        self.change(|job| job.phase = phase);
    }

    pub(super) fn about(&self, version: &str) {
        self.change(|job| job.version = Some(version.to_owned()));
    }

    pub(super) fn progress(&self, bytes: u64, total: Option<u64>) {
        let step = total.map_or(STEP, |total| total / STEPS);
        let told = self.told.load(Ordering::Relaxed);
        let first = told == 0 || bytes < told;
        if first || bytes - told >= step || total == Some(bytes) {
            self.told.store(bytes, Ordering::Relaxed);
            self.change(|job| (job.bytes, job.total_bytes) = (bytes, total));
        }
    }

    /// Ends the job. A watcher of its end may start the next one at once.
    pub(super) fn end(mut self, result: &Result<String, CodexError>) -> Option<Job> {
        self.finish(|job| match result {
            Ok(version) => (job.phase, job.version) = (Phase::Done, Some(version.clone())),
            Err(error) => (job.phase, job.error) = (Phase::Failed, Some(error.to_string())),
        })
    }

    fn finish(&mut self, change: impl FnOnce(&mut Job)) -> Option<Job> {
        let mut running = self.slot.running();
        self.ended = true;
        self.change(change);
        running.take();
        self.job()
    }

    /// Waits for `work`, unless the job is cancelled first.
    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, CodexError>>,
    ) -> Result<T, CodexError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(CodexError::Cancelled),
            result = work => result,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Job)) {
        self.slot.job.send_if_modified(|job| job.as_mut().map(change).is_some());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
        if !self.ended {
            self.finish(|job| {
                (job.phase, job.error) = (Phase::Failed, Some(CodexError::Cancelled.to_string()));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_at_a_time() {
        let slot = JobSlot::default();
        assert!(!slot.cancel());
        let running = slot.begin(Action::Install, None).unwrap();
        assert!(matches!(slot.begin(Action::Update, None), Err(CodexError::Busy)));
        let job = running.end(&Ok("1.0.0".into())).unwrap();
        assert_eq!((job.phase, job.version.as_deref()), (Phase::Done, Some("1.0.0")));
        assert!(slot.begin(Action::Rollback, None).is_ok());
    }

    #[test]
    fn a_job_that_is_dropped_has_failed_and_frees_the_desk() {
        let slot = JobSlot::default();
        let running = slot.begin(Action::Install, None).unwrap();
        let token = running.cancellation().clone();
        drop(running);
        assert!(token.is_cancelled(), "what runs on a thread of its own is told");
        assert_eq!(slot.watch().borrow().as_ref().unwrap().phase, Phase::Failed);
        let next = slot.begin(Action::Install, None).unwrap();
        assert!(slot.cancel() && next.cancellation().is_cancelled());
    }

    #[test]
    fn watchers_are_told_of_the_last_byte() {
        let slot = JobSlot::default();
        let running = slot.begin(Action::Install, None).unwrap();
        for bytes in 0..=1000 {
            running.progress(bytes, Some(1000));
        }
        assert_eq!(slot.watch().borrow().as_ref().unwrap().bytes, 1000);
    }
}
