//! Shapes a turn's events for the client: strips escapes, applies limits, renders calls and tails.
//!
//! A message's text passes five stages in this order: ANSI escapes are stripped (`ansi`), a stop text ends the
//! answer (`stop`), the output limit ends it (`budget`), JSON gets the form that the client requested (`form`),
//! and the `gate` passes it on, or holds it while the tail controls cannot decide yet whether the client gets it.
//! How a text was split into deltas never changes the result.

mod ansi;
mod budget;
mod form;
mod gate;
mod items;
mod stop;
mod tools;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Finish, ItemId, OutputMode, Turn, TurnEvent, Usage, estimate_tokens};
use ansi::Ansi;
use budget::Budget;
use gate::Gate;
use items::{Channel, Items, Kind};
use stop::StopTexts;

/// Where an answer with `<use_tool>` blocks ends, for a client that parses those. The default changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailControls {
    /// Hides the model's text after the final block; the stream stays open until the model is done.
    pub suppress_after_tools: bool,
    /// Ends the answer after the final block.
    pub stop_after_tools: bool,
    /// Which block is the final one.
    pub stop_mode: StopMode,
    /// How long after a block [`StopMode::Burst`] waits for the next one to begin.
    pub grace: Duration,
    /// The most blocks of an answer: the answer ends after the last of them. 0 for any number.
    pub block_max: usize,
}

impl Default for TailControls {
    fn default() -> Self {
        Self {
            suppress_after_tools: false,
            stop_after_tools: false,
            stop_mode: StopMode::Burst,
            grace: Duration::from_millis(300),
            block_max: 0,
        }
    }
}

/// Which `<use_tool>` block ends the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// The last of those that follow each other within the grace time.
    Burst,
    /// The first.
    First,
}

impl StopMode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::Burst, Self::First];

    /// The name used in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::First => "first",
        }
    }
}

/// What the caller has to do with the backend's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing: it continues, or has ended by itself.
    Continue,
    /// Interrupt it: the client's answer has been ended here.
    Cut,
}

/// A pure filter between the backend's events and the encoders.
///
/// Its output keeps the contract of [`TurnEvent`]: deltas of an item that was never started start it, and those of
/// an item that is done are ignored. An answer that ends well has all its messages and reasoning closed and has a
/// usage, estimated where the backend gave none. When the answer fails or reaches its limit, its items stay open,
/// because they are not complete. So does a web search that was never done.
#[derive(Debug)]
pub struct Shaper {
    items: Items,
    stops: StopTexts,
    budget: Budget,
    single_call: bool,
    called: bool,
    blocks: u64,
    output_mode: OutputMode,
    gate: Gate,
    prompt_tokens: u64,
    usage_given: bool,
    unmet: bool,
    ended: bool,
}

impl Shaper {
    /// A filter for the answer to `turn`.
    pub fn new(turn: &Turn, tail: &TailControls) -> Self {
        Self {
            items: Items::new(turn.answer_form.clone(), turn.spec.web_search),
            stops: StopTexts::new(&turn.limits.stop),
            budget: Budget::new(turn.limits.max_output_tokens),
            single_call: !turn.parallel_tool_calls,
            called: false,
            blocks: 0,
            output_mode: turn.output_mode,
            gate: Gate::new(tail.clone()),
            prompt_tokens: estimate_tokens(turn.prompt_chars()),
            usage_given: false,
            unmet: false,
            ended: false,
        }
    }

    /// Shapes one event and pushes the events for the client into `out`.
    ///
    /// With [`Verdict::Cut`] the answer's end is in `out` already. Once it is, further events are ignored.
    pub fn push(&mut self, event: TurnEvent, now: Instant, out: &mut Vec<TurnEvent>) -> Verdict {
        if self.ended {
            return Verdict::Continue;
        }
        let backend_ended = event.is_terminal();
        if self.is_due(now) {
            self.end(Finish::Stop, out);
        } else if let Some(finish) = self.shape(event, now, out) {
            self.end(finish, out);
        }
        if self.ended && !backend_ended { Verdict::Cut } else { Verdict::Continue }
    }

    /// An estimate of the turn's usage so far, by the length of its texts.
    pub fn estimate(&self) -> Usage {
        Usage {
            input: self.prompt_tokens,
            output: estimate_tokens(self.gate.chars() + self.items.held_chars()),
            estimated: true,
            ..Usage::default()
        }
    }

    /// Whether the last message is complete and is not the requested JSON.
    pub fn is_unmet(&self) -> bool {
        self.unmet
    }

