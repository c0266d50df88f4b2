//! The means that keep a prompt pure: the switches, the derived model catalogue and the settings of one thread.
//!
//! By default, Codex adds some 20 kB of tools and instructions to every request. The switches remove most of it.
//! The rest comes from the models' entries in the catalogue, so Codex gets a catalogue with entries that only
//! describe the model. Tests check for every model what arrives upstream.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Capabilities;
use crate::turn::{Effort, Summary, ThreadSpec, Verbosity};

/// Tokens beyond any transcript: a transcript that does not fit the model is refused before Codex would shorten
/// it.
const UNLIMITED: &str = "1000000000";

/// The switches that turn off everything that Codex would add, cut or leave behind by itself.
///
/// Newer versions report the switches that they do not know, and are then refused. So this list has only switches
/// that all fully tested versions know.
const SWITCHES: &[(&str, &str)] = &[
    // The catalogue sets the same for the models that it lists; this is for all others.
    ("tool_output_token_limit", UNLIMITED),
    ("model_context_window", UNLIMITED),
    ("model_auto_compact_token_limit", UNLIMITED),
    // A thread's connection is closed with the thread, not half an hour later.
    ("thread_unload_delay_secs", "0"),
    ("analytics.enabled", "false"),
    ("project_doc_max_bytes", "0"),
    ("include_environment_context", "false"),
    ("include_permissions_instructions", "false"),
    ("include_apps_instructions", "false"),
    ("include_collaboration_mode_instructions", "false"),
    ("skills.include_instructions", "false"),
    ("web_search", "\"disabled\""),
    ("tools.experimental_request_user_input.enabled", "false"),
    ("features.shell_tool", "false"),
    ("features.unified_exec", "false"),
    ("features.goals", "false"),
    ("features.multi_agent", "false"),
    ("features.plugins", "false"),
    ("features.apps", "false"),
    ("features.view_image", "false"),
    ("features.image_generation", "false"),
    ("features.reasoning_effort_override", "false"),
    ("features.deferred_tool_world_state", "false"),
    ("features.unbounded_connection_retries", "false"),
];

/// The arguments of `codex app-server`: the switches, the catalogue and the operator's choices.
pub fn arguments(catalogue: Option<&Path>, provider: Option<&str>, sandbox: &str) -> Vec<String> {
    let mut arguments = vec!["app-server".to_owned()];
    let mut set = |key: &str, value: &str| {
        arguments.push("-c".to_owned());
        arguments.push(format!("{key}={value}"));
    };
    for (key, value) in SWITCHES {
        set(key, value);
    }
    set("sandbox_mode", &toml_string(sandbox));
    set("approval_policy", "\"never\"");
    if let Some(provider) = provider {
        set("model_provider", &toml_string(provider));
    }
    if let Some(path) = catalogue {
        set("model_catalog_json", &toml_string(&path.to_string_lossy()));
    }
    arguments
}

/// The parts of Codex that can be switched off in the legacy protocol. Two things remain: a message that describes
/// the environment, and the `shell` tool. The tool finds no program by name, so the commands that Codex counts as
/// safe fail; for all others Codex requests an approval, which it never gets.
const PROTO_SWITCHES: &[(&str, &str)] = &[
    ("project_doc_max_bytes", "0"),
    ("include_plan_tool", "false"),
    ("include_apply_patch_tool", "false"),
    ("tools.view_image", "false"),
    ("experimental_use_exec_command_tool", "false"),
    ("experimental_use_unified_exec_tool", "false"),
    ("mcp_servers", "{}"),
    ("notify", "[]"),
    ("approval_policy", "\"untrusted\""),
    ("shell_environment_policy", "{inherit=\"none\",set={PATH=\"/nonexistent\"}}"),
    ("hide_agent_reasoning", "false"),
    ("show_raw_agent_reasoning", "true"),
];

/// The base instructions of a legacy turn, to be put into a file. This Codex accepts no empty ones, and adds 10 kB
/// of its own if it gets none. They say what the model has to know about [`proto`](super::proto)'s prompts.
pub const PROTO_INSTRUCTIONS: &str = "\
Answer with text only: every call of the shell tool fails. \
If the user's message is a transcript with the headings `System:`, `User:`, `Assistant:`, `Function call:` and \
`Function output:`, write the assistant's next message, without a heading. \
Do not mention the environment context or the transcript's form.
";

