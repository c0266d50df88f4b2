//! Turns that only put a transcript into a shorter form.
//!
//! Codex shows the form only in the file of the thread, so these threads are the only ones that it writes to disk. The
//! file is read when the turn ends, and deleted at once.

use serde_json::json;

use super::wire::ThreadId;
use super::{AppServer, Purpose};
use crate::codex::compaction;
use crate::codex::{Step, TurnKey};
use crate::turn::{Finish, TurnError, TurnErrorKind, TurnEvent};

impl AppServer {
    /// The thread has the transcript: Codex can compact it.
    pub(super) fn compact(&mut self, key: TurnKey, thread: &ThreadId, out: &mut Vec<Step>) {
        self.send(key, "thread/compact/start", &json!({"threadId": thread}), Purpose::Compact(key), out);
    }

    /// Continues after a [`Step::Read`].
    pub fn was_read(&mut self, key: TurnKey, line: Result<String, String>, out: &mut Vec<Step>) {
        let Some(running) = self.turns.get_mut(&key) else { return };
        match line.and_then(|line| compaction::items(&line)) {
            Ok(items) => {
                running.tell(key, TurnEvent::Compacted { items }, out);
                running.tell(key, TurnEvent::Finished(Finish::Stop), out);
            }
            Err(reason) => {
                let error = TurnError::new(
                    TurnErrorKind::Upstream,
                    "Codex has made a compact form of the transcript, but it cannot be read. Try again. If it \
                     happens again, report it with the proxy's log.",
                );
                running.fail(key, error.detail(reason), out);
            }
        }
        self.release(key, out);
    }

    /// Has Codex delete the thread of a turn, and its file.
    pub(super) fn delete(&mut self, key: TurnKey, thread: &ThreadId, out: &mut Vec<Step>) {
        self.requests.make("thread/delete", &json!({"threadId": thread}), Purpose::Delete(key), out);
    }
}
