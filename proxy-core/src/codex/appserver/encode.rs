//! A turn in the app-server's own terms.

use std::path::Path;

use serde_json::{Value, json};

use super::Settings;
use crate::codex::{Capabilities, isolation};
use crate::turn::{FunctionTool, Item, Part, Role, ToolOutput, Turn};

/// The parameters that start a thread, and the method to start it with.
pub(super) fn thread(
    turn: &Turn,
    settings: &Settings,
    capabilities: &Capabilities,
    history: Option<Value>,
) -> (&'static str, Value) {
    let search_catalogue = settings.search_catalogue.as_deref().map(Path::new);
    let mut params = json!({
        "model": turn.model,
        "cwd": settings.workdir,
        "approvalPolicy": "never",
        "sandbox": settings.sandbox,
        "baseInstructions": turn.base_instructions.as_deref().unwrap_or_default(),
        "config": isolation::thread_config(turn, capabilities, search_catalogue),
    });
    if let Some(history) = history {
        params["threadId"] = json!("");
        params["history"] = history;
        return ("thread/resume", params);
    }
    params["ephemeral"] = json!(true);
    params["environments"] = json!([]);
    params["experimentalRawEvents"] = json!(true);
    if !turn.tools.is_empty() {
        params["dynamicTools"] = turn.tools.iter().map(tool).collect();
    }
    ("thread/start", params)
}

fn tool(tool: &FunctionTool) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.parameters,
    })
}

/// The parameters of `turn/start`.
pub(super) fn start(thread: &str, turn: &Turn, input: &[Part]) -> Value {
    let mut params = json!({
        "threadId": thread,
        "input": input.iter().map(user_input).collect::<Vec<_>>(),
    });
    if let Some(effort) = turn.effort {
        params["effort"] = json!(effort.as_str());
    }
    if let Some(summary) = turn.summary {
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
    if given.is_empty() { json!([{"type": "other"}]) } else { items(given) }
}

/// Transcript items as the Responses API writes them.
pub(super) fn items(items: &[Item]) -> Value {
    items.iter().map(item).collect()
}

fn item(item: &Item) -> Value {
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
        Item::FunctionCall { call_id, name, arguments } => {
            json!({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})
        }
        Item::FunctionCallOutput { call_id, output } => {
            let output = match output {
                ToolOutput::Text(text) => json!(text),
                ToolOutput::Parts(content) => parts(content, "input_text"),
            };
            json!({"type": "function_call_output", "call_id": call_id, "output": output})
        }
        Item::Raw(value) => value.clone(),
    }
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
