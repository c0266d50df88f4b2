//! Renders a turn's events as `chat.completion.chunk` frames.

use serde::Serialize;
use serde_json::Value;

use super::join::Joiner;
use super::object::{self, Head, Tokens, finish_reason};
use crate::openai::error::{ErrorBody, turn_error_body};
use crate::openai::frame::Frames;
use crate::openai::{Context, Encoder};
use crate::turn::{ItemId, ServiceTier, ToolKind, TurnEvent, TurnOutput, Usage};

/// Renders the answer to one Chat Completions request.
#[derive(Debug)]
pub struct ChatEncoder {
    chunks: Chunks,
    choices: Vec<Choice>,
    failed: bool,
}

/// Writes chunks.
#[derive(Debug)]
struct Chunks {
    head: Head,
    /// Whether every chunk but the one with the usage has `"usage":null`, as `include_usage` requires.
    null_usage: bool,
}

/// The state of one choice's stream.
#[derive(Debug, Default)]
struct Choice {
    content: Joiner<ItemId>,
    /// Characters of content so far, and how many there were before each message.
    chars: u64,
    starts: Vec<(ItemId, u64)>,
    refusal: Joiner<ItemId>,
    reasoning: Joiner<(ItemId, Thought, usize)>,
    calls: usize,
    usage: Usage,
}

/// The two members in which reasoning is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thought {
    Summary,
    Raw,
}

impl ChatEncoder {
    /// An encoder of `choices` answers.
    pub(super) fn new(context: &Context<'_>, model: String, choices: usize) -> Self {
        let head = Head {
            id: format!("chatcmpl-{}", context.id),
            created: context.now,
            model,
            legacy_functions: false,
            service_tier: None,
        };
        let chunks = Chunks { head, null_usage: false };
        Self { chunks, choices: (0..choices).map(|_| Choice::default()).collect(), failed: false }
    }

    #[must_use]
    pub(super) fn legacy_functions(mut self, legacy: bool) -> Self {
        self.chunks.head.legacy_functions = legacy;
        self
    }

    #[must_use]
    pub(super) fn service_tier(mut self, tier: Option<ServiceTier>) -> Self {
        self.chunks.head.service_tier = tier.map(ServiceTier::as_str);
        self
    }

    #[must_use]
    pub(super) fn null_usage(mut self, null: bool) -> Self {
        self.chunks.null_usage = null;
        self
    }
}

impl Encoder for ChatEncoder {
    fn open(&mut self, frames: &mut Frames) {
        for index in 0..self.choices.len() {
            let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
            self.chunks.delta(index, delta, frames);
        }
    }

    fn push(&mut self, choice: usize, event: &TurnEvent, frames: &mut Frames) {
        if self.failed {
            return;
        }
        let Some(state) = self.choices.get_mut(choice) else { return };
        let chunks = &self.chunks;
        match event {
            TurnEvent::TextDelta { id, text } => {
                if let Some(gap) = state.content.before(id.clone(), text) {
                    chunks.content(choice, gap, frames);
                    state.chars += object::chars(gap);
                }
                if !text.is_empty() && state.starts.iter().all(|(begun, _)| begun != id) {
                    state.starts.push((id.clone(), state.chars));
                }
                state.chars += object::chars(text);
                chunks.content(choice, text, frames);
            }
            TurnEvent::Annotation { id, annotation } => {
                let start = state.starts.iter().find(|(begun, _)| begun == id).map_or(0, |(_, start)| *start);
                if let Some(citation) = object::citation(annotation, start) {
                    let delta = Delta { annotations: Some([citation]), ..Delta::default() };
                    chunks.delta(choice, delta, frames);
                }
            }
            TurnEvent::RefusalDelta { id, text } => {
                if let Some(gap) = state.refusal.before(id.clone(), text) {
                    chunks.delta(choice, Delta { refusal: Some(gap), ..Delta::default() }, frames);
                }
                if !text.is_empty() {
                    chunks.delta(choice, Delta { refusal: Some(text), ..Delta::default() }, frames);
                }
            }
            TurnEvent::SummaryDelta { id, index, text } => {
                state.think((id.clone(), Thought::Summary, *index), text, chunks, choice, frames);
            }
            TurnEvent::ReasoningTextDelta { id, index, text } => {
                state.think((id.clone(), Thought::Raw, *index), text, chunks, choice, frames);
            }
            TurnEvent::ToolCall { id: _, kind, call_id, namespace: _, name, input } => {
                let index = state.calls;
                state.calls += 1;
                if !chunks.head.legacy_functions {
                    chunks.tool_call(choice, index, *kind, [call_id, name, input], frames);
                } else if index == 0 {
                    chunks.function_call(choice, name, input, frames);
                }
            }
            TurnEvent::Usage(usage) => state.usage = *usage,
            TurnEvent::Finished(finish) => {
                let reason = finish_reason(*finish, chunks.head.legacy_functions);
                chunks.choice(choice, Delta::default(), Some(reason), frames);
            }
            TurnEvent::Failed(error) => {
                self.failed = true;
                frames.data(&ErrorChunk { error: turn_error_body(error) });
            }
            TurnEvent::Started
            | TurnEvent::MessageStarted { .. }
            | TurnEvent::MessageDone { .. }
            | TurnEvent::ReasoningStarted { .. }
            | TurnEvent::ReasoningDone { .. }
            | TurnEvent::WebSearchStarted { .. }
            | TurnEvent::WebSearchDone { .. }
            | TurnEvent::Compaction { .. }
            | TurnEvent::Compacted { .. }
            | TurnEvent::Retrying { .. }
            | TurnEvent::Withdrawn { .. } => {}
        }
    }

