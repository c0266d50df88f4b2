//! Reads `messages` into a transcript.

use std::collections::HashSet;

use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::{Node, Object, excerpt};
use crate::openai::{content, tools};
use crate::turn::{Item, Part, Role, ToolKind, ToolOutput};

type Result<T> = std::result::Result<T, RequestError>;

/// The content of `messages`.
#[derive(Debug)]
pub(super) struct Transcript {
    pub(super) items: Vec<Item>,
    /// The operator's texts, where they do not stay in the transcript.
    pub(super) instructions: Option<String>,
    /// The parameter of each image.
    pub(super) images: Vec<String>,
}

/// Reads `messages`; `keep_system` leaves system and developer messages in their place.
pub(super) fn read(messages: &Node<'_>, keep_system: bool) -> Result<Transcript> {
    let nodes = messages.array()?;
    if nodes.is_empty() {
        return Err(messages.invalid("expected at least one message, but got none"));
    }
    let mut reader = Reader::default();
    for (index, node) in nodes.iter().enumerate() {
        reader.message(index, node)?;
    }
    reader.calls.close()?;
    Ok(reader.finish(keep_system))
}

#[derive(Default)]
struct Reader<'a> {
    items: Vec<Item>,
    images: Vec<String>,
    calls: OpenCalls<'a>,
}

#[derive(Clone, Copy)]
enum Speaker {
    Operator,
    User,
    Assistant,
    Tool,
    Function,
}

const SPEAKERS: [(&str, Speaker); 6] = [
    ("system", Speaker::Operator),
    ("developer", Speaker::Operator),
    ("user", Speaker::User),
    ("assistant", Speaker::Assistant),
    ("tool", Speaker::Tool),
    ("function", Speaker::Function),
];

impl<'a> Reader<'a> {
    fn message(&mut self, index: usize, node: &Node<'a>) -> Result<()> {
        let message = node.object()?;
        match message.req("role")?.one_of(&SPEAKERS)? {
            Speaker::Operator => {
                self.calls.close()?;
                let content = self.text_parts(&message.req("content")?)?;
                self.say(Role::Developer, content);
            }
            Speaker::User => {
                self.calls.close()?;
                let content = content::parts(&message.req("content")?, &mut self.images)?;
                self.say(Role::User, content);
            }
            Speaker::Assistant => {
                self.calls.close()?;
                self.assistant(index, &message)?;
            }
            Speaker::Tool => self.tool(&message)?,
            Speaker::Function => self.function(&message)?,
        }
        Ok(())
    }

    /// The text comes before the calls, in the model's own order. Its earlier reasoning (`reasoning_content`) is
    /// not sent back: without the vendor's seal the model does not accept it as its own.
    fn assistant(&mut self, index: usize, message: &Object<'a>) -> Result<()> {
        if let Some(audio) = message.opt("audio") {
            return Err(audio.unsupported("Earlier audio answers are not available here. Send their text."));
        }
        let mut content = match message.opt("content") {
            Some(node) => self.text_parts(&node)?,
            None => Vec::new(),
        };
        if let Some(refusal) = message.opt("refusal") {
            content.push(Part::Text(refusal.string()?.to_owned()));
        }
        let mut calls = Vec::new();
        if let Some(node) = message.opt("tool_calls") {
            for node in node.array()? {
                calls.push(self.calls.tool_call(&node)?);
            }
        }
        if let Some(node) = message.opt("function_call") {
            calls.push(self.calls.function_call(index, &node)?);
        }
        if calls.is_empty() || content.iter().any(|part| !is_empty(part)) {
            self.say(Role::Assistant, content);
        }
        self.items.append(&mut calls);
        self.calls.open(message);
        Ok(())
    }

    fn tool(&mut self, message: &Object<'a>) -> Result<()> {
        let (call_id, kind) = self.calls.answer(&message.req("tool_call_id")?)?;
        let content = message.req("content")?;
        let output = match content.value.as_str() {
            Some(text) => ToolOutput::Text(text.to_owned()),
            None => ToolOutput::Parts(content::parts(&content, &mut self.images)?),
        };
        self.items.push(Item::ToolOutput { kind, call_id: call_id.to_owned(), output });
        Ok(())
    }

    fn function(&mut self, message: &Object<'a>) -> Result<()> {
        let call_id = self.calls.answer_function(&message.req("name")?)?;
        let text = match message.opt("content") {
            Some(node) => node.string()?.to_owned(),
            None => String::new(),
        };
        let output = ToolOutput::Text(text);
        self.items.push(Item::ToolOutput { kind: ToolKind::Function, call_id, output });
        Ok(())
    }

    fn say(&mut self, role: Role, content: Vec<Part>) {
        self.items.push(Item::Message { role, content, phase: None });
    }

    /// Content without images: only user and tool messages can have images.
    fn text_parts(&mut self, node: &Node<'_>) -> Result<Vec<Part>> {
        let before = self.images.len();
        let parts = content::parts(node, &mut self.images)?;
        match self.images.get(before) {
            None => Ok(parts),
            Some(image) => Err(RequestError::new(
                RequestErrorKind::InvalidValue,
                image,
                format!("Invalid value for '{image}': only user and tool messages may have images."),
            )),
        }
    }

