//! The response object: the settings of the request, and the output of the turn.

use serde::Serialize;
use serde_json::{Value, json};

use crate::openai::error::response_error_code;
use crate::turn::{Finish, OutputItem, ToolKind, TurnError, TurnOutput, Usage};

/// The members of the response object that come from the request.
///
/// Both specifications require nearly all of them, so a member without a value is null and not missing.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Echo {
    #[serde(skip)]
    pub(super) id: String,
    #[serde(skip)]
    pub(super) created_at: u64,
    /// Whether reasoning items carry their sealed form (`include: ["reasoning.encrypted_content"]`).
    #[serde(skip)]
    pub(super) encrypted_reasoning: bool,
    pub(super) background: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) conversation: Option<Value>,
    pub(super) frequency_penalty: Value,
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) max_tool_calls: Option<u64>,
    pub(super) metadata: Value,
    pub(super) model: String,
    pub(super) parallel_tool_calls: bool,
    pub(super) presence_penalty: Value,
    pub(super) previous_response_id: Option<String>,
    pub(super) prompt_cache_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_cache_retention: Option<&'static str>,
    pub(super) reasoning: ReasoningEcho,
    pub(super) safety_identifier: Option<String>,
    pub(super) service_tier: &'static str,
    pub(super) store: bool,
    pub(super) temperature: Value,
    pub(super) text: TextEcho,
    pub(super) tool_choice: Value,
    pub(super) tools: Vec<Value>,
    pub(super) top_logprobs: u64,
    pub(super) top_p: Value,
    pub(super) truncation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
}

/// The `reasoning` of the response object.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ReasoningEcho {
    pub(super) effort: Option<&'static str>,
    pub(super) summary: Option<&'static str>,
}

/// The `text` of the response object.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct TextEcho {
    pub(super) format: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verbosity: Option<&'static str>,
}

#[derive(Serialize)]
struct Object<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    completed_at: Option<u64>,
    error: Option<Value>,
    incomplete_details: Option<Value>,
    #[serde(flatten)]
    echo: &'a Echo,
    output: Vec<Value>,
    usage: Option<Value>,
}

/// The response object of a turn with this `output`; `ended_at` is used only if the turn ended well.
pub(super) fn response(echo: &Echo, output: &TurnOutput, ended_at: u64) -> Value {
    sealed_if(echo, output, ended_at, echo.encrypted_reasoning)
}

/// The response object; its reasoning items carry their sealed form if `sealed`.
pub(super) fn sealed_if(echo: &Echo, output: &TurnOutput, ended_at: u64, sealed: bool) -> Value {
    let end = output.end.as_ref();
    let (status, error, incomplete_details) = match end {
        None => ("in_progress", None, None),
        Some(Ok(Finish::Stop | Finish::ToolCalls)) => ("completed", None, None),
        Some(Ok(Finish::Length)) => ("incomplete", None, Some(json!({"reason": "max_output_tokens"}))),
        Some(Ok(Finish::Steered)) => ("incomplete", None, Some(json!({"reason": "steered"}))),
        Some(Ok(Finish::ContentFilter)) => ("incomplete", None, Some(json!({"reason": "content_filter"}))),
        Some(Err(error)) => ("failed", Some(failure(error)), None),
    };
    json!(Object {
        id: &echo.id,
        object: "response",
        created_at: echo.created_at,
        status,
        completed_at: (status == "completed").then_some(ended_at),
        error,
        incomplete_details,
        echo,
        output: output.items.iter().map(|item| self::item(item, Status::of(item, end), sealed)).collect(),
        usage: output.usage.filter(|_| end.is_some()).map(usage),
    })
}

fn failure(error: &TurnError) -> Value {
    json!({"code": response_error_code(error), "message": error.message})
}

pub(super) fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total(),
    })
}

/// The progress of an output item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// More of it is to come.
    InProgress,
    /// The item is complete.
    Completed,
    /// The item was cut short.
    Incomplete,
}