/// The arguments of a `codex proto` that is to run `turn`: all settings of a turn are set for the process.
///
/// `instructions` is a file that holds [`PROTO_INSTRUCTIONS`].
pub fn proto_arguments(
    spec: &ThreadSpec,
    instructions: &Path,
    provider: Option<&str>,
    sandbox: &str,
) -> Vec<String> {
    let mut arguments = vec!["proto".to_owned()];
    let mut set = |key: &str, value: &str| {
        arguments.push("-c".to_owned());
        arguments.push(format!("{key}={value}"));
    };
    for (key, value) in PROTO_SWITCHES {
        set(key, value);
    }
    set("sandbox_mode", &toml_string(sandbox));
    set("experimental_instructions_file", &toml_string(&instructions.to_string_lossy()));
    if let Some(provider) = provider {
        set("model_provider", &toml_string(provider));
    }
    set("model", &toml_string(&spec.model));
    set("tools.web_search", if spec.web_search { "true" } else { "false" });
    if let Some(effort) = spec.effort {
        set("model_reasoning_effort", &toml_string(proto_effort(effort)));
    }
    if let Some(summary) = spec.summary {
        set("model_reasoning_summary", &toml_string(summary.as_str()));
    }
    if spec.effort.is_some() || spec.summary.is_some_and(|summary| summary != Summary::None) {
        // For models newer than itself, this Codex does not know that they reason.
        set("model_supports_reasoning_summaries", "true");
    }
    if let Some(verbosity) = spec.verbosity {
        set("model_verbosity", &toml_string(verbosity.as_str()));
    }
    arguments
}

/// The nearest effort that this Codex has a name for; it would not start with another one.
pub(super) fn proto_effort(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal => Effort::Minimal.as_str(),
        Effort::Low | Effort::Medium => effort.as_str(),
        Effort::High | Effort::Xhigh | Effort::Max => Effort::High.as_str(),
    }
}

/// The arguments that print the catalogue this Codex would use.
pub fn catalogue_arguments(provider: Option<&str>, bundled: bool) -> Vec<String> {
    let mut arguments = vec!["debug".to_owned(), "models".to_owned()];
    if bundled {
        arguments.push("--bundled".to_owned());
    }
    if let Some(provider) = provider {
        arguments.extend(["-c".to_owned(), format!("model_provider={}", toml_string(provider))]);
    }
    arguments
}

/// The two catalogues derived from Codex's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogues {
    /// The context window in tokens (prompt and answer together), by the model's id.
    pub windows: BTreeMap<String, u64>,
    /// For every thread.
    pub plain: Value,
    /// For threads with web search: Codex offers the vendor's search tool only to models that it requests in the
    /// full form of the Responses API.
    pub search: Value,
}

/// What a text lacks to be a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum NotACatalogue {
    /// It is no JSON.
    #[error("{0}")]
    NotJson(serde_json::Error),
    /// It has no list of models.
    #[error("it has no `models`")]
    NoModels,
    /// The list is empty.
    #[error("it lists no model")]
    Empty,
    /// The list has something else in it.
    #[error("a model is no object")]
    NotAModel,
}

/// Derives the catalogues from what `codex debug models` printed.
///
/// # Errors
/// Says what the text lacks to be a catalogue.
pub fn derive_catalogues(printed: &str) -> Result<Catalogues, NotACatalogue> {
    let mut plain: Value = serde_json::from_str(printed).map_err(NotACatalogue::NotJson)?;
    let models = plain.get_mut("models").and_then(Value::as_array_mut).ok_or(NotACatalogue::NoModels)?;
    if models.is_empty() {
        return Err(NotACatalogue::Empty);
    }
    let mut windows = BTreeMap::new();
    for model in models {
        let model = model.as_object_mut().ok_or(NotACatalogue::NotAModel)?;
        let window = |key: &str| model.get(key).and_then(Value::as_u64);
        // A user may raise the first value up to the second.
        let window = window("max_context_window").max(window("context_window"));
        if let (Some(id), Some(window)) = (model.get("slug").and_then(Value::as_str), window) {
            windows.insert(id.to_owned(), window);
        }
        purify(model);
    }
    let mut search = plain.clone();
    for model in search["models"].as_array_mut().into_iter().flatten() {
        model["use_responses_lite"] = json!(false);
    }
    Ok(Catalogues { windows, plain, search })
}

