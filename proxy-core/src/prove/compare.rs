//! Compares the client's request with the one that reached the model: every value is the client's own, a known
//! part of the protocol, or foreign.

mod tools;

use std::collections::BTreeMap;

use protocol::codex::upstream::{ITEM_METADATA, SCHEMA_NAME};
use serde_json::{Map, Value};

/// The client's request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sent {
    /// The model that it names.
    pub(super) model: String,
    /// The transcript, in the form of the Responses API.
    pub(super) items: Vec<Value>,
    /// The tools, in the same form.
    pub(super) tools: Vec<Value>,
    /// The schema of the answer.
    pub(super) schema: Option<Value>,
    /// The effort that it names.
    pub(super) effort: Option<String>,
}

/// The result of the comparison.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Comparison {
    /// Bytes of the client's transcript that arrived, as JSON.
    pub(super) words: u64,
    /// Bytes of the client's tools that arrived, as JSON.
    pub(super) tools: u64,
    /// Bytes of the protocol, by its part.
    pub(super) protocol: BTreeMap<&'static str, u64>,
    /// Pieces that the client did not send.
    pub(super) foreign: Vec<Piece>,
    /// Pieces that the client sent and that did not arrive.
    pub(super) lost: Vec<Piece>,
    /// Pieces that arrived in another form than the client sent.
    pub(super) changed: Vec<Piece>,
}

/// A piece of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// A description of it.
    pub(super) what: String,
    /// The piece itself.
    pub(super) json: String,
}

impl Piece {
    fn of(what: impl Into<String>, value: &Value) -> Self {
        Self { what: what.into(), json: value.to_string() }
    }

    /// The piece's length in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.json.len() as u64
    }
}

/// Members of a request that are no part of a prompt, and their purpose.
pub(super) const PROTOCOL: &[(&str, &str)] = &[
    ("client_metadata", "which installation and thread asks, for the service's own records"),
    ("generate", "false where the connection is only being prepared"),
    ("include", "that sealed reasoning is to be sent back"),
    ("model", "the model that was asked for"),
    ("parallel_tool_calls", "whether several tools may be called at once"),
    ("prompt_cache_key", "the thread's number, by which the service finds its cache"),
    ("reasoning", "effort and summary"),
    ("service_tier", "the tier that was asked for"),
    ("store", "that the service is not to keep the response"),
    ("stream", "that the answer is to come as it is made"),
    ("stream_options", "how the answer is to come"),
    ("text", "the form of the answer: the client's schema and verbosity"),
    ("tool_choice", "that the model may choose"),
    ("type", "what kind of message this is"),
    (
        "item metadata",
        "ids of items and the metadata that Codex puts beside each; this cannot be switched off",
    ),
    ("image detail", "how finely a picture is read: Codex decides on it, whatever was asked for"),
    ("tool wrapper", "the namespace around tools, without a word in it"),
];

/// Compares a request with the client's.
pub(super) fn compare(sent: &Sent, arrived: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    let Some(members) = arrived.as_object() else {
        comparison.foreign.push(Piece::of("a request that is no object", arrived));
        return comparison;
    };
    let mut tools = tools::Tools::new(&sent.tools);
    for (name, value) in members {
        match name.as_str() {
            "input" => {}
            "tools" => tools.take(value, &mut comparison),
            "instructions" => match value.as_str() {
                Some("") => {}
                _ => comparison.foreign.push(Piece::of("instructions", value)),
            },
            name => member(sent, name, value, &mut comparison),
        }
    }
    items(sent, members, &mut tools, &mut comparison);
    tools.finish(&mut comparison);
    if let Some(effort) = &sent.effort
        && arrived["reasoning"]["effort"] != effort.as_str()
    {
        comparison.lost.push(Piece::of("the effort that was asked for", &Value::from(effort.as_str())));
    }
    if let Some(schema) = &sent.schema
        && arrived["text"]["format"]["schema"] != *schema
    {
        comparison.lost.push(Piece::of("the schema of the answer", schema));
    }
    comparison
}