    fn finish(&mut self, frames: &mut Frames) {
        if !self.failed {
            let usage = Tokens::sum(self.choices.iter().map(|choice| choice.usage));
            frames.data(&self.chunks.chunk::<[ChunkChoice<'_>; 0], _>([], Some(usage)));
        }
    }

    fn object(&self, outputs: &[TurnOutput]) -> Value {
        object::build(&self.chunks.head, outputs)
    }
}

impl Choice {
    fn think(
        &mut self,
        part: (ItemId, Thought, usize),
        text: &str,
        chunks: &Chunks,
        choice: usize,
        frames: &mut Frames,
    ) {
        if let Some(gap) = self.reasoning.before(part, text) {
            chunks.reasoning(choice, gap, frames);
        }
        chunks.reasoning(choice, text, frames);
    }
}

impl Chunks {
    fn content(&self, choice: usize, text: &str, frames: &mut Frames) {
        if !text.is_empty() {
            self.delta(choice, Delta { content: Some(text), ..Delta::default() }, frames);
        }
    }

    fn reasoning(&self, choice: usize, text: &str, frames: &mut Frames) {
        if !text.is_empty() {
            self.delta(choice, Delta { reasoning_content: Some(text), ..Delta::default() }, frames);
        }
    }

    /// The name is sent before the arguments: clients open a call at its name and append the rest.
    fn tool_call(
        &self,
        choice: usize,
        index: usize,
        kind: ToolKind,
        call: [&String; 3],
        frames: &mut Frames,
    ) {
        let [id, name, input] = call;
        let piece = |id, name, input| {
            let mut piece = CallDelta { index, id, kind: None, function: None, custom: None };
            match kind {
                ToolKind::Function => piece.function = Some(FunctionDelta { name, arguments: input }),
                ToolKind::Custom => piece.custom = Some(CustomDelta { name, input }),
            }
            piece
        };
        let mut opening = piece(Some(id.as_str()), Some(name.as_str()), "");
        opening.kind = Some(match kind {
            ToolKind::Function => "function",
            ToolKind::Custom => "custom",
        });
        self.delta(choice, Delta { tool_calls: Some([opening]), ..Delta::default() }, frames);
        if !input.is_empty() {
            let rest = piece(None, None, input);
            self.delta(choice, Delta { tool_calls: Some([rest]), ..Delta::default() }, frames);
        }
    }

    fn function_call(&self, choice: usize, name: &str, arguments: &str, frames: &mut Frames) {
        let opening = FunctionDelta { name: Some(name), arguments: "" };
        self.delta(choice, Delta { function_call: Some(opening), ..Delta::default() }, frames);
        if !arguments.is_empty() {
            let rest = FunctionDelta { name: None, arguments };
            self.delta(choice, Delta { function_call: Some(rest), ..Delta::default() }, frames);
        }
    }

    fn delta(&self, index: usize, delta: Delta<'_>, frames: &mut Frames) {
        self.choice(index, delta, None, frames);
    }

    fn choice(&self, index: usize, delta: Delta<'_>, reason: Option<&'static str>, frames: &mut Frames) {
        let choice = ChunkChoice { index, delta, logprobs: (), finish_reason: reason };
        frames.data(&self.chunk([choice], self.null_usage.then_some(())));
    }

    fn chunk<C, U>(&self, choices: C, usage: Option<U>) -> Chunk<'_, C, U> {
        Chunk {
            id: &self.head.id,
            object: "chat.completion.chunk",
            created: self.head.created,
            model: &self.head.model,
            service_tier: self.head.service_tier,
            choices,
            usage,
        }
    }
}

/// A chunk; `()` is written as null.
#[derive(Serialize)]
struct Chunk<'a, C, U> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    choices: C,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<U>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: (),
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<[Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionDelta<'a>>,
}

#[derive(Serialize)]
struct CallDelta<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<FunctionDelta<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<CustomDelta<'a>>,
}

#[derive(Serialize)]
struct CustomDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    input: &'a str,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct ErrorChunk {
    error: ErrorBody,
}

#[cfg(test)]
mod tests;
