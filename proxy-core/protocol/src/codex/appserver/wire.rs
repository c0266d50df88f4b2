//! The app-server's messages that this proxy reads, from the types that `codex app-server generate-ts` prints.

use std::borrow::{Borrow, Cow};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::turn::{Effort, Model, Usage};

/// Codex's id of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ThreadId(pub(super) String);

impl Borrow<str> for ThreadId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitializeResponse {
    #[serde(default)]
    pub user_agent: String,
}

#[derive(Deserialize)]
pub(super) struct ThreadResponse {
    pub thread: Started,
}

#[derive(Deserialize)]
pub(super) struct Started {
    pub id: String,
    /// The file that Codex writes it to, if it does.
    pub path: Option<std::path::PathBuf>,
}

#[derive(Deserialize)]
pub(super) struct TurnResponse {
    pub turn: Id,
}

#[derive(Deserialize)]
pub(super) struct Id {
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelListResponse {
    pub data: Vec<ModelEntry>,
    pub next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelEntry {
    pub model: String,
    #[serde(default)]
    pub display_name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub supported_reasoning_efforts: Vec<EffortOption>,
    pub default_reasoning_effort: Option<String>,
    pub input_modalities: Option<Vec<String>>,
    #[serde(default)]
    pub hidden: bool,
    #[serde(default)]
    pub is_default: bool,
    pub service_tiers: Option<Vec<Id>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EffortOption {
    pub reasoning_effort: String,
}

impl From<ModelEntry> for Model {
    /// Efforts this proxy does not know are left out: `ultra` delegates to other agents and is no effort.
    fn from(entry: ModelEntry) -> Self {
        let mut efforts: Vec<Effort> = entry
            .supported_reasoning_efforts
            .iter()
            .filter_map(|option| option.reasoning_effort.parse().ok())
            .collect();
        efforts.sort_unstable();
        efforts.dedup();
        Self {
            id: entry.model,
            display_name: entry.display_name,
            description: entry.description,
            efforts,
            default_effort: entry.default_reasoning_effort.and_then(|effort| effort.parse().ok()),
            images: entry.input_modalities.is_none_or(|kinds| kinds.iter().any(|kind| kind == "image")),
            hidden: entry.hidden,
            is_default: entry.is_default,
            service_tiers: entry.service_tiers.map(|tiers| tiers.into_iter().map(|tier| tier.id).collect()),
            context_window: None,
        }
    }
}

/// `configWarning` has a summary, `warning` a message and the thread it is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Warning {
    #[serde(alias = "summary", default)]
    pub message: String,
    pub thread_id: Option<String>,
}

/// Every notification of a turn names its thread; most name the turn.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope<'a> {
    #[serde(borrow)]
    pub thread_id: Cow<'a, str>,
    #[serde(borrow)]
    pub turn_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct TurnStarted {
    pub turn: Id,
}

#[derive(Deserialize)]
pub(super) struct ItemEvent {
    pub item: ThreadItem,
}

/// An item in the form in which the app-server displays it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum ThreadItem {
    AgentMessage {
        id: String,
        #[serde(default)]
        text: String,
        phase: Option<String>,
    },
    Reasoning {
        id: String,
        #[serde(default)]
        summary: Vec<String>,
    },
    WebSearch {
        id: String,
        #[serde(default)]
        query: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delta {
    pub item_id: String,
    pub delta: String,
    #[serde(alias = "contentIndex", default)]
    pub summary_index: usize,
}

#[derive(Deserialize)]
pub(super) struct RawItemEvent {
    pub item: RawItem,
}

/// An item as the vendor sent it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum RawItem {
    Message {
        id: Option<String>,
        role: String,
        #[serde(default)]
        content: Vec<RawPart>,
        phase: Option<String>,
    },
    Reasoning {
        id: Option<String>,
        #[serde(default)]
        summary: Vec<RawPart>,
        encrypted_content: Option<String>,
    },
    FunctionCall {
        id: Option<String>,
        call_id: String,
        namespace: Option<String>,
        name: String,
        arguments: String,
    },
    CustomToolCall {
        id: Option<String>,
        call_id: String,
        namespace: Option<String>,
        name: String,
        input: String,
    },
    FunctionCallOutput {
        call_id: Option<String>,
        output: Value,
    },
    WebSearchCall {
        id: Option<String>,
        #[serde(default)]
        action: Value,
    },
    #[serde(other)]
    Other,
}

impl RawItem {
    /// Whether this is Codex's message to the model that the upstream's filter has cut its answer short.
    pub(super) fn is_guidance(&self) -> bool {
        let Self::Message { role, content, .. } = self else { return false };
        role == "developer" && content.iter().any(|part| part.text.starts_with("<content_filter_guidance>"))
    }
}

#[derive(Deserialize)]
pub(super) struct RawPart {
    #[serde(default)]
    pub text: String,
    pub annotations: Option<Vec<Value>>,
    pub refusal: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RawCompleted {
    pub usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenUsageUpdated {
    pub token_usage: ThreadTokenUsage,
}

#[derive(Deserialize)]
pub(super) struct ThreadTokenUsage {
    pub total: TokenUsage,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct TokenUsage {
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub cache_write_input_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_output_tokens: u64,
}

impl From<TokenUsage> for Usage {
    fn from(usage: TokenUsage) -> Self {
        Self {
            input: usage.input_tokens,
            cached: usage.cached_input_tokens,
            cache_write: usage.cache_write_input_tokens,
            output: usage.output_tokens,
            reasoning: usage.reasoning_output_tokens,
            estimated: false,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct TurnCompleted {
    pub turn: EndedTurn,
}

#[derive(Deserialize)]
pub(super) struct EndedTurn {
    pub id: String,
    pub status: String,
    pub error: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorEvent {
    pub error: Failure,
    #[serde(default)]
    pub will_retry: bool,
}

/// The error, in Codex's words.
#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    #[serde(default)]
    pub message: String,
    pub codex_error_info: Option<Value>,
    pub additional_details: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolCall {
    pub thread_id: String,
    pub call_id: String,
    pub namespace: Option<String>,
    pub tool: String,
    #[serde(default)]
    pub arguments: Value,
}
