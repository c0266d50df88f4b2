//! Why a worker has no process, as types. They become text only for a person or the log.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::lines::TOO_LONG;
use crate::codex_install::NotFound;
use protocol::codex::{Fatal, Unfit};

/// Why the proxy ends a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The proxy is shutting down.
    Shutdown,
    /// A newer process takes the worker's turns.
    Replaced,
    /// The process did not complete its handshake in time.
    TooSlow,
    /// The process does not respond: it is killed without a grace period.
    Unresponsive,
    /// The process was for one turn, which is over, and it did not end.
    TurnOver,
}

/// How a process ended, or why it was ended. [`Display`] gives a text for a process that has been named before;
/// [`of_codex`](Self::of_codex) names Codex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The proxy ended it.
    Stopped(StopReason),
    /// The process did not end a turn that was given up, and had no other turn.
    Stuck,
    /// The process ended by itself.
    Exited {
        /// Its exit status.
        status: ExitStatus,
        /// The end of its stderr, masked; may be empty.
        last_words: String,
    },
    /// The process closed its output and did not end.
    OutputClosed,
    /// The process no longer reads its input.
    InputFull,
    /// Writing to the process failed, with the system's error.
    Unwritable(String),
    /// Reading from the process failed, with the system's error.
    Unreadable(String),
    /// Waiting for the process failed, with the system's error.
    Unwaitable(String),
    /// The process printed a line that is too long, and its turn could not be found.
    TooLong,
    /// The handshake is done, but the caller has gone.
    Unclaimed,
    /// The process can no longer be used.
    Fatal(Fatal),
    /// The process must not be used.
    Unfit(Unfit),
    /// The proxy's own code failed.
    Bug,
}

/// The subject of the sentence about a reason.
enum Subject {
    /// The process: "it" or "Codex".
    It,
    /// No subject: Codex "stopped".
    None,
    /// Nothing has to be added.
    Whole,
}

impl EndReason {
    fn parts(&self) -> (Subject, String) {
        use Subject::{It, None, Whole};
        let (subject, text) = match self {
            Self::Stopped(StopReason::Shutdown) => (None, SHUTDOWN),
            Self::Stopped(StopReason::Replaced) => (It, "has been replaced"),
            Self::Stopped(StopReason::TooSlow) => (It, "did not finish its handshake in time"),
            Self::Stopped(StopReason::Unresponsive) => (It, "no longer answered (WORKER_PING_TIMEOUT_MS)"),
            Self::Stopped(StopReason::TurnOver) => (It, "did not end after its turn"),
            Self::Stuck => (It, "did not end a turn that was given up"),
            Self::OutputClosed => (It, "closed its output"),
            Self::InputFull => (It, "has stopped reading its input"),
            Self::TooLong => (It, TOO_LONG),
            Self::Unclaimed => (None, "nobody waits for it any more"),
            Self::Bug => (Whole, "the worker's session failed; this is a bug"),
            Self::Exited { status, last_words } if last_words.is_empty() => {
                return (It, format!("ended with {status}"));
            }
            Self::Exited { status, last_words } => {
                return (It, format!("ended with {status}, saying: {last_words}"));
            }
            Self::Unwritable(error) => return (It, format!("could not be written to: {error}")),
            Self::Unreadable(error) => return (It, format!("could not be read from: {error}")),
            Self::Unwaitable(error) => return (It, format!("could not be waited for: {error}")),
            Self::Fatal(fatal) => return (None, fatal.to_string()),
            Self::Unfit(unfit) => return (Whole, unfit.to_string()),
        };
        (subject, text.to_owned())
    }

    /// The reason with Codex named once.
    pub fn of_codex(&self) -> String {
        let (subject, text) = self.parts();
        match subject {
            Subject::It => format!("Codex {text}"),
            Subject::None => format!("Codex stopped: {text}"),
            Subject::Whole => text,
        }
    }
}

impl Display for EndReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (subject, text) = self.parts();
        match subject {
            Subject::It => write!(f, "it {text}"),
            Subject::None | Subject::Whole => f.write_str(&text),
        }
    }
}

const SHUTDOWN: &str = "the proxy is shutting down";

/// Why a process was not started, or did not get ready. Each text says what to do, where the user can do
/// something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// No Codex is installed.
    #[error("{0}")]
    NoCodex(#[from] NotFound),
    /// The installed Codex may not be used, with a sentence about the reason.
    #[error("{0}")]
    Barred(String),
    /// The files that a Codex needs could not be made, with a sentence about the reason.
    #[error("{0}")]
    Files(String),
    /// The legacy Codex did not print its version, with a sentence about the reason.
    #[error("{0}")]
    Version(String),
    /// The process could not be started, with a sentence about the reason.
    #[error("{0}")]
    Spawn(String),
    /// The process must not be used.
    #[error("{0}")]
    Unfit(Unfit),
    /// The process did not complete its handshake.
    #[error(
        "{what}. It has never been ready: check that '{}' (CODEX_BIN) is the Codex CLI and not too old, 0.77.0 or \
         newer (`codex-proxy codex install` gets one), and that '{}' (CODEX_HOME) is writable.",
        .bin.display(),
        .home.display()
    )]
    NeverReady {
        /// What happened instead.
        what: NotReady,
        /// The Codex that was started.
        bin: PathBuf,
        /// Codex's home directory.
        home: PathBuf,
    },
    /// The process was ended before its handshake was done.
    #[error("{}", .0.of_codex())]
    Stopped(EndReason),
    /// The proxy is shutting down.
    #[error("{SHUTDOWN}")]
    Shutdown,
}

/// What happened instead of a Codex getting ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The process ended during the version check. The text is the end of a sentence.
    #[error("{0}")]
    Version(String),
    /// The process ended.
    #[error("{}", .0.of_codex())]
    Ended(EndReason),
    /// The process printed nothing for this long.
    #[error(
        "Codex was started and did not finish its handshake within {} s (WORKER_STARTUP_TIMEOUT_MS)",
        .0.as_secs_f32()
    )]
    TooSlow(Duration),
}

/// Why a worker is down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// The process did not get ready.
    #[error("{0}")]
    NotStarted(#[from] StartError),
    /// The process ended.
    #[error("{}", .0.of_codex())]
    Ended(EndReason),
    /// A restart of the legacy backend was requested.
    #[error("a restart was asked for")]
    RestartAsked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_of_it_and_of_codex() {
        for (reason, alone, of_codex) in [
            (EndReason::Stuck, "it did not end a turn", "Codex did not end a turn"),
            (EndReason::Unclaimed, "nobody waits for it", "Codex stopped: nobody waits for it"),
            (
                EndReason::TooLong,
                "it printed a line of more than 64 MiB",
                "Codex printed a line of more than 64 MiB",
            ),
            (
                EndReason::Stopped(StopReason::Shutdown),
                "the proxy is shutting down",
                "Codex stopped: the proxy is shutting down",
            ),
            (
                EndReason::Exited {
                    status: crate::worker::testing::exit_status(0),
                    last_words: String::new(),
                },
                "it ended with ",
                "Codex ended with ",
            ),
            (EndReason::Bug, "the worker's session failed", "the worker's session failed"),
        ] {
            assert!(reason.to_string().starts_with(alone), "{reason}");
            assert!(reason.of_codex().starts_with(of_codex), "{}", reason.of_codex());
        }
    }
}
