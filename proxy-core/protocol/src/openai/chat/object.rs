//! The answer as one `chat.completion` object.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::join::{Joiner, join};
use crate::turn::{Finish, OutputItem, ToolKind, TurnOutput, Usage};

/// The members that all chunks and the final object have in common.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    /// Seconds since the epoch.
    pub(super) created: u64,
    /// The model as the client wrote it.
    pub(super) model: String,
    /// Whether a call is rendered as `function_call`, for a client that declared `functions`.
    pub(super) legacy_functions: bool,
    /// The requested service tier, where it is not the default.
    pub(super) service_tier: Option<&'static str>,
}

pub(super) fn build(head: &Head, outputs: &[TurnOutput]) -> Value {
    let choices: Vec<_> =
        outputs.iter().enumerate().map(|(index, output)| choice(head, index, output)).collect();
    let usage = Tokens::sum(outputs.iter().map(|output| output.usage.unwrap_or_default()));
    let mut object = json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": choices,
        "usage": usage,
    });
    if let Some(tier) = head.service_tier {
        object["service_tier"] = json!(tier);
    }
    object
}

/// The API's name for how a turn ended.
pub(super) fn finish_reason(finish: Finish, legacy_functions: bool) -> &'static str {
    match finish {
        // Only the Responses API can be steered.
        Finish::Stop | Finish::Steered => "stop",
        Finish::Length => "length",
        Finish::ToolCalls if legacy_functions => "function_call",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

fn choice(head: &Head, index: usize, output: &TurnOutput) -> Value {
    // A failed turn is answered with an error instead of this object, so only good ends are named here.
    let finish = match output.end {
        Some(Ok(finish)) => finish,
        Some(Err(_)) | None => Finish::Stop,
    };
    json!({
        "index": index,
        "message": message(head.legacy_functions, &output.items),
        "logprobs": null,
        "finish_reason": finish_reason(finish, head.legacy_functions),
    })
}

fn message(legacy_functions: bool, items: &[OutputItem]) -> Value {
    let mut content = String::new();
    let mut citations = Vec::new();
    let mut joiner = Joiner::default();
    for item in items {
        let OutputItem::Message { id, text, annotations, .. } = item else { continue };
        content.push_str(joiner.before(id, text).unwrap_or_default());
        let start = chars(&content);
        content.push_str(text);
        citations.extend(annotations.iter().filter_map(|annotation| citation(annotation, start)));
    }
    let refusal = join(items.iter().filter_map(|item| match item {
        OutputItem::Message { refusal, .. } => Some(refusal.as_str()),
        OutputItem::Reasoning { .. }
        | OutputItem::ToolCall { .. }
        | OutputItem::WebSearch { .. }
        | OutputItem::Compaction { .. } => None,
    }));
    let reasoning = join(items.iter().flat_map(thoughts));
    let mut calls: Vec<_> = items.iter().filter_map(call).collect();

    let mut message = Map::new();
    let is_elsewhere = !calls.is_empty() || !refusal.is_empty();
    let content = if content.is_empty() && is_elsewhere { Value::Null } else { content.into() };
    message.insert("role".into(), "assistant".into());
    message.insert("content".into(), content);
    message.insert("refusal".into(), if refusal.is_empty() { Value::Null } else { refusal.into() });
    message.insert("annotations".into(), citations.into());
    if !reasoning.is_empty() {
        message.insert("reasoning_content".into(), reasoning.into());
    }
    if legacy_functions && !calls.is_empty() {
        message.insert("function_call".into(), calls.swap_remove(0)["function"].take());
    } else if !calls.is_empty() {
        message.insert("tool_calls".into(), calls.into());
    }
    message.into()
}

/// A citation in Chat's form. `start` is the number of characters of the content before the citation's message.
pub(super) fn citation(annotation: &Value, start: u64) -> Option<Value> {
    let place = |key: &str| annotation[key].as_u64().map(|index| start + index);
    (annotation["type"] == "url_citation").then(|| {
        json!({
            "type": "url_citation",
            "url_citation": {
                "start_index": place("start_index"),
                "end_index": place("end_index"),
                "url": annotation["url"],
                "title": annotation["title"],
            },
        })
    })
}

pub(super) fn chars(text: &str) -> u64 {
    text.chars().count() as u64
}

fn thoughts(item: &OutputItem) -> impl Iterator<Item = &str> {
    let (summary, text): (&[String], &[String]) = match item {
        OutputItem::Reasoning { summary, text, .. } => (summary, text),
        OutputItem::Message { .. }
        | OutputItem::ToolCall { .. }
        | OutputItem::WebSearch { .. }
        | OutputItem::Compaction { .. } => (&[], &[]),
    };
    summary.iter().chain(text).map(String::as_str)
}

fn call(item: &OutputItem) -> Option<Value> {
    match item {
        OutputItem::ToolCall { kind: ToolKind::Function, call_id, name, input, .. } => Some(json!({
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": input},
        })),
        OutputItem::ToolCall { kind: ToolKind::Custom, call_id, name, input, .. } => Some(json!({
            "id": call_id,
            "type": "custom",
            "custom": {"name": name, "input": input},
        })),
        OutputItem::Message { .. }
        | OutputItem::Reasoning { .. }
        | OutputItem::WebSearch { .. }
        | OutputItem::Compaction { .. } => None,
    }
}

/// Tokens as the API counts them.
#[derive(Debug, Serialize)]
pub(super) struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
    completion_tokens_details: CompletionTokens,
}

#[derive(Debug, Serialize)]
struct PromptTokens {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
}

#[derive(Debug, Serialize)]
struct CompletionTokens {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl Tokens {
    /// The tokens of all choices together. The prompt is counted for each, because every choice is a turn of its
    /// own.
    pub(super) fn sum(usages: impl Iterator<Item = Usage>) -> Self {
        let mut sum = Usage::default();
        for usage in usages {
            sum.input = sum.input.saturating_add(usage.input);
            sum.cached = sum.cached.saturating_add(usage.cached);
            sum.cache_write = sum.cache_write.saturating_add(usage.cache_write);
            sum.output = sum.output.saturating_add(usage.output);
            sum.reasoning = sum.reasoning.saturating_add(usage.reasoning);
        }
        Self {
            prompt_tokens: sum.input,
            completion_tokens: sum.output,
            total_tokens: sum.total(),
            prompt_tokens_details: PromptTokens {
                cached_tokens: sum.cached,
                cache_write_tokens: sum.cache_write,
                audio_tokens: 0,
            },
            completion_tokens_details: CompletionTokens {
                reasoning_tokens: sum.reasoning,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
        }
    }
}
