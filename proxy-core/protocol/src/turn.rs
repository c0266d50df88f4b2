//! The neutral middle: one request to a model ([`Turn`]) and its results ([`TurnEvent`]).
//!
//! Nothing here knows an API surface, a Codex protocol, HTTP or an executor. Both translators depend on this
//! module: `openai` makes a [`Turn`] of a request and renders [`TurnEvent`]s; `codex` sends a [`Turn`] to a worker
//! and makes [`TurnEvent`]s of the worker's messages.

pub mod error;
pub mod event;
pub mod lineage;
pub mod model;
pub mod output;
pub mod schema;
pub mod shape;

pub use error::{Remedy, SignIn, TurnError, TurnErrorKind};
pub use event::{Finish, ItemId, TurnEvent, Usage};
pub use model::{Catalogue, Effort, Model, ServiceTier, Summary, Verbosity};
pub use output::{OutputItem, TurnOutput};

use std::sync::Arc;

use schema::Mapping;
use serde_json::Value;

/// The most bytes of one request to the model, images in Base64: OpenAI's own limit.
pub const MAX_REQUEST_BYTES: usize = 50_000_000;

/// One request to a model, complete in itself: the parameters of its thread, the whole transcript and all settings
/// of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What the backend is asked to do.
    pub task: Task,
    /// The parameters of the thread that the turn runs on.
    pub spec: ThreadSpec,
    /// The transcript, oldest first.
    pub items: Vec<Item>,
    /// Whether one answer may hold several function calls. With `false` only the first is kept.
    pub parallel_tool_calls: bool,
    /// JSON Schema for the final message, by the vendor's strict rules.
    pub output_schema: Option<Value>,
    /// The form in which the client gets a message's text.
    pub answer_form: AnswerForm,
    /// The limits at which the proxy cuts the answer.
    pub limits: Limits,
    /// How function calls are rendered.
    pub output_mode: OutputMode,
}

/// What the backend is asked to do with a transcript.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Task {
    /// To have the model answer it.
    #[default]
    Answer,
    /// To have the model put it into a shorter form, with which a later turn can go on.
    Compact,
}

/// The parameters of a thread of the backend. Turns of equal specs can run on one thread.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadSpec {
    /// The model's id in the backend's catalogue.
    pub model: String,
    /// Replaces the backend's base instructions; `None` means none at all.
    pub base_instructions: Option<String>,
    /// The client's tools that the model may call. Each is shared, because it may be large and a thread keeps it.
    pub tools: Vec<Arc<Tool>>,
    /// Whether the model may search the web with the vendor's own tool.
    pub web_search: bool,
    /// Reasoning effort; `None` leaves it to the model's default.
    pub effort: Option<Effort>,
    /// Whether and how the reasoning is summarised; `None` leaves it to the backend.
    pub summary: Option<Summary>,
    /// The verbosity of the answer; `None` leaves it to the model's default.
    pub verbosity: Option<Verbosity>,
    /// The service tier; `None` leaves it to the vendor's default.
    pub service_tier: Option<ServiceTier>,
}

impl ThreadSpec {
    /// A thread of `model` with defaults everywhere: no instructions, no tools.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            base_instructions: None,
            tools: Vec::new(),
            web_search: false,
            effort: None,
            summary: None,
            verbosity: None,
            service_tier: None,
        }
    }
}

impl Turn {
    /// The text of the last item, if that is a user message with text only.
    pub fn last_user_text(&self) -> Option<String> {
        let Some(Item::Message { role: Role::User, content, .. }) = self.items.last() else { return None };
        content
            .iter()
            .map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
            .collect()
    }

