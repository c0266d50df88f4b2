//! Why a worker has no process, as types. Text is made where a person or the log reads it.

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
    /// It did not finish its handshake in time.
    TooSlow,
    /// It gives no sign of life: it is not waited for.
    Unresponsive,
    /// It was for one turn, which is over, and it did not end.
    TurnOver,
}

/// How a process ended, or why it was ended. [`Display`] says it of a process that has been named before;
/// [`of_codex`](Self::of_codex) names Codex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The proxy ended it.
    Stopped(StopReason),
    /// It left a turn unended that was given up, and had no other turn.
    Stuck,
    /// It ended.
    Exited {
        /// How.
        status: ExitStatus,
        /// The end of its complaints, masked; may be empty.
        last_words: String,
    },
    /// It closed its output and did not end.
    OutputClosed,
    /// It reads its input no more.
    InputFull,
    /// It could not be written to, in the system's words.
    Unwritable(String),
    /// It could not be read from, in the system's words.
    Unreadable(String),
    /// It could not be waited for, in the system's words.
    Unwaitable(String),
    /// It printed a line that is too long, and of no turn for sure.
    TooLong,
    /// Its handshake is done, and nothing waits for it.
    Unclaimed,
    /// It is of no use any more.
    Fatal(Fatal),
    /// It must not be used.
    Unfit(Unfit),
    /// The proxy's own code failed.
    Bug,
}

/// What a reason is said of.
enum Subject {
    /// The process: "it" or "Codex".
    It,
    /// Neither: Codex "stopped".
    None,
    /// All is said already.
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

/// Why a process was not started, or did not get ready. Each says what to do, where there is something to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// There is no Codex to start.
    #[error("{0}")]
    NoCodex(#[from] NotFound),
    /// The Codex there is may not be used, in a sentence.
    #[error("{0}")]
    Barred(String),
    /// What a Codex needs on disk could not be made, in a sentence.
    #[error("{0}")]
    Files(String),
    /// The legacy Codex did not say its version, in a sentence.
    #[error("{0}")]
    Version(String),
    /// The process could not be started, in a sentence.
    #[error("{0}")]
    Spawn(String),
    /// It must not be used.
    #[error("{0}")]
    Unfit(Unfit),
    /// It did not get to the end of its handshake.
    #[error(
        "{what}. It has never been ready: check that '{}' (CODEX_BIN) is the Codex CLI and not too old, 0.77.0 or \
         newer (`codex-proxy codex install` gets one), and that '{}' (CODEX_HOME) is writable.",
        .bin.display(),
        .home.display()
    )]
    NeverReady {
        /// What it did instead.
        what: NotReady,
        /// The Codex.
        bin: PathBuf,
        /// Codex's home directory.
        home: PathBuf,
    },
    /// It was ended before its handshake was done.
    #[error("{}", .0.of_codex())]
    Stopped(EndReason),
    /// The proxy is shutting down.
    #[error("{SHUTDOWN}")]
    Shutdown,
}

/// What a Codex did instead of getting ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It ended when it was asked for its version: how, as the end of a sentence.
    #[error("{0}")]
    Version(String),
    /// It ended.
    #[error("{}", .0.of_codex())]
    Ended(EndReason),
    /// It said nothing for this long.
    #[error(
        "Codex was started and did not finish its handshake within {} s (WORKER_STARTUP_TIMEOUT_MS)",
        .0.as_secs_f32()
    )]
    TooSlow(Duration),
}

/// Why a worker is down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// Its process did not get ready.
    #[error("{0}")]
    NotStarted(#[from] StartError),
    /// Its process ended.
    #[error("{}", .0.of_codex())]
    Ended(EndReason),
    /// A restart of the legacy backend was asked for.
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
