//! The items that a request continues, as they are stored.
//!
//! A long chain has thousands. The usual ones are read without a JSON value in between, which takes most of the time.

use std::fmt;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use crate::openai::tools;
use crate::turn::{Item, Part, Role, ToolKind, ToolOutput};

/// An item of the transcript that a request continues.
#[derive(Debug, Clone, PartialEq)]
pub enum HistoryItem {
    /// A text of the person or the model, a call, its output, or reasoning.
    Usual {
        /// Its id.
        id: Option<String>,
        /// What the model is given of it, if anything.
        item: Option<Item>,
    },
    /// Any other item, as it is stored.
    Other(Value),
}

impl HistoryItem {
    /// Reads an item from the text in which it is stored.
    ///
    /// # Errors
    /// When the text is not JSON.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        match serde_json::from_str::<Usual>(text).ok().and_then(Usual::read) {
            Some(usual) => Ok(usual),
            None => stored_item(text).map(Self::Other),
        }
    }

    /// The same of an item that is a JSON value already.
    pub fn of(value: &Value) -> Self {
        Usual::deserialize(value).ok().and_then(Usual::read).unwrap_or_else(|| Self::Other(value.clone()))
    }

    /// Its id.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Usual { id, .. } => id.as_deref(),
            Self::Other(value) => value["id"].as_str(),
        }
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let text = match self {
            Self::Usual { id, item } => {
                id.as_ref().map_or(0, String::len) + item.as_ref().map_or(0, Item::text_bytes)
            }
            Self::Other(value) => weight(value),
        };
        size_of::<Self>() + ALLOCATIONS + text
    }

    fn is_compaction(&self) -> bool {
        matches!(self, Self::Other(value) if value["type"] == "compaction")
    }

    /// Whether it is a message of the person or the developer.
    fn is_instruction(&self) -> bool {
        match self {
            Self::Usual { item: Some(Item::Message { role, .. }), .. } => *role != Role::Assistant,
            Self::Usual { .. } => false,
            Self::Other(value) => {
                let is_message = value["type"].is_null() || value["type"] == "message";
                is_message && matches!(value["role"].as_str(), Some("user" | "system" | "developer"))
            }
        }
    }
}

/// What an item's texts take beside their bytes.
const ALLOCATIONS: usize = 100;

/// About how many bytes of memory the parts of a value take.
pub fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| size_of::<Value>() + weight(value)).sum(),
        Value::Object(members) => {
            let weight = |(name, value): (&String, &Value)| name.len() + ALLOCATIONS + weight(value);
            members.iter().map(weight).sum()
        }
    }
}

/// Which items of a stored transcript are left after its last compaction, which stands for the others: of what came before
/// it, the messages of the person and of the developer. `None` if nothing was compacted.
pub fn left_by_compaction(items: &[HistoryItem]) -> Option<Vec<bool>> {
    let last = items.iter().rposition(HistoryItem::is_compaction)?;
    Some(items.iter().enumerate().map(|(index, item)| index >= last || item.is_instruction()).collect())
}

/// Reads a stored item. It is here because a long chain has thousands, and this crate is optimised for speed.
///
/// # Errors
/// When the text is not JSON.
pub fn stored_item(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text)
}

/// The members that the model is given of usual items. What does not fit here is read like an item that a client sends.
#[derive(Deserialize)]
struct Usual {
    #[serde(rename = "type")]
    kind: Kind,
    id: Option<String>,
    role: Option<Speaker>,
    content: Option<Content>,
    phase: Option<Phase>,
    call_id: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    input: Option<String>,
    output: Option<String>,
    summary: Option<Vec<SummaryPart>>,
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Message,
    FunctionCall,
    FunctionCallOutput,
    CustomToolCall,
    CustomToolCallOutput,
    Reasoning,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Speaker {
    User,
    Assistant,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Commentary,
    FinalAnswer,
}

#[derive(Deserialize)]
struct SummaryPart {
    #[serde(rename = "type")]
    _kind: SummaryKind,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SummaryKind {
    SummaryText,
}

/// Text parts, or the one text that stands for them.
enum Content {
    Parts(Vec<Text>),
    Text(String),
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "type")]
    kind: TextKind,
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TextKind {
    InputText,
    OutputText,
    Text,
    Refusal,
    ReasoningText,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or text parts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
            }
        }

        deserializer.deserialize_any(Parts)
    }
}

impl Usual {
    /// The item; `None` if it is not a usual one after all.
    fn read(self) -> Option<HistoryItem> {
        let item = match self.kind {
            Kind::Message => {
                let role = match self.role? {
                    Speaker::User => Role::User,
                    Speaker::Assistant => Role::Assistant,
                };
                let phase = self.phase.map(|phase| match phase {
                    Phase::Commentary => "commentary".to_owned(),
                    Phase::FinalAnswer => "final_answer".to_owned(),
                });
                let content = match self.content? {
                    Content::Parts(parts) => parts.into_iter().map(part).collect::<Option<_>>()?,
                    Content::Text(text) => vec![Part::Text(text)],
                };
                Some(Item::Message { role, content, phase: phase.filter(|_| role == Role::Assistant) })
            }
            Kind::FunctionCall => {
                let input = tools::input_of(ToolKind::Function, self.arguments?);
                Some(call(ToolKind::Function, self.call_id?, self.namespace, self.name?, input)?)
            }
            Kind::CustomToolCall => {
                let input = tools::input_of(ToolKind::Custom, self.input?);
                Some(call(ToolKind::Custom, self.call_id?, self.namespace, self.name?, input)?)
            }
            Kind::FunctionCallOutput => Some(output(ToolKind::Function, self.call_id?, self.output?)?),
            Kind::CustomToolCallOutput => Some(output(ToolKind::Custom, self.call_id?, self.output?)?),
            Kind::Reasoning if matches!(self.content, Some(Content::Text(_))) => return None,
            Kind::Reasoning => {
                let summary = self.summary.unwrap_or_default().into_iter().map(|part| part.text).collect();
                let sealed = self.encrypted_content.filter(|sealed| !sealed.is_empty());
                let id = self.id.clone();
                sealed.map(|encrypted_content| Item::Reasoning { id, summary, encrypted_content })
            }
        };
        Some(HistoryItem::Usual { id: self.id, item })
    }
}

fn part(text: Text) -> Option<Part> {
    match text.kind {
        TextKind::InputText | TextKind::OutputText | TextKind::Text => text.text.map(Part::Text),
        TextKind::Refusal => text.refusal.map(Part::Text),
        TextKind::ReasoningText => None,
    }
}

fn call(
    kind: ToolKind,
    call_id: String,
    namespace: Option<String>,
    name: String,
    input: String,
) -> Option<Item> {
    let is_named = !call_id.is_empty() && !name.is_empty();
    is_named.then_some(Item::ToolCall { kind, call_id, namespace, name, input })
}

fn output(kind: ToolKind, call_id: String, text: String) -> Option<Item> {
    let output = ToolOutput::Text(text);
    (!call_id.is_empty()).then_some(Item::ToolOutput { kind, call_id, output })
}

#[cfg(test)]
mod tests;
