//! How much goes into one line, either way: what is too much ends its own turn.

use serde::Serialize;

use super::running::Stage;
use super::{AppServer, Purpose, failure};
use crate::codex::{Step, TurnKey};
use crate::turn::MAX_REQUEST_BYTES;

/// The most bytes of a line to Codex: what the model takes, and some more for the protocol. Codex repeats what it is
/// given in lines that are about as long, and longer ones the proxy does not read.
pub(super) const MAX_LINE: usize = MAX_REQUEST_BYTES + 1_000_000;

impl AppServer {
    /// Sends a request of a turn's. One that is too much ends the turn instead.
    pub(super) fn send(
        &mut self,
        key: TurnKey,
        method: &str,
        params: &impl Serialize,
        purpose: Purpose,
        out: &mut Vec<Step>,
    ) {
        if let Err(bytes) = self.requests.make_within(MAX_LINE, method, params, purpose, out) {
            self.fail(key, failure::too_large(bytes, MAX_LINE), out);
        }
    }

    /// Takes a line that is longer than `longest` bytes, of which `head` is the beginning. Returns whether it is known
    /// whose it is: that turn ends alone.
    pub fn receive_too_long(&mut self, head: &str, longest: usize, out: &mut Vec<Step>) -> bool {
        // The raw item says the same, and with whose it is.
        let raw_items = self.capabilities.as_ref().is_some_and(|capabilities| capabilities.raw_items);
        if raw_items && head.starts_with(r#"{"method":"item/completed""#) {
            return true;
        }
        // Outside of a string no text of anybody's can look like this.
        let Some((method, rest)) = head.split_once(r#""params":{"threadId":""#) else { return false };
        let key =
            rest.split('"').next().and_then(|thread| self.threads.get(thread)).map(|thread| thread.turn);
        // A thread without a turn is one that nobody waits for any more.
        let Some((key, running)) = key.and_then(|key| Some((key, self.turns.get_mut(&key)?))) else {
            return true;
        };
        let error = match running.stage {
            Stage::Running | Stage::Over | Stage::Interrupted => failure::too_long_answer(longest),
            Stage::Starting(_) | Stage::Abandoned(_) => failure::too_large_for_codex(longest),
        };
        running.fail(key, error, out);
        if method.contains(r#""turn/completed""#) {
            self.release(key, out);
        } else {
            self.request_interrupt(key, out);
        }
        true
    }
}
