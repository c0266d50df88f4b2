//! One turn that Codex is working on: its notifications become [`TurnEvent`]s.

mod calls;
mod ending;
mod parking;
mod stage;

pub(super) use calls::Habit;
pub(super) use parking::Keeps;
pub(super) use stage::{Asked, Stage};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::failure;
use super::open::OpenItems;
use super::said::Said;
use super::tools::Tools;
use super::wire::ThreadId;
use super::wire::{self, RawItem, ThreadItem};
use crate::codex::{Step, TurnKey};
use crate::turn::{Finish, Item, ItemId, Part, Task, TurnError, TurnErrorKind, TurnEvent, Usage, images};

/// A turn between `thread/start` and `turn/completed`.
#[derive(Debug)]
pub(super) struct Running {
    /// The turn's content, kept as long as the turn may have to start again.
    pub prompt: Option<Prompt>,
    /// The thread that the turn runs on, once Codex has named it.
    pub thread: Option<ThreadId>,
    /// The tools of its thread, under the names that Codex uses.
    pub tools: Tools,
    /// Codex's id of the turn, once it has one.
    pub turn_id: Option<String>,
    pub stage: Stage,
    /// Whether the owner has got the event that the turn runs.
    pub announced: bool,
    /// Whether the model has not begun to answer.
    nothing_said: bool,
    /// Whether one response of the model is complete.
    responded: bool,
    has_images: bool,
    compacts: bool,
    open: OpenItems,
    made_up_ids: usize,
    calls: Vec<String>,
    requests: Vec<(String, Value)>,
    /// Whether the thread may serve another turn after this one.
    keeps: Keeps,
    /// The calls of earlier responses whose outputs the client has given.
    given: Vec<String>,
    /// Whether the model's response is complete, and Codex has yet to request the outputs of some of its calls.
    awaits_requests: bool,
    /// Whether the model has called a tool that is not the client's.
    called_unknown: bool,
    /// How the model calls functions, as far as this turn has shown.
    pub habit: Option<Habit>,
    usage: Usage,
    /// The last usage that was emitted.
    told: Usage,
    failure: Option<wire::Failure>,
}

/// The content of a turn that goes into its thread.
#[derive(Debug)]
pub(super) struct Prompt {
    /// What Codex is asked to do with it.
    pub task: Task,
    /// The transcript that is injected.
    pub items: Vec<Item>,
    /// The turn's own input in `turn/start`.
    pub input: Vec<Part>,
    /// The schema of the answer.
    pub output_schema: Option<Value>,
}

/// What a notification means for the turn as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Goes,
    Interrupt,
    Ended,
    /// It has ended, and its thread is kept for a later turn.
    Kept,
    /// It waits for the outputs of its calls.
    Parked,
    /// Its transcript has a compact form, which is in the file of the thread.
    Compacted,
    /// The upstream accepts no tools as an item; the turn can start again without.
    NoExactTools,
}

/// The text that Codex puts in place of an image that it could not decode.
const OMITTED_IMAGE: &str = "image content omitted because it could not be processed";

/// Whether a notification can be about a running turn.
pub(super) fn is_of_a_turn(method: &str) -> bool {
    matches!(
        method,
        "turn/started"
            | "turn/completed"
            | "error"
            | "item/started"
            | "item/completed"
            | "item/agentMessage/delta"
            | "item/reasoning/summaryTextDelta"
            | "item/reasoning/textDelta"
            | "rawResponseItem/completed"
            | "rawResponse/completed"
            | "thread/tokenUsage/updated"
    )
}

impl Running {
    pub(super) fn new(prompt: Prompt, tools: Tools, keeps: Keeps) -> Self {
        let has_images = images(&prompt.items).next().is_some();
        let compacts = prompt.task == Task::Compact;
        Self {
            prompt: Some(prompt),
            thread: None,
            tools,
            turn_id: None,
            stage: Stage::Starting(Asked::Thread),
            announced: false,
            nothing_said: true,
            responded: false,
            has_images,
            compacts,
            open: OpenItems::default(),
            made_up_ids: 0,
            calls: Vec::new(),
            requests: Vec::new(),
            keeps,
            given: Vec::new(),
            awaits_requests: false,
            called_unknown: false,
            habit: None,
            usage: Usage::default(),
            told: Usage::default(),
            failure: None,
        }
    }

