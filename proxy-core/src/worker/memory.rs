//! The memory that a worker uses.

use super::processes;

/// The resident memory of a process in bytes; `None` when there is no such process or it has just ended.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    system::resident_bytes(pid)
}

/// The resident memory of all processes of a group in bytes; `None` when no process of it is running.
///
/// Codex installed by npm is a launcher that starts the real program in its group, so the memory of the worker's
/// own process is only a small part. Shared pages count for each process. On systems without groups, this is the
/// memory of the process alone.
pub fn group_resident_bytes(group: u32) -> Option<u64> {
    let all = processes::all().ok()?;
    let members = all.iter().filter(|process| process.group == group);
    members.filter_map(|process| resident_bytes(process.identity.pid)).reduce(u64::saturating_add)
}

#[cfg(target_os = "linux")]
mod system {
    /// From `VmRSS`, so that the page size does not matter. A process that has ended has no such line.
    pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
        resident_in(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    pub(super) fn resident_in(status: &str) -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

    pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
        let pid = Pid::from_u32(pid);
        let mut system = System::new().ok()?;
        let what = ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
        Some(system.process(pid)?.memory())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn memory_that_is_touched_becomes_resident() {
        let before = resident_bytes(std::process::id()).unwrap();
        let touched = vec![1_u8; 64 * MIB];
        let after = resident_bytes(std::process::id()).unwrap();
        assert!(std::hint::black_box(&touched).iter().all(|byte| *byte == 1));
        // Other tests run at the same time and may free memory.
        assert!(after > before + 32 * MIB as u64, "{before} then {after}");
    }

    #[test]
    fn no_process_has_no_memory() {
        assert_eq!(resident_bytes(u32::MAX), None);
        assert_eq!(group_resident_bytes(u32::MAX), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_group_has_the_memory_of_its_members() {
        use super::super::orphans::testing::Family;

        let family = Family::start("sleep 60 & echo $!; wait");
        // The shell waits for its child and frees no memory meanwhile.
        let child = resident_bytes(family.pid()).unwrap();
        let together = group_resident_bytes(family.pid()).unwrap();
        assert!(together > child, "{together} of {child} and another");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_status_is_read() {
        let status = "Name:\tVmRSS: 1 kB\nVmHWM:\t    9999 kB\nVmRSS:\t    4096 kB\nThreads:\t1\n";
        assert_eq!(system::resident_in(status), Some(4096 * 1024));
        assert_eq!(system::resident_in("Name:\tzombie\n"), None);
    }
}
