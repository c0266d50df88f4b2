//! The log: its last lines and its level.

use std::io;

use super::ControlHandle;
use super::api::{LogLevel, LogTail};
use crate::telemetry::FilterError;

/// The maximum number of lines that are returned at once.
const MOST_LINES: usize = 10_000;

impl ControlHandle {
    /// The last lines of the log file. It reads a file, so it blocks.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn log_tail(&self, lines: usize) -> io::Result<LogTail> {
        let file = self.0.logs.file().map(|file| file.display().to_string());
        Ok(LogTail { file, lines: self.0.logs.tail(lines.min(MOST_LINES))? })
    }

    /// The current filter of the log.
    pub fn log_level(&self) -> LogLevel {
        LogLevel { filter: self.0.logs.filter() }
    }

    /// Sets the filter of the log until the proxy ends.
    ///
    /// # Errors
    /// If the filter is not valid, or this process does not log.
    pub fn set_log_level(&self, filter: &str) -> Result<LogLevel, FilterError> {
        self.0.logs.set_filter(filter)?;
        tracing::info!(filter, "the log has a new filter");
        Ok(self.log_level())
    }

    /// The number of log lines that were dropped because they came faster than they could be written.
    pub fn log_lines_dropped(&self) -> u64 {
        self.0.logs.dropped()
    }
}
