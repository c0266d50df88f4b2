//! The parameters that have no effect: those that the client gets a note about, and those that need none.

use serde_json::Value;

use crate::openai::cache;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::{Node, Object, excerpt};

type Result<T> = std::result::Result<T, RequestError>;

/// Collects the parameters that are accepted without effect, or refuses them where the operator has set that.
#[derive(Debug)]
pub(super) struct Ignored {
    strict: bool,
    params: Vec<String>,
}

impl Ignored {
    pub(super) fn new(strict: bool) -> Self {
        Self { strict, params: Vec::new() }
    }

    /// Notes a parameter that cannot be honoured.
    pub(super) fn add(&mut self, node: &Node<'_>) -> Result<()> {
        self.add_path(&node.path())
    }

    /// The same for the parameter at `path`.
    pub(super) fn add_path(&mut self, path: &str) -> Result<()> {
        let name = excerpt(path);
        if self.strict {
            let message = format!(
                "'{name}' cannot be honoured here. Leave it out, or set PROXY_STRICT_PARAMS=false to have it \
                 ignored."
            );
            return Err(RequestError::new(RequestErrorKind::Unsupported, name, message));
        }
        self.params.push(name);
        Ok(())
    }

    pub(super) fn into_params(self) -> Vec<String> {
        self.params
    }
}

/// Checks every top-level member that no other reader reads.
///
/// A value without a wish (null, or the API's own default) needs no note.
pub(super) fn check(body: &Object<'_>, ignored: &mut Ignored) -> Result<()> {
    for (key, node) in body.members() {
        if !node.value.is_null() && asks_for_something(key, &node)? {
            ignored.add(&node)?;
        }
    }
    Ok(())
}

fn asks_for_something(key: &str, node: &Node<'_>) -> Result<bool> {
    let asks = match key {
        "model"
        | "messages"
        | "tools"
        | "tool_choice"
        | "parallel_tool_calls"
        | "functions"
        | "function_call"
        | "web_search_options"
        | "reasoning"
        | "reasoning_effort"
        | "include_reasoning"
        | "verbosity"
        | "response_format"
        | "max_tokens"
        | "max_completion_tokens"
        | "stop"
        | "n"
        | "service_tier"
        | "stream"
        | "stream_options" => false,
        "user" | "safety_identifier" | "prompt_cache_key" => {
            node.string()?;
            false
        }
        "prompt_cache_retention" => {
            cache::retention(node)?;
            true
        }
        "store" => {
            node.boolean()?;
            false
        }
        "metadata" => {
            for (_, value) in node.object()?.members() {
                value.string()?;
            }
            false
        }
        "prompt_cache_options" => {
            cache::check_options(node)?;
            true
        }
        "temperature" => node.number(0.0, 2.0)? != 1.0,
        "top_p" => node.number(0.0, 1.0)? != 1.0,
        "presence_penalty" | "frequency_penalty" => node.number(-2.0, 2.0)? != 0.0,
        "seed" => {
            if !(node.value.is_i64() || node.value.is_u64()) {
                return Err(node.wrong_type("an integer"));
            }
            true
        }
        "logit_bias" => {
            let mut biased = false;
            for (_, bias) in node.object()?.members() {
                bias.number(-100.0, 100.0)?;
                biased = true;
            }
            biased
        }
        "logprobs" => {
            if node.boolean()? {
                return Err(no_logprobs(node));
            }
            false
        }
        "top_logprobs" => {
            if node.integer(0, 20)? > 0 {
                return Err(no_logprobs(node));
            }
            false
        }
        "modalities" => {
            for modality in node.array()? {
                if modality.one_of(&[("text", false), ("audio", true)])? {
                    return Err(no_audio(&modality));
                }
            }
            false
        }
        "audio" => return Err(no_audio(node)),
        "prediction" => {
            node.object()?;
            true
        }
        // An unknown switch that is off has no effect anyway.
        _ => node.value != &Value::Bool(false),
    };
    Ok(asks)
}

fn no_logprobs(node: &Node<'_>) -> RequestError {
    node.unsupported(format!(
        "'{}' is not available: Codex gives no token probabilities. Leave it out.",
        node.path()
    ))
}

fn no_audio(node: &Node<'_>) -> RequestError {
    node.unsupported("Audio output is not available: Codex answers in text only. Ask for text.")
}
