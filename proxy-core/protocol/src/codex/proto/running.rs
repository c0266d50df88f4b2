//! The turn that Codex is working on: its events become [`TurnEvent`]s.
//!
//! This protocol has no items. They are made from the order of events: a message is its deltas and the text that
//! confirms them, a reasoning item is its parts' deltas and then its parts' texts.

use super::failure;
use super::wire::Said;
use crate::codex::{Step, TurnKey};
use crate::turn::{Finish, ItemId, TurnError, TurnErrorKind, TurnEvent, Usage};

/// A turn between its operation and its end.
#[derive(Debug)]
pub(super) struct Running {
    pub key: TurnKey,
    session: String,
    made_up_ids: usize,
    message: Option<OpenMessage>,
    reasoning: Option<OpenReasoning>,
    searches: Vec<String>,
    /// The response that is coming in has shown text already.
    said: bool,
    usage: Usage,
}

/// What an event means for the turn as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Goes,
    /// Codex requests an approval; with the operation that answers.
    Deny(&'static str),
    /// The terminal event has been emitted.
    Ended,
}

#[derive(Debug)]
struct OpenMessage {
    id: ItemId,
    /// Bytes of deltas that no text has confirmed yet.
    unconfirmed: usize,
    /// A text has come, but the deltas had more than it: a message of several parts.
    confirmed: bool,
}

#[derive(Debug, Default)]
struct OpenReasoning {
    /// Set when there is something to show.
    id: Option<ItemId>,
    /// The part that the deltas belong to.
    part: Option<usize>,
    /// Bytes of deltas, part by part.
    seen: Vec<usize>,
    /// Parts whose text has come; there are no deltas after the first one.
    told: usize,
    raw_seen: usize,
    raw_told: usize,
}

impl OpenReasoning {
    fn is_told(&self) -> bool {
        self.told > 0 || self.raw_told > 0
    }
}

impl Running {
    pub(super) fn new(key: TurnKey, session: &str) -> Self {
        Self {
            key,
            session: session.to_owned(),
            made_up_ids: 0,
            message: None,
            reasoning: None,
            searches: Vec::new(),
            said: false,
            usage: Usage::default(),
        }
    }

    /// Handles an event of this turn.
    pub(super) fn receive(&mut self, said: Said, out: &mut Vec<Step>) -> Outcome {
        match said {
            Said::TaskStarted => self.emit(TurnEvent::Started, out),
            Said::AgentMessageDelta { delta } => self.text_delta(delta, out),
            Said::AgentMessage { message } => self.text(&message, out),
            Said::AgentReasoningSectionBreak => {
                let reasoning = self.untold_reasoning(out);
                reasoning.part = Some(reasoning.part.map_or(0, |part| part + 1));
            }
            Said::AgentReasoningDelta { delta } => self.summary_delta(delta, out),
            Said::AgentReasoning { text } => self.summary(&text, out),
            Said::AgentReasoningRawContentDelta { delta } => {
                self.untold_reasoning(out).raw_seen += delta.len();
                self.show_raw(delta, out);
            }
            Said::AgentReasoningRawContent { text } => self.raw_text(text, out),
            Said::WebSearchBegin { call_id } => self.search_began(call_id, out),
            Said::WebSearchEnd { call_id, query } => self.search_ended(call_id, &query, out),
            Said::TokenCount { info: Some(info) } => {
                self.close_items(out);
                self.usage = info.total_token_usage.into();
                self.said = false;
            }
            Said::ExecApprovalRequest => return Outcome::Deny("exec_approval"),
            Said::ApplyPatchApprovalRequest => return Outcome::Deny("patch_approval"),
            Said::StreamError { message } => return self.stream_error(message, out),
            Said::Error { message } => return self.fail(failure::of_words(&message), out),
            Said::TaskComplete => {
                self.close_items(out);
                return self.end(TurnEvent::Finished(Finish::Stop), out);
            }
            Said::TurnAborted { reason } => {
                let error = TurnError::new(
                    TurnErrorKind::Upstream,
                    "Codex ended the turn before the answer was complete.",
                );
                return self.fail(error.detail(format!("turn aborted: {reason}")), out);
            }
            Said::TokenCount { info: None }
            | Said::SessionConfigured { .. }
            | Said::ShutdownComplete
            | Said::Other => {}
        }
        Outcome::Goes
    }

    fn text_delta(&mut self, delta: String, out: &mut Vec<Step>) {
        self.close_reasoning(out);
        if self.message.as_ref().is_some_and(|message| message.confirmed) {
            self.close_message(out);
        }
        let message = self.open_message(out);
        message.unconfirmed += delta.len();
        let id = message.id.clone();
        self.emit(TurnEvent::TextDelta { id, text: delta }, out);
    }

    /// The deltas must add up to the text: what they lacked is sent afterwards. If the deltas have more than the
    /// text, the message continues: its next part's text follows.
    fn text(&mut self, text: &str, out: &mut Vec<Step>) {
        self.close_reasoning(out);
        let message = self.open_message(out);
        if message.unconfirmed > text.len() {
            message.unconfirmed -= text.len();
            message.confirmed = true;
            return;
        }
        let (id, seen) = (message.id.clone(), message.unconfirmed);
        if let Some(rest) = text.get(seen..).filter(|rest| !rest.is_empty()) {
            self.emit(TurnEvent::TextDelta { id, text: rest.to_owned() }, out);
        }
        self.close_message(out);
    }

