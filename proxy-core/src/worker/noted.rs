//! A running process's record, shared by those who see it begin and those who see it end.

use std::sync::{Arc, Mutex, PoisonError};

use super::record::{Record, Records};

/// The record of one process. A process that cannot be recorded runs all the same: only a killed proxy would
/// leave it unfound, and its closed input ends it then.
#[derive(Debug, Clone)]
pub(super) struct Noted(Arc<Mutex<Option<Record>>>);

impl Noted {
    pub(super) fn new(records: &Records, pid: Option<u32>) -> Self {
        let noted = pid.and_then(|pid| {
            let noted = records.note(pid);
            noted
                .inspect_err(|error| tracing::warn!(%error, pid, "a codex process could not be recorded"))
                .ok()
        });
        Self(Arc::new(Mutex::new(noted)))
    }

    /// Looks again which processes belong to it: launchers start others.
    pub(super) fn refresh(&self) {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = record.as_mut().map(Record::refresh) {
            tracing::warn!(%error, "the record of a codex process could not be brought up to date");
        }
    }

    /// The process has ended.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
