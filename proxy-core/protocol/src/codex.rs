//! Codex's protocols, without I/O: lines in, [`Step`]s out. This code does not spawn, wait or read a clock.
//!
//! The formats are those of `codex-rs/app-server-protocol` in <https://github.com/openai/codex>. `codex app-server
//! generate-ts` prints the formats of the installed version.

pub mod appserver;
pub mod auth_file;
pub mod calls;
pub mod capabilities;
pub mod compaction;
pub mod isolation;
pub mod jsonrpc;
mod noise;
pub mod notice;
pub mod proto;
pub mod upstream;

pub use appserver::{AppServer, ThreadId};
pub use capabilities::Capabilities;
pub use notice::Notice;
pub use proto::Proto;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::turn::{Catalogue, Task, ThreadSpec, Turn, TurnError, TurnErrorKind, TurnEvent};
use jsonrpc::RpcError;

/// Identifies a turn between a session and its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnKey(pub u64);

/// Identifies a plain call between a session and its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallKey(pub u64);

/// A thread that outlives its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The thread.
    pub thread: ThreadId,
    /// The ids of the calls whose outputs Codex waits for, in their order. Without any, the thread is idle.
    pub calls: Vec<String>,
}

/// A line for the child, without its newline. It may be megabytes, and may have to be sent again.
pub type Line = Arc<String>;

/// An action that a driver requests from its session.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Write this line to the child.
    Send(Line),
    /// Write this line to the child; the line belongs to this turn.
    SendFor(TurnKey, Line),
    /// This line, which was written to the child before the turn began, belongs to this turn.
    WasSentFor(TurnKey, Line),
    /// Pass this event to the turn's owner.
    Emit(TurnKey, TurnEvent),
    /// The turn's thread is kept for a later turn: [`Driver::extend`] runs one on it, [`Driver::leave`] closes it. It comes
    /// right before the turn's last event.
    Kept(TurnKey, Kept),
    /// The thread that [`Driver::warm`] has started, if Codex could start it.
    Warmed(CallKey, Option<ThreadId>),
    /// Codex writes the transcript of this turn to this file, because it shows the compact form only there.
    Writes(TurnKey, PathBuf),
    /// The file of this turn is complete: [`Driver::was_read`] gets the line of it that is a compact form
    /// ([`compaction::is_compaction`]), the last if there are several.
    Read(TurnKey),
    /// Codex was asked to delete the file of this turn. If it has not done so, the session does.
    Deleted(TurnKey),
    /// The child has finally ended this turn: its place is free. Comes after the turn's terminal event, if the
    /// turn was not interrupted.
    Released(TurnKey),
    /// The handshake is done.
    Ready(Handshake),
    /// Whether turns can run with the present account.
    Account(Account),
    /// News about the account.
    Notice(Notice),
    /// The answer of a plain call: its JSON, which [`calls::read`] reads.
    Answer(CallKey, Result<String, RpcError>),
    /// The child's request queue is full; call [`Driver::go_on`] after a short pause.
    Pause,
    /// The child can no longer be used.
    Fatal(Fatal),
    /// The child must not be used: what it would send upstream is not known.
    Unfit(Unfit),
}

/// Why a child can no longer be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The child refused the handshake, or answered with something else.
    #[error("the handshake failed: {0}")]
    Handshake(RpcError),
    /// The one turn of a legacy process is over. The process has done its work.
    #[error("its one turn is over")]
    Spent,
    /// A legacy process shut down before its turn was over.
    #[error("it shut down unasked")]
    ShutDown,
}

/// Why a child must not be used. The error text says what the user has to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The child runs without a catalogue derived by the proxy.
    #[error("Codex {version} would add tools and instructions of its own to each prompt: {reason}")]
    NoCatalogue {
        /// The version of the child.
        version: String,
        /// Why there is no catalogue.
        reason: String,
    },
    /// The child does not know some of the switches.
    #[error(
        "Codex {version} does not know these settings, without which it may add to prompts: {names}. Use the version \
         that `codex-proxy codex install` installs."
    )]
    UnknownSwitches {
        /// The version of the child.
        version: String,
        /// The switches, in Codex's words.
        names: String,
    },
    /// The child's output is not the protocol.
    #[error(
        "What was started as Codex printed {lines} lines of {bytes} bytes in a row that are no messages of Codex's, and \
         was ended. Check that CODEX_BIN names the Codex CLI itself, or take it away and run \
         `codex-proxy codex install`."
    )]
    Noise {
        /// The number of consecutive lines that are not messages.
        lines: u32,
        /// The size of these lines, in bytes.
        bytes: usize,
    },
}

/// The facts that the handshake gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Handshake {
    /// The capabilities of this Codex.
    pub capabilities: Capabilities,
    /// The models it offers. Empty where the protocol does not list them; ids then pass unchecked.
    pub catalogue: Catalogue,
    /// A record of the conversation that Codex writes to disk without being asked. The owner deletes it after the
    /// child has ended.
    pub record: Option<PathBuf>,
}

