//! The supervised `codex app-server` children.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the operator decides about the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The Codex CLI: an absolute path, or a bare name to be looked up on `PATH`.
    pub bin: PathBuf,
    /// Codex's own directory.
    pub home: CodexHome,
    /// Working directory of the children.
    pub workdir: PathBuf,
    /// Where files that can be made again are kept, such as the model catalogue.
    pub cache_dir: PathBuf,
    /// Codex's `model_provider`, where it must not choose by itself.
    pub provider: Option<String>,
    /// Codex's sandbox.
    pub sandbox: SandboxMode,
    /// How many children run at once.
    pub count: usize,
    /// Longest from spawning a child to the end of its handshake.
    pub startup_timeout: Duration,
    /// How long a child may take to end by itself at shutdown.
    pub shutdown_grace: Duration,
    /// How long a request waits for a worker to become ready.
    pub ready_wait: Duration,
    /// Names of the environment variables that a child must not inherit, because they hold our secrets.
    pub hidden_env: Vec<String>,
    /// Whether to drive `codex app-server`; the alternative is the legacy `codex proto`.
    pub use_app_server: bool,
}

/// Codex's own directory, `CODEX_HOME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodexHome {
    /// One of ours in the data directory; the proxy writes its `config.toml`.
    Private(PathBuf),
    /// One that the operator named; never rewritten.
    Given(PathBuf),
}

impl CodexHome {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Private(path) | Self::Given(path) => path,
        }
    }
}

/// What Codex may do to the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxMode {
    /// Read only.
    ReadOnly,
    /// Write inside the working directory.
    WorkspaceWrite,
    /// Anything at all.
    DangerFullAccess,
}

impl SandboxMode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::ReadOnly, Self::WorkspaceWrite, Self::DangerFullAccess];

    /// Codex's own name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::DangerFullAccess => "danger-full-access",
        }
    }
}
