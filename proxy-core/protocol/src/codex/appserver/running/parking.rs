//! A turn that waits for the outputs of its calls, and whether its thread may serve a later turn.

use serde_json::Value;

use super::super::wire::RawItem;
use super::{Outcome, Running, Stage};
use crate::codex::{Kept, Step, TurnKey};
use crate::turn::{Finish, TurnEvent, Usage};

/// Whether a thread may serve a later turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Keeps {
    /// It serves one turn.
    No,
    /// It may, if this turn ends well.
    Yes,
    /// It might have, but Codex has added something to it, or will: the client does not know that item.
    Spoiled,
}

impl Keeps {
    pub(super) fn spoil(&mut self) {
        *self = match self {
            Self::No => Self::No,
            Self::Yes | Self::Spoiled => Self::Spoiled,
        };
    }
}

impl Running {
    /// This turn with the next request of its client, which brings the outputs. Returns Codex's requests for them, by
    /// call id, in the order of the calls.
    pub(in super::super) fn resumed(self) -> (Self, Vec<(String, Value)>) {
        let Self { thread, tools, turn_id, made_up_ids, calls, mut requests, keeps, .. } = self;
        requests.sort_by_key(|(call_id, _)| calls.iter().position(|call| call == call_id));
        let given = requests.iter().map(|(call_id, _)| call_id.clone()).collect();
        let resumed = Self {
            prompt: None,
            thread,
            tools,
            turn_id,
            stage: Stage::Running,
            announced: true,
            nothing_said: true,
            responded: false,
            has_images: false,
            compacts: false,
            open: super::OpenItems::default(),
            made_up_ids,
            calls: Vec::new(),
            requests: Vec::new(),
            keeps,
            given,
            awaits_requests: false,
            called_unknown: false,
            habit: None,
            usage: Usage::default(),
            told: Usage::default(),
            failure: None,
        };
        (resumed, requests)
    }

    /// An item that is neither the model's nor the client's spoils the thread.
    pub(super) fn check_foreign(&mut self, item: &RawItem) {
        let is_foreign = match item {
            RawItem::Message { role, .. } => role != "assistant",
            RawItem::FunctionCallOutput { call_id, .. } => {
                call_id.as_ref().is_none_or(|call_id| !self.given.contains(call_id))
            }
            RawItem::Other => true,
            RawItem::Reasoning { .. }
            | RawItem::FunctionCall { .. }
            | RawItem::CustomToolCall { .. }
            | RawItem::WebSearchCall { .. } => false,
        };
        if is_foreign {
            self.keeps.spoil();
        }
    }

    /// A response of the model is complete. With open calls, the turn waits for the client: parked where Codex holds all
    /// of them, interrupted otherwise.
    pub(super) fn calls_complete(&mut self, key: TurnKey, out: &mut Vec<Step>) -> Outcome {
        let waits = !self.calls.is_empty();
        if waits && self.keeps == Keeps::Yes {
            self.awaits_requests = true;
            return self.park(key, out);
        }
        if waits || (self.called_unknown && self.keeps == Keeps::Spoiled) {
            // Codex would tell the model about unknown tools in words of its own.
            let finish = if waits { Finish::ToolCalls } else { Finish::Stop };
            self.emit(key, TurnEvent::Finished(finish), out);
            return Outcome::Interrupt;
        }
        Outcome::Goes
    }

    /// Parks the turn once Codex has requested the output of each call. The last event comes only then, so that the
    /// client's next request finds the turn parked.
    pub(super) fn park(&mut self, key: TurnKey, out: &mut Vec<Step>) -> Outcome {
        if !self.awaits_requests {
            return Outcome::Goes;
        }
        if self.keeps != Keeps::Yes {
            self.awaits_requests = false;
            self.emit(key, TurnEvent::Finished(Finish::ToolCalls), out);
            return Outcome::Interrupt;
        }
        let is_held = |call: &String| self.requests.iter().any(|(held, _)| held == call);
        let Some(thread) = self.thread.clone().filter(|_| self.calls.iter().all(is_held)) else {
            return Outcome::Goes;
        };
        self.awaits_requests = false;
        out.push(Step::Kept(key, Kept { thread, calls: self.calls.clone() }));
        self.emit(key, TurnEvent::Finished(Finish::ToolCalls), out);
        self.stage = Stage::Parked;
        Outcome::Parked
    }

    /// The turn has ended well. Returns whether its thread is kept.
    pub(super) fn keep(&mut self, key: TurnKey, out: &mut Vec<Step>) -> bool {
        let may = self.keeps == Keeps::Yes && !self.is_over() && !self.awaits_requests;
        let Some(thread) = self.thread.clone().filter(|_| may) else { return false };
        out.push(Step::Kept(key, Kept { thread, calls: Vec::new() }));
        true
    }
}
