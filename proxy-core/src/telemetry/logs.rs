//! The log of the running proxy: changes its filter and reads its last lines.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing_subscriber::{EnvFilter, Registry, reload};

use super::queue::Queue;
use super::{file, filter_of};

/// The running log. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    filter: Mutex<String>,
    reload: reload::Handle<EnvFilter, Registry>,
    file: Option<PathBuf>,
    queues: Vec<Queue>,
}

/// Why the log's filter was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is not in the syntax of `RUST_LOG`.
    #[error("`{0}` is not a log filter; it is for example `info` or `info,proxy_core=debug`")]
    Invalid(String),
    /// This process has no log.
    #[error("the proxy was started without a log, so it has no filter to change")]
    NoLog,
}

impl Logs {
    pub(super) fn new(
        filter: String,
        reload: reload::Handle<EnvFilter, Registry>,
        file: Option<PathBuf>,
        queues: Vec<Queue>,
    ) -> Self {
        Self { inner: Some(Arc::new(Inner { filter: Mutex::new(filter), reload, file, queues })) }
    }

    /// The events that are logged, in the syntax of `RUST_LOG`.
    pub fn filter(&self) -> String {
        self.inner.as_ref().map_or_else(
            || "off".to_owned(),
            |inner| inner.filter.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        )
    }

    /// Replaces the filter.
    ///
    /// # Errors
    /// If the filter is not valid.
    pub fn set_filter(&self, filter: &str) -> Result<(), FilterError> {
        let Some(inner) = &self.inner else { return Err(FilterError::NoLog) };
        let parsed = filter_of(filter).map_err(|_| FilterError::Invalid(filter.to_owned()))?;
        // One lock for both, so that the filter that is shown is always the one in force.
        let mut shown = inner.filter.lock().unwrap_or_else(PoisonError::into_inner);
        inner.reload.reload(parsed).map_err(|_| FilterError::NoLog)?;
        filter.clone_into(&mut shown);
        Ok(())
    }

    /// The log file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.inner.as_ref()?.file.as_deref()
    }

    /// The last lines of the log file, oldest first; empty if there is no file. It reads a file, so it blocks.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn tail(&self, lines: usize) -> io::Result<Vec<String>> {
        if let Some(inner) = &self.inner {
            // The result should contain the lines that were just logged.
            inner.flush(Duration::from_millis(200));
        }
        self.file().map_or_else(|| Ok(Vec::new()), |path| file::tail(path, lines))
    }

    /// The number of lines that were dropped because they came faster than they could be written.
    pub fn dropped(&self) -> u64 {
        self.inner.as_ref().map_or(0, |inner| inner.queues.iter().map(Queue::dropped_ever).sum())
    }

    /// Waits until all lines are written, for at most `limit` for each output.
    pub(super) fn flush(&self, limit: Duration) {
        if let Some(inner) = &self.inner {
            inner.flush(limit);
        }
    }
}

impl Inner {
    fn flush(&self, limit: Duration) {
        for queue in &self.queues {
            // An output that is blocked must not delay the caller further.
            let _ = queue.flush(limit);
        }
    }
}
