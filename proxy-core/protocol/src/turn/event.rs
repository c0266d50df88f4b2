//! The events of a running turn.

use std::sync::Arc;

use serde_json::Value;

use super::{ToolKind, TurnError};

/// The vendor's id of an output item; cheap to clone.
pub type ItemId = Arc<str>;

/// One step of a turn's answer.
///
/// Each item is started once and done at most once; one that is not done when the turn ends was cut short. The
/// concatenated deltas of an item are its text. Exactly one
/// [`TurnEvent::Finished`] or [`TurnEvent::Failed`] ends the stream, and nothing follows it.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnEvent {
    /// The backend has accepted the turn and sends it to the model.
    Started,
    /// A message begins.
    MessageStarted {
        /// The item.
        id: ItemId,
    },
    /// More text of a message.
    TextDelta {
        /// The item.
        id: ItemId,
        /// The new text.
        text: String,
    },
    /// A citation in a message, whose text is complete.
    Annotation {
        /// The item.
        id: ItemId,
        /// The citation in the Responses API's form (`url_citation`); its indexes count the text's characters.
        annotation: Value,
    },
    /// More of a message in which the model refuses to answer. The message's text, if any, is complete.
    RefusalDelta {
        /// The item.
        id: ItemId,
        /// The new text.
        text: String,
    },
    /// A message is complete.
    MessageDone {
        /// The item.
        id: ItemId,
        /// `commentary` or `final_answer`, where the model marked it.
        phase: Option<String>,
    },
    /// The model begins to reason.
    ReasoningStarted {
        /// The item.
        id: ItemId,
    },
    /// More of a reasoning summary. A new `index` begins a new part.
    SummaryDelta {
        /// The item.
        id: ItemId,
        /// The part's number, from 0.
        index: usize,
        /// The new text.
        text: String,
    },
    /// More raw reasoning text (only models that show it). A new `index` begins a new part.
    ReasoningTextDelta {
        /// The item.
        id: ItemId,
        /// The part's number, from 0.
        index: usize,
        /// The new text.
        text: String,
    },
    /// The reasoning item is complete.
    ReasoningDone {
        /// The item.
        id: ItemId,
        /// The sealed reasoning, for the client to send back.
        encrypted_content: Option<String>,
    },
    /// The model calls a tool.
    ToolCall {
        /// The item.
        id: ItemId,
        /// The kind of the tool.
        kind: ToolKind,
        /// Connects the call with its output.
        call_id: String,
        /// The namespace that the client put the tool into.
        namespace: Option<String>,
        /// The tool's name.
        name: String,
        /// The model's input for the tool: JSON arguments or free text, by the kind.
        input: String,
    },
    /// The vendor's own web search begins.
    WebSearchStarted {
        /// The item.
        id: ItemId,
    },
    /// The vendor's own web search is done.
    WebSearchDone {
        /// The item.
        id: ItemId,
        /// The action, in the Responses API's form (`search`, `open_page`, `find_in_page`).
        action: Value,
    },
    /// What came before this item was compacted; the answer was made with the compact form.
    Compaction {
        /// The item.
        id: ItemId,
        /// The compact form, sealed by the vendor.
        encrypted_content: String,
    },
    /// The transcript has a shorter form. A turn of [`Task::Compact`](super::Task::Compact) has no other answer.
    Compacted {
        /// The items to go on with, in the Responses API's form.
        items: Vec<Value>,
    },
    /// The backend lost its upstream and tries again; the turn continues.
    Retrying {
        /// The backend's words, for the log.
        message: String,
    },
    /// The backend has started its answer again without this item. The item is no part of the answer, but its text
    /// that the client has received cannot be taken back.
    Withdrawn {
        /// The item.
        id: ItemId,
    },
    /// Tokens used so far by this turn.
    Usage(Usage),
    /// The turn ended well.
    Finished(Finish),
    /// The turn ended badly.
    Failed(TurnError),
}

impl TurnEvent {
    /// Whether this event begins an item of the answer.
    pub fn begins_item(&self) -> bool {
        matches!(
            self,
            Self::MessageStarted { .. }
                | Self::ReasoningStarted { .. }
                | Self::WebSearchStarted { .. }
                | Self::Compaction { .. }
                | Self::ToolCall { .. }
        )
    }

    /// Whether this event ends the turn.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Failed(_))
    }
}

/// Why a turn ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model was done, or a stop text was reached.
    Stop,
    /// The output limit was reached.
    Length,
    /// The model waits for the outputs of its calls.
    ToolCalls,
    /// The upstream's content filter cut the answer short.
    ContentFilter,
    /// The client added to its request; a turn with the addition follows.
    Steered,
}

impl Finish {
    /// Whether the model has completed its answer.
    pub fn is_whole(self) -> bool {
        match self {
            Self::Stop | Self::ToolCalls => true,
            Self::Length | Self::ContentFilter | Self::Steered => false,
        }
    }
}

/// Tokens, as the vendor counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: u64,
    /// The part of them that was read from the prompt cache.
    pub cached: u64,
    /// The part of them that was written to the prompt cache.
    pub cache_write: u64,
    /// Tokens of the answer, reasoning included.
    pub output: u64,
    /// The part of them that was spent on reasoning.
    pub reasoning: u64,
    /// Whether these are the proxy's estimates because the backend gave none.
    pub estimated: bool,
}

impl Usage {
    /// These tokens and others together.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self {
            input: self.input.saturating_add(others.input),
            cached: self.cached.saturating_add(others.cached),
            cache_write: self.cache_write.saturating_add(others.cache_write),
            output: self.output.saturating_add(others.output),
            reasoning: self.reasoning.saturating_add(others.reasoning),
            estimated: self.estimated || others.estimated,
        }
    }

    /// Prompt and answer together.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}
