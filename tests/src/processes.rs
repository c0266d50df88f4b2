//! Processes that a test has not started itself, by their process IDs.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::patience::until;

/// Whether a process is gone or a zombie.
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

/// Sends a signal to a process, unless it has already ended.
pub fn signal_if_there(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("an id of a process");
    match kill_process(pid, signal) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => panic!("{pid:?} cannot be signalled: {error}"),
    }
}

/// The processes that were started with this in their environment, as `NAME=value`.
pub fn with_variable(variable: &str) -> Vec<u32> {
    let has_it = |pid: &u32| {
        // Processes of other users cannot be read, and some end in the meantime.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|pair| pair == variable.as_bytes())
    };
    let all = fs::read_dir("/proc").expect("Linux has /proc");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(has_it).collect()
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u64) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}

#[cfg(test)]
mod tests {
    use tokio::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_process_is_found_by_its_environment_until_it_ends() {
        let value = format!("E2E_FOUND_BY={}", std::process::id());
        let (name, text) = value.split_once('=').unwrap();
        let mut child = Command::new("sleep").arg("60").env(name, text).kill_on_drop(true).spawn().unwrap();
        let pid = child.id().unwrap();
        // The parent process continues before the system has set up the environment of a new program.
        until("its environment", async || (with_variable(&value) == [pid]).then_some(())).await;
        assert_eq!(with_variable(&format!("{value}0")), [0; 0]);
        signal_if_there(pid, Signal::KILL);
        child.wait().await.unwrap();
        signal_if_there(pid, Signal::KILL);
        assert_eq!(with_variable(&value), [0; 0]);
    }
}
