//! `input`: the transcript as the Responses API writes it.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::openai::content;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::{Node, Object, excerpt};
use crate::turn::{Item, Part, Role, ToolOutput};

type Result<T> = std::result::Result<T, RequestError>;

/// Reads `input`: a user's text, or items.
///
/// The parameter of each image is added to `images`.
pub(super) fn read(input: &Node<'_>, images: &mut Vec<String>) -> Result<Vec<Item>> {
    let items = if let Some(text) = input.value.as_str() {
        if text.is_empty() {
            return Err(input.invalid("expected a text that is not empty"));
        }
        vec![Item::Message { role: Role::User, content: vec![Part::Text(text.to_owned())], phase: None }]
    } else if input.value.is_array() {
        let mut items = Vec::new();
        for node in input.array()? {
            items.extend(item(&node, images)?);
        }
        items
    } else {
        return Err(input.wrong_type("a string or an array of input items"));
    };
    if items.is_empty() {
        return Err(input.invalid("expected at least one item that says something to the model"));
    }
    check_pairs(&items, input)?;
    Ok(items)
}

/// The item for the model; nothing for one that says nothing to it.
fn item(node: &Node<'_>, images: &mut Vec<String>) -> Result<Option<Item>> {
    let object = node.object()?;
    let kind = match object.opt("type") {
        Some(kind) => kind.string()?,
        None if object.opt("role").is_some() => "message",
        None if object.opt("id").is_some() => "item_reference",
        None => object.req("type")?.string()?,
    };
    match kind {
        "message" => message(&object, images).map(Some),
        "function_call" => Ok(Some(Item::FunctionCall {
            call_id: filled(&object, "call_id")?,
            name: filled(&object, "name")?,
            arguments: object.req("arguments")?.string()?.to_owned(),
        })),
        "function_call_output" => Ok(Some(Item::FunctionCallOutput {
            call_id: filled(&object, "call_id")?,
            output: output(&object.req("output")?, images)?,
        })),
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
        "custom_tool_call" => {
            filled(&object, "call_id")?;
            filled(&object, "name")?;
            object.req("input")?.string()?;
            Ok(Some(Item::Raw(node.value.clone())))
        }
        "custom_tool_call_output" => {
            filled(&object, "call_id")?;
            let mut value = node.value.clone();
            value["output"] = raw_output(&object.req("output")?)?;
            Ok(Some(Item::Raw(value)))
        }
        "compaction" => {
            filled(&object, "encrypted_content")?;
            Ok(Some(Item::Raw(node.value.clone())))
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

fn output(node: &Node<'_>, images: &mut Vec<String>) -> Result<ToolOutput> {
    if let Some(text) = node.value.as_str() {
        return Ok(ToolOutput::Text(text.to_owned()));
    }
    content::parts(node, images).map(ToolOutput::Parts)
}

/// The output of a custom tool, which is passed through with its item.
///
/// Its images do not come past the proxy's fetcher, so they have to be inline.
fn raw_output(node: &Node<'_>) -> Result<Value> {
    if node.value.is_string() {
        return Ok(node.value.clone());
    }
    let mut images = Vec::new();
    let parts = content::parts(node, &mut images)?;
    let mut params = images.iter();
    let mut values = Vec::new();
    for part in parts {
        values.push(match part {
            Part::Text(text) => json!({"type": "input_text", "text": text}),
            Part::Image { url, detail } => {
                let param = params.next().unwrap_or(&node.path);
                if !url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
                    return Err(RequestError::new(
                        RequestErrorKind::InvalidImage,
                        param,
                        format!("Invalid image in '{param}': in a custom tool's output it has to be a data URL."),
                    ));
                }
                json!({"type": "input_image", "image_url": url, "detail": detail.as_deref().unwrap_or("auto")})
            }
        });
    }
    Ok(values.into())
}

/// Only its sealed form says something to the model.
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
        &id.path,
        format!("Item with id '{}' not found. Send the item itself.", excerpt(id.string()?)),
    ))
}

/// Every output needs its call and every call its output: the model's API refuses a transcript otherwise.
fn check_pairs(items: &[Item], input: &Node<'_>) -> Result<()> {
    let complaint = |message: String| RequestError::new(RequestErrorKind::InvalidValue, &input.path, message);
    let mut calls = HashSet::new();
    let mut outputs = HashSet::new();
    for item in items {
        match item {
            Item::FunctionCall { call_id, .. } => {
                calls.insert(call_id.as_str());
            }
            Item::FunctionCallOutput { call_id, .. } if calls.contains(call_id.as_str()) => {
                outputs.insert(call_id.as_str());
            }
            Item::FunctionCallOutput { call_id, .. } => {
                return Err(complaint(format!(
                    "No tool call found for function call output with call_id {}.",
                    excerpt(call_id)
                )));
            }
            Item::Message { .. } | Item::Reasoning { .. } | Item::Raw(_) => {}
        }
    }
    let unanswered = items.iter().find_map(|item| match item {
        Item::FunctionCall { call_id, .. } if !outputs.contains(call_id.as_str()) => Some(call_id),
        Item::FunctionCall { .. }
        | Item::Message { .. }
        | Item::Reasoning { .. }
        | Item::FunctionCallOutput { .. }
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
