//! Facts about processes from the operating system, and the only place that starts a process.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

/// A program to start; it is killed when its handle is dropped.
pub(crate) fn command(program: &Path) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the benchmark's one place that spawns")]
    let mut command = Command::new(program);
    command.kill_on_drop(true);
    command
}

/// The CPU time of a process, in user mode and in the kernel.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let fields = stat(pid)?;
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
    let ticks = field(14).zip(field(15)).map(|(user, system)| user + system);
    let ticks = ticks.with_context(|| format!("/proc/{pid}/stat has no CPU times"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).with_context(|| format!("{path} has no VmRSS"))
}

/// The average number of processes that were running or waiting to run, over the last minute.
pub(crate) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    text.split(' ').next().and_then(|first| first.parse().ok()).context("/proc/loadavg is odd")
}

/// The `codex app-server` below a process.
pub(crate) fn app_server_below(pid: u32) -> Result<Child> {
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent)? {
            let args = command_line(child)?;
            if args.iter().any(|arg| arg == "app-server") {
                return Ok(Child { pid: child, args: args.into_iter().skip(1).collect() });
            }
            parents.push(child);
        }
    }
    anyhow::bail!("process {pid} has no `codex app-server` below it")
}

/// A process and its arguments, without the name of the program.
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) args: Vec<String>,
}

/// Asks a process to end, as a service manager would.
pub(crate) fn terminate(pid: u32) -> Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a process id")?;
    kill_process(pid, Signal::TERM).context("cannot send SIGTERM")
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let pids = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        // A process may end while it is checked. Then it counts as no child.
        .filter(|pid| stat(*pid).is_ok_and(|fields| fields.get(1) == Some(&parent.to_string())));
    Ok(pids.collect())
}

/// The fields of `/proc/PID/stat` from the third on; the second is the name, which may contain any character.
fn stat(pid: u32) -> Result<Vec<String>> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (_, rest) = text.rsplit_once(')').with_context(|| format!("{path} is odd"))?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

fn command_line(pid: u32) -> Result<Vec<String>> {
    let path = PathBuf::from(format!("/proc/{pid}/cmdline"));
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(path: impl AsRef<OsStr>) -> String {
    let text = fs::read_to_string(Path::new(path.as_ref())).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_has_a_parent() {
        let pid = std::process::id();
        assert!(resident(pid).unwrap() > 100_000);
        assert!(cpu_time(pid).is_ok());
        let parent = std::os::unix::process::parent_id();
        assert!(children(parent).unwrap().contains(&pid));
    }
}
