//! A turn in the app-server's own terms.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::Settings;
use super::running::Prompt;
use super::tools::Tools;
use super::wire::ThreadId;
use crate::codex::{Capabilities, isolation};
use crate::turn::{Image, Item, Part, Role, ThreadSpec, ToolKind, ToolOutput};

/// The parameters that start a thread, and the method to start it with.
pub(super) fn thread(
    spec: &ThreadSpec,
    tools: &Tools,
    settings: &Settings,
    capabilities: &Capabilities,
    history: Option<Value>,
) -> (&'static str, Value) {
    let search_catalogue = settings.search_catalogue.as_deref().map(Path::new);
    let mut config = isolation::thread_config(spec, capabilities, search_catalogue, tools.asks_once());
    if let Some(config) = config.as_object_mut().filter(|_| settings.effort_with_turn) {
        config.shift_remove("model_reasoning_effort");
    }
    let mut params = json!({
        "model": spec.model,
        "cwd": settings.workdir,
        "approvalPolicy": "never",
        "sandbox": settings.sandbox,
        "baseInstructions": spec.base_instructions.as_deref().unwrap_or_default(),
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
    if let Some(tier) = spec.service_tier {
        params["serviceTier"] = json!(tier.as_str());
    }
    if let Some(dynamic) = tools.dynamic() {
        params["dynamicTools"] = dynamic;
    }
    ("thread/start", params)
}

/// The parameters of `turn/start`.
///
/// Where `of_thread` is set, the settings that steer the model belong to the thread instead, so that the
/// connection that Codex opened ahead fits.
pub(super) fn start(thread: &ThreadId, spec: &ThreadSpec, prompt: &Prompt, of_thread: bool) -> Value {
    let mut params = json!({
        "threadId": thread,
        "input": prompt.input.iter().map(user_input).collect::<Vec<_>>(),
    });
    if let Some(effort) = spec.effort.filter(|_| !of_thread) {
        params["effort"] = json!(effort.as_str());
    }
    if let Some(summary) = spec.summary.filter(|_| !of_thread) {
        params["summary"] = json!(summary.as_str());
    }
    if let Some(schema) = &prompt.output_schema {
        params["outputSchema"] = schema.clone();
    }
    params
}

fn user_input(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text, "text_elements": []}),
        Part::Image(Image { url, detail: Some(detail), .. }) => {
            json!({"type": "image", "url": url.as_ref(), "detail": detail})
        }
        Part::Image(Image { url, detail: None, .. }) => json!({"type": "image", "url": url.as_ref()}),
    }
}

/// The history of a resumed thread, which must not be empty. Codex drops an item of an unknown type before it asks
/// the model. A thread that is started instead of resumed would add Codex's description of its environment.
pub(super) fn history(given: &[Item]) -> Value {
    if given.is_empty() { json!([{"type": "other"}]) } else { json!(items(None, given, &Tools::default())) }
}

/// The parameters that inject a transcript. They borrow it, because it may be megabytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Injection<'a> {
    pub thread_id: &'a ThreadId,
    pub items: Vec<WireItem<'a>>,
}

/// An item as the Responses API writes it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireItem<'a> {
    Message {
        #[serde(rename = "type")]
        kind: &'static str,
        role: &'static str,
        content: Vec<WirePart<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'a str>,
    },
    Reasoning {
        #[serde(rename = "type")]
        kind: &'static str,
        summary: Vec<WirePart<'a>>,
        encrypted_content: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    },
    Call {
        #[serde(rename = "type")]
        kind: &'static str,
        call_id: Cow<'a, str>,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
    },
    Output {
        #[serde(rename = "type")]
        kind: &'static str,
        call_id: Cow<'a, str>,
        output: WireOutput<'a>,
    },
    Tools(Value),
    Raw(&'a Value),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireOutput<'a> {
    Text(&'a str),
    Parts(Vec<WirePart<'a>>),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WirePart<'a> {
    Text {
        #[serde(rename = "type")]
        kind: &'static str,
        text: &'a str,
    },
    Image {
        #[serde(rename = "type")]
        kind: &'static str,
        image_url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
    },
}

/// The items to inject: the tools, where they travel as an item, and the transcript.
pub(super) fn items<'a>(tools_item: Option<Value>, items: &'a [Item], tools: &'a Tools) -> Vec<WireItem<'a>> {
    let given = items.iter().map(|given| item(given, tools));
    tools_item.map(WireItem::Tools).into_iter().chain(given).collect()
}

/// The answer to Codex's request for an output; see [`ToolOutput::can_answer`].
pub(super) fn tool_result(item: &Item) -> Value {
    let texts = match item {
        Item::ToolOutput { output: ToolOutput::Text(text), .. } => vec![text],
        Item::ToolOutput { output: ToolOutput::Parts(parts), .. } => {
            parts.iter().filter_map(Part::text).collect()
        }
        Item::Message { .. } | Item::Reasoning { .. } | Item::ToolCall { .. } | Item::Raw(_) => Vec::new(),
    };
    let content: Vec<_> = texts.iter().map(|text| json!({"type": "inputText", "text": text})).collect();
    json!({"contentItems": content, "success": true})
}

fn item<'a>(item: &'a Item, tools: &'a Tools) -> WireItem<'a> {
    match item {
        Item::Message { role, content, phase } => {
            let (role, text) = match role {
                Role::Developer => ("developer", "input_text"),
                Role::User => ("user", "input_text"),
                Role::Assistant => ("assistant", "output_text"),
            };
            WireItem::Message {
                kind: "message",
                role,
                content: parts(content, text),
                phase: phase.as_deref(),
            }
        }
        Item::Reasoning { id, summary, encrypted_content } => WireItem::Reasoning {
            kind: "reasoning",
            summary: summary.iter().map(|text| WirePart::Text { kind: "summary_text", text }).collect(),
            encrypted_content,
            id: id.as_deref(),
        },
        Item::ToolCall { kind, call_id, namespace, name, input } => {
            let (namespace, name) = tools.travels(namespace.as_deref(), name);
            let (kind, arguments, input) = match kind {
                ToolKind::Function => ("function_call", Some(input.as_str()), None),
                ToolKind::Custom => ("custom_tool_call", None, Some(input.as_str())),
            };
            WireItem::Call { kind, call_id: short_id(call_id), name, arguments, input, namespace }
        }
        Item::ToolOutput { kind, call_id, output } => WireItem::Output {
            kind: match kind {
                ToolKind::Function => "function_call_output",
                ToolKind::Custom => "custom_tool_call_output",
            },
            call_id: short_id(call_id),
            output: match output {
                ToolOutput::Text(text) => WireOutput::Text(text),
                ToolOutput::Parts(content) => WireOutput::Parts(parts(content, "input_text")),
            },
        },
        Item::Raw(value) => WireItem::Raw(value),
    }
}

/// An id within the upstream's limit of 64 characters. Histories from other vendors have longer ones.
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

fn parts<'a>(content: &'a [Part], text: &'static str) -> Vec<WirePart<'a>> {
    let part = |part: &'a Part| match part {
        Part::Text(said) => WirePart::Text { kind: text, text: said },
        Part::Image(image) => {
            WirePart::Image { kind: "input_image", image_url: &image.url, detail: image.detail.as_deref() }
        }
    };
    content.iter().map(part).collect()
}
