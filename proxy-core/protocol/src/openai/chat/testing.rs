//! Helpers that the tests of this surface share.

use serde_json::Value;

use super::{Chat, ChatEncoder};
use crate::openai::error::RequestError;
use crate::openai::read::Node;
use crate::openai::{Config, Context, Environment, Prepared, Surface};
use crate::turn::{Catalogue, Effort, Model, OutputMode};

pub(super) fn config() -> Config {
    Config {
        environment: Environment::Prod,
        default_model: "gpt-test".into(),
        ignore_client_system_prompt: true,
        strict_params: false,
        model_fallback: true,
        max_prompt_tokens: 0,
        responses_default_max_tokens: 0,
        chat_output_mode: OutputMode::OpenaiJson,
        responses_output_mode: OutputMode::OpenaiJson,
    }
}

/// A catalogue of `gpt-test`, which knows the efforts from low to high.
fn catalogue() -> Catalogue {
    Catalogue {
        models: vec![Model {
            id: "gpt-test".into(),
            display_name: "Test".into(),
            description: String::new(),
            efforts: vec![Effort::Low, Effort::Medium, Effort::High],
            default_effort: None,
            images: true,
            hidden: false,
            is_default: true,
            service_tiers: Some(vec!["priority".into()]),
            context_window: None,
        }],
    }
}

pub(super) fn parse(body: &Value, config: &Config) -> Result<Prepared<ChatEncoder>, RequestError> {
    parse_as(body, config, None)
}

/// Reads a request of a client that chose an output mode itself.
pub(super) fn parse_as(
    body: &Value,
    config: &Config,
    output_mode: Option<OutputMode>,
) -> Result<Prepared<ChatEncoder>, RequestError> {
    let catalogue = catalogue();
    Chat::parse(
        body,
        &Context {
            config,
            catalogue: &catalogue,
            output_mode,
            id: "0",
            now: 7,
            continued: None,
            stores: true,
        },
    )
}

/// A value as it stands in a request under `path`.
pub(super) fn node<'a>(value: &'a Value, path: &str) -> Node<'a> {
    if path.is_empty() { Node::root(value) } else { Node::named(value, path) }
}

/// Checks that an error names `param` and contains `words`.
pub(super) fn check_error(error: &RequestError, param: &str, words: &str) {
    assert_eq!(error.param.as_deref(), Some(param), "{}", error.message);
    assert!(error.message.contains(words), "{param}: {}", error.message);
}
