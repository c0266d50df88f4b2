//! Reads `tools` and `tool_choice`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::params::Ignored;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::{Node, Object, excerpt};
use crate::openai::tools;
use crate::turn::{Namespace, Tool, ToolKind};

type Result<T> = std::result::Result<T, RequestError>;

/// The tools of a request: those that the model gets, and their form in the response object.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) offered: Vec<Tool>,
    pub(super) web_search: bool,
    pub(super) echo: Vec<Value>,
    pub(super) choice_echo: Value,
}

impl Tools {
    /// Reads `tools`.
    pub(super) fn read(body: &Object<'_>, ignored: &mut Ignored) -> Result<Self> {
        let mut tools =
            Self { offered: Vec::new(), web_search: false, echo: Vec::new(), choice_echo: json!("auto") };
        if let Some(list) = body.opt("tools") {
            for node in list.array()? {
                let echo = tools.add(&node, ignored)?;
                tools.echo.push(echo);
            }
        }
        Ok(tools)
    }

    /// Adds the tools of an `additional_tools` item. If two have one name, the later one is used.
    pub(super) fn add_item(&mut self, item: &Object<'_>, ignored: &mut Ignored) -> Result<()> {
        for node in item.req("tools")?.array()? {
            let mut more = Self {
                offered: Vec::new(),
                web_search: self.web_search,
                echo: Vec::new(),
                choice_echo: Value::Null,
            };
            more.add(&node, ignored)?;
            self.web_search = more.web_search;
            for tool in more.offered {
                self.offered.retain(|known| !is_same(known, &tool));
                self.offered.push(tool);
            }
        }
        Ok(())
    }

    /// Adds a tool. Returns its form in the response object.
    fn add(&mut self, node: &Node<'_>, ignored: &mut Ignored) -> Result<Value> {
        let object = node.object()?;
        let kind = object.req("type")?;
        match kind.string()? {
            "function" => {
                self.offer(read(&object, ToolKind::Function, None, ignored)?, &object)?;
                let given = |key: &str| object.opt(key).map_or(Value::Null, |node| node.value.clone());
                let none = || json!({"type": "object", "properties": {}});
                let parameters = object.opt("parameters").map_or_else(none, |node| node.value.clone());
                return Ok(json!({
                    "type": "function",
                    "name": given("name"),
                    "description": given("description"),
                    "parameters": parameters,
                    "strict": given("strict"),
                }));
            }
            "custom" => self.offer(read(&object, ToolKind::Custom, None, ignored)?, &object)?,
            "namespace" => self.add_namespace(&object, ignored)?,
            hosted if is_web_search(hosted) => self.add_web_search(&object, ignored)?,
            run if tools::RUN_BY_CLIENTS.contains(&run) => ignored.add(&node.path())?,
            other => {
                return Err(kind.unsupported(format!(
                    "The tool '{}' is not supported here. Use function, custom or namespace tools, or the hosted \
                     tool 'web_search'.",
                    excerpt(other)
                )));
            }
        }
        Ok(node.value.clone())
    }

    fn add_namespace(&mut self, object: &Object<'_>, ignored: &mut Ignored) -> Result<()> {
        let name = object.req("name")?;
        let namespace = Arc::new(Namespace {
            name: match name.string()? {
                "" => return Err(name.invalid("expected a text that is not empty")),
                text => text.to_owned(),
            },
            description: object
                .opt("description")
                .map(|node| node.string())
                .transpose()?
                .unwrap_or("")
                .into(),
        });
        for node in object.req("tools")?.array()? {
            let object = node.object()?;
            let kind = object
                .req("type")?
                .one_of(&[("function", ToolKind::Function), ("custom", ToolKind::Custom)])?;
            self.offer(read(&object, kind, Some(&namespace), ignored)?, &object)?;
        }
        Ok(())
    }

    fn add_web_search(&mut self, object: &Object<'_>, ignored: &mut Ignored) -> Result<()> {
        for key in ["filters", "user_location"] {
            if let Some(setting) = object.opt(key) {
                setting.object()?;
                ignored.add(&setting.path())?;
            }
        }
        if let Some(size) = object.opt("search_context_size")
            && !size.one_of(&[("low", false), ("medium", true), ("high", false)])?
        {
            ignored.add(&size.path())?;
        }
        let others = ["type", "filters", "user_location", "search_context_size"];
        for (_, node) in object.members().filter(|(key, _)| !others.contains(key)) {
            // Codex searches with access to the web.
            let searches_the_web = node.path().ends_with("external_web_access") && node.boolean()?;
            if !node.value.is_null() && !searches_the_web {
                ignored.add(&node.path())?;
            }
        }
        self.web_search = true;
        Ok(())
    }

    fn offer(&mut self, tool: Tool, object: &Object<'_>) -> Result<()> {
        if self.offered.iter().any(|known| is_same(known, &tool)) {
            return Err(object.req("name")?.invalid(format!("there are two tools named '{}'", tool.name)));
        }
        self.offered.push(tool);
        Ok(())
    }