fn purify(model: &mut Map<String, Value>) {
    for key in ["tool_mode", "multi_agent_version", "multi_agent_reasoning_effort", "default_service_tier"] {
        model.shift_remove(key);
    }
    let plain = [
        ("base_instructions", json!("")),
        ("model_messages", Value::Null),
        ("experimental_supported_tools", json!([])),
        ("shell_type", json!("disabled")),
        ("apply_patch_tool_type", Value::Null),
        ("supports_search_tool", json!(false)),
        ("default_verbosity", Value::Null),
        ("node_repl_auto_review_required", json!(false)),
        ("node_repl_disabled", json!(true)),
        ("context_window", json!(1_000_000_000)),
        ("max_context_window", json!(1_000_000_000)),
        ("auto_compact_token_limit", json!(1_000_000_000)),
        ("truncation_policy", json!({"mode": "tokens", "limit": 1_000_000_000})),
    ];
    for (key, value) in plain {
        model.insert(key.to_owned(), value);
    }
}

/// The `config` of one thread.
///
/// With `one_response` Codex sends only one request to the model, whatever the answer calls.
pub fn thread_config(
    spec: &ThreadSpec,
    capabilities: &Capabilities,
    search_catalogue: Option<&Path>,
    one_response: bool,
) -> Value {
    let mut config = Map::new();
    if let Some(effort) = spec.effort.map(Effort::as_str) {
        config.insert("model_reasoning_effort".into(), json!(effort));
    }
    if let Some(verbosity) = spec.verbosity.map(Verbosity::as_str) {
        config.insert("model_verbosity".into(), json!(verbosity));
    }
    if capabilities.inject_items {
        // Given here, not with the turn, they apply to the connection that Codex opens ahead.
        if let Some(summary) = spec.summary.map(Summary::as_str) {
            config.insert("model_reasoning_summary".into(), json!(summary));
        }
        if one_response {
            config.extend(one_response_budget());
        }
        if spec.web_search {
            config.insert("web_search".into(), json!("live"));
            if let Some(path) = search_catalogue {
                config.insert("model_catalog_json".into(), json!(path));
            }
        }
        return Value::Object(config);
    }
    // Older versions read their switches only from here. In newer ones this table would replace their whole set of
    // features and bring back the default tools.
    for (key, value) in [
        ("project_doc_max_bytes", json!(0)),
        ("include_apply_patch_tool", json!(false)),
        ("features.shell_tool", json!(false)),
        ("features.skills", json!(false)),
        ("features.view_image_tool", json!(false)),
        ("features.apply_patch_freeform", json!(false)),
        ("features.web_search_request", json!(spec.web_search)),
    ] {
        config.insert(key.into(), value);
    }
    Value::Object(config)
}

/// A budget that the first response exceeds, and that Codex does not mention to the model: Codex then ends the
/// turn instead of answering calls that it cannot answer.
fn one_response_budget() -> impl Iterator<Item = (String, Value)> {
    [
        ("enabled", json!(true)),
        ("enforce_limit", json!(true)),
        ("limit_tokens", json!(2)),
        ("reminder_at_context_start", json!(false)),
        // Codex requires one; it is never reached, because it is lower than the remainder after the first
        // response.
        ("reminder_at_remaining_tokens", json!([1])),
    ]
    .into_iter()
    .map(|(key, value)| (format!("features.rollout_budget.{key}"), value))
}

