//! Processes on all other systems, from `sysinfo`.

use std::io;

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

use super::{Identity, Running};

/// Every process that is visible to this one.
///
/// # Errors
/// When the system does not list them.
pub(in super::super) fn all() -> io::Result<Vec<Running>> {
    let system = refreshed(ProcessesToUpdate::All)?;
    Ok(system.processes().values().filter_map(running).collect())
}

/// The process with this id, if there is one.
pub(in super::super) fn look(pid: u32) -> Option<Running> {
    let pid = Pid::from_u32(pid);
    running(refreshed(ProcessesToUpdate::Some(&[pid])).ok()?.process(pid)?)
}

/// Start times are times of day here, so boots need no identity.
pub(in super::super) fn boot_id() -> Option<String> {
    None
}

fn refreshed(which: ProcessesToUpdate<'_>) -> io::Result<System> {
    let mut system = System::new().map_err(io::Error::other)?;
    system.refresh_processes_specifics(which, true, ProcessRefreshKind::nothing());
    Ok(system)
}

fn running(process: &Process) -> Option<Running> {
    let pid = process.pid().as_u32();
    Some(Running {
        identity: Identity { pid, start_time: process.start_time() },
        group: group_of(pid)?,
        ended: matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead),
    })
}

#[cfg(unix)]
fn group_of(pid: u32) -> Option<u32> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    u32::try_from(rustix::process::getpgid(Some(pid)).ok()?.as_raw_nonzero().get()).ok()
}

#[cfg(not(unix))]
fn group_of(pid: u32) -> Option<u32> {
    Some(pid)
}
