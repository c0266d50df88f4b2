//! Reads a request body into a [`Turn`] and the request's part of the response object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::encoder::ResponsesEncoder;
use super::input;
use super::object::{Echo, ReasoningEcho, TextEcho};
use super::params::{self, Ignored, Reasoning, Text};
use super::state;
use super::tools::Tools;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::{Node, Object, excerpt};
use crate::openai::{Context, Notes, Prepared, content, models};
use crate::turn::{AnswerForm, Effort, Item, Part, Role, ServiceTier, Summary, Turn, Verbosity};

type Result<T> = std::result::Result<T, RequestError>;

/// The model of a request that names none: the alias of the default model.
const DEFAULT_ALIAS: &str = "codex-5";

/// Members of the body that are read; any other is ignored, and reported as ignored.
const KNOWN: &[&str] = &[
    "background",
    "context_management",
    "conversation",
    "frequency_penalty",
    "include",
    "input",
    "instructions",
    "logit_bias",
    "logprobs",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Reads a request body.
pub(super) fn parse(body: &Value, context: &Context<'_>) -> Result<Prepared<ResponsesEncoder>> {
    let config = context.config;
    let whole = body;
    let body = Node::root(body).object()?;
    let mut ignored = Ignored::new(config.strict_params);
    check_state(&body, context)?;

    let reasoning = Reasoning::read(&body, &mut ignored)?;
    let alias = json!(DEFAULT_ALIAS);
    let asked = body.opt("model");
    let resolved = {
        let default = Node::named(&alias, "model");
        models::resolve(asked.as_ref().unwrap_or(&default), reasoning.effort, context)?
    };

    let mut image_params = Vec::new();
    let instructions = params::string(&body, "instructions")?;
    let mut tools = Tools::read(&body, &mut ignored)?;
    let items = input::read(&body, context.continued, &mut image_params, &mut tools, &mut ignored)?;
    tools.choose(&body, &mut ignored)?;
    let text = Text::read(&body, &mut ignored)?;

    let mut turn = Turn::new(&resolved.model);
    turn.items = items;
    place_instructions(&mut turn, instructions.as_deref(), config.ignore_client_system_prompt);
    turn.spec.tools = tools.offered.into_iter().map(Arc::new).collect();
    turn.spec.service_tier = resolved.tier.or(params::service_tier(&body, &mut ignored)?);
    models::check_tier(turn.spec.service_tier, &turn.spec.model, context)?;
    turn.spec.web_search = tools.web_search;
    turn.parallel_tool_calls = params::parallel_tool_calls(&body, &mut ignored)?;
    turn.spec.effort = resolved.effort;
    turn.spec.summary = reasoning.summary;
    turn.spec.verbosity = text.verbosity;
    let format_param = (text.answer.form != AnswerForm::Free).then_some("text.format");
    turn.output_schema = text.answer.schema;
    turn.answer_form = text.answer.form;
    turn.limits = params::limits(&body, config.responses_default_max_tokens)?;
    turn.output_mode = context.output_mode.unwrap_or(config.responses_output_mode);

    let echo = Echo {
        id: format!("resp_{}", context.id),
        created_at: context.now,
        encrypted_reasoning: params::include(&body, &mut ignored)?,
        background: params::boolean(&body, "background", false)?,
        conversation: state::read(whole)?.conversation.map(|id| json!({"id": id})),
        frequency_penalty: params::sampling(&body, "frequency_penalty", (-2.0, 2.0), 0.0, &mut ignored)?,
        max_output_tokens: turn.limits.max_output_tokens,
        max_tool_calls: params::max_tool_calls(&body, &mut ignored)?,
        metadata: params::metadata(&body)?,
        model: match asked {
            Some(asked) => asked.string()?.to_owned(),
            None => resolved.model,
        },
        parallel_tool_calls: turn.parallel_tool_calls,
        presence_penalty: params::sampling(&body, "presence_penalty", (-2.0, 2.0), 0.0, &mut ignored)?,
        previous_response_id: params::string(&body, "previous_response_id")?,
        prompt_cache_key: params::string(&body, "prompt_cache_key")?,
        prompt_cache_retention: params::cache_retention(&body, &mut ignored)?,
        reasoning: ReasoningEcho {
            effort: resolved.effort.map(Effort::as_str),
            summary: reasoning.summary.map(Summary::as_str),
        },
        safety_identifier: params::safety_identifier(&body)?,
        service_tier: turn.spec.service_tier.map_or("default", ServiceTier::as_str),
        store: params::boolean(&body, "store", true)? && context.stores,
        temperature: params::sampling(&body, "temperature", (0.0, 2.0), 1.0, &mut ignored)?,
        text: TextEcho { format: text.format, verbosity: text.verbosity.map(Verbosity::as_str) },
        tool_choice: tools.choice_echo,
        tools: tools.echo,
        top_logprobs: params::top_logprobs(&body)?,
        top_p: params::sampling(&body, "top_p", (0.0, 1.0), 1.0, &mut ignored)?,
        truncation: params::truncation(&body, &mut ignored)?,
        user: params::string(&body, "user")?,
        instructions,
    };
    let stream = params::boolean(&body, "stream", false)?;
    let compact_at = params::compact_at(&body, &mut ignored)?;
    params::check_ineffective(&body, &mut ignored)?;
    ignored.unknown(&body, KNOWN)?;
    content::images::unheard_details(&turn, &image_params).try_for_each(|param| ignored.add(&param))?;
    content::check_prompt(&turn, context)?;
    Ok(Prepared {
        turn,
        choices: 1,
        compact_at,
        stream,
        encoder: ResponsesEncoder::new(echo),
        image_params,
        notes: Notes {
            ignored_params: ignored.into_params(),
            format_param,
            effective_effort: resolved.moved_effort,
        },
    })
}

/// Refuses what the request continues unless it has been put before the request's own items, and what cannot be kept.
fn check_state(body: &Object<'_>, context: &Context<'_>) -> Result<()> {
    if let Some(id) = body.opt("previous_response_id").filter(|_| context.continued.is_none()) {
        return Err(previous_not_found(id.string()?));
    }
    if let Some(conversation) = body.opt("conversation").filter(|_| context.continued.is_none()) {
        return Err(conversation
            .unsupported("Conversations are not kept here. Send the whole transcript in 'input'."));
    }
    if let Some(prompt) = body.opt("prompt") {
        return Err(prompt
            .unsupported("Prompt templates are not kept here. Send the prompt's text in 'instructions'."));
    }
    if !context.stores && params::boolean(body, "background", false)? {
        return Err(body.req("background")?.unsupported(
            "This proxy keeps no responses, so there are no background responses. Use 'stream' instead, or set \
             PROXY_STORE=on.",
        ));
    }
    Ok(())
}

/// The refusal of a `previous_response_id` that is unknown, deleted or of another key.
pub fn previous_not_found(id: &str) -> RequestError {
    RequestError::new(
        RequestErrorKind::PreviousResponseNotFound,
        "previous_response_id",
        format!("Previous response with id '{}' not found.", excerpt(id)),
    )
}

/// Puts `instructions` before the transcript, or them and the client's system messages in place of the
/// backend's base instructions.
///
/// A message with an image stays where it is, because base instructions are text. A transcript that has only
/// system messages also stays, because a turn needs a message to answer.
fn place_instructions(turn: &mut Turn, instructions: Option<&str>, in_transcript: bool) {
    let instructions = instructions.filter(|text| !text.is_empty());
    if in_transcript {
        let message = instructions.map(|text| Item::Message {
            role: Role::Developer,
            content: vec![Part::Text(text.to_owned())],
            phase: None,
        });
        turn.items.splice(0..0, message);
        return;
    }
    let mut texts: Vec<_> = instructions.map(str::to_owned).into_iter().collect();
    if turn.items.iter().any(|item| system_texts(item).is_none()) {
        turn.items.retain(|item| match system_texts(item) {
            Some(said) => {
                texts.extend(said.into_iter().filter(|text| !text.is_empty()).map(str::to_owned));
                false
            }
            None => true,
        });
    }
    turn.spec.base_instructions = (!texts.is_empty()).then(|| texts.join("\n\n"));
}

/// The texts of a system message that holds only text.
fn system_texts(item: &Item) -> Option<Vec<&str>> {
    match item {
        Item::Message { role: Role::Developer, content, .. } => content
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Image(_) => None,
            })
            .collect(),
        Item::Message { .. }
        | Item::Reasoning { .. }
        | Item::ToolCall { .. }
        | Item::ToolOutput { .. }
        | Item::Raw(_) => None,
    }
}

#[cfg(test)]
mod tests;