    /// Whether nothing more is emitted.
    pub(super) fn is_over(&self) -> bool {
        self.stage.is_over()
    }

    /// The turn is over for its owner.
    pub(super) fn give_up(&mut self) {
        self.stage = self.stage.given_up();
    }

    /// Whether the model has answered with its tools given as an item.
    pub(super) fn answered_with_exact_tools(&self) -> bool {
        self.tools.is_exact() && !self.nothing_said
    }

    /// A notice about this thread makes it unfit to be used.
    pub(super) fn refuse(&mut self, key: TurnKey, reason: String, out: &mut Vec<Step>) {
        self.emit(key, TurnEvent::Failed(TurnError::new(TurnErrorKind::Internal, reason)), out);
    }

    /// Codex has named the turn's id, by answer or by notification, whichever came first.
    pub(super) fn began(&mut self, turn_id: String, key: TurnKey, out: &mut Vec<Step>) {
        let Some(stage) = self.stage.begun() else { return };
        self.stage = stage;
        self.turn_id = Some(turn_id);
        if !std::mem::replace(&mut self.announced, true) {
            self.emit(key, TurnEvent::Started, out);
        }
    }

    /// Emits an event that no notification has brought.
    pub(super) fn tell(&mut self, key: TurnKey, event: TurnEvent, out: &mut Vec<Step>) {
        self.emit(key, event, out);
    }

    pub(super) fn fail(&mut self, key: TurnKey, error: TurnError, out: &mut Vec<Step>) {
        self.emit(key, TurnEvent::Failed(error), out);
    }

    /// Handles a notification about this turn's thread.
    #[expect(clippy::too_many_arguments, reason = "the driver's view of one notification, used in one place")]
    pub(super) fn notified(
        &mut self,
        key: TurnKey,
        method: &str,
        turn_id: Option<&str>,
        params: &RawValue,
        raw_items: bool,
        raw_completed: bool,
        out: &mut Vec<Step>,
    ) -> Outcome {
        let is_own = turn_id.is_some() && turn_id == self.turn_id.as_deref();
        match method {
            "turn/started" => {
                if let Some(started) = read::<wire::TurnStarted>(params) {
                    self.began(started.turn.id, key, out);
                    if self.stage == Stage::Over {
                        return Outcome::Interrupt;
                    }
                }
                return Outcome::Goes;
            }
            "turn/completed" => return self.completed(key, params, out),
            "rawResponseItem/completed" if !is_own => {
                return self.echoed(key, params, out);
            }
            _ if !is_own => return Outcome::Goes,
            // The usage is emitted even when the owner has given up the turn.
            "rawResponse/completed" => {
                self.responded = true;
                let usage = read::<wire::RawCompleted>(params).and_then(|completed| completed.usage);
                if let Some(usage) = usage {
                    self.add_usage(usage.into());
                }
                return self.response_ended(key, out);
            }
            "thread/tokenUsage/updated" if !raw_completed => {
                if let Some(update) = read::<wire::TokenUsageUpdated>(params) {
                    self.usage = update.token_usage.total.into();
                }
                return self.response_ended(key, out);
            }
            _ if self.is_over() => return Outcome::Goes,
            _ => {}
        }
        match method {
            "item/agentMessage/delta" => {
                if let Some(delta) = read::<wire::Delta>(params) {
                    let id = self.opened(key, &delta.item_id, |id| TurnEvent::MessageStarted { id }, out);
                    self.open.add_seen(&id, delta.delta.len());
                    self.emit(key, TurnEvent::TextDelta { id, text: delta.delta }, out);
                }
            }
            "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta" => {
                if let Some(delta) = read::<wire::Delta>(params) {
                    let id = self.opened(key, &delta.item_id, |id| TurnEvent::ReasoningStarted { id }, out);
                    self.open.add_seen(&id, delta.delta.len());
                    let (index, text) = (delta.summary_index, delta.delta);
                    let event = if method == "item/reasoning/textDelta" {
                        TurnEvent::ReasoningTextDelta { id, index, text }
                    } else {
                        TurnEvent::SummaryDelta { id, index, text }
                    };
                    self.emit(key, event, out);
                }
            }
            "item/started" => {
                if let Some(event) = read::<wire::ItemEvent>(params) {
                    self.item_started(key, event.item, out);
                }
            }
            "item/completed" if !raw_items => {
                if let Some(event) = read::<wire::ItemEvent>(params) {
                    self.item_completed(key, event.item, out);
                }
            }
            "rawResponseItem/completed" => {
                if let Some(event) = read::<wire::RawItemEvent>(params) {
                    if event.item.is_guidance() {
                        return self.filtered(key, out);
                    }
                    self.check_foreign(&event.item);
                    self.raw_item(key, event.item, out);
                    return self.park(key, out);
                }
            }
            "error" => {
                if let Some(event) = read::<wire::ErrorEvent>(params) {
                    if failure::cut(&event.error) == Some(Finish::ContentFilter) {
                        return self.filtered(key, out);
                    }
                    if let Some(error) = failure::futile(&event.error).filter(|_| event.will_retry) {
                        self.tell_usage(key, out);
                        self.fail(key, error, out);
                        return Outcome::Interrupt;
                    }
                    if event.will_retry {
                        self.open.begin_again();
                        self.emit(key, TurnEvent::Retrying { message: event.error.message }, out);
                    } else {
                        self.failure = Some(event.error);
                    }
                }
            }
            _ => {}
        }
        Outcome::Goes
    }

