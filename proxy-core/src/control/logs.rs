//! The log: its last lines and its level.

use std::io;

use super::ControlHandle;
use super::api::{LogLevel, LogTail};
use crate::telemetry::FilterError;

/// The most lines that are shown at once.
const MOST_LINES: usize = 10_000;

impl ControlHandle {
    /// The last lines of the log file. It reads a file, so it blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log_tail(&self, lines: usize) -> io::Result<LogTail> {
        let file = self.0.logs.file().map(|file| file.display().to_string());
        Ok(LogTail { file, lines: self.0.logs.tail(lines.min(MOST_LINES))? })
    }

    /// What is logged now.
    pub fn log_level(&self) -> LogLevel {
        LogLevel { filter: self.0.logs.filter() }
    }

    /// Logs what `filter` names from now on, until the proxy ends.
    ///
    /// # Errors
    /// When it is no filter, or this process does not log.
    pub fn set_log_level(&self, filter: &str) -> Result<LogLevel, FilterError> {
        self.0.logs.set_filter(filter)?;
        tracing::info!(filter, "the log has a new filter");
        Ok(self.log_level())
    }

    /// Log lines dropped because they came faster than they could be written.
    pub fn log_lines_dropped(&self) -> u64 {
        self.0.logs.dropped()
    }
}
