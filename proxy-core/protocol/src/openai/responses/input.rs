//! `input`: the transcript in the form of the Responses API.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::history::HistoryItem;
use super::params::Ignored;
use super::tools::Tools;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::{Node, Object, excerpt};
use crate::openai::{Continued, content, tools};
use crate::turn::{Item, Part, Role, ToolKind, ToolOutput};

type Result<T> = std::result::Result<T, RequestError>;

/// Reads what the request continues, and `input`: a user's text, or items.
///
/// The parameter of each image is added to `images`, the tools of `additional_tools` items to `offered`.
pub(super) fn read(
    body: &Object<'_>,
    continued: Option<Continued<'_>>,
    images: &mut Vec<String>,
    offered: &mut Tools,
    ignored: &mut Ignored,
) -> Result<Vec<Item>> {
    let mut items = match continued {
        Some(continued) => history(continued, images, offered)?,
        None => Vec::new(),
    };
    // A request may go on without saying anything itself.
    let own = if items.is_empty() { Some(body.req("input")?) } else { body.opt("input") };
    let Some(input) = own else { return check_pairs(&items, "input").map(|()| items) };
    if let Some(text) = input.value.as_str() {
        if text.is_empty() {
            return Err(input.invalid("expected a text that is not empty"));
        }
        items.push(Item::Message {
            role: Role::User,
            content: vec![Part::Text(text.to_owned())],
            phase: None,
        });
    } else if input.value.is_array() {
        for node in input.array()? {
            items.extend(item(&node, images, offered, ignored)?);
        }
    } else {
        return Err(input.wrong_type("a string or an array of input items"));
    }
    if items.is_empty() {
        return Err(input.invalid("expected at least one item that says something to the model"));
    }
    check_pairs(&items, "input")?;
    Ok(items)
}

/// Reads what a request continues. What has no effect in it was reported when it was sent.
fn history(
    Continued { items, param }: Continued<'_>,
    images: &mut Vec<String>,
    offered: &mut Tools,
) -> Result<Vec<Item>> {
    let mut ignored = Ignored::new(false);
    let mut read = Vec::with_capacity(items.len());
    for stored in items {
        let said = match stored {
            HistoryItem::Usual { item, .. } => item.clone(),
            HistoryItem::Other(value) => {
                let node = Node::named(value, param);
                item(&node, images, offered, &mut ignored).map_err(|error| error.renamed(param))?
            }
        };
        read.extend(said);
    }
    images.iter_mut().for_each(|image| param.clone_into(image));
    Ok(read)
}

/// Checks items without a request around them.
///
/// # Errors
/// Names the first item that is wrong.
pub(super) fn check(items: &Node<'_>) -> Result<()> {
    transcript(items).map(drop)
}

/// Reads items without a request around them. Calls and outputs need not be complete.
///
/// # Errors
/// Names the first item that is wrong.
pub(super) fn transcript(items: &Node<'_>) -> Result<Vec<Item>> {
    let nothing = Value::Object(Map::new());
    let (mut images, mut ignored) = (Vec::new(), Ignored::new(false));
    let mut tools = Tools::read(&Node::root(&nothing).object()?, &mut ignored)?;
    let mut read = Vec::new();
    for node in items.array()? {
        read.extend(item(&node, &mut images, &mut tools, &mut ignored)?);
    }
    Ok(read)
}

/// Items that an earlier answer may contain, of tools that are not available here. Codex accepts no such items; a
/// client that sends its whole transcript back must not fail because of them.
const LEFT_OUT: &[&str] = &[
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "computer_call",
    "computer_call_output",
    "file_search_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "multi_agent_call",
    "multi_agent_call_output",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
];

/// The item for the model; `None` for one that the model cannot use.
fn item(
    node: &Node<'_>,
    images: &mut Vec<String>,
    offered: &mut Tools,
    ignored: &mut Ignored,
) -> Result<Option<Item>> {
    let object = node.object()?;
    let kind = match object.opt("type") {
        Some(kind) => kind.string()?,
        None if object.opt("role").is_some() => "message",
        None if object.opt("id").is_some() => "item_reference",
        None => object.req("type")?.string()?,
    };
    match kind {
        "message" => message(&object, images).map(Some),
        "function_call" => call(&object, ToolKind::Function, "arguments").map(Some),
        "custom_tool_call" => call(&object, ToolKind::Custom, "input").map(Some),
        "function_call_output" => returned(&object, ToolKind::Function, images).map(Some),
        "custom_tool_call_output" => returned(&object, ToolKind::Custom, images).map(Some),
        "additional_tools" => {
            if let Some(role) = object.opt("role") {
                role.one_of(&[("developer", ())])?;
            }
            offered.add_item(&object, ignored)?;
            Ok(None)
        }
        "reasoning" => reasoning(&object),
        "item_reference" => Err(reference(&object)?),
        "web_search_call" => {
            for key in ["id", "status"] {
                object.opt(key).map(|member| member.string()).transpose()?;
            }
            if let Some(action) = object.opt("action") {
                action.object()?.req("type")?.string()?;
            }
            Ok(Some(Item::Raw(node.value.clone())))
        }
        "compaction" | "compaction_summary" => {
            filled(&object, "encrypted_content")?;
            Ok(Some(Item::Raw(node.value.clone())))
        }
        left_out if LEFT_OUT.contains(&left_out) => {
            ignored.add(&node.path())?;
            Ok(None)
        }
        other => Err(RequestError::new(
            RequestErrorKind::Unsupported,
            object.path_of("type"),
            format!(
                "Input items of type '{}' are not supported: Codex cannot be given them. Leave them out of \
                 'input'.",
                excerpt(other)
            ),
        )),
    }
}