    /// The upstream's filter cut the answer short. Codex then asks the model again, with its own message about the
    /// filter; over a WebSocket this message is the only sign of the cut.
    fn filtered(&mut self, key: TurnKey, out: &mut Vec<Step>) -> Outcome {
        self.tell_usage(key, out);
        self.emit(key, TurnEvent::Finished(Finish::ContentFilter), out);
        Outcome::Interrupt
    }

    /// Codex echoes the injected items before the turn; an image that it could not read shows here.
    fn echoed(&mut self, key: TurnKey, params: &RawValue, out: &mut Vec<Step>) -> Outcome {
        if !self.has_images || self.is_over() || !params.get().contains(OMITTED_IMAGE) {
            return Outcome::Goes;
        }
        let lost = match read::<wire::RawItemEvent>(params).map(|event| event.item) {
            Some(RawItem::Message { content, .. }) => content.iter().any(|part| part.text == OMITTED_IMAGE),
            Some(RawItem::FunctionCallOutput { output: Value::Array(parts), .. }) => {
                parts.iter().any(|part| part["text"] == OMITTED_IMAGE)
            }
            _ => false,
        };
        if !lost {
            return Outcome::Goes;
        }
        let error = TurnError::new(
            TurnErrorKind::BadRequest,
            "An image could not be decoded. Send it as a data URL of a valid PNG, JPEG, GIF or WebP file.",
        );
        self.fail(key, error, out);
        Outcome::Interrupt
    }

    fn item_started(&mut self, key: TurnKey, item: ThreadItem, out: &mut Vec<Step>) {
        match item {
            ThreadItem::AgentMessage { id, .. } => {
                self.opened(key, &id, |id| TurnEvent::MessageStarted { id }, out);
            }
            ThreadItem::Reasoning { id, .. } => {
                self.opened(key, &id, |id| TurnEvent::ReasoningStarted { id }, out);
            }
            ThreadItem::WebSearch { id, .. } => {
                self.opened(key, &id, |id| TurnEvent::WebSearchStarted { id }, out);
            }
            ThreadItem::Other => {}
        }
    }

    /// Without raw items, the item in its display form is the only source.
    fn item_completed(&mut self, key: TurnKey, item: ThreadItem, out: &mut Vec<Step>) {
        match item {
            ThreadItem::AgentMessage { id, text, phase } => {
                self.message_done(key, &id, Said::text(text), phase, out);
            }
            ThreadItem::Reasoning { id, summary } => {
                let id = self.opened(key, &id, |id| TurnEvent::ReasoningStarted { id }, out);
                self.missing_summary(key, &id, &summary, out);
                self.emit(key, TurnEvent::ReasoningDone { id, encrypted_content: None }, out);
            }
            ThreadItem::WebSearch { id, query } => {
                let action = serde_json::json!({"type": "search", "query": query});
                self.search_done(key, &id, action, out);
            }
            ThreadItem::Other => {}
        }
    }

