//! The messages of `codex proto` that this proxy reads and writes.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::turn::Usage;

/// A line from Codex: an event, and the submission that it belongs to.
#[derive(Deserialize)]
pub(super) struct Event {
    pub id: String,
    pub msg: Said,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    SessionConfigured {
        session_id: String,
        #[serde(default)]
        model: String,
        rollout_path: Option<String>,
    },
    TaskStarted,
    AgentMessageDelta {
        delta: String,
    },
    AgentMessage {
        message: String,
    },
    /// A part of the reasoning summary begins.
    AgentReasoningSectionBreak,
    AgentReasoningDelta {
        delta: String,
    },
    /// A part of the reasoning summary, after the deltas of all parts.
    AgentReasoning {
        text: String,
    },
    AgentReasoningRawContentDelta {
        delta: String,
    },
    /// A part of the raw reasoning, after the deltas of all parts.
    AgentReasoningRawContent {
        text: String,
    },
    WebSearchBegin {
        call_id: String,
    },
    WebSearchEnd {
        call_id: String,
        #[serde(default)]
        query: String,
    },
    /// Comes with `info` where a model response ends, and without it where only the rate limits have changed.
    TokenCount {
        info: Option<TokenInfo>,
    },
    ExecApprovalRequest,
    ApplyPatchApprovalRequest,
    /// Codex tries again.
    StreamError {
        message: String,
    },
    /// Codex gives up.
    Error {
        message: String,
    },
    TaskComplete,
    TurnAborted {
        #[serde(default)]
        reason: Value,
    },
    ShutdownComplete,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub(super) struct TokenInfo {
    pub total_token_usage: TokenUsage,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TokenUsage {
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_output_tokens: u64,
}

impl From<TokenUsage> for Usage {
    fn from(usage: TokenUsage) -> Self {
        Self {
            input: usage.input_tokens,
            cached: usage.cached_input_tokens,
            cache_write: 0,
            output: usage.output_tokens,
            reasoning: usage.reasoning_output_tokens,
            estimated: false,
        }
    }
}

/// A line for Codex: an operation, under an id of the proxy's.
pub(super) fn submission(id: &str, op: &Value) -> String {
    json!({"id": id, "op": op}).to_string()
}