fn message(object: &Object<'_>, images: &mut Vec<String>) -> Result<Item> {
    let role = object.req("role")?.one_of(&[
        ("user", Role::User),
        ("assistant", Role::Assistant),
        ("system", Role::Developer),
        ("developer", Role::Developer),
    ])?;
    let images_before = images.len();
    let content = content::parts(&object.req("content")?, images)?;
    if let (Role::Assistant, Some(param)) = (role, images.get(images_before)) {
        return Err(RequestError::new(
            RequestErrorKind::InvalidValue,
            param,
            format!("Invalid value for '{param}': an assistant message cannot hold an image."),
        ));
    }
    let phase = match object.opt("phase") {
        None => None,
        Some(phase) => {
            Some(phase.one_of(&[("commentary", "commentary"), ("final_answer", "final_answer")])?.to_owned())
        }
    };
    Ok(Item::Message { role, content, phase: phase.filter(|_| role == Role::Assistant) })
}

fn call(object: &Object<'_>, kind: ToolKind, input: &str) -> Result<Item> {
    Ok(Item::ToolCall {
        kind,
        call_id: filled(object, "call_id")?,
        namespace: object.opt("namespace").map(|node| node.string().map(str::to_owned)).transpose()?,
        name: filled(object, "name")?,
        input: tools::input(kind, &object.req(input)?)?,
    })
}

fn returned(object: &Object<'_>, kind: ToolKind, images: &mut Vec<String>) -> Result<Item> {
    Ok(Item::ToolOutput {
        kind,
        call_id: filled(object, "call_id")?,
        output: output(&object.req("output")?, images)?,
    })
}

fn output(node: &Node<'_>, images: &mut Vec<String>) -> Result<ToolOutput> {
    if let Some(text) = node.value.as_str() {
        return Ok(ToolOutput::Text(text.to_owned()));
    }
    content::parts(node, images).map(ToolOutput::Parts)
}

/// The model can use only its sealed form.
fn reasoning(object: &Object<'_>) -> Result<Option<Item>> {
    let id = object.opt("id").map(|id| id.string().map(str::to_owned)).transpose()?;
    let mut summary = Vec::new();
    if let Some(parts) = object.opt("summary") {
        for part in parts.array()? {
            let part = part.object()?;
            part.req("type")?.one_of(&[("summary_text", ())])?;
            summary.push(part.req("text")?.string()?.to_owned());
        }
    }
    if let Some(content) = object.opt("content") {
        content.array()?;
    }
    let sealed = object.opt("encrypted_content").map(|sealed| sealed.string()).transpose()?;
    Ok(sealed.filter(|sealed| !sealed.is_empty()).map(|sealed| Item::Reasoning {
        id,
        summary,
        encrypted_content: sealed.to_owned(),
    }))
}

fn reference(object: &Object<'_>) -> Result<RequestError> {
    let id = object.req("id")?;
    Ok(RequestError::new(
        RequestErrorKind::NotFound,
        id.path(),
        format!("Item with id '{}' not found. Send the item itself.", excerpt(id.string()?)),
    ))
}

/// Every output needs its call and every call its output: otherwise the model's API refuses the transcript.
fn check_pairs(items: &[Item], param: &str) -> Result<()> {
    let complaint = |message: String| RequestError::new(RequestErrorKind::InvalidValue, param, message);
    let mut calls = HashSet::new();
    let mut outputs = HashSet::new();
    for item in items {
        match item {
            Item::ToolCall { call_id, .. } => {
                calls.insert(call_id.as_str());
            }
            Item::ToolOutput { call_id, .. } if calls.contains(call_id.as_str()) => {
                outputs.insert(call_id.as_str());
            }
            Item::ToolOutput { call_id, .. } => {
                return Err(complaint(format!(
                    "No tool call found for function call output with call_id {}.",
                    excerpt(call_id)
                )));
            }
            Item::Message { .. } | Item::Reasoning { .. } | Item::Raw(_) => {}
        }
    }
    let unanswered = items.iter().find_map(|item| match item {
        Item::ToolCall { call_id, .. } if !outputs.contains(call_id.as_str()) => Some(call_id),
        Item::ToolCall { .. }
        | Item::Message { .. }
        | Item::Reasoning { .. }
        | Item::ToolOutput { .. }
        | Item::Raw(_) => None,
    });
    match unanswered {
        Some(call_id) => {
            Err(complaint(format!("No tool output found for function call {}.", excerpt(call_id))))
        }
        None => Ok(()),
    }
}

fn filled(object: &Object<'_>, key: &str) -> Result<String> {
    let node = object.req(key)?;
    let text = node.string()?;
    if text.is_empty() {
        return Err(node.invalid("expected a text that is not empty"));
    }
    Ok(text.to_owned())
}
