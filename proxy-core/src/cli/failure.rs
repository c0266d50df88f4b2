//! Why a command has failed, what to do about it, and the exit code.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::output::Output;

/// `EX_USAGE`: the arguments or the configuration are wrong, and nothing was changed.
pub(super) const USAGE: u8 = 64;
/// `EX_UNAVAILABLE`: the proxy is not running.
pub(super) const NOT_RUNNING: u8 = 69;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// An operation failed.
    #[error("{message}")]
    Failed {
        /// What happened.
        message: String,
        /// What the person can do next.
        next: Option<String>,
    },
    /// The settings are wrong.
    #[error("{0}")]
    Usage(String),
    /// No proxy is running.
    #[error("no proxy is running on the data directory {0}")]
    NotRunning(String),
    /// The person interrupted it.
    #[error("{0}")]
    Interrupted(String),
    /// All messages were already written; only the exit code is left.
    #[error("failed")]
    Told,
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), next: None }
    }

    pub(super) fn with_next(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), next: Some(next.into()) }
    }

    pub(super) fn not_running(data_dir: &Path) -> Self {
        Self::NotRunning(data_dir.display().to_string())
    }

    /// Reports the failure and returns the exit code.
    pub(super) fn tell(&self, output: &mut Output) -> ExitCode {
        match self {
            Self::Failed { message, next } => {
                output.complain(message, next.as_deref());
                ExitCode::FAILURE
            }
            Self::Usage(message) => {
                output.complain(message, None);
                ExitCode::from(USAGE)
            }
            Self::NotRunning(_) => {
                output.complain(
                    &self.to_string(),
                    Some("Start it with `codex-proxy run`. If it runs on another one, name that with --data-dir."),
                );
                ExitCode::from(NOT_RUNNING)
            }
            Self::Interrupted(message) => {
                output.complain(message, None);
                ExitCode::FAILURE
            }
            Self::Told => ExitCode::FAILURE,
            // The program that reads our output may close it at any time, as `head` does.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Output(_) => {
                output.complain(&self.to_string(), None);
                ExitCode::FAILURE
            }
        }
    }
}