    fn summary_delta(&mut self, delta: String, out: &mut Vec<Step>) {
        let reasoning = self.untold_reasoning(out);
        let part = *reasoning.part.get_or_insert(0);
        if reasoning.seen.len() <= part {
            reasoning.seen.resize(part + 1, 0);
        }
        reasoning.seen[part] += delta.len();
        self.show_summary(part, delta, out);
    }

    fn summary(&mut self, text: &str, out: &mut Vec<Step>) {
        self.close_message(out);
        let reasoning = self.reasoning.get_or_insert_default();
        let part = reasoning.told;
        reasoning.told += 1;
        let seen = reasoning.seen.get(part).copied().unwrap_or(0);
        if let Some(rest) = text.get(seen..).filter(|rest| !rest.is_empty()) {
            self.show_summary(part, rest.to_owned(), out);
        }
    }

    /// Raw parts cannot be distinguished while they stream.
    fn raw_text(&mut self, text: String, out: &mut Vec<Step>) {
        self.close_message(out);
        let reasoning = self.reasoning.get_or_insert_default();
        let streamed = reasoning.raw_seen > 0;
        reasoning.raw_told += 1;
        if !streamed && !text.is_empty() {
            self.show_raw(text, out);
        }
    }

    fn show_summary(&mut self, index: usize, text: String, out: &mut Vec<Step>) {
        let id = self.reasoning_id(out);
        self.emit(TurnEvent::SummaryDelta { id, index, text }, out);
    }

    fn show_raw(&mut self, text: String, out: &mut Vec<Step>) {
        let id = self.reasoning_id(out);
        let index = self.reasoning.as_ref().map_or(0, |reasoning| reasoning.raw_told.saturating_sub(1));
        self.emit(TurnEvent::ReasoningTextDelta { id, index, text }, out);
    }

    /// The call's id is the item's: the vendor made it.
    fn search_began(&mut self, call_id: String, out: &mut Vec<Step>) {
        self.close_items(out);
        if !self.searches.contains(&call_id) {
            self.emit(TurnEvent::WebSearchStarted { id: call_id.as_str().into() }, out);
            self.searches.push(call_id);
        }
    }

    fn search_ended(&mut self, call_id: String, query: &str, out: &mut Vec<Step>) {
        let id: ItemId = call_id.as_str().into();
        self.search_began(call_id, out);
        let action = serde_json::json!({"type": "search", "query": query});
        self.emit(TurnEvent::WebSearchDone { id, action }, out);
    }

    /// A retried response starts from its beginning: text that the client has already received would come twice.
    fn stream_error(&mut self, words: String, out: &mut Vec<Step>) -> Outcome {
        if let Some(error) = failure::of_futile_retry(&words) {
            return self.fail(error, out);
        }
        if self.said {
            let error = TurnError::new(
                TurnErrorKind::Upstream,
                "The connection to the model broke in the middle of the answer. Try again.",
            );
            return self.fail(error.detail(words), out);
        }
        self.close_items(out);
        self.emit(TurnEvent::Retrying { message: words }, out);
        Outcome::Goes
    }

    fn fail(&mut self, error: TurnError, out: &mut Vec<Step>) -> Outcome {
        self.end(TurnEvent::Failed(error), out)
    }

    fn end(&mut self, event: TurnEvent, out: &mut Vec<Step>) -> Outcome {
        if self.usage != Usage::default() {
            self.emit(TurnEvent::Usage(self.usage), out);
        }
        self.emit(event, out);
        Outcome::Ended
    }

    fn open_message(&mut self, out: &mut Vec<Step>) -> &mut OpenMessage {
        self.said = true;
        match self.message.take() {
            Some(message) => self.message.insert(message),
            None => {
                let id = self.made_up_id("msg");
                self.emit(TurnEvent::MessageStarted { id: id.clone() }, out);
                self.message.insert(OpenMessage { id, unconfirmed: 0, confirmed: false })
            }
        }
    }

    /// The reasoning item that the deltas belong to: after its texts, the next one begins.
    fn untold_reasoning(&mut self, out: &mut Vec<Step>) -> &mut OpenReasoning {
        self.close_message(out);
        if self.reasoning.as_ref().is_some_and(OpenReasoning::is_told) {
            self.close_reasoning(out);
        }
        self.reasoning.get_or_insert_default()
    }

    fn reasoning_id(&mut self, out: &mut Vec<Step>) -> ItemId {
        if let Some(id) = self.reasoning.as_ref().and_then(|reasoning| reasoning.id.clone()) {
            return id;
        }
        let id = self.made_up_id("rs");
        self.reasoning.get_or_insert_default().id = Some(id.clone());
        self.emit(TurnEvent::ReasoningStarted { id: id.clone() }, out);
        id
    }

    fn close_items(&mut self, out: &mut Vec<Step>) {
        self.close_reasoning(out);
        self.close_message(out);
    }

    fn close_message(&mut self, out: &mut Vec<Step>) {
        if let Some(message) = self.message.take() {
            self.emit(TurnEvent::MessageDone { id: message.id, phase: None }, out);
        }
    }

    fn close_reasoning(&mut self, out: &mut Vec<Step>) {
        if let Some(id) = self.reasoning.take().and_then(|reasoning| reasoning.id) {
            self.emit(TurnEvent::ReasoningDone { id, encrypted_content: None }, out);
        }
    }

    /// Codex does not pass on the vendor's ids.
    fn made_up_id(&mut self, prefix: &str) -> ItemId {
        self.made_up_ids += 1;
        format!("{prefix}_{}_{}", self.session, self.made_up_ids).into()
    }

    fn emit(&self, event: TurnEvent, out: &mut Vec<Step>) {
        out.push(Step::Emit(self.key, event));
    }
}
