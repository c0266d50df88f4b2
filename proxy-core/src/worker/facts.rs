//! What is known about each worker.

use std::time::{Duration, SystemTime};

use super::lifecycle::State;
use super::reason::DownReason;
use super::starting::Starting;

/// What is known about one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Which worker, from 0.
    pub id: usize,
    /// Where it stands.
    pub state: State,
    /// Whether one of its processes has been ready lately.
    pub was_ready: bool,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// The version of its Codex, once it has said so.
    pub version: Option<String>,
    /// Whether that Codex takes function tools.
    pub takes_tools: bool,
    /// When the process was started.
    pub started: Option<SystemTime>,
    /// How many times a process has been started again.
    pub restarts: u64,
    /// Starts in a row that ended soon.
    pub failures: u32,
    /// When it was last ready, and how long the start before had taken.
    pub got_ready: Option<(SystemTime, Duration)>,
    /// When it was last down, and why.
    pub last_exit: Option<(SystemTime, DownReason)>,
    /// When the next try is due, while it is down.
    pub next_try: Option<SystemTime>,
    /// The start that is under way.
    pub starting: Option<Starting>,
    /// Turns it is working on.
    pub turns_running: usize,
    /// Turns it has ended.
    pub turns_done: u64,
    /// Its resident memory, when last looked at.
    pub resident_bytes: Option<u64>,
    /// The sign-in its process found at its start: when the file with it was written. Codex does not look again.
    pub sign_in: Option<SystemTime>,
}

impl WorkerFacts {
    pub(super) fn new(id: usize) -> Self {
        Self {
            id,
            state: State::Starting,
            was_ready: false,
            pid: None,
            version: None,
            takes_tools: false,
            started: None,
            restarts: 0,
            failures: 0,
            got_ready: None,
            last_exit: None,
            next_try: None,
            starting: None,
            turns_running: 0,
            turns_done: 0,
            resident_bytes: None,
            sign_in: None,
        }
    }

    /// Whether it has a process that answers.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Ready | State::Draining)
    }

    /// Whether it has a process that answers, or is likely to have one soon.
    pub(super) fn is_worth_waiting_for(&self) -> bool {
        match self.state {
            State::Starting | State::Ready | State::Draining => true,
            State::BackingOff | State::Failed => self.was_ready,
        }
    }
}
