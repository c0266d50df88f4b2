//! Reads which tools the model may use: `tools` and `tool_choice`, or the older `functions` and
//! `function_call`.

use std::collections::HashSet;

use super::params::Ignored;
use crate::openai::error::RequestError;
use crate::openai::read::{Node, Object, excerpt};
use crate::openai::tools;
use crate::turn::{Tool, ToolKind};

type Result<T> = std::result::Result<T, RequestError>;

/// The tools of a request, after `tool_choice` is applied.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) offered: Vec<Tool>,
    pub(super) web_search: bool,
    pub(super) parallel: bool,
    /// Whether calls are answered in the older form, which has room for one.
    pub(super) legacy: bool,
}

pub(super) fn read(body: &Object<'_>, ignored: &mut Ignored) -> Result<Tools> {
    // The model does not know of the limit, so only the first of several calls is kept.
    let parallel = match body.opt("parallel_tool_calls") {
        Some(node) if !node.boolean()? => {
            if body.opt("tools").is_some() {
                ignored.add(&node)?;
            }
            false
        }
        Some(_) | None => true,
    };
    let (offer, legacy) = match (body.opt("tools"), body.opt("functions")) {
        (Some(_), Some(functions)) => {
            return Err(functions.invalid("'functions' is the older form of 'tools'; send only one of them"));
        }
        (Some(tools), None) => (Offer::tools(&tools, ignored)?, false),
        (None, Some(functions)) => (Offer::functions(&functions, ignored)?, true),
        (None, None) => (Offer::default(), false),
    };
    let search = match body.opt("web_search_options") {
        Some(options) => {
            for (_, option) in options.object()?.members().filter(|(_, option)| !option.value.is_null()) {
                let is_default = option.path().ends_with("search_context_size") && option.value == "medium";
                if !is_default {
                    ignored.add(&option)?;
                }
            }
            true
        }
        None => false,
    };
    let offer = Offer { web_search: offer.web_search || search, ..offer };
    let offer = match (body.opt("tool_choice"), body.opt("function_call")) {
        (Some(node), _) => offer.choose(Choice::tool(&node)?, &node, ignored)?,
        (None, Some(node)) => offer.choose(Choice::function(&node)?, &node, ignored)?,
        (None, None) => offer,
    };
    Ok(Tools { offered: offer.tools, web_search: offer.web_search, parallel: parallel && !legacy, legacy })
}

/// The tools that the client offers to the model.
#[derive(Debug, Default)]
struct Offer {
    tools: Vec<Tool>,
    web_search: bool,
}

impl Offer {
    fn tools(node: &Node<'_>, ignored: &mut Ignored) -> Result<Self> {
        let mut offer = Self::default();
        let mut names = HashSet::new();
        for node in node.array()? {
            let tool = node.object()?;
            let kind = tool.req("type")?;
            match kind.string()? {
                "function" => {
                    let function = nested(&tool, "function")?;
                    offer.tools.push(tool_of(&function, ToolKind::Function, &mut names, ignored)?);
                }
                "custom" => {
                    let custom = nested(&tool, "custom")?;
                    offer.tools.push(tool_of(&custom, ToolKind::Custom, &mut names, ignored)?);
                }
                name if is_web_search(name) => offer.web_search = true,
                run if tools::RUN_BY_CLIENTS.contains(&run) => ignored.add(&node)?,
                other => {
                    return Err(kind.unsupported(format!(
                        "The tool type '{}' is not available here; use 'function', 'custom' or 'web_search'.",
                        excerpt(other)
                    )));
                }
            }
        }
        Ok(offer)
    }

    fn functions(node: &Node<'_>, ignored: &mut Ignored) -> Result<Self> {
        let mut names = HashSet::new();
        let mut tools = Vec::new();
        for node in node.array()? {
            tools.push(tool_of(&node.object()?, ToolKind::Function, &mut names, ignored)?);
        }
        Ok(Self { tools, web_search: false })
    }

    fn choose(mut self, choice: Choice<'_>, node: &Node<'_>, ignored: &mut Ignored) -> Result<Self> {
        let required = match choice {
            Choice::Auto => false,
            Choice::None => return Ok(Self::default()),
            Choice::Required => true,
            Choice::Only { names, web_search, required } => {
                self.keep(&names)?;
                self.web_search &= web_search;
                required
            }
        };
        let nothing_to_require = self.tools.is_empty() && !self.web_search;
        if required && !nothing_to_require {
            ignored.add(node)?;
        }
        Ok(self)
    }

