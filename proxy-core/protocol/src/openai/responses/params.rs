//! The parameters that steer an answer, and those without effect.

use serde_json::{Value, json};

use crate::openai::cache;
use crate::openai::content::{self, AnswerFormat};
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::models::{self, TierName};
use crate::openai::read::{Node, Object, excerpt};
use crate::turn::{Effort, Limits, ServiceTier, Summary, Verbosity};

type Result<T> = std::result::Result<T, RequestError>;

/// The parameters that have no effect; with `strict` the first of them is an error.
#[derive(Debug)]
pub(super) struct Ignored {
    strict: bool,
    params: Vec<String>,
}

impl Ignored {
    pub(super) fn new(strict: bool) -> Self {
        Self { strict, params: Vec::new() }
    }

    pub(super) fn into_params(self) -> Vec<String> {
        self.params
    }

    /// Notes that the parameter at `path` has no effect.
    pub(super) fn add(&mut self, path: &str) -> Result<()> {
        let path = excerpt(path);
        if self.strict {
            let message = format!(
                "The parameter '{path}' has no effect here. Leave it out, or set PROXY_STRICT_PARAMS=false to \
                 have it ignored."
            );
            return Err(RequestError::new(RequestErrorKind::Unsupported, path, message));
        }
        self.params.push(path);
        Ok(())
    }

    /// Notes every member of `object` that has a value and is not `known`.
    pub(super) fn unknown(&mut self, object: &Object<'_>, known: &[&str]) -> Result<()> {
        object
            .members()
            .filter(|(key, node)| !known.contains(key) && !node.value.is_null())
            .try_for_each(|(_, node)| self.add(&node.path()))
    }
}

/// Reads `reasoning`.
#[derive(Debug, Default)]
pub(super) struct Reasoning {
    pub(super) effort: Option<Effort>,
    pub(super) summary: Option<Summary>,
}

impl Reasoning {
    pub(super) fn read(body: &Object<'_>, ignored: &mut Ignored) -> Result<Self> {
        const SUMMARIES: &[(&str, Summary)] =
            &[("auto", Summary::Auto), ("concise", Summary::Concise), ("detailed", Summary::Detailed)];
        let Some(node) = body.opt("reasoning") else { return Ok(Self::default()) };
        let object = node.object()?;
        let efforts = Effort::ALL.map(|effort| (effort.as_str(), effort));
        let effort = object.opt("effort").map(|node| node.one_of(&efforts)).transpose()?;
        let summary = object.opt("summary").map(|node| node.one_of(SUMMARIES)).transpose()?;
        let deprecated = object.opt("generate_summary").map(|node| node.one_of(SUMMARIES)).transpose()?;
        ignored.unknown(&object, &["effort", "summary", "generate_summary"])?;
        Ok(Self { effort, summary: summary.or(deprecated) })
    }
}

/// Reads `text`.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) format: Value,
    pub(super) answer: AnswerFormat,
    pub(super) verbosity: Option<Verbosity>,
}

impl Text {
    pub(super) fn read(body: &Object<'_>, ignored: &mut Ignored) -> Result<Self> {
        let mut text =
            Self { format: json!({"type": "text"}), answer: AnswerFormat::default(), verbosity: None };
        let Some(node) = body.opt("text") else { return Ok(text) };
        let object = node.object()?;
        if let Some(format) = object.opt("format") {
            text.read_format(&format, ignored)?;
        }
        if let Some(verbosity) = object.opt("verbosity") {
            text.verbosity = Some(verbosity.one_of(&[
                ("low", Verbosity::Low),
                ("medium", Verbosity::Medium),
                ("high", Verbosity::High),
            ])?);
        }
        ignored.unknown(&object, &["format", "verbosity"])?;
        Ok(text)
    }

    fn read_format(&mut self, node: &Node<'_>, ignored: &mut Ignored) -> Result<()> {
        let format = node.object()?;
        let names = [("text", "text"), ("json_object", "json_object"), ("json_schema", "json_schema")];
        let kind = format.req("type")?.one_of(&names)?;
        if kind == "json_object" {
            self.answer = AnswerFormat::json();
        }
        if kind != "json_schema" {
            self.format = json!({"type": kind});
            return Ok(());
        }
        let name = content::name(&format.req("name")?)?;
        let schema = format.req("schema")?;
        self.answer = AnswerFormat::of_schema(&schema)?;
        if self.answer.schema.is_none() {
            ignored.add(&node.path())?;
        }
        let description = string(&format, "description")?;
        if description.as_ref().is_some_and(|description| !description.is_empty()) {
            ignored.add(&format.path_of("description"))?;
        }
        let strict = boolean(&format, "strict", false)?;
        self.format = json!({
            "type": "json_schema",
            "name": name,
            "description": description,
            "schema": schema.value,
            "strict": strict,
        });
        Ok(())
    }
}

