//! How a turn ends, and the tokens that it has used.

use serde_json::value::RawValue;

use super::super::said::Said;
use super::super::{failure, wire};
use super::{Outcome, Running, Stage, read};
use crate::codex::{Step, TurnKey};
use crate::turn::{Finish, TurnError, TurnErrorKind, TurnEvent, Usage};

impl Running {
    /// The model has ended its answer. With open calls, the client has to answer them next.
    pub(super) fn response_ended(&mut self, key: TurnKey, out: &mut Vec<Step>) -> Outcome {
        if self.stage == Stage::Parked {
            return Outcome::Goes;
        }
        if self.is_over() {
            self.tell_usage(key, out);
            return Outcome::Goes;
        }
        if !self.calls.is_empty() || self.called_unknown {
            self.tell_usage(key, out);
        }
        self.calls_complete(key, out)
    }

    pub(super) fn completed(&mut self, key: TurnKey, params: &RawValue, out: &mut Vec<Step>) -> Outcome {
        let Some(wire::TurnCompleted { turn }) = read(params) else { return Outcome::Goes };
        if self.turn_id.as_ref().is_some_and(|own| turn.id != *own) {
            return Outcome::Goes;
        }
        let asked_once = turn.error.as_ref().is_some_and(|failure| self.was_asked_once(failure));
        if turn.status == "completed" || asked_once {
            self.close_left(key, out);
        }
        self.tell_usage(key, out);
        if turn.status == "failed" && !self.is_over() && self.prompt.is_some() && self.tools.is_exact() {
            let failure = turn.error.as_ref().or(self.failure.as_ref());
            if self.nothing_said && failure.is_some_and(failure::refuses_tool_items) {
                return Outcome::NoExactTools;
            }
        }
        if self.compacts && turn.status == "completed" && !self.is_over() {
            return Outcome::Compacted;
        }
        let is_kept = turn.status == "completed" && self.keep(key, out);
        let end = match turn.status.as_str() {
            "completed" if self.awaits_requests => TurnEvent::Finished(Finish::ToolCalls),
            "completed" => TurnEvent::Finished(Finish::Stop),
            "failed" => match turn.error.or_else(|| self.failure.take()) {
                // Codex reports the limit of one model request, which the proxy has set, as a failure.
                Some(failure) if self.was_asked_once(&failure) => TurnEvent::Finished(Finish::Stop),
                // Codex also reports an answer that the upstream cut short as a failure.
                Some(failure) => match failure::cut(&failure) {
                    Some(finish) => TurnEvent::Finished(finish),
                    None => TurnEvent::Failed(failure::of_turn(&failure)),
                },
                None => TurnEvent::Failed(unexplained()),
            },
            other => TurnEvent::Failed(
                TurnError::new(
                    TurnErrorKind::Upstream,
                    "Codex ended the turn before the answer was complete.",
                )
                .detail(format!("turn status {other}")),
            ),
        };
        self.emit(key, end, out);
        if is_kept { Outcome::Kept } else { Outcome::Ended }
    }

    /// Codex completes every message that it keeps, even an empty one. An item that is still open after a later
    /// one began was withdrawn: Codex had lost a connection and started the answer again without a notification. A
    /// last item without text is a message that Codex could not read.
    fn close_left(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        if let Some(id) = self.open.unsaid() {
            self.message_done(key, &id, Said::refused(), None, out);
        }
        for id in self.open.overtaken() {
            self.open.close(&id);
            self.emit(key, TurnEvent::Withdrawn { id }, out);
        }
    }

    /// Whether Codex has ended the turn only because of the limit of one model request.
    fn was_asked_once(&self, failure: &wire::Failure) -> bool {
        self.responded && self.tools.asks_once() && failure::is_budget(failure)
    }

    /// Emits the usage so far, if it is known and has not been emitted already.
    pub(super) fn tell_usage(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        if self.usage != self.told {
            self.told = self.usage;
            out.push(Step::Emit(key, TurnEvent::Usage(self.usage)));
        }
    }

    pub(super) fn add_usage(&mut self, usage: Usage) {
        self.usage.input += usage.input;
        self.usage.cached += usage.cached;
        self.usage.cache_write += usage.cache_write;
        self.usage.output += usage.output;
        self.usage.reasoning += usage.reasoning;
    }
}

fn unexplained() -> TurnError {
    TurnError::new(TurnErrorKind::Upstream, "Codex could not finish the turn and gave no reason.")
}