/// Whether an account is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Turns can run: an account is signed in, or the provider needs no sign-in.
    Usable,
    /// No account is signed in, and the provider needs one.
    SignedOut,
}

/// A protocol's state machine. One variant for each protocol.
#[derive(Debug)]
pub enum Driver {
    /// `codex app-server`, protocol v2.
    AppServer(AppServer),
    /// `codex proto`, the protocol before the app-server: one process a turn.
    Proto(Proto),
}

impl Driver {
    /// Begins a turn. Its events follow as [`Step::Emit`].
    pub fn start(&mut self, key: TurnKey, turn: Turn, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.start(key, turn, out),
            Self::Proto(driver) => driver.start(key, &turn, out),
        }
    }

    /// Starts a turn on a thread that was kept. Its transcript has only what the thread does not have; for a thread with
    /// open calls, that is their outputs, in the order of the calls.
    pub fn extend(&mut self, key: TurnKey, thread: &ThreadId, turn: Turn, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.extend(key, thread, turn, out),
            // It keeps no thread.
            Self::Proto(driver) => driver.start(key, &turn, out),
        }
    }

    /// Closes a thread that was kept.
    pub fn leave(&mut self, thread: &ThreadId, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.leave(thread, out),
            Self::Proto(_) => {}
        }
    }

    /// Starts a thread ahead of its first turn; [`Step::Warmed`] names it.
    pub fn warm(&mut self, key: CallKey, spec: ThreadSpec, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.warm(key, spec, out),
            Self::Proto(_) => out.push(Step::Warmed(key, None)),
        }
    }

    /// Handles a line of the child's output.
    pub fn receive(&mut self, line: &str, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.receive(line, out),
            Self::Proto(driver) => driver.receive(line, out),
        }
    }

    /// Continues after a [`Step::Pause`].
    pub fn go_on(&mut self, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.go_on(out),
            // This protocol never pauses.
            Self::Proto(_) => {}
        }
    }

    /// Handles a line that is longer than `longest` bytes. The proxy does not read such a line; `head` is its
    /// beginning. Returns whether the line's turn could be found: that turn then ends, and the others continue.
    pub fn receive_too_long(&mut self, head: &str, longest: usize, out: &mut Vec<Step>) -> bool {
        match self {
            Self::AppServer(driver) => driver.receive_too_long(head, longest, out),
            Self::Proto(_) => false,
        }
    }

    /// Handles a line of the child's output that is not text.
    pub fn heard_no_text(&mut self, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.noise.heard("it is not UTF-8", 0, out),
            Self::Proto(driver) => driver.noise.heard("it is not UTF-8", 0, out),
        }
    }

    /// Continues after a [`Step::Read`], with the line, or why there is none.
    pub fn was_read(&mut self, key: TurnKey, line: Result<String, String>, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.was_read(key, line, out),
            // It is never asked for a compact form.
            Self::Proto(_) => {}
        }
    }

    /// Ends a turn from the proxy's side. Nothing more is emitted for it.
    pub fn interrupt(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.interrupt(key, out),
            Self::Proto(driver) => driver.interrupt(key, out),
        }
    }

    /// Makes a plain call; [`Step::Answer`] brings the result.
    pub fn call(&mut self, key: CallKey, method: &str, params: &Value, out: &mut Vec<Step>) {
        match self {
            Self::AppServer(driver) => driver.call(key, method, params, out),
            Self::Proto(driver) => driver.call(key, method, out),
        }
    }
}

/// Whether a Codex with these capabilities can run `turn` at all.
///
/// # Errors
/// Names the parameter and the Codex version that is needed.
pub fn check(turn: &Turn, capabilities: &Capabilities) -> Result<(), TurnError> {
    let lacking = |param: &str, what: &str| {
        let (full, version) = (capabilities::FULL_SINCE, &capabilities.version);
        let message = if capabilities.legacy {
            format!(
                "{what} are not in the legacy protocol (`codex proto`) of Codex {version}. \
                 Set PROXY_USE_APP_SERVER=true and use Codex {full} or newer."
            )
        } else {
            format!("{what} need Codex {full} or newer; this is Codex {version}. Update the Codex CLI.")
        };
        Err(TurnError::new(TurnErrorKind::Unsupported, message).param(param))
    };
    if !turn.spec.tools.is_empty() && !capabilities.dynamic_tools {
        return lacking("tools", "Function tools");
    }
    if turn.spec.service_tier.is_some() && !capabilities.inject_items {
        return lacking("service_tier", "Service tiers");
    }
    if turn.task == Task::Compact && !capabilities.inject_items {
        return lacking("input", "Compact transcripts");
    }
    if turn.output_schema.is_some() && !capabilities.output_schema {
        return lacking("response_format", "Structured outputs");
    }
    Ok(())
}
