//! The client's tools on their way to the model, and the names of their calls on the way back.
//!
//! A tool goes *exactly* as the client sent it, in an injected item `additional_tools`. Codex must also know the
//! tool's name, so that it holds a call of it. So it gets a copy without a schema, which it does not send upstream
//! (`deferLoading`). Such copies must be in a namespace, so tools without one travel in [`WRAPPER`]. A *plain*
//! tool is Codex's own dynamic tool; Codex reduces its schema.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::turn::{Tool, ToolKind};

/// The namespace of tools that have none from the client.
const WRAPPER: &str = "client";

/// The most characters that Codex accepts in the name of a tool and of a namespace.
const MAX_NAME: usize = 128;
const MAX_NAMESPACE: usize = 64;

/// Namespaces that Codex refuses, as Codex 0.171.0 does.
const RESERVED_NAMESPACES: &[&str] = &[
    "api_tool",
    "browser",
    "computer",
    "container",
    "file_search",
    "functions",
    "image_gen",
    "mcp",
    "multi_tool_use",
    "python",
    "submodel_delegator",
    "terminal",
    "tool_search",
    "web",
];

/// Codex silently drops plain tools of these names.
const DROPPED_NAMES: &[&str] = &["exec_command", "shell_command"];

/// How tools reach the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Road {
    /// Byte for byte, as an injected item. Free-text tools go this way if `once` is set.
    Exact {
        /// Whether Codex can be limited to one request to the model.
        once: bool,
    },
    /// As Codex's own dynamic tools.
    Plain,
}

/// The tools of one thread, with the names that they have on the way.
#[derive(Debug, Default)]
pub(super) struct Tools {
    exact: bool,
    once: bool,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    tool: Arc<Tool>,
    /// The namespace upstream; `None` for a plain tool without one.
    namespace: Option<String>,
    /// The name upstream.
    name: String,
    /// Whether a free-text tool travels as a function with one text parameter.
    as_function: bool,
}

/// A call as the client knows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Called {
    pub kind: ToolKind,
    pub namespace: Option<String>,
    pub name: String,
    pub input: String,
    /// Whether Codex asks the proxy for the output and waits for it, if it can read the arguments.
    pub is_held: bool,
    /// Whether the tool is a function without parameters.
    pub takes_nothing: bool,
}

impl Tools {
    pub(super) fn new(tools: &[Arc<Tool>], road: Road) -> Self {
        let exact = matches!(road, Road::Exact { .. });
        let mut names = HashSet::new();
        let mut namespaces: Vec<(Option<&str>, Option<String>)> = Vec::new();
        let mut travelling = Vec::with_capacity(tools.len());
        for tool in tools {
            let own = tool.namespace_name();
            let namespace = match namespaces.iter().find(|(known, _)| *known == own) {
                Some((_, travels)) => travels.clone(),
                None => {
                    let taken = |name: &str| {
                        namespaces.iter().any(|(_, travels)| travels.as_deref() == Some(name))
                            || tools.iter().any(|other| other.namespace_name() == Some(name))
                    };
                    let travels = match own {
                        None if exact => Some(free_name(WRAPPER, MAX_NAMESPACE, taken)),
                        None => None,
                        Some(own) if is_usable_namespace(own) => Some(own.to_owned()),
                        Some(own) => Some(free_name(&aliased(own), MAX_NAMESPACE, taken)),
                    };
                    namespaces.push((own, travels.clone()));
                    travels
                }
            };
            let taken = |name: &str| {
                names.contains(&(namespace.clone(), name.to_owned()))
                    || tools.iter().any(|other| other.namespace_name() == own && other.name == name)
            };
            let name = if is_usable_name(&tool.name, exact) {
                tool.name.clone()
            } else {
                free_name(&aliased(&tool.name), MAX_NAME, taken)
            };
            names.insert((namespace.clone(), name.clone()));
            travelling.push((namespace, name));
        }
        let entries = tools.iter().zip(travelling).map(|(tool, (namespace, name))| {
            let as_function = tool.kind == ToolKind::Custom && road != Road::Exact { once: true };
            Entry { tool: tool.clone(), namespace, name, as_function }
        });
        Self { exact, once: road == Road::Exact { once: true }, entries: entries.collect() }
    }

    /// Whether Codex must send only one request to the model. Otherwise it would answer free-text calls and calls
    /// with unreadable arguments itself, and ask the model again.
    pub(super) fn asks_once(&self) -> bool {
        self.once && !self.entries.is_empty()
    }

    /// Whether there is an item to inject.
    pub(super) fn is_exact(&self) -> bool {
        self.exact && !self.entries.is_empty()
    }

    /// `dynamicTools` of `thread/start`.
    pub(super) fn dynamic(&self) -> Option<Value> {
        let tools = self.grouped(|entry| {
            if self.exact {
                return json!({
                    "type": "function",
                    "name": entry.name,
                    "description": "",
                    "inputSchema": {"type": "object", "properties": {}},
                    "deferLoading": true,
                });
            }
            let definition = entry.definition();
            let nothing = || json!({"type": "object", "properties": {}});
            json!({
                "type": "function",
                "name": entry.name,
                "description": definition["description"].as_str().unwrap_or_default(),
                "inputSchema": definition.get("parameters").filter(|given| given.is_object())
                    .cloned().unwrap_or_else(nothing),
            })
        });
        (!tools.is_empty()).then(|| {
            let bounded = |mut tool: Value| {
                // Codex accepts no long description of a namespace; the model reads the exact one.
                if tool["type"] == "namespace" && self.exact {
                    tool["description"] = json!("");
                }
                tool
            };
            tools.into_iter().map(bounded).collect()
        })
    }