    /// An empty turn for `model`: no transcript, no tools, defaults everywhere.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            task: Task::Answer,
            spec: ThreadSpec::new(model),
            items: Vec::new(),
            parallel_tool_calls: true,
            output_schema: None,
            answer_form: AnswerForm::Free,
            limits: Limits::default(),
            output_mode: OutputMode::OpenaiJson,
        }
    }

    /// The same turn without its transcript.
    #[must_use]
    pub fn without_items(&self) -> Self {
        Self {
            task: self.task,
            spec: self.spec.clone(),
            items: Vec::new(),
            parallel_tool_calls: self.parallel_tool_calls,
            output_schema: self.output_schema.clone(),
            answer_form: self.answer_form.clone(),
            limits: self.limits.clone(),
            output_mode: self.output_mode,
        }
    }

    /// All images in the transcript, in order.
    pub fn images_mut(&mut self) -> impl Iterator<Item = &mut Image> {
        self.items.iter_mut().flat_map(Item::parts_mut).filter_map(|part| match part {
            Part::Image(image) => Some(image),
            Part::Text(_) => None,
        })
    }

    /// All images in the transcript, in order.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        images(&self.items)
    }

    /// Bytes of text in the transcript, instructions and tools, images left out.
    pub fn text_bytes(&self) -> usize {
        let instructions = self.spec.base_instructions.as_ref().map_or(0, String::len);
        let items: usize = self.items.iter().map(Item::text_bytes).sum();
        let tools: usize = self.spec.tools.iter().map(|tool| tool.definition.to_string().len()).sum();
        instructions + items + tools
    }

    /// Characters of text in the transcript, instructions and tools: the measure for a prompt cap.
    pub fn prompt_chars(&self) -> u64 {
        let instructions = self.spec.base_instructions.as_deref().map_or(0, chars);
        let items: u64 = self.items.iter().map(Item::chars).sum();
        let tools: u64 = self.spec.tools.iter().map(|tool| tool.chars()).sum();
        instructions + items + tools
    }
}

/// All images in a transcript, in order.
pub fn images(items: &[Item]) -> impl Iterator<Item = &Image> {
    items.iter().flat_map(Item::parts).filter_map(|part| match part {
        Part::Image(image) => Some(image),
        Part::Text(_) => None,
    })
}

/// One entry of the transcript.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A message of `role`.
    Message {
        /// The author.
        role: Role,
        /// The content.
        content: Vec<Part>,
        /// `commentary` or `final_answer`, as the model marked its own message.
        phase: Option<String>,
    },
    /// The model's own reasoning, sent back so that the model can continue from it.
    Reasoning {
        /// The vendor's id of the item.
        id: Option<String>,
        /// The readable summary, part by part.
        summary: Vec<String>,
        /// The sealed reasoning; without it the model cannot use the item.
        encrypted_content: String,
    },
    /// A call of a tool that the model made.
    ToolCall {
        /// The kind of the tool.
        kind: ToolKind,
        /// Connects the call with its output.
        call_id: String,
        /// The namespace of the tool's name, if it has one.
        namespace: Option<String>,
        /// The tool's name.
        name: String,
        /// The model's input for the tool: JSON arguments or free text, by the kind.
        input: String,
    },
    /// The result of a tool's call.
    ToolOutput {
        /// The kind of the tool.
        kind: ToolKind,
        /// The id of the call that it answers.
        call_id: String,
        /// The result.
        output: ToolOutput,
    },
    /// An item passed through as the client sent it (`web_search_call`, `compaction`, …).
    Raw(Value),
}

impl Item {
    fn parts_mut(&mut self) -> &mut [Part] {
        match self {
            Self::Message { content, .. } => content,
            Self::ToolOutput { output: ToolOutput::Parts(parts), .. } => parts,
            Self::ToolOutput { output: ToolOutput::Text(_), .. }
            | Self::Reasoning { .. }
            | Self::ToolCall { .. }
            | Self::Raw(_) => &mut [],
        }
    }

    fn parts(&self) -> &[Part] {
        match self {
            Self::Message { content, .. } => content,
            Self::ToolOutput { output: ToolOutput::Parts(parts), .. } => parts,
            Self::ToolOutput { output: ToolOutput::Text(_), .. }
            | Self::Reasoning { .. }
            | Self::ToolCall { .. }
            | Self::Raw(_) => &[],
        }
    }

    fn chars(&self) -> u64 {
        match self {
            Self::Message { content, .. } => content.iter().map(Part::chars).sum(),
            Self::Reasoning { summary, .. } => summary.iter().map(|part| chars(part)).sum(),
            Self::ToolCall { name, input, .. } => chars(name) + chars(input),
            Self::ToolOutput { output: ToolOutput::Text(text), .. } => chars(text),
            Self::ToolOutput { output: ToolOutput::Parts(parts), .. } => parts.iter().map(Part::chars).sum(),
            Self::Raw(value) => chars(&value.to_string()),
        }
    }

