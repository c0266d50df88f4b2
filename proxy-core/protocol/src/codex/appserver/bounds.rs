//! The size limit of a line in both directions. A line over the limit ends only its own turn.

use serde::Serialize;

use super::running::Stage;
use super::{AppServer, Purpose, failure};
use crate::codex::{Step, TurnKey};
use crate::turn::MAX_REQUEST_BYTES;

/// The most bytes of a line to Codex: the model's own limit, and some more for the protocol. Codex repeats its
/// input in lines of about the same length, and the proxy does not read longer ones.
pub(super) const MAX_LINE: usize = MAX_REQUEST_BYTES + 1_000_000;

impl AppServer {
    /// Sends a request of a turn. A request over the limit ends the turn instead.
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

    /// Handles a line that is longer than `longest` bytes, of which `head` is the beginning. Returns whether the
    /// line's turn could be found: only that turn ends.
    pub fn receive_too_long(&mut self, head: &str, longest: usize, out: &mut Vec<Step>) -> bool {
        // The raw item has the same content, and it names its thread.
        let raw_items = self.capabilities.as_ref().is_some_and(|capabilities| capabilities.raw_items);
        if raw_items && head.starts_with(r#"{"method":"item/completed""#) {
            return true;
        }
        // Quotes inside a string are escaped, so no text in the line can contain this pattern.
        let Some((method, rest)) = head.split_once(r#""params":{"threadId":""#) else { return false };
        let key = rest.split('"').next().and_then(|thread| self.turn_on(thread));
        // A thread without a turn has no owner any more.
        let Some((key, running)) = key.and_then(|key| Some((key, self.turns.get_mut(&key)?))) else {
            return true;
        };
        let error = match running.stage {
            Stage::Running | Stage::Over | Stage::Interrupted | Stage::Parked => {
                failure::too_long_answer(longest)
            }
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