    /// Keeps only the tools that `tool_choice` allows.
    pub(super) fn choose(&mut self, body: &Object<'_>, ignored: &mut Ignored) -> Result<()> {
        let Some(choice) = body.opt("tool_choice") else { return Ok(()) };
        self.choice_echo = choice.value.clone();
        if choice.value.is_string() {
            let mode = choice.one_of(MODES)?;
            return self.apply(mode, &choice, ignored);
        }
        let Ok(object) = choice.object() else { return Err(choice.wrong_type("a string or an object")) };
        let kind = object.req("type")?;
        match kind.string()? {
            "allowed_tools" => {
                let mode = match object.opt("mode") {
                    Some(mode) => mode.one_of(MODES)?,
                    None => Mode::Auto,
                };
                let list = object.req("tools")?;
                let allowed = list.array()?.iter().map(|node| self.find(node)).collect::<Result<Vec<_>>>()?;
                if allowed.is_empty() {
                    return Err(list.invalid("expected at least one tool"));
                }
                self.choice_echo = json!({
                    "type": "allowed_tools",
                    "mode": mode.as_str(),
                    "tools": list.value,
                });
                self.keep(&allowed);
                self.apply(mode, &choice, ignored)
            }
            _ => {
                let chosen = self.find(&choice)?;
                self.keep(&[chosen]);
                // The model then has only this tool, but nothing can force a call of it.
                ignored.add(&choice.path())
            }
        }
    }

    fn apply(&mut self, mode: Mode, choice: &Node<'_>, ignored: &mut Ignored) -> Result<()> {
        match mode {
            Mode::None => {
                self.keep(&[]);
                Ok(())
            }
            Mode::Auto => Ok(()),
            Mode::Required if self.offered.is_empty() && !self.web_search => {
                Err(choice.invalid("'required' needs at least one tool in 'tools'"))
            }
            Mode::Required => ignored.add(&choice.path()),
        }
    }

    /// The tool that `{type, name}` means.
    fn find(&self, node: &Node<'_>) -> Result<Chosen> {
        let object = node.object()?;
        let kind = object.req("type")?;
        let tool_kind = match kind.string()? {
            "function" => ToolKind::Function,
            "custom" => ToolKind::Custom,
            "namespace" => {
                let name = object.req("name")?;
                let text = name.string()?;
                let known = self.offered.iter().any(|tool| tool.namespace_name() == Some(text));
                return if known {
                    Ok(Chosen::Namespace(text.to_owned()))
                } else {
                    Err(not_found(&name, text))
                };
            }
            hosted if is_web_search(hosted) => {
                return if self.web_search { Ok(Chosen::WebSearch) } else { Err(not_found(&kind, hosted)) };
            }
            other => {
                return Err(kind.unsupported(format!(
                    "'{}' cannot be chosen here. Choose 'none', 'auto', 'required', a function, a custom tool, \
                     'allowed_tools' or 'web_search'.",
                    excerpt(other)
                )));
            }
        };
        let name = object.req("name")?;
        let text = name.string()?;
        if self.offered.iter().any(|tool| tool.kind == tool_kind && tool.name == text) {
            Ok(Chosen::Tool(tool_kind, text.to_owned()))
        } else {
            Err(not_found(&name, text))
        }
    }

    fn keep(&mut self, chosen: &[Chosen]) {
        self.offered.retain(|tool| {
            chosen.iter().any(|one| match one {
                Chosen::Tool(kind, name) => *kind == tool.kind && *name == tool.name,
                Chosen::Namespace(name) => tool.namespace_name() == Some(name),
                Chosen::WebSearch => false,
            })
        });
        self.web_search &= chosen.contains(&Chosen::WebSearch);
    }
}

fn read(
    object: &Object<'_>,
    kind: ToolKind,
    namespace: Option<&Arc<Namespace>>,
    ignored: &mut Ignored,
) -> Result<Tool> {
    let mut ignore = |node: &Node<'_>| ignored.add(&node.path());
    let tool = match kind {
        ToolKind::Function => tools::function(object, &mut ignore)?,
        ToolKind::Custom => tools::custom(object, &mut ignore)?,
    };
    Ok(Tool { namespace: namespace.cloned(), ..tool })
}

fn is_same(one: &Tool, other: &Tool) -> bool {
    one.name == other.name && one.namespace_name() == other.namespace_name()
}

#[derive(Debug, PartialEq, Eq)]
enum Chosen {
    Tool(ToolKind, String),
    Namespace(String),
    WebSearch,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    None,
    Auto,
    Required,
}

const MODES: &[(&str, Mode)] = &[("none", Mode::None), ("auto", Mode::Auto), ("required", Mode::Required)];

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Auto => "auto",
            Self::Required => "required",
        }
    }
}

/// Whether this is `web_search` or `web_search_preview`, with or without a date.
fn is_web_search(kind: &str) -> bool {
    let Some(rest) = kind.strip_prefix("web_search") else { return false };
    let date = rest.strip_prefix("_preview").unwrap_or(rest);
    date.is_empty()
        || date.strip_prefix('_').is_some_and(|date| {
            date.len() == 10 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
        })
}

fn not_found(node: &Node<'_>, name: &str) -> RequestError {
    RequestError::new(
        RequestErrorKind::InvalidValue,
        node.path(),
        format!("Tool choice '{}' not found in 'tools' parameter.", excerpt(name)),
    )
}