/// Codex's message about settings of the proxy that it does not know, if `warning` is one.
///
/// Versions since 0.169.0 warn of unknown settings, and name the source of each.
pub fn unknown_switches(warning: &str) -> Option<String> {
    let named: Vec<_> = warning
        .lines()
        .filter_map(|line| line.trim().strip_prefix("session-flags: ")?.strip_suffix(" is ignored."))
        .map(|name| name.trim_matches('`'))
        .collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// The `config.toml` of the proxy's own `CODEX_HOME`.
pub const CONFIG_TOML: &str = "\
# Written by Codex Proxy for the Codex it runs; changes are overwritten.
# To use a configuration of your own, set CODEX_HOME to a directory that holds it.
preferred_auth_method = \"chatgpt\"
check_for_update_on_startup = false

[analytics]
enabled = false
";

fn toml_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_model_brings_along_is_taken_away_and_the_rest_stays() {
        let printed = json!({"models": [{
            "slug": "m", "base_instructions": "You are", "model_messages": {"a": 1}, "tool_mode": "code_mode_only",
            "multi_agent_version": "v2", "experimental_supported_tools": ["clock"], "shell_type": "unified_exec",
            "default_service_tier": "priority", "use_responses_lite": true, "context_window": 272000,
        }]});
        let derived = derive_catalogues(&printed.to_string()).unwrap();
        let model = &derived.plain["models"][0];
        assert_eq!(model["slug"], "m");
        assert_eq!(derived.windows, BTreeMap::from([("m".to_owned(), 272_000)]));
        assert_eq!(model["base_instructions"], "");
        assert_eq!(model["use_responses_lite"], true);
        assert_eq!(derived.search["models"][0]["use_responses_lite"], false);
        for gone in ["tool_mode", "multi_agent_version", "default_service_tier"] {
            assert_eq!(model.get(gone), None, "{gone}");
        }
    }

    #[test]
    fn switches_that_codex_does_not_know_are_read_from_its_warning() {
        let warning = "Codex is ignoring 3 unrecognized configuration settings. Check for typos.\n  \
            session-flags: `features.a` is ignored.\n  session-flags: `b` is ignored.\n  \
            /home/x/config.toml: `c` is ignored.";
        assert_eq!(unknown_switches(warning).as_deref(), Some("features.a, b"));
        for others in ["", "Something else.", "ignoring 1\n  /home/x/config.toml: `c` is ignored."] {
            assert_eq!(unknown_switches(others), None, "{others}");
        }
    }

    #[test]
    fn no_catalogue_is_made_of_nonsense() {
        for bad in ["", "{}", r#"{"models":[]}"#, r#"{"models":[1]}"#, "error: unrecognized subcommand"] {
            assert!(derive_catalogues(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_quoted_for_toml() {
        assert_eq!(toml_string("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
        let arguments = arguments(Some(Path::new("/a b/c.json")), Some("mock"), "read-only");
        assert!(arguments.contains(&"model_catalog_json=\"/a b/c.json\"".to_owned()));
        assert!(arguments.contains(&"model_provider=\"mock\"".to_owned()));
    }

    #[test]
    fn a_legacy_turn_is_steered_by_arguments() {
        let mut spec = ThreadSpec::new("gpt-5");
        let plain = proto_arguments(&spec, Path::new("/i"), None, "read-only");
        assert_eq!(plain[0], "proto");
        for wanted in ["model=\"gpt-5\"", "tools.web_search=false", "sandbox_mode=\"read-only\""] {
            assert!(plain.iter().any(|argument| argument == wanted), "{wanted}");
        }
        assert!(!plain.iter().any(|argument| argument.starts_with("model_")), "the defaults are Codex's");
        spec.web_search = true;
        spec.effort = Some(Effort::Max);
        spec.summary = Some(Summary::Detailed);
        spec.verbosity = Some(Verbosity::Low);
        let full = proto_arguments(&spec, Path::new("/i"), Some("mock"), "read-only");
        for wanted in [
            "model_provider=\"mock\"",
            "tools.web_search=true",
            "model_reasoning_effort=\"high\"",
            "model_reasoning_summary=\"detailed\"",
            "model_supports_reasoning_summaries=true",
            "model_verbosity=\"low\"",
        ] {
            assert!(full.iter().any(|argument| argument == wanted), "{wanted}");
        }
    }

    proptest! {
        #[test]
        fn a_value_that_is_quoted_is_one_line_and_reads_as_itself(text in any::<String>()) {
            let quoted = toml_string(&text);
            prop_assert!(!quoted.contains(char::is_control));
            // JSON escapes the same characters in the same way, except for some that are not JSON control
            // characters.
            if !text.chars().any(|c| c.is_control() && u32::from(c) > 0xffff) {
                prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
            }
        }

        #[test]
        fn what_codex_prints_is_a_catalogue_or_an_error(text in any::<String>(), cut in any::<prop::sample::Index>()) {
            let whole = json!({"models": [{"slug": text, "context_window": 5}]}).to_string();
            let derived = derive_catalogues(&whole).unwrap();
            prop_assert_eq!(derived.windows.get(&text), Some(&5));
            let end = cut.index(whole.chars().count());
            let cut: String = whole.chars().take(end).collect();
            prop_assert!(derive_catalogues(&cut).is_err());
            prop_assert!(derive_catalogues(&text).is_err());
            prop_assert!(unknown_switches(&text).is_none());
        }
    }
}