    /// Bytes of its texts, images left out.
    pub(crate) fn text_bytes(&self) -> usize {
        let texts = |parts: &[Part]| {
            let text = |part: &Part| if let Part::Text(text) = part { text.len() } else { 0 };
            parts.iter().map(text).sum()
        };
        match self {
            Self::Message { content, .. } => texts(content),
            Self::Reasoning { summary, encrypted_content, .. } => {
                summary.iter().map(String::len).sum::<usize>() + encrypted_content.len()
            }
            Self::ToolCall { input, .. } => input.len(),
            Self::ToolOutput { output: ToolOutput::Text(text), .. } => text.len(),
            Self::ToolOutput { output: ToolOutput::Parts(parts), .. } => texts(parts),
            Self::Raw(value) => value.to_string().len(),
        }
    }
}

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The operator of the client; `system` messages have this role too.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// A piece of a message or of a tool's output.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Plain text.
    Text(String),
    /// A picture.
    Image(Image),
}

/// A picture that the model is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// A `data:` URL, or an `http(s):` one that is fetched before the turn starts. All choices of an answer share
    /// it, because it may be megabytes.
    pub url: Arc<str>,
    /// `low`, `high`, `auto` or `original`.
    pub detail: Option<String>,
    /// The picture's size and cost; `None` until it is known.
    pub load: ImageLoad,
}

/// The size and cost of a picture for the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageLoad {
    /// Its width, in pixels.
    pub width: u32,
    /// Its height, in pixels.
    pub height: u32,
    /// The most bytes, in Base64, that the backend may produce from it.
    pub remade: u64,
}

impl ImageLoad {
    /// Its width times its height.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl Part {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image(_) => None,
        }
    }

    fn chars(&self) -> u64 {
        match self {
            Self::Text(text) => chars(text),
            Self::Image(_) => 0,
        }
    }
}

/// The result of a tool's call.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolOutput {
    /// Plain text.
    Text(String),
    /// Text and pictures.
    Parts(Vec<Part>),
}

impl ToolOutput {
    /// Whether the backend can be given this output while it waits for it, without a change. Codex makes a plain text of
    /// a single part, and decides by itself in how much detail an image is shown.
    pub fn can_answer(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Parts(parts) => parts.len() > 1 && parts.iter().all(|part| part.text().is_some()),
        }
    }
}

/// A tool of the client that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// The kind of input that the model writes when it calls the tool.
    pub kind: ToolKind,
    /// The namespace that the client put the tool into.
    pub namespace: Option<Arc<Namespace>>,
    /// The tool's name, unique within its namespace.
    pub name: String,
    /// The tool as the client sent it, as a member of the Responses API's `tools`.
    pub definition: Value,
}

/// The kind of input that the model writes when it calls a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolKind {
    /// JSON arguments.
    Function,
    /// Free text, by a grammar where the client gives one.
    Custom,
}

/// A group of tools. Its name keeps their names apart from those of other groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// The group's name.
    pub name: String,
    /// The group's purpose, in the client's words.
    pub description: String,
}

impl Tool {
    /// Whether it is a function without parameters.
    pub fn takes_nothing(&self) -> bool {
        let properties = self.definition["parameters"]["properties"].as_object();
        self.kind == ToolKind::Function && properties.is_none_or(serde_json::Map::is_empty)
    }

    /// The name of the tool's namespace, if it has one.
    pub fn namespace_name(&self) -> Option<&str> {
        self.namespace.as_deref().map(|namespace| namespace.name.as_str())
    }

    fn chars(&self) -> u64 {
        chars(&self.definition.to_string())
    }
}

/// The form in which the client gets the text of a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum AnswerForm {
    /// The model's text as it is.
    #[default]
    Free,
    /// JSON, which the model may have put into a code fence.
    Json,
    /// An instance of the client's schema, converted from one of a fitted schema.
    Mapped(Mapping),
}

/// The limits at which the proxy ends an answer, because the backend has no such control.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Estimated tokens after which the answer is cut.
    pub max_output_tokens: Option<u64>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
}

/// How function calls are rendered for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// As the API's own structured calls.
    OpenaiJson,
    /// As `<use_tool>` blocks in the text, for clients that parse those.
    ObsidianXml,
}

impl OutputMode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::OpenaiJson, Self::ObsidianXml];

    /// The name used in the configuration and in the `x-proxy-output-mode` header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiJson => "openai-json",
            Self::ObsidianXml => "obsidian-xml",
        }
    }
}

/// Estimated tokens of a text: one for four characters, rounded up.
pub fn estimate_tokens(chars: u64) -> u64 {
    chars.div_ceil(4)
}

fn chars(text: &str) -> u64 {
    text.chars().count() as u64
}
