//! Reads a Chat Completions request.

use std::sync::Arc;

use serde_json::Value;

use super::encoder::ChatEncoder;
use super::params::{self, Ignored};
use super::{messages, tools};
use crate::openai::content::AnswerFormat;
use crate::openai::error::RequestError;
use crate::openai::models::TierName;
use crate::openai::read::{Node, Object};
use crate::openai::responses::Responses;
use crate::openai::{Config, Context, Notes, Prepared, Surface as _, content, models};
use crate::turn::{AnswerForm, Effort, Limits, ServiceTier, Summary, Task, ThreadSpec, Turn, Verbosity};

type Result<T> = std::result::Result<T, RequestError>;

/// Every choice is a turn of its own, so their number is limited.
const MAX_CHOICES: u64 = 5;
const MAX_STOPS: usize = 4;
const RESPONSE_FORMAT: &str = "response_format";

pub(super) fn parse(body: &Value, context: &Context<'_>) -> Result<Prepared<ChatEncoder>> {
    let whole = body;
    let body = Node::root(body).object()?;
    if body.opt("messages").is_none() && body.opt("input").is_some() {
        return of_the_other_api(whole, &body, context);
    }
    let model = body.req("model")?;
    let requested = model.string()?.to_owned();
    let transcript = messages::read(&body.req("messages")?, context.config.ignore_client_system_prompt)?;

    let mut ignored = Ignored::new(context.config.strict_params);
    params::check(&body, &mut ignored)?;
    let reasoning = Reasoning::read(&body, &mut ignored)?;
    let resolved = models::resolve(&model, reasoning.effort, context)?;
    let tools = tools::read(&body, &mut ignored)?;

    let format = answer_format(&body, &mut ignored)?;
    let format_param = (format.form != AnswerForm::Free).then_some(RESPONSE_FORMAT);

    let turn = Turn {
        task: Task::Answer,
        spec: ThreadSpec {
            base_instructions: transcript.instructions,
            tools: tools.offered.into_iter().map(Arc::new).collect(),
            service_tier: resolved.tier.or(service_tier(&body, &mut ignored)?),
            web_search: tools.web_search,
            effort: resolved.effort,
            summary: reasoning.summary,
            verbosity: verbosity(&body)?,
            ..ThreadSpec::new(resolved.model)
        },
        items: transcript.items,
        parallel_tool_calls: tools.parallel,
        output_schema: format.schema,
        answer_form: format.form,
        limits: Limits { max_output_tokens: max_output_tokens(&body)?, stop: stop(&body)? },
        output_mode: context.output_mode.unwrap_or(context.config.chat_output_mode),
    };
    content::images::unheard_details(&turn, &transcript.images)
        .try_for_each(|param| ignored.add_path(&param))?;
    models::check_tier(turn.spec.service_tier, &turn.spec.model, context)?;
    content::check_prompt(&turn, context)?;

    let choices = match body.opt("n") {
        Some(node) => node.integer(1, MAX_CHOICES)? as usize,
        None => 1,
    };
    let encoder = ChatEncoder::new(context, requested, choices)
        .legacy_functions(tools.legacy)
        .service_tier(turn.spec.service_tier)
        .null_usage(includes_usage(&body)?);
    Ok(Prepared {
        turn,
        choices,
        compact_at: None,
        stream: flag(&body, "stream")?.unwrap_or(false),
        encoder,
        image_params: transcript.images,
        notes: Notes {
            ignored_params: ignored.into_params(),
            format_param,
            effective_effort: resolved.moved_effort,
        },
    })
}

/// Cursor sends a Responses API body to this route if it believes that the model reasons. It reads the answer as
/// one of this API.
fn of_the_other_api(
    whole: &Value,
    body: &Object<'_>,
    context: &Context<'_>,
) -> Result<Prepared<ChatEncoder>> {
    let config = Config {
        responses_default_max_tokens: 0,
        responses_output_mode: context.config.chat_output_mode,
        ..context.config.clone()
    };
    let context = &Context { config: &config, ..*context };
    let Prepared { turn, choices, compact_at, stream, image_params, notes, .. } =
        Responses::parse(whole, context)?;
    let model = match body.opt("model") {
        Some(model) => model.string()?.to_owned(),
        None => turn.spec.model.clone(),
    };
    let encoder = ChatEncoder::new(context, model, choices)
        .service_tier(turn.spec.service_tier)
        .null_usage(includes_usage(body)?);
    Ok(Prepared { turn, choices, compact_at, stream, encoder, image_params, notes })
}

/// The client's settings for the model's reasoning, in OpenAI's form (`reasoning_effort`) or in other vendors'
/// forms that clients use too (`reasoning`, `include_reasoning`).
struct Reasoning {
    effort: Option<Effort>,
    summary: Option<Summary>,
}