impl Status {
    /// The status of an item of a turn that ended like `end`, or is still running.
    pub(super) fn of(item: &OutputItem, end: Option<&Result<Finish, TurnError>>) -> Self {
        let done = match item {
            OutputItem::Message { done, .. } | OutputItem::Reasoning { done, .. } => *done,
            OutputItem::ToolCall { .. } | OutputItem::Compaction { .. } => true,
            OutputItem::WebSearch { action, .. } => action.is_some(),
        };
        match end {
            _ if done => Self::Completed,
            None => Self::InProgress,
            Some(Ok(finish)) if finish.is_whole() => Self::Completed,
            Some(Ok(_) | Err(_)) => Self::Incomplete,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }

    /// A web search cannot be incomplete: one that was cut short has failed.
    fn of_search(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "failed",
        }
    }
}

/// An output item with its full content.
pub(super) fn item(item: &OutputItem, status: Status, encrypted: bool) -> Value {
    match item {
        OutputItem::Message { id, text, annotations, refusal, phase, .. } => {
            let mut content = Vec::new();
            if !text.is_empty() || !annotations.is_empty() || refusal.is_empty() {
                content.push(output_text(text, annotations));
            }
            if !refusal.is_empty() {
                content.push(self::refusal(refusal));
            }
            let mut value = message(id, status, &content);
            if let Some(phase) = phase {
                value["phase"] = phase.as_str().into();
            }
            value
        }
        OutputItem::Reasoning { id, summary, text, encrypted_content, .. } => {
            let summary: Vec<_> = summary.iter().map(|part| summary_text(part)).collect();
            let mut value = json!({"id": id, "type": "reasoning", "summary": summary});
            if !text.is_empty() {
                value["content"] = text.iter().map(|part| reasoning_text(part)).collect();
            }
            if let Some(sealed) = encrypted_content.as_deref().filter(|_| encrypted) {
                value["encrypted_content"] = sealed.into();
            }
            value
        }
        OutputItem::ToolCall { input, .. } => tool_call(item, status, input),
        OutputItem::WebSearch { id, action } => {
            let action = action.clone().unwrap_or_else(|| json!({"type": "search"}));
            json!({"id": id, "type": "web_search_call", "status": status.of_search(), "action": action})
        }
        OutputItem::Compaction { id, encrypted_content } => {
            json!({"id": id, "type": "compaction", "encrypted_content": encrypted_content})
        }
    }
}

/// An output item without content, as it is when it has just been added.
pub(super) fn begun(item: &OutputItem) -> Value {
    match item {
        OutputItem::Message { id, .. } => message(id, Status::InProgress, &[]),
        OutputItem::Reasoning { id, .. } => json!({"id": id, "type": "reasoning", "summary": []}),
        OutputItem::ToolCall { .. } => tool_call(item, Status::InProgress, ""),
        OutputItem::WebSearch { .. } | OutputItem::Compaction { .. } => {
            self::item(item, Status::InProgress, false)
        }
    }
}

fn message(id: &str, status: Status, content: &[Value]) -> Value {
    json!({"id": id, "type": "message", "status": status.as_str(), "role": "assistant", "content": content})
}

/// A call with the `input` received so far. A call of a custom tool has no status.
fn tool_call(item: &OutputItem, status: Status, input: &str) -> Value {
    let OutputItem::ToolCall { id, kind, call_id, namespace, name, .. } = item else { return Value::Null };
    let mut call = match kind {
        ToolKind::Function => json!({
            "id": id,
            "type": "function_call",
            "status": status.as_str(),
            "call_id": call_id,
            "name": name,
            "arguments": input,
        }),
        ToolKind::Custom => json!({
            "id": id,
            "type": "custom_tool_call",
            "status": status.as_str(),
            "call_id": call_id,
            "name": name,
            "input": input,
        }),
    };
    if let Some(namespace) = namespace {
        call["namespace"] = json!(namespace);
    }
    call
}

/// A content part of a message.
pub(super) fn output_text(text: &str, annotations: &[Value]) -> Value {
    json!({"type": "output_text", "text": text, "annotations": annotations, "logprobs": []})
}

/// The content part of a message in which the model refuses to answer.
pub(super) fn refusal(text: &str) -> Value {
    json!({"type": "refusal", "refusal": text})
}

/// A part of a reasoning summary.
pub(super) fn summary_text(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

/// A content part of raw reasoning.
pub(super) fn reasoning_text(text: &str) -> Value {
    json!({"type": "reasoning_text", "text": text})
}
