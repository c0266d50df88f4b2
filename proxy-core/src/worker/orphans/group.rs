//! Process groups of workers without an owner, and how they are ended.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep};

use super::super::processes::{self, Identity, Running};

/// How long a group may take to end after the request to end, and how long after being killed.
const GRACE: Duration = Duration::from_secs(1);
/// The first and the longest pause between two checks.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(40));

/// A process group that is identified by processes in it.
#[derive(Debug)]
pub(super) struct Group {
    id: u32,
    known: Vec<Identity>,
    alive: bool,
}

impl Group {
    /// `None` for a group that is never ended.
    pub(super) fn new(id: u32, known: Vec<Identity>) -> Option<Self> {
        raw(id).map(|_| Self { id, known, alive: true })
    }

    /// Checks which processes are in the group. The group is gone for good when none of the earlier ones is left:
    /// its number may then belong to another group. A process that has ended but has not been waited for keeps the
    /// number.
    fn look(&mut self, all: &[Running]) {
        let members: Vec<&Running> = all.iter().filter(|process| process.group == self.id).collect();
        let still_ours = members.iter().any(|process| self.known.contains(&process.identity));
        self.alive = self.alive && still_ours && members.iter().any(|process| !process.ended);
        self.known = members.iter().map(|process| process.identity).collect();
    }

    /// Whether the signal could be sent, or no process is left to receive it.
    fn signal(&self, signal: Signal) -> bool {
        let Some(id) = raw(self.id) else { return false };
        match kill_process_group(id, signal) {
            Ok(()) | Err(Errno::SRCH) => true,
            Err(error) => {
                tracing::warn!(group = self.id, %error, "a process group may not be ended");
                false
            }
        }
    }
}

/// The group's number, if this group may be ended at all: not the first process's group, and not the proxy's own.
fn raw(group: u32) -> Option<Pid> {
    let own = processes::look(std::process::id())?.group;
    let number = i32::try_from(group).ok().filter(|number| *number > 1)?;
    Pid::from_raw(number).filter(|_| group != own)
}

/// Ends all groups that are still running: each gets a request to end, and after one grace period for all, is
/// killed. Returns the ended groups, and those that could not be ended.
pub(super) async fn end_all(groups: impl Iterator<Item = Group>) -> (Vec<u32>, Vec<u32>) {
    let mut groups: Vec<Group> = groups.collect();
    let mut ended = Vec::new();
    let mut survivors = match try_end_all(&mut groups, &mut ended).await {
        Ok(refused) => refused,
        Err(error) => {
            tracing::warn!(%error, "the system does not say what is running; workers left behind may stay");
            Vec::new()
        }
    };
    survivors.extend(groups.iter().map(|group| group.id));
    for group in &survivors {
        tracing::warn!(group, "a worker that an earlier proxy left behind is still there");
    }
    for group in &ended {
        tracing::info!(group, "ended a worker that an earlier proxy left behind");
    }
    (ended, survivors)
}

/// Keeps in `groups` only the running ones; returns those that may not be ended.
async fn try_end_all(groups: &mut Vec<Group>, ended: &mut Vec<u32>) -> io::Result<Vec<u32>> {
    let mut refused = Vec::new();
    look(groups)?;
    groups.retain(|group| group.alive);
    for signal in [Signal::TERM, Signal::KILL] {
        refused.extend(groups.extract_if(.., |group| !group.signal(signal)).map(|group| group.id));
        wait(groups).await?;
        ended.extend(groups.extract_if(.., |group| !group.alive).map(|group| group.id));
    }
    Ok(refused)
}

/// Waits, for a short time, until no process of the groups is running.
async fn wait(groups: &mut [Group]) -> io::Result<()> {
    let deadline = Instant::now() + GRACE;
    let mut pause = PAUSE.0;
    loop {
        look(groups)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !groups.iter().any(|group| group.alive) {
            return Ok(());
        }
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

fn look(groups: &mut [Group]) -> io::Result<()> {
    if !groups.is_empty() {
        let all = processes::all()?;
        groups.iter_mut().for_each(|group| group.look(&all));
    }
    Ok(())
}