    fn finish(self, keep_system: bool) -> Transcript {
        let Self { items, images, calls: _ } = self;
        // A transcript that has only instructions stays as it is: otherwise there would be nothing left to answer.
        if keep_system || items.iter().all(is_operators) {
            return Transcript { items, instructions: None, images };
        }
        let (system, items): (Vec<_>, Vec<_>) = items.into_iter().partition(is_operators);
        let texts: Vec<_> = system.iter().flat_map(texts).filter(|text| !text.is_empty()).collect();
        let instructions = (!texts.is_empty()).then(|| texts.join("\n\n"));
        Transcript { items, instructions, images }
    }
}

fn is_empty(part: &Part) -> bool {
    matches!(part, Part::Text(text) if text.is_empty())
}

fn is_operators(item: &Item) -> bool {
    matches!(item, Item::Message { role: Role::Developer, .. })
}

fn texts(item: &Item) -> impl Iterator<Item = &str> {
    let content = if let Item::Message { content, .. } = item { content.as_slice() } else { &[] };
    content.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::Image(_) => None,
    })
}

/// Checks the calls of the last assistant message: the model refuses a transcript with an unanswered call.
#[derive(Default)]
struct OpenCalls<'a> {
    message: String,
    ids: Vec<(&'a str, ToolKind)>,
    unanswered: HashSet<&'a str>,
    function: Option<(String, &'a str)>,
}

impl<'a> OpenCalls<'a> {
    fn open(&mut self, message: &Object<'_>) {
        let member = if self.ids.is_empty() { "function_call" } else { "tool_calls" };
        self.message = message.path_of(member);
    }

    fn tool_call(&mut self, node: &Node<'a>) -> Result<Item> {
        let call = node.object()?;
        let kind = match call.opt("type") {
            None => ToolKind::Function,
            Some(kind) => match kind.string()? {
                "function" => ToolKind::Function,
                "custom" => ToolKind::Custom,
                other => {
                    return Err(kind.invalid(format!(
                        "'{}' is no type of call; use 'function' or 'custom'",
                        excerpt(other)
                    )));
                }
            },
        };
        let node = call.req("id")?;
        let id = node.string()?;
        if id.is_empty() {
            return Err(node.invalid("a call's id must not be empty"));
        }
        if !self.unanswered.insert(id) {
            return Err(node.invalid(format!("two calls have the id '{}'", excerpt(id))));
        }
        self.ids.push((id, kind));
        let (name, input) = match kind {
            ToolKind::Function => called(kind, &call.req("function")?)?,
            ToolKind::Custom => called(kind, &call.req("custom")?)?,
        };
        let (call_id, name) = (id.to_owned(), name.to_owned());
        Ok(Item::ToolCall { kind, call_id, namespace: None, name, input })
    }

    /// The older form has no ids; one is made from the message's position.
    fn function_call(&mut self, index: usize, node: &Node<'a>) -> Result<Item> {
        let (name, input) = called(ToolKind::Function, node)?;
        let call_id = format!("call_function_{index}");
        self.function = Some((call_id.clone(), name));
        let (kind, name) = (ToolKind::Function, name.to_owned());
        Ok(Item::ToolCall { kind, call_id, namespace: None, name, input })
    }

    fn answer(&mut self, node: &Node<'a>) -> Result<(&'a str, ToolKind)> {
        let id = node.string()?;
        let called = self.ids.iter().find(|(called, _)| *called == id).copied();
        if let Some(called) = called.filter(|_| self.unanswered.remove(id)) {
            return Ok(called);
        }
        if called.is_some() {
            return Err(node.invalid(format!("the call '{}' has been answered already", excerpt(id))));
        }
        Err(node.invalid(format!(
            "messages with role 'tool' must be a response to a preceding message with 'tool_calls', and none \
             there has the id '{}'",
            excerpt(id)
        )))
    }

    fn answer_function(&mut self, node: &Node<'_>) -> Result<String> {
        let name = node.string()?;
        match self.function.take() {
            Some((call_id, called)) if called == name => Ok(call_id),
            Some((_, called)) => Err(node.invalid(format!(
                "the preceding 'function_call' is of '{}', but this answers '{}'",
                excerpt(called),
                excerpt(name)
            ))),
            None => Err(node.invalid(
                "messages with role 'function' must be a response to a preceding message with 'function_call'",
            )),
        }
    }

    fn close(&mut self) -> Result<()> {
        let Self { message, ids, unanswered, function } = std::mem::take(self);
        let missing: Vec<_> =
            ids.into_iter().map(|(id, _)| id).filter(|id| unanswered.contains(id)).map(excerpt).collect();
        let complaint = match (missing.as_slice(), function) {
            ([], None) => return Ok(()),
            ([], Some((_, name))) => format!(
                "An assistant message with 'function_call' must be followed by a message with role 'function' \
                 that answers it. '{}' has no answer.",
                excerpt(name)
            ),
            (missing, _) => format!(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each \
                 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
                list(missing)
            ),
        };
        Err(RequestError::new(RequestErrorKind::InvalidValue, message, complaint))
    }
}

fn called<'a>(kind: ToolKind, node: &Node<'a>) -> Result<(&'a str, String)> {
    let call = node.object()?;
    let name = call.req("name")?;
    tools::name(&name)?;
    let member = match kind {
        ToolKind::Function => "arguments",
        ToolKind::Custom => "input",
    };
    Ok((name.string()?, tools::input(kind, &call.req(member)?)?))
}

fn list(ids: &[String]) -> String {
    const SHOWN: usize = 10;
    match ids.get(..SHOWN) {
        Some(first) if ids.len() > SHOWN => format!("{} and {} more", first.join(", "), ids.len() - SHOWN),
        _ => ids.join(", "),
    }
}

#[cfg(test)]
mod tests;
