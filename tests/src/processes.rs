//! Processes that a test has not started itself, by their ids.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::until;

/// Whether a process is gone, or nothing but its status is left.
pub fn is_gone(pid: impl Into<u64>) -> bool {
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.into())).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

/// Waits until a process is gone.
pub async fn gone(pid: impl Into<u64>) {
    let pid = pid.into();
    until("the end of a process", async || is_gone(pid).then_some(())).await;
}

/// Sends a signal to a process that runs.
pub fn signal(pid: impl Into<u64>, signal: Signal) {
    let pid = i32::try_from(pid.into()).ok().and_then(Pid::from_raw).expect("an id of a process");
    kill_process(pid, signal).expect("it can be signalled");
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u64) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}