    /// The number of calls written as `<use_tool>` blocks.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// When [`Shaper::tick`] has to be called, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        if self.ended || self.items.any_inside_block() { None } else { self.gate.window_end() }
    }

    /// Ends the answer if its [`Shaper::deadline`] has passed.
    pub fn tick(&mut self, now: Instant, out: &mut Vec<TurnEvent>) -> Verdict {
        if !self.is_due(now) {
            return Verdict::Continue;
        }
        self.end(Finish::Stop, out);
        Verdict::Cut
    }

    fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Passes one event through all stages. Returns how the answer ends, if this event ends it.
    fn shape(&mut self, event: TurnEvent, now: Instant, out: &mut Vec<TurnEvent>) -> Option<Finish> {
        match event {
            TurnEvent::Started
            | TurnEvent::Retrying { .. }
            | TurnEvent::Compaction { .. }
            | TurnEvent::Compacted { .. } => {
                out.push(event);
                None
            }
            TurnEvent::Usage(_) => {
                self.usage_given = true;
                out.push(event);
                None
            }
            TurnEvent::Withdrawn { ref id } => {
                self.items.withdraw(id);
                self.gate.emit(event, out);
                None
            }
            TurnEvent::MessageStarted { id } => self.item(&id, Kind::Message, out).and(None),
            TurnEvent::ReasoningStarted { id } => self.item(&id, Kind::Reasoning, out).and(None),
            TurnEvent::WebSearchStarted { id } => self.item(&id, Kind::WebSearch, out).and(None),
            TurnEvent::TextDelta { id, text } => self.delta(&id, Channel::Message, text, now, out),
            TurnEvent::SummaryDelta { id, index, text } => {
                self.delta(&id, Channel::Summary(index), text, now, out)
            }
            TurnEvent::ReasoningTextDelta { id, index, text } => {
                self.delta(&id, Channel::ReasoningText(index), text, now, out)
            }
            TurnEvent::Annotation { id, annotation } => self.annotation(&id, annotation, now, out),
            TurnEvent::RefusalDelta { id, text } => {
                let index = self.item(&id, Kind::Message, out)?;
                let finish = self.flush(index, now, out);
                if finish.is_none() {
                    self.gate.emit(TurnEvent::RefusalDelta { id, text: Ansi::stripped(text) }, out);
                }
                finish
            }
            TurnEvent::MessageDone { ref id, .. } => {
                let index = self.item(id, Kind::Message, out)?;
                self.close(index, event, now, out)
            }
            TurnEvent::ReasoningDone { ref id, .. } => {
                let index = self.item(id, Kind::Reasoning, out)?;
                self.close(index, event, now, out)
            }
            TurnEvent::WebSearchDone { ref id, .. } => {
                let index = self.item(id, Kind::WebSearch, out)?;
                self.close(index, event, now, out)
            }
            TurnEvent::ToolCall { .. } => self.call(event, now, out),
            TurnEvent::Finished(finish) => self.flush_all(now, out).or(Some(self.rendered(finish))),
            TurnEvent::Failed(_) => {
                let finish = self.flush_all(now, out);
                if finish.is_none() {
                    self.gate.end(out);
                    out.push(event);
                    self.ended = true;
                }
                finish
            }
        }
    }

    /// The position of the open item `id`; starts it if it is new. `None` if it is done or of another kind.
    fn item(&mut self, id: &ItemId, kind: Kind, out: &mut Vec<TurnEvent>) -> Option<usize> {
        if let Some(index) = self.items.index_of(id) {
            return (self.items[index].kind == kind).then_some(index);
        }
        let index = self.items.start(id, kind)?;
        self.gate.emit(kind.started(id.clone()), out);
        Some(index)
    }

    fn delta(
        &mut self,
        id: &ItemId,
        channel: Channel,
        text: String,
        now: Instant,
        out: &mut Vec<TurnEvent>,
    ) -> Option<Finish> {
        let index = self.item(id, channel.kind(), out)?;
        if self.items[index].channel != channel {
            if let Some(finish) = self.flush(index, now, out) {
                return Some(finish);
            }
            self.items[index].channel = channel;
        }
        let item = &mut self.items[index];
        if let Some(said) = &mut item.said {
            said.push_str(&text);
        }
        let text = item.ansi.strip(text)?;
        self.unescaped(index, text, now, out)
    }

    /// Passes text without escapes through the stop texts and the later stages.
    fn unescaped(
        &mut self,
        index: usize,
        text: String,
        now: Instant,
        out: &mut Vec<TurnEvent>,
    ) -> Option<Finish> {
        let item = &mut self.items[index];
        if self.stops.is_empty() || item.channel != Channel::Message {
            return self.limited(index, text, now, out);
        }
        let (text, stopped) = item.stop.push(&self.stops, text);
        let finish = if text.is_empty() { None } else { self.limited(index, text, now, out) };
        finish.or(stopped.then_some(Finish::Stop))
    }

    /// Passes text through the output limit and the gate.
    fn limited(
        &mut self,
        index: usize,
        mut text: String,
        now: Instant,
        out: &mut Vec<TurnEvent>,
    ) -> Option<Finish> {
        let crossed = self.budget.cut(&mut text);
        let item = &mut self.items[index];
        let ended_by_tail = if crossed && text.is_empty() {
            false
        } else if item.channel == Channel::Message {
            match item.form.push(text) {
                Some(text) => self.gate.text(&mut item.blocks, &item.id, text, now, out),
                None => false,
            }
        } else {
            self.gate.emit(item.channel.delta(item.id.clone(), text), out);
            false
        };
        // A block that ends the answer lies before the limit: its text was within it.
        if ended_by_tail { Some(Finish::Stop) } else { crossed.then_some(Finish::Length) }
    }

    /// Passes on the text that the stages held back of an item: no more text comes that could complete a match.
    fn flush(&mut self, index: usize, now: Instant, out: &mut Vec<TurnEvent>) -> Option<Finish> {
        let escape = self.items[index].ansi.flush();
        if !escape.is_empty()
            && let Some(finish) = self.unescaped(index, escape, now, out)
        {
            return Some(finish);
        }
        let partial = self.items[index].stop.flush();
        let finish = if partial.is_empty() { None } else { self.limited(index, partial, now, out) };
        if finish.is_none() {
            self.release(index, out);
        }
        finish
    }

    /// Passes on the text that waited for the rest of its message.
    fn release(&mut self, index: usize, out: &mut Vec<TurnEvent>) {
        let item = &mut self.items[index];
        if let Some(text) = item.form.finish() {
            self.gate.emit(TurnEvent::TextDelta { id: item.id.clone(), text }, out);
        }
    }

    fn flush_all(&mut self, now: Instant, out: &mut Vec<TurnEvent>) -> Option<Finish> {
        (0..self.items.open_count()).find_map(|index| self.flush(index, now, out))
    }

    /// Closes an item with the backend's own `done` event.
    fn close(
        &mut self,
        index: usize,
        done: TurnEvent,
        now: Instant,
        out: &mut Vec<TurnEvent>,
    ) -> Option<Finish> {
        let is_comment =
            matches!(&done, TurnEvent::MessageDone { phase: Some(phase), .. } if phase == "commentary");
        self.items[index].done = Some(done);
        if let Some(finish) = self.flush(index, now, out) {
            return Some(finish);
        }
        if self.items[index].kind == Kind::Message && !is_comment {
            self.unmet = self.items[index].form.is_unmet();
        }
        if let Some(done) = self.items.close(index) {
            self.gate.emit(done, out);
        }
        None
    }

    /// A citation is dropped if its text has been replaced; its indexes are moved if the text had escapes.
    fn annotation(
        &mut self,
        id: &ItemId,
        mut annotation: Value,
        now: Instant,
        out: &mut Vec<TurnEvent>,
    ) -> Option<Finish> {
        let index = self.item(id, Kind::Message, out)?;
        if let Some(finish) = self.flush(index, now, out) {
            return Some(finish);
        }
        let item = &self.items[index];
        if item.form.has_changed() {
            return None;
        }
        let said = item.said.as_deref().unwrap_or_default();
        for key in ["start_index", "end_index"] {
            let place = annotation.get_mut(key).filter(|_| said.contains('\u{1b}'));
            if let Some(place) = place
                && let Some(index) = place.as_u64().and_then(|index| usize::try_from(index).ok())
            {
                *place = Ansi::place_without(said, index).into();
            }
        }
        self.gate.emit(TurnEvent::Annotation { id: id.clone(), annotation }, out);
        None
    }

    /// A second call that is dropped is not counted: text that is not sent uses up no limit.
    fn call(&mut self, event: TurnEvent, now: Instant, out: &mut Vec<TurnEvent>) -> Option<Finish> {
        let TurnEvent::ToolCall { id, name, input, .. } = &event else { return None };
        if !self.items.record(id) || (self.single_call && self.called) {
            return None;
        }
        if !self.budget.take(input) {
            return Some(Finish::Length);
        }
        self.called = true;
        match self.output_mode {
            OutputMode::OpenaiJson => {
                self.gate.emit(event, out);
                None
            }
            OutputMode::ObsidianXml => {
                let block = tools::use_tool_block(name, input);
                self.blocks += 1;
                let message = self.items.record_message_of(id);
                self.gate.block(message, block, now, out).then_some(Finish::Stop)
            }
        }
    }

    /// In text, a call is an ordinary message and nothing waits for its output.
    fn rendered(&self, finish: Finish) -> Finish {
        match (self.output_mode, finish) {
            (OutputMode::ObsidianXml, Finish::ToolCalls) => Finish::Stop,
            (OutputMode::ObsidianXml | OutputMode::OpenaiJson, _) => finish,
        }
    }

    /// Ends the answer well: closes open items, unless it was cut short, and emits the usage.
    fn end(&mut self, finish: Finish, out: &mut Vec<TurnEvent>) {
        for index in 0..self.items.open_count() {
            self.release(index, out);
        }
        if finish.is_whole() {
            for done in self.items.close_all() {
                self.gate.emit(done, out);
            }
        }
        self.gate.end(out);
        if !self.usage_given {
            out.push(TurnEvent::Usage(self.estimate()));
        }
        out.push(TurnEvent::Finished(finish));
        self.ended = true;
    }
}
