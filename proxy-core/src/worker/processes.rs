//! Reads the system's list of running processes.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(super) use linux::{all, boot_id, look};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{all, boot_id, look};

use serde::{Deserialize, Serialize};

/// Identifies one process: the system reuses process ids, but not within the same tick of the clock. Start times
/// of different boots do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The process id.
    pub(super) pid: u32,
    /// The start time, in the system's own units.
    pub(super) start_time: u64,
}

/// A process in the system's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Running {
    /// The identity of the process.
    pub(super) identity: Identity,
    /// The process group it is in; its own id on systems without groups.
    pub(super) group: u32,
    /// Whether it has ended and stays in the list only until its parent waits for it.
    pub(super) ended: bool,
}

/// Whether this very process is still running.
pub(super) fn is_running(identity: Identity) -> bool {
    look(identity.pid).is_some_and(|process| process.identity == identity && !process.ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_running_and_among_all() {
        let this = look(std::process::id()).unwrap();
        assert!(is_running(this.identity));
        assert!(all().unwrap().contains(&this));
        #[cfg(unix)]
        assert_eq!(i64::from(this.group), i64::from(rustix::process::getpgrp().as_raw_nonzero().get()));
    }

    #[test]
    fn another_start_time_is_another_process() {
        let mut other = look(std::process::id()).unwrap().identity;
        other.start_time += 1;
        assert!(!is_running(other));
    }
}
