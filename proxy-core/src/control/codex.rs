//! Which Codex is used: to see, install, update and roll back.

use std::path::Path;

use tokio::sync::watch;

use super::ControlHandle;
use crate::codex_install::{Action, CodexError, CodexStatus, Job};

impl ControlHandle {
    /// Which Codex is used now. One that is not known yet is asked for its version.
    pub async fn codex(&self) -> CodexStatus {
        self.0.codex.status().await
    }

    /// Starts an installation, an update or a rollback; once it has put another Codex into use, the workers are
    /// replaced.
    ///
    /// # Errors
    /// When another is running, or the version is of no use.
    pub fn change_codex(&self, action: Action, version: Option<&str>) -> Result<Job, CodexError> {
        self.0.codex.begin(action, version)
    }

    /// Starts to make a copy of the Codex that `file` is or holds, and to put it into use.
    ///
    /// # Errors
    /// When another is running.
    pub fn install_codex_file(&self, file: &Path) -> Result<Job, CodexError> {
        self.0.codex.begin_file(file)
    }

    /// Asks the running installation, update or rollback to stop. Returns whether there is one.
    pub fn cancel_codex_job(&self) -> bool {
        self.0.codex.cancel()
    }

    /// The last installation, update or rollback, as it goes on.
    pub fn codex_progress(&self) -> watch::Receiver<Option<Job>> {
        self.0.codex.progress()
    }
}
