//! Panics are bugs, and the log is where their report is looked for.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::time::Duration;

use super::Logs;

/// Sends the report of every panic to the log, which redacts it, instead of straight to standard error. It is there
/// as well, as everything in the log is.
pub(super) fn log(logs: Logs) {
    panic::set_hook(Box::new(move |info| {
        report(info);
        // The process may be about to abort.
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
