//! Writes the reports of panics to the log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::time::Duration;

use super::Logs;

/// Sends the report of every panic to the log instead of directly to standard error, so that it is redacted. The
/// log also writes it to standard error.
pub(super) fn log(logs: Logs) {
    panic::set_hook(Box::new(move |info| {
        report(info);
        // The process may abort after this.
        logs.flush(Duration::from_millis(500));
    }));
}

fn report(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let current = std::thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(target: super::PANIC, location, thread, %backtrace, "panicked: {message}");
    } else {
        tracing::error!(target: super::PANIC, location, thread, "panicked: {message}");
    }
}