    /// The item that brings the tools to the model.
    pub(super) fn item(&self) -> Option<Value> {
        self.is_exact().then(|| {
            json!({"type": "additional_tools", "role": "developer", "tools": self.grouped(Entry::definition)})
        })
    }

    /// The tools by namespace, in the order of each namespace's first one.
    fn grouped(&self, write: impl Fn(&Entry) -> Value) -> Vec<Value> {
        let mut groups: Vec<(Option<&str>, Value)> = Vec::new();
        for entry in &self.entries {
            let Some(namespace) = entry.namespace.as_deref() else {
                groups.push((None, write(entry)));
                continue;
            };
            let place = groups.iter().position(|(known, _)| *known == Some(namespace));
            let place = place.unwrap_or_else(|| {
                let description = entry.tool.namespace.as_deref().map_or("", |own| own.description.as_str());
                let group =
                    json!({"type": "namespace", "name": namespace, "description": description, "tools": []});
                groups.push((Some(namespace), group));
                groups.len() - 1
            });
            if let Some(tools) = groups[place].1["tools"].as_array_mut() {
                tools.push(write(entry));
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// The call as the client knows it; `None` for a tool that is not the client's.
    ///
    /// An upstream that leaves out the namespace is understood where the name alone identifies the tool.
    pub(super) fn called(&self, namespace: Option<&str>, name: &str, input: String) -> Option<Called> {
        let exactly = |entry: &&Entry| entry.namespace.as_deref() == namespace && entry.name == name;
        let by_name = || {
            let mut named = self.entries.iter().filter(|entry| entry.name == name || entry.tool.name == name);
            named.next().filter(|_| namespace.is_none() && named.next().is_none())
        };
        let exact = self.entries.iter().find(exactly);
        let is_held = exact.is_some_and(|entry| entry.tool.kind == ToolKind::Function);
        let entry = exact.or_else(by_name)?;
        Some(Called {
            is_held,
            takes_nothing: entry.tool.takes_nothing(),
            kind: entry.tool.kind,
            namespace: entry.tool.namespace_name().map(str::to_owned),
            name: entry.tool.name.clone(),
            input: if entry.as_function { text_of(input) } else { input },
        })
    }

    /// The namespace and name under which an earlier call travels.
    pub(super) fn travels<'a>(
        &'a self,
        namespace: Option<&'a str>,
        name: &'a str,
    ) -> (Option<&'a str>, &'a str) {
        let own = |entry: &&Entry| entry.tool.namespace_name() == namespace && entry.tool.name == name;
        match self.entries.iter().find(own) {
            Some(entry) => (entry.namespace.as_deref(), &entry.name),
            None => (namespace, name),
        }
    }
}

impl Entry {
    /// The tool as it reaches the model.
    fn definition(&self) -> Value {
        let mut definition =
            if self.as_function { function_of(&self.tool) } else { self.tool.definition.clone() };
        definition["name"] = json!(self.name);
        definition
    }
}

/// A free-text tool as a function with one text parameter. Its grammar becomes a part of the description.
fn function_of(tool: &Tool) -> Value {
    let mut description = tool.definition["description"].as_str().unwrap_or_default().to_owned();
    if let Some(grammar) = tool.definition["format"]["definition"].as_str() {
        let syntax = tool.definition["format"]["syntax"].as_str().unwrap_or("lark");
        let gap = if description.is_empty() { "" } else { "\n\n" };
        description.push_str(&format!("{gap}`input` follows this {syntax} grammar:\n{grammar}"));
    }
    json!({
        "type": "function",
        "name": tool.name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": {"input": {"type": "string"}},
            "required": ["input"],
            "additionalProperties": false,
        },
        "strict": true,
    })
}

/// The text of such a call. Arguments of another shape are taken as the text itself.
fn text_of(arguments: String) -> String {
    match serde_json::from_str::<Value>(&arguments).ok().and_then(|mut value| match value["input"].take() {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }) {
        Some(text) => text,
        None => arguments,
    }
}

fn is_usable_name(name: &str, exact: bool) -> bool {
    let reserved = name == "mcp" || name.starts_with("mcp__") || (!exact && DROPPED_NAMES.contains(&name));
    !reserved && is_plain(name, MAX_NAME)
}

fn is_usable_namespace(name: &str) -> bool {
    !name.starts_with("mcp__") && !RESERVED_NAMESPACES.contains(&name) && is_plain(name, MAX_NAMESPACE)
}

fn is_plain(name: &str, most: usize) -> bool {
    (1..=most).contains(&name.len()) && name.chars().all(is_plain_char)
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A name similar to this one that Codex accepts.
fn aliased(name: &str) -> String {
    let plain: String = name.chars().map(|c| if is_plain_char(c) { c } else { '_' }).collect();
    format!("{WRAPPER}_{plain}")
}

/// The first of `name`, `name_2`, `name_3`, … that is not taken, within the length.
fn free_name(name: &str, most: usize, taken: impl Fn(&str) -> bool) -> String {
    let numbered = |number: usize| {
        let end = if number == 1 { String::new() } else { format!("_{number}") };
        let kept = name.get(..most.saturating_sub(end.len())).unwrap_or(name);
        format!("{kept}{end}")
    };
    (1..).map(numbered).find(|candidate| !taken(candidate)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
