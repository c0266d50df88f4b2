//! `/control/status` and the workers.

use serde::{Deserialize, Serialize};

use super::{Account, CodexStatus, Limits, ProofJob};
use crate::usage::Totals;

words! {
    /// Which of Codex's protocols is spoken.
    BackendMode {
        /// `codex app-server`.
        AppServer = "app-server",
        /// The legacy protocol, a process a turn.
        Proto = "proto",
    }
}

words! {
    /// What Codex's own tools may touch.
    SandboxMode {
        /// Nothing may be written.
        ReadOnly = "read-only",
        /// The working directory may be written.
        WorkspaceWrite = "workspace-write",
        /// Everything.
        DangerFullAccess = "danger-full-access",
    }
}

words! {
    /// Where a worker stands.
    WorkerState {
        /// Its process is starting.
        Starting = "starting",
        /// It takes turns.
        Ready = "ready",
        /// It finishes its turns and is replaced.
        Draining = "draining",
        /// It is down and will be started again.
        BackingOff = "backing_off",
        /// It has been started in vain so often that it is only tried now and then.
        Failed = "failed",
    }
}

/// The answer of `GET /control/status`, and the event `status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Status {
    /// The proxy's version.
    pub version: String,
    /// Whether turns can run.
    pub ready: bool,
    /// Why not, in a sentence.
    pub reason: Option<String>,
    /// Whether a person has paused the proxy: it refuses requests until it is resumed.
    pub paused: bool,
    /// Which of Codex's protocols is spoken.
    pub backend_mode: BackendMode,
    /// What Codex's own tools may touch.
    pub sandbox_mode: SandboxMode,
    /// Seconds since the proxy was started.
    pub uptime_seconds: u64,
    /// Requests that wait for a worker.
    pub queue_depth: usize,
    /// The workers.
    pub workers: Vec<Worker>,
    /// Which Codex is used.
    pub codex: CodexStatus,
    /// The last proof since the proxy was started, as it goes on.
    pub proof: Option<ProofJob>,
    /// The base URL for clients on this machine.
    pub address: String,
    /// Who is signed in.
    pub account: Account,
    /// What is left of the plan, once Codex has said so.
    pub limits: Option<Limits>,
    /// Whether the plan is used up.
    pub limited: bool,
    /// The sums over all requests since the local day began.
    pub today: Totals,
    /// What is wrong but stops nothing, in sentences for people.
    pub warnings: Vec<String>,
}

/// One supervised Codex process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Worker {
    /// Which one, from 0.
    pub id: usize,
    /// Where it stands.
    pub state: WorkerState,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// The version of its Codex.
    pub codex_version: Option<String>,
    /// Seconds since its process was started.
    pub uptime_seconds: Option<u64>,
    /// How many times a process has been started again.
    pub restarts: u64,
    /// Starts in a row that ended soon; 0 while it is ready.
    pub consecutive_failures: u32,
    /// When it last got ready.
    pub last_ready_at: Option<u64>,
    /// How long that start took, in milliseconds.
    pub startup_ms: Option<u64>,
    /// How its last process ended, with the end of what it printed on stderr.
    pub last_exit: Option<String>,
    /// When that was.
    pub last_exit_at: Option<u64>,
    /// Seconds until the next try, while it is down.
    pub retry_in_seconds: Option<u64>,
    /// The same in milliseconds.
    pub retry_in_ms: Option<u64>,
    /// Turns it is working on.
    pub turns_running: usize,
    /// Turns it has ended.
    pub turns_done: u64,
    /// Its resident memory in bytes, when last read.
    pub resident_bytes: Option<u64>,
}

/// The answer of `POST /control/pause` and `/control/resume`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Paused {
    /// Whether requests are refused from now on.
    pub paused: bool,
}

impl Status {
    /// Whether the plan's limit is still reached at `now`, in seconds since the epoch, by what was known when this
    /// state was made.
    pub fn is_limited(&self, now: u64) -> bool {
        self.limited && self.limits.as_ref().is_none_or(|limits| limits.stay_reached(now))
    }
}
