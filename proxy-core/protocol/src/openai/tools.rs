//! Reads tools, which both surfaces write in nearly the same form, into the form of the Responses API.

use serde_json::{Map, Value, json};

use super::content::check_schema;
use super::error::RequestError;
use super::read::{Node, Object, excerpt};
use crate::turn::{Tool, ToolKind};

type Result<T> = std::result::Result<T, RequestError>;

/// Notes a parameter that has no effect, or refuses it.
pub type Ignore<'a> = &'a mut dyn FnMut(&Node<'_>) -> Result<()>;

/// Types of tools that the client itself would run, and that Codex does not accept.
pub const RUN_BY_CLIENTS: &[&str] = &[
    "apply_patch",
    "computer",
    "computer_use",
    "computer_use_preview",
    "local_shell",
    "shell",
    "tool_search",
];

/// Reads a function tool whose members are those of `object`.
///
/// The definition holds what the client wrote: every keyword of the schema, `strict`, and no member that it did not
/// send. Members that the Responses API does not know, which it would refuse, are left out and noted.
///
/// # Errors
/// Names the member that is malformed.
pub fn function(object: &Object<'_>, ignore: Ignore<'_>) -> Result<Tool> {
    let name = name(&object.req("name")?)?;
    let mut definition = Map::new();
    definition.insert("type".into(), json!("function"));
    for (member, node) in object.members() {
        match member {
            "type" | "namespace" => continue,
            "name" => {}
            _ if node.value.is_null() => {}
            "description" => {
                node.string()?;
            }
            "strict" => {
                node.boolean()?;
            }
            "parameters" => check_schema(&node)?,
            "output_schema" => {
                node.object()?;
            }
            _ if node.value == &json!(false) => continue,
            _ => {
                ignore(&node)?;
                continue;
            }
        }
        definition.insert(member.to_owned(), node.value.clone());
    }
    Ok(Tool { kind: ToolKind::Function, namespace: None, name, definition: definition.into() })
}

/// Reads a free-text tool whose members are those of `object`; Chat nests the grammar, the Responses API does not.
///
/// # Errors
/// Names the member that is malformed.
pub fn custom(object: &Object<'_>, ignore: Ignore<'_>) -> Result<Tool> {
    let name = name(&object.req("name")?)?;
    let mut definition = Map::new();
    definition.insert("type".into(), json!("custom"));
    for (member, node) in object.members() {
        match member {
            "type" | "namespace" => {}
            "name" => {
                definition.insert("name".into(), node.value.clone());
            }
            _ if node.value.is_null() || node.value == &json!(false) => {}
            "description" => {
                definition.insert("description".into(), json!(node.string()?));
            }
            "format" => {
                definition.insert("format".into(), format(&node.object()?)?);
            }
            _ => ignore(&node)?,
        }
    }
    Ok(Tool { kind: ToolKind::Custom, namespace: None, name, definition: definition.into() })
}

fn format(object: &Object<'_>) -> Result<Value> {
    if object.req("type")?.one_of(&[("text", false), ("grammar", true)])? {
        let grammar = match object.opt("grammar") {
            Some(nested) => nested.object()?,
            None => object.clone(),
        };
        let syntax = grammar.req("syntax")?.one_of(&[("lark", "lark"), ("regex", "regex")])?;
        let definition = grammar.req("definition")?.string()?.to_owned();
        return Ok(json!({"type": "grammar", "syntax": syntax, "definition": definition}));
    }
    Ok(json!({"type": "text"}))
}

/// Reads the name of a tool: 1 to 128 letters, digits, `_` and `-`, as the Responses API takes.
///
/// # Errors
/// Describes the allowed names.
pub fn name(node: &Node<'_>) -> Result<String> {
    const MOST: usize = 128;
    let text = node.string()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if text.is_empty() || text.len() > MOST || !text.bytes().all(allowed) {
        return Err(node.invalid(format!(
            "'{}' is no name of a tool; use 1 to {MOST} letters, digits, underscores and hyphens",
            excerpt(text)
        )));
    }
    Ok(text.to_owned())
}

/// Reads the arguments of a call. Some models call a function without parameters with an empty text, and clients
/// send it back in this form; the model's API accepts only JSON.
///
/// # Errors
/// When it is not a string.
pub fn input(kind: ToolKind, node: &Node<'_>) -> Result<String> {
    Ok(input_of(kind, node.string()?.to_owned()))
}

/// The input of a call that is written like this.
pub(super) fn input_of(kind: ToolKind, text: String) -> String {
    match kind {
        ToolKind::Function if text.trim().is_empty() => "{}".to_owned(),
        ToolKind::Function | ToolKind::Custom => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        tool: &Value,
        read: impl Fn(&Object<'_>, Ignore<'_>) -> Result<Tool>,
    ) -> (Result<Tool>, Vec<String>) {
        let mut ignored = Vec::new();
        let mut ignore = |node: &Node<'_>| {
            ignored.push(node.path());
            Ok(())
        };
        let tool = read(&Node::root(tool).object().unwrap(), &mut ignore);
        (tool, ignored)
    }

    #[test]
    fn a_function_is_kept_as_it_was_written() {
        let written = json!({
            "type": "function", "name": "exec_command", "strict": true, "description": null,
            "parameters": {
                "type": "object", "title": "T", "properties": {"n": {"enum": [1, 2.5, true], "default": 1}},
                "minProperties": 1, "examples": [{"n": 1}],
            },
            "output_schema": {"type": "object"},
        });
        let (tool, ignored) = read(&written, function);
        assert_eq!(tool.unwrap().definition, written);
        assert_eq!(ignored, [""; 0]);
        let (tool, ignored) =
            read(&json!({"name": "f", "defer_loading": true, "x": false, "cache_control": {}}), function);
        assert_eq!(tool.unwrap().definition, json!({"type": "function", "name": "f"}));
        assert_eq!(ignored, ["defer_loading", "cache_control"]);
    }

    #[test]
    fn both_ways_of_writing_a_grammar_are_one() {
        let flat = json!({"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"});
        let nested = json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/s"}});
        for format in [&flat, &nested] {
            let (tool, _) = read(&json!({"name": "p", "description": "d", "format": format}), custom);
            let expected = json!({"type": "custom", "name": "p", "description": "d", "format": flat});
            assert_eq!(tool.unwrap().definition, expected);
        }
        let (tool, _) = read(&json!({"name": "p", "format": {"type": "bnf"}}), custom);
        assert_eq!(tool.unwrap_err().param.as_deref(), Some("format.type"));
    }

    #[test]
    fn no_arguments_are_an_empty_object() {
        let read = |kind, text: &str| input(kind, &Node::root(&json!(text)));
        for (kind, text, expected) in [
            (ToolKind::Function, "", "{}"),
            (ToolKind::Function, " \n", "{}"),
            (ToolKind::Function, "{\"a\": 1}", "{\"a\": 1}"),
            (ToolKind::Custom, "", ""),
        ] {
            assert_eq!(read(kind, text).as_deref(), Ok(expected), "{text:?}");
        }
        assert!(input(ToolKind::Function, &Node::root(&json!({}))).is_err());
    }

    #[test]
    fn names_may_have_128_characters() {
        for (name, good) in [("n".repeat(128), true), ("n".repeat(129), false), ("a.b".into(), false)] {
            assert_eq!(read(&json!({"name": name}), function).0.is_ok(), good, "{name}");
        }
    }
}