fn member(sent: &Sent, name: &str, value: &Value, comparison: &mut Comparison) {
    let known = PROTOCOL.iter().find(|(known, _)| *known == name);
    let fits = match name {
        "model" => value == sent.model.as_str(),
        "type" => value == "response.create",
        "tool_choice" => value == "auto",
        "generate" | "parallel_tool_calls" | "store" | "stream" => value.is_boolean(),
        "include" => value
            .as_array()
            .is_some_and(|list| list.iter().all(|entry| entry == "reasoning.encrypted_content")),
        "reasoning" => value.is_null() || only(value, &["context", "effort", "summary"]),
        "text" => only(value, &["format", "verbosity"]) && is_format(sent, value),
        "prompt_cache_key" | "service_tier" => value.is_string() || value.is_null(),
        "stream_options" => {
            value.is_null() || only(value, &["include_obfuscation", "reasoning_summary_delivery"])
        }
        _ => true,
    };
    match known {
        Some((name, _)) if fits => {
            *comparison.protocol.entry(name).or_default() += name.len() as u64 + 3 + length(value);
        }
        _ => comparison.foreign.push(Piece::of(format!("the member `{name}` of the request"), value)),
    }
}

/// Whether the form of the answer is the client's. The members around its schema come from Codex and are always
/// the same.
fn is_format(sent: &Sent, text: &Value) -> bool {
    match text.get("format") {
        None | Some(Value::Null) => true,
        Some(format) => {
            only(format, &["name", "schema", "strict", "type"])
                && sent.schema.as_ref() == format.get("schema")
                && format["name"] == SCHEMA_NAME
        }
    }
}

fn only(value: &Value, known: &[&str]) -> bool {
    value.as_object().is_some_and(|object| object.keys().all(|key| known.contains(&key.as_str())))
}

/// Finds the client's items among the arrived ones, in their order.
fn items(
    sent: &Sent,
    members: &Map<String, Value>,
    tools: &mut tools::Tools<'_>,
    comparison: &mut Comparison,
) {
    let arrived = members.get("input").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut waiting: Vec<Option<&Value>> = sent.items.iter().map(Some).collect();
    let mut next = 0;
    for item in arrived {
        if item["type"] == "additional_tools" {
            tools_item(item, tools, comparison);
            continue;
        }
        let (plain, detail) = without_detail(item);
        let meant = |place: usize| beside(&without_detail(waiting[place]?).0, &plain);
        let found = (next..waiting.len()).find_map(|place| Some((place, meant(place)?)));
        let Some((place, metadata)) = found else {
            comparison.foreign.push(Piece::of(item_words(item), item));
            continue;
        };
        waiting[place] = None;
        next = place + 1;
        comparison.words += length(&sent.items[place]);
        *comparison.protocol.entry("item metadata").or_default() += metadata;
        if detail > 0 {
            *comparison.protocol.entry("image detail").or_default() += detail;
        }
    }
    comparison.lost.extend(waiting.into_iter().flatten().map(|item| Piece::of(item_words(item), item)));
}

fn tools_item(item: &Value, tools: &mut tools::Tools<'_>, comparison: &mut Comparison) {
    let known = ["role", "tools", "type"];
    for (name, value) in item.as_object().into_iter().flatten() {
        if !known.contains(&name.as_str()) && !ITEM_METADATA.contains(&name.as_str()) {
            comparison.foreign.push(Piece::of(format!("`{name}` beside the tools"), value));
        }
    }
    tools.take(&item["tools"], comparison);
}

/// The item without the `detail` of its pictures, and the bytes of that member.
fn without_detail(item: &Value) -> (Value, u64) {
    let (mut item, mut bytes) = (item.clone(), 0);
    for part in item["content"].as_array_mut().into_iter().flatten() {
        if part["type"] == "input_image"
            && let Some(detail) = part.as_object_mut().and_then(|part| part.shift_remove("detail"))
        {
            bytes += "\"detail\":,".len() as u64 + length(&detail);
        }
    }
    (item, bytes)
}

/// Bytes of metadata beside the client's value, if `arrived` is that value and metadata.
fn beside(sent: &Value, arrived: &Value) -> Option<u64> {
    let (sent, arrived) = (sent.as_object()?, arrived.as_object()?);
    if sent.iter().any(|(name, value)| arrived.get(name) != Some(value)) {
        return None;
    }
    let mut bytes = 0;
    for (name, value) in arrived.iter().filter(|(name, _)| !sent.contains_key(*name)) {
        // The name of the wrapper namespace of the tool.
        let is_wrapper = name == "namespace" && arrived.get("call_id").is_some();
        if !is_wrapper && !ITEM_METADATA.contains(&name.as_str()) {
            return None;
        }
        bytes += name.len() as u64 + 4 + length(value);
    }
    Some(bytes)
}

fn item_words(item: &Value) -> String {
    let kind = item["type"].as_str().unwrap_or("unknown");
    match item["role"].as_str() {
        Some(role) if kind == "message" => format!("a {role} message"),
        _ => format!("an item `{kind}`"),
    }
}

fn length(value: &Value) -> u64 {
    value.to_string().len() as u64
}

#[cfg(test)]
mod tests;
