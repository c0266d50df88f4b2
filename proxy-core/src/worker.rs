//! Supervised Codex processes. [`WorkerPool::acquire`] gives a [`Lease`] on one; a lease starts a turn.

mod active_turn;
pub mod admission_queue;
pub mod catalogue;
mod facts;
pub mod hold;
pub mod home;
mod launch;
pub mod legacy;
pub mod lifecycle;
mod lines;
pub mod memory;
pub mod notices;
pub mod orphans;
mod pipes;
pub mod pool;
mod processes;
pub mod reason;
mod replacement;
pub mod session;
pub mod sessions;
mod shared;
pub mod starting;
pub mod stream;
mod supervisor;
#[cfg(test)]
pub(crate) mod testing;

pub use active_turn::Observer;
pub use facts::WorkerFacts;
pub use home::CodexHome;
pub use lifecycle::State;
#[cfg(any(test, feature = "fuzzing"))]
pub use lines::fuzz as fuzz_lines;
pub use notices::{SessionId, Told};
pub use pool::WorkerPool;
pub use replacement::{Replacement, Which};
pub use session::{CallError, Handle, KeptThread, TurnStream};
pub use sessions::NoSession;
pub use shared::Lease;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::codex_install::Finder;
use crate::codex_install::proofs::ProofGate;

/// Settings of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Finds the Codex to start. It searches again at each start.
    pub codex: Finder,
    /// Codex's home directory.
    pub home: CodexHome,
    /// Codex's working directory.
    pub workdir: PathBuf,
    /// The directory of derived catalogues.
    pub cache_dir: PathBuf,
    /// The directory of pid files. The next start reads them to end processes that a killed proxy left running.
    pub records_dir: PathBuf,
    /// The model provider to force, by its name in Codex's configuration.
    pub provider: Option<String>,
    /// The sandbox of Codex's own tools, if a model has any.
    pub sandbox: SandboxMode,
    /// The number of workers.
    pub count: usize,
    /// How long a worker may take from its start to its handshake.
    pub startup_timeout: Duration,
    /// How long a worker may take to exit after its input is closed.
    pub shutdown_grace: Duration,
    /// How long a request waits for a worker that is starting.
    pub ready_wait: Duration,
    /// The most turns at the same time on one worker.
    pub max_concurrency: usize,
    /// The most turns at the same time on all workers.
    pub max_total: usize,
    /// The most requests that wait for a place.
    pub queue_limit: usize,
    /// How long a request waits for a place while workers are up.
    pub queue_timeout: Duration,
    /// How long a replaced worker may take to finish its turns.
    pub drain_timeout: Duration,
    /// The interval between two health checks of a worker.
    pub look_interval: Duration,
    /// How long a worker may take to answer a health check.
    pub ping_timeout: Duration,
    /// The age at which a worker is replaced.
    pub max_age: Option<Duration>,
    /// Turns after which a worker is replaced; 0 for any number.
    pub max_turns: u64,
    /// Resident memory at which a worker is replaced, in bytes; 0 for any amount.
    pub max_resident_bytes: u64,
    /// Environment variables that a worker must not inherit, because they hold secrets of the proxy.
    pub hidden_env: Vec<String>,
    /// Environment variables that a worker gets in addition.
    pub env: Vec<(&'static str, OsString)>,
    /// Whether the effort of a turn is given with the turn, as in a proof, rather than with its thread.
    pub effort_with_turn: bool,
    /// Decides whether a Codex may be used.
    pub proof_gate: ProofGate,
    /// Whether to speak the app-server protocol rather than the legacy one.
    pub use_app_server: bool,
}

/// The sandbox of Codex's own tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    /// Nothing may be written.
    ReadOnly,
    /// The working directory may be written.
    WorkspaceWrite,
    /// Everything may be written.
    DangerFullAccess,
}

impl SandboxMode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::ReadOnly, Self::WorkspaceWrite, Self::DangerFullAccess];

    /// Codex's name of the mode.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::DangerFullAccess => "danger-full-access",
        }
    }
}
