//! The Codex in use: shows, installs, updates and rolls it back.

use std::path::Path;

use super::ControlHandle;
use super::api::{CodexSource, CodexStatus, Job, JobAction, JobPhase, Managed};
use crate::codex_install::{self as install, Phase, Source};

use crate::codex_install::{Action, CodexError};

impl ControlHandle {
    /// The Codex in use. If its version is unknown, the binary is run to read it.
    pub async fn codex(&self) -> CodexStatus {
        self.0.codex.status().await.into()
    }

    /// Starts an installation, an update or a rollback. If it changes the Codex in use, the workers are
    /// replaced.
    ///
    /// # Errors
    /// If another job is running, or the version cannot be used.
    pub fn change_codex(&self, action: Action, version: Option<&str>) -> Result<Job, CodexError> {
        Ok(self.0.codex.begin(action, version)?.into())
    }

    /// Starts to copy the Codex in `file`, a binary or an archive, and to use the copy.
    ///
    /// # Errors
    /// If another job is running.
    pub fn install_codex_file(&self, file: &Path) -> Result<Job, CodexError> {
        Ok(self.0.codex.begin_file(file)?.into())
    }

    /// Cancels the running installation, update or rollback. Returns false if none is running.
    pub fn cancel_codex_job(&self) -> bool {
        self.0.codex.cancel()
    }
}

impl From<install::CodexStatus> for CodexStatus {
    fn from(status: install::CodexStatus) -> Self {
        Self {
            source: status.source.map(CodexSource::from),
            path: status.path,
            version: status.version,
            supported: status.supported,
            problem: status.problem,
            note: status.note,
            pinned: status.pinned.to_owned(),
            managed: Managed { current: status.managed.current, previous: status.managed.previous },
            elsewhere: status.elsewhere,
            job: status.job.map(Job::from),
        }
    }
}

impl From<install::Job> for Job {
    fn from(job: install::Job) -> Self {
        let install::Job { action, phase, version, bytes, total_bytes, error } = job;
        Self { action: action.into(), phase: phase.into(), version, bytes, total_bytes, error }
    }
}

impl From<Source> for CodexSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Setting => Self::Setting,
            Source::Managed => Self::Managed,
            Source::Path => Self::Path,
        }
    }
}

impl From<Action> for JobAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Install => Self::Install,
            Action::Update => Self::Update,
            Action::Rollback => Self::Rollback,
        }
    }
}

impl From<Phase> for JobPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Resolving => Self::Resolving,
            Phase::Downloading => Self::Downloading,
            Phase::Verifying => Self::Verifying,
            Phase::Unpacking => Self::Unpacking,
            Phase::Checking => Self::Checking,
            Phase::Proving => Self::Proving,
            Phase::Switching => Self::Switching,
            Phase::Done => Self::Done,
            Phase::Failed => Self::Failed,
        }
    }
}
