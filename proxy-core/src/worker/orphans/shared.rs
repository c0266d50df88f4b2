//! The pid file of a running process. The code that starts the process and the code that sees its end share it.

use std::sync::{Arc, Mutex, PoisonError};

use super::{PidFile, PidFiles};

/// A pid file that can be removed from two places. A process without one still runs: only a killed proxy could not
/// find it again, and then the process ends by itself because its input is closed.
#[derive(Debug, Clone)]
pub(in super::super) struct SharedPidFile(Arc<Mutex<Option<PidFile>>>);

impl SharedPidFile {
    /// Writes the pid file of the process that has just been started as `pid`.
    pub(in super::super) fn write(files: &PidFiles, pid: Option<u32>) -> Self {
        let file = pid.and_then(|pid| {
            let written = files.write(pid);
            written
                .inspect_err(|error| tracing::warn!(%error, pid, "a codex process could not be recorded"))
                .ok()
        });
        Self(Arc::new(Mutex::new(file)))
    }

    /// Updates the list of its processes, because launchers start others.
    pub(in super::super) fn refresh(&self) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = file.as_mut().map(PidFile::refresh) {
            tracing::warn!(%error, "the record of a codex process could not be brought up to date");
        }
    }

    /// Removes the file: the process has ended.
    pub(in super::super) fn remove(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
