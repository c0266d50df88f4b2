//! `tools` and `tool_choice`.

use serde_json::{Value, json};

use super::params::Ignored;
use crate::openai::content;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::{Node, Object, excerpt};
use crate::turn::FunctionTool;

type Result<T> = std::result::Result<T, RequestError>;

/// The tools of a request: those the model is given, and how the client is told of them.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) functions: Vec<FunctionTool>,
    pub(super) web_search: bool,
    pub(super) echo: Vec<Value>,
    pub(super) choice_echo: Value,
}

/// Reads `tools`, and leaves those that `tool_choice` allows.
pub(super) fn read(body: &Object<'_>, ignored: &mut Ignored) -> Result<Tools> {
    let mut tools =
        Tools { functions: Vec::new(), web_search: false, echo: Vec::new(), choice_echo: json!("auto") };
    if let Some(list) = body.opt("tools") {
        for node in list.array()? {
            tools.add(&node, ignored)?;
        }
    }
    if let Some(choice) = body.opt("tool_choice") {
        tools.choose(&choice, ignored)?;
    }
    Ok(tools)
}

impl Tools {
    fn add(&mut self, node: &Node<'_>, ignored: &mut Ignored) -> Result<()> {
        let object = node.object()?;
        let kind = object.req("type")?;
        match kind.string()? {
            "function" => self.add_function(&object),
            hosted if is_web_search(hosted) => {
                for key in ["filters", "user_location"] {
                    if let Some(setting) = object.opt(key) {
                        setting.object()?;
                        ignored.add(&setting.path)?;
                    }
                }
                if let Some(size) = object.opt("search_context_size")
                    && !size.one_of(&[("low", false), ("medium", true), ("high", false)])?
                {
                    ignored.add(&size.path)?;
                }
                self.web_search = true;
                self.echo.push(node.value.clone());
                Ok(())
            }
            other => Err(kind.unsupported(format!(
                "The tool '{}' is not supported here. Use function tools, or the hosted tool 'web_search'.",
                excerpt(other)
            ))),
        }
    }

    fn add_function(&mut self, object: &Object<'_>) -> Result<()> {
        let function = content::function_tool(object)?;
        if self.has(&function.name) {
            return Err(object
                .req("name")?
                .invalid(format!("there are two tools named '{}'", function.name)));
        }
        let given = |key: &str| object.opt(key).map_or(Value::Null, |node| node.value.clone());
        self.echo.push(json!({
            "type": "function",
            "name": function.name,
            "description": given("description"),
            "parameters": function.parameters,
            "strict": given("strict"),
        }));
        self.functions.push(function);
        Ok(())
    }

    fn choose(&mut self, choice: &Node<'_>, ignored: &mut Ignored) -> Result<()> {
        self.choice_echo = choice.value.clone();
        if choice.value.is_string() {
            let mode = choice.one_of(MODES)?;
            return self.apply(mode, choice, ignored);
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
                self.apply(mode, choice, ignored)
            }
            _ => {
                let chosen = self.find(choice)?;
                self.keep(&[chosen]);
                Ok(())
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
            Mode::Required if self.functions.is_empty() && !self.web_search => {
                Err(choice.invalid("'required' needs at least one tool in 'tools'"))
            }
            Mode::Required => ignored.add(&choice.path),
        }
    }

    /// The tool that `{type, name}` means.
    fn find(&self, node: &Node<'_>) -> Result<Chosen> {
        let object = node.object()?;
        let kind = object.req("type")?;
        match kind.string()? {
            "function" => {
                let name = object.req("name")?;
                let text = name.string()?;
                if self.has(text) {
                    Ok(Chosen::Function(text.to_owned()))
                } else {
                    Err(not_found(&name, text))
                }
            }
            hosted if is_web_search(hosted) => {
                if self.web_search {
                    Ok(Chosen::WebSearch)
                } else {
                    Err(not_found(&kind, hosted))
                }
            }
            other => Err(kind.unsupported(format!(
                "'{}' cannot be chosen here. Choose 'none', 'auto', 'required', a function, 'allowed_tools' or \
                 'web_search'.",
                excerpt(other)
            ))),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.functions.iter().any(|function| function.name == name)
    }

    fn keep(&mut self, chosen: &[Chosen]) {
        self.functions.retain(|function| {
            chosen.iter().any(|one| matches!(one, Chosen::Function(name) if *name == function.name))
        });
        self.web_search &= chosen.contains(&Chosen::WebSearch);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Chosen {
    Function(String),
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

/// `web_search`, `web_search_preview`, and either with a date.
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
        &node.path,
        format!("Tool choice '{}' not found in 'tools' parameter.", excerpt(name)),
    )
}
