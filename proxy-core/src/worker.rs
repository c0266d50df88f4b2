//! Supervised Codex processes. [`WorkerPool::acquire`] gives a [`Lease`] on one; a lease starts a turn.

pub mod catalogue;
pub mod memory;
pub mod pool;
pub mod process;
mod processes;
pub mod record;
pub mod session;
pub mod stream;

pub use pool::{Lease, PoolStatus, WorkerPool, WorkerState};
pub use session::TurnStream;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Settings of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The Codex binary: a path, or a bare name to be looked up on `PATH`.
    pub bin: PathBuf,
    /// Codex's home directory.
    pub home: CodexHome,
    /// Codex's working directory.
    pub workdir: PathBuf,
    /// Where derived catalogues are kept.
    pub cache_dir: PathBuf,
    /// The model provider to force, by its name in Codex's configuration.
    pub provider: Option<String>,
    /// What Codex's own tools may touch, should a model have any.
    pub sandbox: SandboxMode,
    /// How many workers to run.
    pub count: usize,
    /// How long a worker may take from its start to its handshake.
    pub startup_timeout: Duration,
    /// How long a worker may take to end by itself.
    pub shutdown_grace: Duration,
    /// How long a request waits for a worker that is starting.
    pub ready_wait: Duration,
    /// Environment variables that a worker must not inherit, because they hold secrets of the proxy.
    pub hidden_env: Vec<String>,
    /// Whether to speak the app-server protocol; the legacy protocol is not in this version.
    pub use_app_server: bool,
}

/// Codex's home directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodexHome {
    /// The proxy's own, with a `config.toml` the proxy writes.
    Private(PathBuf),
    /// The operator's; nothing in it is written by the proxy.
    Given(PathBuf),
}

impl CodexHome {
    /// The directory.
    pub fn path(&self) -> &Path {
        match self {
            Self::Private(path) | Self::Given(path) => path,
        }
    }
}

/// What Codex's own tools may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    /// Nothing may be written.
    ReadOnly,
    /// The working directory may be written.
    WorkspaceWrite,
    /// Everything.
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
