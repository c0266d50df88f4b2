//! Threads that wait for their next turn.

use super::handle::{Command, Handle, TurnStream, lost};
use crate::worker::active_turn::ActiveTurn;
use crate::worker::notices::SessionId;
use protocol::codex::Kept;
use protocol::turn::{Turn, TurnError};

/// A thread of Codex that waits for its next turn. Dropping it closes the thread.
#[derive(Debug)]
pub struct KeptThread {
    session: Handle,
    /// `None` once a turn has it.
    kept: Option<Kept>,
}

impl KeptThread {
    pub(super) fn new(session: Handle, kept: Kept) -> Self {
        Self { session, kept: Some(kept) }
    }

    /// The session that has the thread.
    pub fn session(&self) -> SessionId {
        self.session.id()
    }

    /// Whether the thread is gone, with its session.
    pub fn is_gone(&self) -> bool {
        self.session.is_closed()
    }

    /// The ids of the calls whose outputs Codex waits for, in their order. Without any, the thread is idle.
    pub fn calls(&self) -> &[String] {
        self.kept.as_ref().map_or(&[], |kept| &kept.calls)
    }

    /// Starts a turn on this thread. Its transcript has only what the thread does not have; with open calls, that is their
    /// outputs, in the order of the calls.
    ///
    /// # Errors
    /// When the session has ended.
    pub fn extend(mut self, turn: Turn, active: ActiveTurn) -> Result<TurnStream, TurnError> {
        let Kept { thread, .. } = self.kept.take().ok_or_else(lost)?;
        self.session.run(turn, active, |key, turn, attached| Command::Extend(key, thread, turn, attached))
    }
}

impl Drop for KeptThread {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            // A session that has ended has no thread to close.
            let _ = self.session.shared.commands.send(Command::Leave(kept.thread));
        }
    }
}
