//! A turn in the app-server's own terms.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde_json::{Value, json};

use super::Settings;
use super::tools::Tools;
use crate::codex::{Capabilities, isolation};
use crate::turn::{Item, Part, Role, ToolKind, ToolOutput, Turn};

/// The parameters that start a thread, and the method to start it with.
pub(super) fn thread(
    turn: &Turn,
    tools: &Tools,
    settings: &Settings,
    capabilities: &Capabilities,
    history: Option<Value>,
) -> (&'static str, Value) {
    let search_catalogue = settings.search_catalogue.as_deref().map(Path::new);
    let mut config = isolation::thread_config(turn, capabilities, search_catalogue, tools.has_custom());
    if let Some(config) = config.as_object_mut().filter(|_| settings.effort_with_turn) {
        config.shift_remove("model_reasoning_effort");
    }
    let mut params = json!({
        "model": turn.model,
        "cwd": settings.workdir,
        "approvalPolicy": "never",
        "sandbox": settings.sandbox,
        "baseInstructions": turn.base_instructions.as_deref().unwrap_or_default(),
        "config": config,
    });
    if let Some(history) = history {
        params["threadId"] = json!("");
        params["history"] = history;
        return ("thread/resume", params);
    }
    params["ephemeral"] = json!(true);
    params["environments"] = json!([]);
    params["experimentalRawEvents"] = json!(true);
    if let Some(tier) = turn.service_tier {
        params["serviceTier"] = json!(tier.as_str());
    }
    if let Some(dynamic) = tools.dynamic() {
        params["dynamicTools"] = dynamic;
    }
    ("thread/start", params)
}

/// The parameters of `turn/start`.
///
/// What steers the model is the thread's where `of_thread`, so that the connection that was opened ahead fits.
pub(super) fn start(thread: &str, turn: &Turn, input: &[Part], of_thread: bool) -> Value {
    let mut params = json!({
        "threadId": thread,
        "input": input.iter().map(user_input).collect::<Vec<_>>(),
    });
    if let Some(effort) = turn.effort.filter(|_| !of_thread) {
        params["effort"] = json!(effort.as_str());
    }
    if let Some(summary) = turn.summary.filter(|_| !of_thread) {
        params["summary"] = json!(summary.as_str());
    }
    if let Some(schema) = &turn.output_schema {
        params["outputSchema"] = schema.clone();
    }
    params
}

fn user_input(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text, "text_elements": []}),
        Part::Image { url, detail } => match detail {
            Some(detail) => json!({"type": "image", "url": url, "detail": detail}),
            None => json!({"type": "image", "url": url}),
        },
    }
}

/// A thread's given history, which must not be empty; an item of no known type is left out on the way to the
/// model. A thread that is started instead of resumed would bring Codex's description of its surroundings along.
pub(super) fn history(given: &[Item]) -> Value {
    if given.is_empty() { json!([{"type": "other"}]) } else { items(given, &Tools::default()) }
}

/// The tools, where they travel as an item, and the transcript, as the Responses API writes them.
pub(super) fn items(items: &[Item], tools: &Tools) -> Value {
    tools.item().into_iter().chain(items.iter().map(|given| item(given, tools))).collect()
}

fn item(item: &Item, tools: &Tools) -> Value {
    match item {
        Item::Message { role, content, phase } => {
            let (role, text) = match role {
                Role::Developer => ("developer", "input_text"),
                Role::User => ("user", "input_text"),
                Role::Assistant => ("assistant", "output_text"),
            };
            let mut message = json!({"type": "message", "role": role, "content": parts(content, text)});
            if let Some(phase) = phase {
                message["phase"] = json!(phase);
            }
            message
        }
        Item::Reasoning { id, summary, encrypted_content } => {
            let summary: Vec<_> =
                summary.iter().map(|text| json!({"type": "summary_text", "text": text})).collect();
            let mut reasoning =
                json!({"type": "reasoning", "summary": summary, "encrypted_content": encrypted_content});
            if let Some(id) = id {
                reasoning["id"] = json!(id);
            }
            reasoning
        }
        Item::ToolCall { kind, call_id, namespace, name, input } => {
            let (namespace, name) = tools.travels(namespace.as_deref(), name);
            let (kind, member) = match kind {
                ToolKind::Function => ("function_call", "arguments"),
                ToolKind::Custom => ("custom_tool_call", "input"),
            };
            let mut call = json!({"type": kind, "call_id": short_id(call_id), "name": name, member: input});
            if let Some(namespace) = namespace {
                call["namespace"] = json!(namespace);
            }
            call
        }
        Item::ToolOutput { kind, call_id, output } => {
            let kind = match kind {
                ToolKind::Function => "function_call_output",
                ToolKind::Custom => "custom_tool_call_output",
            };
            let output = match output {
                ToolOutput::Text(text) => json!(text),
                ToolOutput::Parts(content) => parts(content, "input_text"),
            };
            json!({"type": kind, "call_id": short_id(call_id), "output": output})
        }
        Item::Raw(value) => value.clone(),
    }
}

/// An id as the upstream takes it: at most 64 characters. Histories from other vendors have longer ones.
fn short_id(id: &str) -> Cow<'_, str> {
    const MOST: usize = 64;
    if id.chars().count() <= MOST {
        return Cow::Borrowed(id);
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let hash = format!("_{:016x}", hasher.finish());
    let kept: String = id.chars().take(MOST - hash.len()).collect();
    Cow::Owned(kept + &hash)
}

fn parts(content: &[Part], text_type: &str) -> Value {
    content
        .iter()
        .map(|part| match part {
            Part::Text(text) => json!({"type": text_type, "text": text}),
            Part::Image { url, detail } => {
                let mut image = json!({"type": "input_image", "image_url": url});
                if let Some(detail) = detail {
                    image["detail"] = json!(detail);
                }
                image
            }
        })
        .collect()
}
