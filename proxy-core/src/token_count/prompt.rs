//! A turn as the model reads it: OpenAI's `harmony` format, <https://cookbook.openai.com/articles/openai-harmony>.
//!
//! `<|start|>user<|message|>hello<|end|><|start|>assistant` is what "hello" becomes, and these are the 7 tokens that the vendor
//! reports for it. The system message of the vendor is not counted. Instructions are a developer message.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::{pictures, tools};
use protocol::turn::{Item, Part, Role, ToolKind, ToolOutput, Turn};

/// A piece of the prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A number of tokens that are no text.
    Tokens(u64),
    /// Text.
    Text(&'a str),
}

/// Takes the next piece, and says whether to go on.
pub(super) type Each<'a> = dyn FnMut(Piece<'_>) -> ControlFlow<()> + 'a;

/// The name that Codex gives to the schema of an answer.
const FORMAT: &str = "codex_output_schema";

/// Reads a turn, piece by piece.
pub(super) fn read(turn: &Turn, each: &mut Each<'_>) -> ControlFlow<()> {
    let spec = &turn.spec;
    let mut prompt = Prompt { each, model: &spec.model };
    if let Some(instructions) = &spec.base_instructions {
        prompt.message("developer", |prompt| prompt.text(instructions))?;
    }
    let mut sections: Vec<String> = tools::section(&spec.tools).into_iter().collect();
    if let Some(schema) = &turn.output_schema {
        sections.push(format!("# Response Formats\n\n## {FORMAT}\n\n{schema}"));
    }
    if !sections.is_empty() {
        prompt.message("developer", |prompt| prompt.text(&sections.join("\n\n")))?;
    }
    let calls = turn.items.iter().filter_map(|item| match item {
        Item::ToolCall { call_id, namespace, name, .. } => {
            Some((call_id.as_str(), recipient(namespace.as_deref(), name)))
        }
        Item::Message { .. } | Item::Reasoning { .. } | Item::ToolOutput { .. } | Item::Raw(_) => None,
    });
    let calls: HashMap<&str, String> = calls.collect();
    for item in &turn.items {
        prompt.item(item, &calls)?;
    }
    prompt.special(1)?;
    prompt.text("assistant")
}

/// The tool's name in a call.
fn recipient(namespace: Option<&str>, name: &str) -> String {
    format!("{}.{name}", namespace.unwrap_or(tools::FUNCTIONS))
}

struct Prompt<'a, 'e> {
    each: &'a mut Each<'e>,
    model: &'a str,
}

impl Prompt<'_, '_> {
    fn special(&mut self, count: u64) -> ControlFlow<()> {
        (self.each)(Piece::Tokens(count))
    }

    fn text(&mut self, text: &str) -> ControlFlow<()> {
        (self.each)(Piece::Text(text))
    }

    /// `<|start|>role<|message|>…<|end|>`
    fn message(&mut self, role: &str, content: impl FnOnce(&mut Self) -> ControlFlow<()>) -> ControlFlow<()> {
        self.special(3)?;
        self.text(role)?;
        content(self)
    }

    /// `<|start|>assistant<|channel|>channel<|message|>…<|end|>`
    fn said(&mut self, channel: &str, content: impl FnOnce(&mut Self) -> ControlFlow<()>) -> ControlFlow<()> {
        self.message("assistant", |prompt| {
            prompt.special(1)?;
            prompt.text(channel)?;
            content(prompt)
        })
    }

    fn item(&mut self, item: &Item, calls: &HashMap<&str, String>) -> ControlFlow<()> {
        match item {
            Item::Message { role: Role::Developer, content, .. } => {
                self.message("developer", |prompt| prompt.parts(content))
            }
            Item::Message { role: Role::User, content, .. } => {
                self.message("user", |prompt| prompt.parts(content))
            }
            Item::Message { role: Role::Assistant, content, phase } => {
                let channel = if phase.as_deref() == Some("commentary") { "commentary" } else { "final" };
                self.said(channel, |prompt| prompt.parts(content))
            }
            Item::Reasoning { encrypted_content, .. } => {
                self.said("analysis", |prompt| prompt.special(sealed(encrypted_content)))
            }
            // <|start|>assistant to=functions.name<|channel|>commentary <|constrain|>json<|message|>…<|call|>
            Item::ToolCall { kind, namespace, name, input, .. } => self.said("commentary", |prompt| {
                prompt.text(&format!(" to={}", recipient(namespace.as_deref(), name)))?;
                if *kind == ToolKind::Function {
                    prompt.text(" ")?;
                    prompt.special(1)?;
                    prompt.text("json")?;
                }
                prompt.text(input)
            }),
            // <|start|>functions.name to=assistant<|channel|>commentary<|message|>…<|end|>
            Item::ToolOutput { call_id, output, .. } => {
                let tool = calls.get(call_id.as_str()).map_or(tools::FUNCTIONS, String::as_str);
                self.message(tool, |prompt| {
                    prompt.text(" to=assistant")?;
                    prompt.special(1)?;
                    prompt.text("commentary")?;
                    match output {
                        ToolOutput::Text(text) => prompt.text(text),
                        ToolOutput::Parts(parts) => prompt.parts(parts),
                    }
                })
            }
            Item::Raw(value) => self.said("commentary", |prompt| match value["encrypted_content"].as_str() {
                Some(content) => prompt.special(sealed(content)),
                None => prompt.text(&value["action"].to_string()),
            }),
        }
    }

    fn parts(&mut self, parts: &[Part]) -> ControlFlow<()> {
        parts.iter().try_for_each(|part| match part {
            Part::Text(text) => self.text(text),
            Part::Image(image) => self.special(pictures::tokens(self.model, image)),
        })
    }
}

/// The estimated tokens of what only the vendor can read, by its length. Codex estimates it in the same way: three bytes for
/// four characters, 650 of them for the seal, and a token for four bytes.
fn sealed(content: &str) -> u64 {
    ((content.len() * 3 / 4).saturating_sub(650) as u64).div_ceil(4)
}