    fn keep(&mut self, names: &[Node<'_>]) -> Result<()> {
        let mut kept = HashSet::new();
        {
            let known: HashSet<_> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
            for node in names {
                let name = node.string()?;
                if !known.contains(name) {
                    return Err(node.invalid(format!("the request declares no tool '{}'", excerpt(name))));
                }
                kept.insert(name);
            }
        }
        self.tools.retain(|tool| kept.contains(tool.name.as_str()));
        Ok(())
    }
}

/// Some clients write the members of a tool without nesting, as the Responses API does.
fn nested<'a>(tool: &Object<'a>, member: &str) -> Result<Object<'a>> {
    if tool.opt(member).is_none() && tool.opt("name").is_some() {
        return Ok(tool.clone());
    }
    tool.req(member)?.object()
}

fn tool_of(
    object: &Object<'_>,
    kind: ToolKind,
    names: &mut HashSet<String>,
    ignored: &mut Ignored,
) -> Result<Tool> {
    let mut ignore = |node: &Node<'_>| ignored.add(node);
    let tool = match kind {
        ToolKind::Function => tools::function(object, &mut ignore)?,
        ToolKind::Custom => tools::custom(object, &mut ignore)?,
    };
    if !names.insert(tool.name.clone()) {
        return Err(object
            .req("name")?
            .invalid(format!("the tool '{}' is declared twice", excerpt(&tool.name))));
    }
    Ok(tool)
}

/// Dated variants (`web_search_preview_2025_03_11`) are the same tool to Codex.
fn is_web_search(kind: &str) -> bool {
    kind.starts_with("web_search")
}

/// Which of the offered tools the model may or must use.
#[derive(Debug)]
enum Choice<'a> {
    Auto,
    None,
    Required,
    Only { names: Vec<Node<'a>>, web_search: bool, required: bool },
}

impl<'a> Choice<'a> {
    fn tool(node: &Node<'a>) -> Result<Self> {
        if node.value.is_string() {
            return Ok(match node.one_of(&[("none", 0), ("auto", 1), ("required", 2)])? {
                0 => Self::None,
                1 => Self::Auto,
                _ => Self::Required,
            });
        }
        let choice = Self::object(node)?;
        let kind = choice.req("type")?;
        match kind.string()? {
            kind @ ("function" | "custom") => Ok(Self::Only {
                names: vec![nested(&choice, kind)?.req("name")?],
                web_search: false,
                required: true,
            }),
            "allowed_tools" => {
                let wrapped = choice.opt("allowed_tools").map(|node| node.object()).transpose()?;
                Self::allowed(&wrapped.unwrap_or(choice))
            }
            other => Err(kind.unsupported(format!(
                "The tool choice '{}' is not available here; use 'function', 'custom' or 'allowed_tools'.",
                excerpt(other)
            ))),
        }
    }

    fn allowed(allowed: &Object<'a>) -> Result<Self> {
        let required = match allowed.opt("mode") {
            Some(mode) => mode.one_of(&[("auto", false), ("required", true)])?,
            None => false,
        };
        let mut names = Vec::new();
        let mut web_search = false;
        for node in allowed.req("tools")?.array()? {
            let tool = node.object()?;
            let kind = tool.req("type")?;
            match kind.string()? {
                kind @ ("function" | "custom") => names.push(nested(&tool, kind)?.req("name")?),
                name if is_web_search(name) => web_search = true,
                other => {
                    return Err(kind.unsupported(format!(
                        "The tool type '{}' is not available here; use 'function' or 'web_search'.",
                        excerpt(other)
                    )));
                }
            }
        }
        Ok(Self::Only { names, web_search, required })
    }

    fn function(node: &Node<'a>) -> Result<Self> {
        if node.value.is_string() {
            let none = node.one_of(&[("none", true), ("auto", false)])?;
            return Ok(if none { Self::None } else { Self::Auto });
        }
        let names = vec![Self::object(node)?.req("name")?];
        Ok(Self::Only { names, web_search: false, required: true })
    }

    fn object(node: &Node<'a>) -> Result<Object<'a>> {
        if !node.value.is_object() {
            return Err(node.wrong_type("a string or an object"));
        }
        node.object()
    }
}

#[cfg(test)]
mod tests;