    fn raw_item(&mut self, key: TurnKey, item: RawItem, out: &mut Vec<Step>) {
        match item {
            RawItem::Message { id, role, content, phase } if role == "assistant" => {
                let id = id.unwrap_or_else(|| self.made_up_id("msg"));
                let said = Said::from(content);
                self.message_done(key, &id, said, phase, out);
            }
            RawItem::Reasoning { id, summary, encrypted_content } => {
                let id = id.unwrap_or_else(|| self.made_up_id("rs"));
                let id = self.opened(key, &id, |id| TurnEvent::ReasoningStarted { id }, out);
                let summary: Vec<_> = summary.into_iter().map(|part| part.text).collect();
                self.missing_summary(key, &id, &summary, out);
                self.emit(key, TurnEvent::ReasoningDone { id, encrypted_content }, out);
            }
            RawItem::FunctionCall { id, call_id, namespace, name, arguments: input }
            | RawItem::CustomToolCall { id, call_id, namespace, name, input } => {
                self.call(key, id, call_id, (namespace.as_deref(), &name), input, out);
            }
            RawItem::WebSearchCall { id, action } => {
                let id = id.unwrap_or_else(|| self.made_up_id("ws"));
                self.search_done(key, &id, action, out);
            }
            RawItem::Message { .. } | RawItem::FunctionCallOutput { .. } | RawItem::Other => {}
        }
    }

    /// The deltas must add up to the text: what they lacked is sent afterwards.
    fn message_done(
        &mut self,
        key: TurnKey,
        id: &str,
        said: Said,
        phase: Option<String>,
        out: &mut Vec<Step>,
    ) {
        let id = self.opened(key, id, |id| TurnEvent::MessageStarted { id }, out);
        let seen = self.open.close(&id);
        if let Some(rest) = said.text.get(seen..).filter(|rest| !rest.is_empty()) {
            self.emit(key, TurnEvent::TextDelta { id: id.clone(), text: rest.to_owned() }, out);
        }
        for annotation in said.annotations {
            self.emit(key, TurnEvent::Annotation { id: id.clone(), annotation }, out);
        }
        if !said.refusal.is_empty() {
            self.emit(key, TurnEvent::RefusalDelta { id: id.clone(), text: said.refusal }, out);
        }
        self.emit(key, TurnEvent::MessageDone { id, phase }, out);
    }

    fn missing_summary(&mut self, key: TurnKey, id: &ItemId, summary: &[String], out: &mut Vec<Step>) {
        if self.open.close(id) > 0 {
            return;
        }
        for (index, text) in summary.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let event = TurnEvent::SummaryDelta { id: id.clone(), index, text: text.clone() };
            self.emit(key, event, out);
        }
    }

    fn search_done(&mut self, key: TurnKey, id: &str, action: Value, out: &mut Vec<Step>) {
        let id = self.opened(key, id, |id| TurnEvent::WebSearchStarted { id }, out);
        self.open.close(&id);
        self.emit(key, TurnEvent::WebSearchDone { id, action }, out);
    }

    /// The open item with this id; one that is not open yet is opened.
    fn opened(
        &mut self,
        key: TurnKey,
        id: &str,
        start: impl FnOnce(ItemId) -> TurnEvent,
        out: &mut Vec<Step>,
    ) -> ItemId {
        if let Some(open) = self.open.get(id) {
            return open.clone();
        }
        let id: ItemId = id.into();
        let started = start(id.clone());
        let is_message = matches!(started, TurnEvent::MessageStarted { .. });
        self.open.add(id.clone(), is_message);
        self.emit(key, started, out);
        id
    }

    /// For an upstream that gives no ids: the open item, if there is one.
    fn made_up_id(&mut self, prefix: &str) -> String {
        if let Some(open) = self.open.last() {
            return open.to_string();
        }
        self.made_up_ids += 1;
        format!("{prefix}_{}_{}", self.turn_id.as_deref().unwrap_or_default(), self.made_up_ids)
    }

    fn emit(&mut self, key: TurnKey, event: TurnEvent, out: &mut Vec<Step>) {
        if self.is_over() {
            return;
        }
        if event.is_terminal() {
            self.give_up();
        }
        self.nothing_said &=
            matches!(event, TurnEvent::Started | TurnEvent::Retrying { .. } | TurnEvent::Failed(_));
        out.push(Step::Emit(key, event));
    }
}

/// A notification with an unexpected shape is ignored; newer versions may add forms that are not known here.
fn read<T: DeserializeOwned>(params: &RawValue) -> Option<T> {
    serde_json::from_str(params.get())
        .inspect_err(|error| tracing::debug!(%error, "codex sent a notification of an unknown shape"))
        .ok()
}
