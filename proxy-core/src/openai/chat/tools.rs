//! Reads which tools the model may use: `tools` and `tool_choice`, or the older `functions` and
//! `function_call`.

use std::collections::HashSet;

use super::params::Ignored;
use crate::openai::content;
use crate::openai::error::RequestError;
use crate::openai::read::{Node, Object, excerpt};
use crate::turn::FunctionTool;

type Result<T> = std::result::Result<T, RequestError>;

/// The tools of a request, once the choice among them is made.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) functions: Vec<FunctionTool>,
    pub(super) web_search: bool,
    pub(super) parallel: bool,
    /// Whether calls are answered in the older form, which has room for one.
    pub(super) legacy: bool,
}

pub(super) fn read(body: &Object<'_>, ignored: &mut Ignored) -> Result<Tools> {
    let parallel = body.opt("parallel_tool_calls").map(|node| node.boolean()).transpose()?.unwrap_or(true);
    let (offer, legacy) = match (body.opt("tools"), body.opt("functions")) {
        (Some(_), Some(functions)) => {
            return Err(functions.invalid("'functions' is the older form of 'tools'; send only one of them"));
        }
        (Some(tools), None) => (Offer::tools(&tools)?, false),
        (None, Some(functions)) => (Offer::functions(&functions)?, true),
        (None, None) => (Offer::default(), false),
    };
    let search = match body.opt("web_search_options") {
        Some(options) => {
            options.object()?;
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
    Ok(Tools {
        functions: offer.functions,
        web_search: offer.web_search,
        parallel: parallel && !legacy,
        legacy,
    })
}

/// What the client offers the model.
#[derive(Debug, Default)]
struct Offer {
    functions: Vec<FunctionTool>,
    web_search: bool,
}

impl Offer {
    fn tools(node: &Node<'_>) -> Result<Self> {
        let mut offer = Self::default();
        let mut names = HashSet::new();
        for node in node.array()? {
            let tool = node.object()?;
            let kind = tool.req("type")?;
            match kind.string()? {
                "function" => offer.functions.push(function(&function_object(&tool)?, &mut names)?),
                name if is_web_search(name) => offer.web_search = true,
                "custom" => {
                    return Err(kind.unsupported(
                        "Custom tools are not available: Codex calls functions with JSON arguments only. Declare \
                         the tool as a function.",
                    ));
                }
                other => {
                    return Err(kind.unsupported(format!(
                        "The tool type '{}' is not available here; use 'function' or 'web_search'.",
                        excerpt(other)
                    )));
                }
            }
        }
        Ok(offer)
    }

    fn functions(node: &Node<'_>) -> Result<Self> {
        let mut names = HashSet::new();
        let functions =
            node.array()?.iter().map(|node| function(&node.object()?, &mut names)).collect::<Result<_>>()?;
        Ok(Self { functions, web_search: false })
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
        let nothing_to_require = self.functions.is_empty() && !self.web_search;
        if required && !nothing_to_require {
            ignored.add(node)?;
        }
        Ok(self)
    }

    fn keep(&mut self, names: &[Node<'_>]) -> Result<()> {
        let mut kept = HashSet::new();
        {
            let known: HashSet<_> = self.functions.iter().map(|function| function.name.as_str()).collect();
            for node in names {
                let name = node.string()?;
                if !known.contains(name) {
                    return Err(node.invalid(format!("the request declares no function '{}'", excerpt(name))));
                }
                kept.insert(name);
            }
        }
        self.functions.retain(|function| kept.contains(function.name.as_str()));
        Ok(())
    }
}

/// Some clients write the members of a function flat into the tool, as the Responses API has it.
fn function_object<'a>(tool: &Object<'a>) -> Result<Object<'a>> {
    if tool.opt("function").is_none() && tool.opt("name").is_some() {
        return Ok(tool.clone());
    }
    tool.req("function")?.object()
}

fn function(object: &Object<'_>, names: &mut HashSet<String>) -> Result<FunctionTool> {
    let function = content::function_tool(object)?;
    if !names.insert(function.name.clone()) {
        return Err(object
            .req("name")?
            .invalid(format!("the function '{}' is declared twice", excerpt(&function.name))));
    }
    Ok(function)
}

/// Dated variants (`web_search_preview_2025_03_11`) are the same tool to Codex.
fn is_web_search(kind: &str) -> bool {
    kind.starts_with("web_search")
}

/// Which of the offered tools the model may or has to use.
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
            "function" => Ok(Self::Only {
                names: vec![function_object(&choice)?.req("name")?],
                web_search: false,
                required: false,
            }),
            "allowed_tools" => {
                let wrapped = choice.opt("allowed_tools").map(|node| node.object()).transpose()?;
                Self::allowed(&wrapped.unwrap_or(choice))
            }
            other => Err(kind.unsupported(format!(
                "The tool choice '{}' is not available here; use 'function' or 'allowed_tools'.",
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
                "function" => names.push(function_object(&tool)?.req("name")?),
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
        Ok(Self::Only { names, web_search: false, required: false })
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