impl Reasoning {
    fn read(body: &Object<'_>, ignored: &mut Ignored) -> Result<Self> {
        let mut effort = None;
        let mut summary = flag(body, "include_reasoning")?.map(shown);
        if let Some(node) = body.opt("reasoning") {
            let reasoning = node.object()?;
            if let Some(enabled) = flag(&reasoning, "enabled")? {
                summary = Some(shown(enabled));
            }
            if let Some(node) = reasoning.opt("summary") {
                let all = [Summary::Auto, Summary::Concise, Summary::Detailed, Summary::None];
                summary = Some(node.one_of(&all.map(|summary| (summary.as_str(), summary)))?);
            }
            if flag(&reasoning, "exclude")? == Some(true) {
                summary = Some(Summary::None);
            }
            effort = reasoning.opt("effort").map(|node| read_effort(&node)).transpose()?;
            for (key, node) in reasoning.members() {
                if !matches!(key, "effort" | "summary" | "enabled" | "exclude") && !node.value.is_null() {
                    ignored.add(&node)?;
                }
            }
        }
        if let Some(node) = body.opt("reasoning_effort") {
            effort = Some(read_effort(&node)?);
        }
        Ok(Self { effort, summary })
    }
}

fn shown(wanted: bool) -> Summary {
    if wanted { Summary::Auto } else { Summary::None }
}

fn read_effort(node: &Node<'_>) -> Result<Effort> {
    node.one_of(&Effort::ALL.map(|effort| (effort.as_str(), effort)))
}

fn verbosity(body: &Object<'_>) -> Result<Option<Verbosity>> {
    let all = [Verbosity::Low, Verbosity::Medium, Verbosity::High];
    body.opt("verbosity")
        .map(|node| node.one_of(&all.map(|verbosity| (verbosity.as_str(), verbosity))))
        .transpose()
}

fn service_tier(body: &Object<'_>, ignored: &mut Ignored) -> Result<Option<ServiceTier>> {
    let Some(node) = body.opt("service_tier") else { return Ok(None) };
    match node.one_of(models::TIERS)? {
        TierName::Default => Ok(None),
        TierName::Tier(tier) => Ok(Some(tier)),
        TierName::Unavailable => ignored.add(&node).map(|()| None),
    }
}

fn flag(object: &Object<'_>, key: &str) -> Result<Option<bool>> {
    object.opt(key).map(|node| node.boolean()).transpose()
}

/// `max_tokens` is the older name; the newer one has priority.
fn max_output_tokens(body: &Object<'_>) -> Result<Option<u64>> {
    let read = |key| body.opt(key).map(|node| node.integer(1, u64::MAX)).transpose();
    let old = read("max_tokens")?;
    Ok(read("max_completion_tokens")?.or(old))
}

fn stop(body: &Object<'_>) -> Result<Vec<String>> {
    let Some(node) = body.opt("stop") else { return Ok(Vec::new()) };
    let nodes = if node.value.is_string() {
        vec![node]
    } else if node.value.is_array() {
        let nodes = node.array()?;
        if !(1..=MAX_STOPS).contains(&nodes.len()) {
            return Err(
                node.invalid(format!("expected 1 to {MAX_STOPS} stop texts, but got {}", nodes.len()))
            );
        }
        nodes
    } else {
        return Err(node.wrong_type("a string or an array of strings"));
    };
    nodes
        .iter()
        .map(|node| match node.string()? {
            "" => Err(node.invalid("a stop text must not be empty")),
            text => Ok(text.to_owned()),
        })
        .collect()
}

/// The usage chunk is always sent; with this option the other chunks have `"usage":null`.
fn includes_usage(body: &Object<'_>) -> Result<bool> {
    let Some(node) = body.opt("stream_options") else { return Ok(false) };
    let options = node.object()?;
    flag(&options, "include_obfuscation")?;
    Ok(flag(&options, "include_usage")?.unwrap_or(false))
}

fn answer_format(body: &Object<'_>, ignored: &mut Ignored) -> Result<AnswerFormat> {
    let Some(node) = body.opt(RESPONSE_FORMAT) else { return Ok(AnswerFormat::default()) };
    let format = node.object()?;
    let kind = format.req("type")?;
    match kind.one_of(&[
        ("text", Format::Text),
        ("json_object", Format::Json),
        ("json_schema", Format::Schema),
    ])? {
        Format::Text => Ok(AnswerFormat::default()),
        Format::Json => Ok(AnswerFormat::json()),
        Format::Schema => {
            let format = schema(&format.req("json_schema")?.object()?, ignored)?;
            if format.schema.is_none() {
                ignored.add(&node)?;
            }
            Ok(format)
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Text,
    Json,
    Schema,
}

fn schema(format: &Object<'_>, ignored: &mut Ignored) -> Result<AnswerFormat> {
    content::name(&format.req("name")?)?;
    flag(format, "strict")?;
    if let Some(description) = format.opt("description")
        && !description.string()?.is_empty()
    {
        ignored.add(&description)?;
    }
    AnswerFormat::of_schema(&format.req("schema")?)
}

#[cfg(test)]
mod tests;
