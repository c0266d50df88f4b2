//! Real processes for the tests.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

/// A shell that leads a process group, and the process that it starts.
pub(in super::super) struct Family {
    child: Child,
    pub(in super::super) grandchild: u32,
}

impl Family {
    /// The script has to start a process and print its id.
    #[expect(clippy::disallowed_methods, reason = "a process that the worker's code did not start")]
    pub(in super::super) fn start(script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, grandchild: line.trim().parse().unwrap() }
    }

    /// The leader's id.
    pub(in super::super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the leader alone and waits for it, so that its number belongs to no process.
    pub(in super::super) fn kill_the_leader(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills the leader and does not wait for it, so that the system keeps its entry.
    pub(in super::super) fn leave_the_leader_unburied(&mut self) {
        self.child.kill().unwrap();
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(raw(self.pid())), ended).unwrap();
    }

    /// The signal that ended the leader: the first one that was sent, because the test's own comes last.
    pub(in super::super) fn ended_by(mut self) -> i32 {
        self.child.kill().unwrap();
        self.child.wait().unwrap().signal().unwrap()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // A process that has already ended cannot be killed; nothing else can fail here.
        let _ = kill_process(raw(self.grandchild), Signal::KILL);
        let _ = kill_process_group(raw(self.pid()), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}
