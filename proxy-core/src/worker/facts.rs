//! The known facts about each worker.

use std::time::{Duration, SystemTime};

use super::lifecycle::State;
use super::reason::DownReason;
use super::starting::Starting;

/// The known facts about one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFacts {
    /// The worker's number, from 0.
    pub id: usize,
    /// The worker's state.
    pub state: State,
    /// Whether one of its processes has been ready lately.
    pub was_ready: bool,
    /// The process id, while there is a process.
    pub pid: Option<u32>,
    /// The version of its Codex, once the handshake has reported it.
    pub version: Option<String>,
    /// Whether that Codex accepts function tools.
    pub takes_tools: bool,
    /// When the process was started.
    pub started: Option<SystemTime>,
    /// How many times a process has been started again.
    pub restarts: u64,
    /// Consecutive starts that ended soon.
    pub failures: u32,
    /// When the worker was last ready, and how long the start before it took.
    pub got_ready: Option<(SystemTime, Duration)>,
    /// When the worker was last down, and why.
    pub last_exit: Option<(SystemTime, DownReason)>,
    /// When the next start is due, while the worker is down.
    pub next_try: Option<SystemTime>,
    /// The start that is under way.
    pub starting: Option<Starting>,
    /// The number of running turns.
    pub turns_running: usize,
    /// The number of ended turns.
    pub turns_done: u64,
    /// Resident memory at the last health check, in bytes.
    pub resident_bytes: Option<u64>,
    /// The sign-in that the process read at its start, as the write time of its file. Codex reads the file only at
    /// its start.
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

    /// Whether the worker has a process that answers.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Ready | State::Draining)
    }

    /// Whether the worker has a process that answers, or is likely to have one soon.
    pub(super) fn is_worth_waiting_for(&self) -> bool {
        match self.state {
            State::Starting | State::Ready | State::Draining => true,
            State::BackingOff | State::Failed => self.was_ready,
        }
    }
}