/// Reads `max_output_tokens`, or the operator's cap, and `stop`.
pub(super) fn limits(body: &Object<'_>, default_max_tokens: u64) -> Result<Limits> {
    const MAX_STOPS: usize = 4;
    let max_output_tokens = match body.opt("max_output_tokens") {
        Some(node) => Some(node.integer(1, u64::MAX)?),
        None => Some(default_max_tokens).filter(|cap| *cap > 0),
    };
    let Some(node) = body.opt("stop") else { return Ok(Limits { max_output_tokens, stop: Vec::new() }) };
    let nodes = match node.value {
        Value::String(_) => vec![node.clone()],
        Value::Array(_) => node.array()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(node.wrong_type("a string or an array of strings"));
        }
    };
    if nodes.len() > MAX_STOPS {
        return Err(node.invalid(format!("expected at most {MAX_STOPS} texts, but got {}", nodes.len())));
    }
    let stop = nodes.iter().map(filled).collect::<Result<_>>()?;
    Ok(Limits { max_output_tokens, stop })
}

fn filled(node: &Node<'_>) -> Result<String> {
    match node.string()? {
        "" => Err(node.invalid("expected a text that is not empty")),
        text => Ok(text.to_owned()),
    }
}

/// A sampling parameter, for the response object only; Codex has no such control.
pub(super) fn sampling(
    body: &Object<'_>,
    key: &str,
    range: (f64, f64),
    default: f64,
    ignored: &mut Ignored,
) -> Result<Value> {
    let Some(node) = body.opt(key) else { return Ok(json!(default)) };
    let number = node.number(range.0, range.1)?;
    if (number - default).abs() > f64::EPSILON {
        ignored.add(&node.path())?;
    }
    Ok(node.value.clone())
}

/// Whether `include` requests sealed reasoning.
pub(super) fn include(body: &Object<'_>, ignored: &mut Ignored) -> Result<bool> {
    #[derive(Clone, Copy)]
    enum Wish {
        EncryptedReasoning,
        Logprobs,
        OfAbsentTools,
        OfWebSearch,
    }
    let mut encrypted = false;
    let Some(list) = body.opt("include") else { return Ok(false) };
    for node in list.array()? {
        match node.one_of(&[
            ("reasoning.encrypted_content", Wish::EncryptedReasoning),
            ("message.output_text.logprobs", Wish::Logprobs),
            ("message.input_image.image_url", Wish::OfAbsentTools),
            ("file_search_call.results", Wish::OfAbsentTools),
            ("computer_call_output.output.image_url", Wish::OfAbsentTools),
            ("code_interpreter_call.outputs", Wish::OfAbsentTools),
            ("web_search_call.results", Wish::OfWebSearch),
            ("web_search_call.action.sources", Wish::OfWebSearch),
        ])? {
            Wish::EncryptedReasoning => encrypted = true,
            Wish::Logprobs => return Err(node.unsupported(NO_LOGPROBS)),
            Wish::OfAbsentTools => {}
            Wish::OfWebSearch => ignored.add(&node.path())?,
        }
    }
    Ok(encrypted)
}

const NO_LOGPROBS: &str = "Log probabilities are not supported: Codex does not give them.";

/// Checks `top_logprobs`, which can only be 0.
pub(super) fn top_logprobs(body: &Object<'_>) -> Result<u64> {
    match body.opt("top_logprobs") {
        Some(node) if node.integer(0, 20)? > 0 => Err(node.unsupported(NO_LOGPROBS)),
        Some(_) | None => Ok(0),
    }
}

/// Reads `max_tool_calls`: the client's limit for calls of hosted tools, which Codex does not count.
pub(super) fn max_tool_calls(body: &Object<'_>, ignored: &mut Ignored) -> Result<Option<u64>> {
    let Some(node) = body.opt("max_tool_calls") else { return Ok(None) };
    let calls = node.integer(1, u64::MAX)?;
    ignored.add(&node.path())?;
    Ok(Some(calls))
}

/// Reads `metadata`: at most 16 pairs of texts.
pub(super) fn metadata(body: &Object<'_>) -> Result<Value> {
    const MAX_PAIRS: usize = 16;
    const MAX_KEY: usize = 64;
    const MAX_VALUE: usize = 512;
    let Some(node) = body.opt("metadata") else { return Ok(json!({})) };
    let object = node.object()?;
    let pairs = object.members().count();
    if pairs > MAX_PAIRS {
        return Err(node.invalid(format!("expected at most {MAX_PAIRS} pairs, but got {pairs}")));
    }
    for (key, value) in object.members() {
        if key.chars().count() > MAX_KEY {
            return Err(
                node.invalid(format!("the key '{}' is longer than {MAX_KEY} characters", excerpt(key)))
            );
        }
        at_most(&value, MAX_VALUE)?;
    }
    Ok(node.value.clone())
}

/// Reads `safety_identifier`.
pub(super) fn safety_identifier(body: &Object<'_>) -> Result<Option<String>> {
    body.opt("safety_identifier").map(|node| at_most(&node, 64).map(str::to_owned)).transpose()
}

fn at_most<'a>(node: &Node<'a>, limit: usize) -> Result<&'a str> {
    let text = node.string()?;
    let length = text.chars().count();
    if length > limit {
        return Err(node.invalid(format!("expected at most {limit} characters, but got {length}")));
    }
    Ok(text)
}

/// Reads `parallel_tool_calls`. With `false` only the first of several calls is kept, because the model does not
/// know of the limit.
pub(super) fn parallel_tool_calls(body: &Object<'_>, ignored: &mut Ignored) -> Result<bool> {
    let Some(node) = body.opt("parallel_tool_calls") else { return Ok(true) };
    let parallel = node.boolean()?;
    if !parallel && body.opt("tools").is_some() {
        ignored.add(&node.path())?;
    }
    Ok(parallel)
}

/// Reads `service_tier`; `fast` is the name of `priority` in the vendor's apps.
pub(super) fn service_tier(body: &Object<'_>, ignored: &mut Ignored) -> Result<Option<ServiceTier>> {
    let Some(node) = body.opt("service_tier") else { return Ok(None) };
    match node.one_of(models::TIERS)? {
        TierName::Default => Ok(None),
        TierName::Tier(tier) => Ok(Some(tier)),
        TierName::Unavailable => ignored.add(&node.path()).map(|()| None),
    }
}

/// Reads `context_management`: the tokens of the transcript from which on it is compacted before the model answers.
/// Without a number it has no effect: the proxy has no default.
pub(super) fn compact_at(body: &Object<'_>, ignored: &mut Ignored) -> Result<Option<u64>> {
    const LEAST: u64 = 1000;
    let Some(node) = body.opt("context_management") else { return Ok(None) };
    let mut threshold = None;
    for entry in node.array()? {
        let entry = entry.object()?;
        entry.req("type")?.one_of(&[("compaction", ())])?;
        if let Some(node) = entry.opt("compact_threshold") {
            threshold = Some(node.integer(LEAST, u64::MAX)?);
        }
    }
    if threshold.is_none() {
        ignored.add(&node.path())?;
    }
    Ok(threshold)
}

/// Reads `truncation`: the proxy never shortens a transcript.
pub(super) fn truncation(body: &Object<'_>, ignored: &mut Ignored) -> Result<&'static str> {
    let Some(node) = body.opt("truncation") else { return Ok("disabled") };
    let truncation = node.one_of(&[("auto", "auto"), ("disabled", "disabled")])?;
    if truncation == "auto" {
        ignored.add(&node.path())?;
    }
    Ok(truncation)
}

/// Reads `prompt_cache_retention`: only the upstream decides how long it keeps its cache.
pub(super) fn cache_retention(body: &Object<'_>, ignored: &mut Ignored) -> Result<Option<&'static str>> {
    let Some(node) = body.opt("prompt_cache_retention") else { return Ok(None) };
    let retention = cache::retention(&node)?;
    ignored.add(&node.path())?;
    Ok(Some(retention))
}

/// Checks the parameters that are neither sent to the model nor repeated in the answer.
pub(super) fn check_ineffective(body: &Object<'_>, ignored: &mut Ignored) -> Result<()> {
    if let Some(node) = body.opt("seed") {
        if !node.value.is_i64() && !node.value.is_u64() {
            return Err(node.wrong_type("an integer"));
        }
        ignored.add(&node.path())?;
    }
    if let Some(node) = body.opt("logit_bias")
        && node.object()?.members().next().is_some()
    {
        ignored.add(&node.path())?;
    }
    if let Some(node) = body.opt("prompt_cache_options") {
        cache::check_options(&node)?;
        ignored.add(&node.path())?;
    }
    if let Some(node) = body.opt("logprobs")
        && node.boolean()?
    {
        return Err(node.unsupported(NO_LOGPROBS));
    }
    if let Some(node) = body.opt("stream_options") {
        let options = node.object()?;
        boolean(&options, "include_obfuscation", false)?;
        // A member of the Chat Completions API: usage is always included.
        boolean(&options, "include_usage", false)?;
        ignored.unknown(&options, &["include_obfuscation", "include_usage"])?;
    }
    Ok(())
}

/// A truth value that may be missing.
pub(super) fn boolean(object: &Object<'_>, key: &str, default: bool) -> Result<bool> {
    object.opt(key).map_or(Ok(default), |node| node.boolean())
}

/// A text that may be missing.
pub(super) fn string(object: &Object<'_>, key: &str) -> Result<Option<String>> {
    object.opt(key).map(|node| node.string().map(str::to_owned)).transpose()
}
