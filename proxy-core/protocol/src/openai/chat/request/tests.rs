use serde_json::json;

use super::*;
use crate::openai::chat::testing::{check_error, config, parse, parse_as};
use crate::openai::error::RequestErrorKind;
use crate::openai::{Config, Encoder as _};
use crate::turn::{Item, OutputMode, Part, Role};

fn body(members: &Value) -> Value {
    let mut body = json!({"model": "gpt-test", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in members.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn greeting() -> Turn {
    let content = vec![Part::Text("hi".into())];
    Turn { items: vec![Item::Message { role: Role::User, content, phase: None }], ..Turn::new("gpt-test") }
}

/// The greeting on another thread.
fn spec(change: impl FnOnce(&mut ThreadSpec)) -> Turn {
    let mut turn = greeting();
    change(&mut turn.spec);
    turn
}

/// Checks the turn that a request makes and the parameters that are reported as ignored.
fn check(members: &Value, expected: &Turn, ignored: &[&str]) {
    let prepared = parse(&body(members), &config()).unwrap();
    assert_eq!(&prepared.turn, expected, "{members}");
    assert_eq!(prepared.notes.ignored_params, ignored, "{members}");
}

fn refuse(members: &Value, kind: RequestErrorKind, param: &str, words: &str) {
    let error = parse(&body(members), &config()).unwrap_err();
    check_error(&error, param, words);
    assert_eq!(error.kind, kind, "{members}");
}

#[test]
fn a_plain_request_has_defaults_everywhere() {
    let prepared = parse(&body(&json!({})), &config()).unwrap();
    assert_eq!(prepared.turn, greeting());
    assert_eq!((prepared.choices, prepared.stream), (1, false));
    assert_eq!((prepared.notes, prepared.image_params), (Notes::default(), vec![]));
    let nulls = [
        "n",
        "stream",
        "stop",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "reasoning",
        "verbosity",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "logprobs",
        "audio",
        "functions",
        "modalities",
        "metadata",
        "stream_options",
        "seed",
        "unheard_of",
    ];
    check(&nulls.iter().map(|key| ((*key).to_owned(), Value::Null)).collect(), &greeting(), &[]);
}

#[test]
fn what_can_be_honoured_is() {
    let schema = json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
    let limits = |max_output_tokens, stop: &[&str]| Turn {
        limits: Limits { max_output_tokens, stop: stop.iter().map(|text| (*text).to_owned()).collect() },
        ..greeting()
    };
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": true}});
    for (members, expected) in [
        (json!({"max_tokens": 9}), limits(Some(9), &[])),
        (json!({"max_tokens": 9, "max_completion_tokens": 7}), limits(Some(7), &[])),
        (json!({"stop": "x"}), limits(None, &["x"])),
        (json!({"stop": ["a", "b", "c", "d"]}), limits(None, &["a", "b", "c", "d"])),
        (json!({"verbosity": "low"}), spec(|spec| spec.verbosity = Some(Verbosity::Low))),
        (json!({"response_format": {"type": "text"}}), greeting()),
        (json!({"response_format": format}), Turn { output_schema: Some(schema), ..greeting() }),
        (json!({"parallel_tool_calls": false}), Turn { parallel_tool_calls: false, ..greeting() }),
        (json!({"web_search_options": {}}), spec(|spec| spec.web_search = true)),
    ] {
        check(&members, &expected, &[]);
    }
    let prepared = parse(&body(&json!({"n": 5, "stream": true})), &config()).unwrap();
    assert_eq!((prepared.choices, prepared.stream), (5, true));
}

#[test]
fn a_response_format_is_kept_as_far_as_it_can_be() {
    let strict = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let closed = strict(json!({"a": {"type": "string"}}), json!(["a"]));
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let fitted = strict(json!({"a": {"type": ["string", "null"]}}), json!(["a"]));
    let remote = json!({"$ref": "https://example.com/schema"});
    let format =
        |schema: &Value| json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let mut described = format(&closed);
    described["json_schema"]["description"] = json!("a city");
    for (format, schema, form, ignored) in [
        (json!({"type": "text"}), None, "Free", &[][..]),
        (json!({"type": "json_object"}), None, "Json", &[]),
        (format(&closed), Some(&closed), "Free", &[]),
        (format(&open), Some(&fitted), "Mapped", &[]),
        (format(&remote), None, "Json", &["response_format"]),
        (described, Some(&closed), "Free", &["response_format.json_schema.description"]),
    ] {
        let prepared = parse(&body(&json!({"response_format": format})), &config()).unwrap();
        assert_eq!(prepared.turn.output_schema.as_ref(), schema, "{format}");
        assert!(format!("{:?}", prepared.turn.answer_form).starts_with(form), "{format}");
        assert_eq!(prepared.notes.ignored_params, ignored, "{format}");
        assert_eq!(prepared.notes.format_param.is_some(), form != "Free", "{format}");
    }
}

#[test]
fn effort_and_summary_are_asked_for_in_several_ways() {
    let turn = |effort, summary| {
        spec(|spec| {
            spec.effort = effort;
            spec.summary = summary;
        })
    };
    let (low, high) = (Some(Effort::Low), Some(Effort::High));
    let auto = Some(Summary::Auto);
    for (members, expected) in [
        (json!({"reasoning_effort": "high"}), turn(high, None)),
        (json!({"reasoning": {"effort": "high"}}), turn(high, None)),
        (json!({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}), turn(high, None)),
        (json!({"model": "gpt-test-low", "reasoning_effort": "high"}), turn(low, None)),
        (json!({"reasoning": {"summary": "detailed"}}), turn(None, Some(Summary::Detailed))),
        (json!({"reasoning": {"enabled": true}}), turn(None, auto)),
        (json!({"include_reasoning": true}), turn(None, auto)),
        (json!({"include_reasoning": false}), turn(None, Some(Summary::None))),
        (json!({"reasoning": {"enabled": true, "exclude": true}}), turn(None, Some(Summary::None))),
    ] {
        check(&members, &expected, &[]);
    }
    let prepared = parse(&body(&json!({"reasoning_effort": "max"})), &config()).unwrap();
    assert_eq!((prepared.turn.spec.effort, prepared.notes.effective_effort), (high, high));
}

#[test]
fn what_has_no_effect_is_named_or_refused() {
    for (members, ignored) in [
        (json!({"temperature": 0, "top_p": 0.5, "seed": -1}), &["temperature", "top_p", "seed"][..]),
        (json!({"temperature": 1, "top_p": 1.0, "presence_penalty": 0, "logit_bias": {}}), &[]),
        (json!({"presence_penalty": -2, "frequency_penalty": 2}), &["presence_penalty", "frequency_penalty"]),
        (
            json!({"logit_bias": {"50256": -100}, "prediction": {"type": "content"}}),
            &["logit_bias", "prediction"],
        ),
        (json!({"logprobs": false, "top_logprobs": 0, "modalities": ["text"]}), &[]),
        (json!({"user": "u", "metadata": {"a": "b"}, "store": true, "safety_identifier": "s"}), &[]),
        (
            json!({"prompt_cache_key": "k", "service_tier": "auto", "stream_options": {"include_usage": true}}),
            &[],
        ),
        (json!({"top_k": 5, "think": false}), &["top_k"]),
        (json!({"reasoning": {"effort": null, "max_tokens": 5}}), &["reasoning.max_tokens"]),
    ] {
        check(&members, &greeting(), ignored);
        let strict = parse(&body(&members), &Config { strict_params: true, ..config() });
        match ignored.first() {
            None => assert!(strict.is_ok(), "{members}"),
            Some(first) => {
                let error = strict.unwrap_err();
                check_error(&error, first, "PROXY_STRICT_PARAMS");
                assert_eq!(error.kind, RequestErrorKind::Unsupported);
            }
        }
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for (members, param, words) in [
        (json!({"logprobs": true}), "logprobs", "no token probabilities"),
        (json!({"top_logprobs": 1}), "top_logprobs", "no token probabilities"),
        (json!({"modalities": ["text", "audio"]}), "modalities[1]", "text only"),
        (json!({"audio": {"voice": "alloy"}}), "audio", "text only"),
    ] {
        refuse(&members, RequestErrorKind::Unsupported, param, words);
    }
}

#[test]
fn wrong_values_are_named() {
    for (members, param, words) in [
        (json!({"n": 0}), "n", "at least 1"),
        (json!({"n": 6}), "n", "at most 5"),
        (json!({"max_tokens": 0, "max_completion_tokens": 1}), "max_tokens", "at least 1"),
        (json!({"max_completion_tokens": -1}), "max_completion_tokens", "at least 1"),
        (json!({"stop": []}), "stop", "expected 1 to 4 stop texts, but got 0"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop", "but got 5"),
        (json!({"stop": ""}), "stop", "empty"),
        (json!({"stop": ["a", ""]}), "stop[1]", "empty"),
        (json!({"temperature": 2.1}), "temperature", "from 0 to 2"),
        (json!({"top_p": -0.1}), "top_p", "from 0 to 1"),
        (json!({"presence_penalty": 3}), "presence_penalty", "from -2 to 2"),
        (json!({"frequency_penalty": -3}), "frequency_penalty", "from -2 to 2"),
        (json!({"logit_bias": {"1": 101}}), "logit_bias.1", "from -100 to 100"),
        (json!({"top_logprobs": 21}), "top_logprobs", "at most 20"),
        (json!({"modalities": ["video"]}), "modalities[0]", "'text', 'audio'"),
        (json!({"verbosity": "loud"}), "verbosity", "'low', 'medium', 'high'"),
        (json!({"reasoning_effort": "ultra"}), "reasoning_effort", "'none', 'minimal'"),
        (json!({"reasoning": {"effort": "ultra"}}), "reasoning.effort", "'none', 'minimal'"),
        (json!({"reasoning": {"summary": "long"}}), "reasoning.summary", "'auto', 'concise'"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type", "'json_schema'"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}}),
            "response_format.json_schema.name",
            "is no name",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 1}}}}),
            "response_format.json_schema.schema",
            "no valid JSON Schema",
        ),
    ] {
        refuse(&members, RequestErrorKind::InvalidValue, param, words);
    }
}

#[test]
fn wrong_types_are_named() {
    for (members, param) in [
        (json!({"model": 5}), "model"),
        (json!({"model": null}), "model"),
        (json!({"messages": null}), "messages"),
        (json!({"n": 1.5}), "n"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stop": 5}), "stop"),
        (json!({"stop": [5]}), "stop[0]"),
        (json!({"max_tokens": "9"}), "max_tokens"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"seed": 1.5}), "seed"),
        (json!({"logit_bias": []}), "logit_bias"),
        (json!({"logprobs": 1}), "logprobs"),
        (json!({"modalities": "text"}), "modalities"),
        (json!({"prediction": "x"}), "prediction"),
        (json!({"user": 1}), "user"),
        (json!({"store": "x"}), "store"),
        (json!({"metadata": []}), "metadata"),
        (json!({"metadata": {"a": 1}}), "metadata.a"),
        (json!({"prompt_cache_options": 1}), "prompt_cache_options"),
        (json!({"prompt_cache_options": {"mode": 1}}), "prompt_cache_options.mode"),
        (json!({"stream_options": true}), "stream_options"),
        (json!({"stream_options": {"include_usage": 1}}), "stream_options.include_usage"),
        (json!({"stream_options": {"include_obfuscation": 1}}), "stream_options.include_obfuscation"),
        (json!({"reasoning": "high"}), "reasoning"),
        (json!({"reasoning": {"enabled": 1}}), "reasoning.enabled"),
        (json!({"include_reasoning": 1}), "include_reasoning"),
        (json!({"response_format": "json"}), "response_format"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": []}}),
            "response_format.json_schema",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": []}}}),
            "response_format.json_schema.schema",
        ),
    ] {
        refuse(&members, RequestErrorKind::InvalidType, param, "expected");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (request, param) in [
        (json!({"messages": []}), "model"),
        (json!({"model": "gpt-test"}), "messages"),
        (body(&json!({"response_format": {}})), "response_format.type"),
        (body(&json!({"response_format": {"type": "json_schema"}})), "response_format.json_schema"),
        (
            body(&json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}})),
            "response_format.json_schema.schema",
        ),
    ] {
        let error = parse(&request, &config()).unwrap_err();
        check_error(&error, param, "Missing required parameter");
        assert_eq!(error.kind, RequestErrorKind::MissingParameter);
    }
    refuse(&json!({"model": "llama"}), RequestErrorKind::ModelNotFound, "model", "does not exist here");
    let error = parse(&json!([]), &config()).unwrap_err();
    assert_eq!((error.kind, error.param), (RequestErrorKind::InvalidType, None));
}

#[test]
fn a_body_of_the_responses_api_is_read_as_one() {
    let function = json!({"type": "function", "name": "f", "parameters": {"type": "object"}});
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": ""});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": "o"});
    let request = json!({
        "model": "gpt-test", "stream": true, "stream_options": {"include_usage": true}, "store": false,
        "input": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}, call, output],
        "tools": [function], "tool_choice": "auto", "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "text": {"verbosity": "low"}, "temperature": 1,
    });
    let config = Config {
        chat_output_mode: OutputMode::ObsidianXml,
        responses_default_max_tokens: 5,
        strict_params: true,
        ..config()
    };
    let prepared = parse(&request, &config).unwrap();
    let turn = prepared.turn;
    assert_eq!((turn.items.len(), turn.spec.tools.len(), turn.spec.effort), (4, 1, Some(Effort::Low)));
    assert_eq!((turn.output_mode, turn.limits.max_output_tokens), (OutputMode::ObsidianXml, None));
    assert!(prepared.stream && prepared.notes.ignored_params.is_empty());
    let object = prepared.encoder.object(&[]);
    assert_eq!((&object["object"], &object["model"]), (&json!("chat.completion"), &json!("gpt-test")));

    let with = |member: &str, value: Value| {
        let mut request = request.clone();
        request[member] = value;
        parse(&request, &config).unwrap_err().param
    };
    assert_eq!(with("input", json!([{"role": "user"}])).as_deref(), Some("input[0].content"));
    assert_eq!(with("tools", json!([{"type": "function"}])).as_deref(), Some("tools[0].name"));
    assert_eq!(
        with("messages", json!([])).as_deref(),
        Some("messages"),
        "with messages it is this API's own"
    );
}

#[test]
fn settings_are_followed() {
    let config = Config {
        ignore_client_system_prompt: false,
        max_prompt_tokens: 2,
        chat_output_mode: OutputMode::ObsidianXml,
        ..config()
    };
    let request = |system: &str| {
        body(&json!({"messages": [{"role": "system", "content": system}, {"role": "user", "content": "hi"}]}))
    };
    let instructed = spec(|spec| spec.base_instructions = Some("system".into()));
    let expected = Turn { output_mode: OutputMode::ObsidianXml, ..instructed };
    assert_eq!(parse(&request("system"), &config).unwrap().turn, expected);
    let chosen = parse_as(&request("system"), &config, Some(OutputMode::OpenaiJson)).unwrap().turn;
    assert_eq!(chosen.output_mode, OutputMode::OpenaiJson);
    let error = parse(&request("system!"), &config).unwrap_err();
    assert_eq!((error.kind, error.param), (RequestErrorKind::PromptTooLong, None));
}

/// Every position in `value`, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    if let Some(members) = value.as_object() {
        members.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found));
    }
    if let Some(elements) = value.as_array() {
        elements.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
    }
}

#[test]
fn a_wrong_value_in_any_place_is_accepted_or_named() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let image =
        json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}});
    let request = json!({
        "model": "gpt-test",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "S"}]},
            {"role": "user", "content": [{"type": "text", "text": "U"}, image]},
            {"role": "assistant", "content": "A", "refusal": "R", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": [image]},
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
            {"type": "function", "function": {"name": "f"}},
        ]}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "strict": true}},
        "reasoning": {"effort": "low", "summary": "auto", "enabled": true, "exclude": false},
        "stop": ["x"], "n": 1, "stream": true, "stream_options": {"include_usage": true},
        "logit_bias": {"1": 1}, "metadata": {"a": "b"}, "modalities": ["text"], "temperature": 1,
    });
    assert!(parse(&request, &config()).is_ok());
    let mut found = Vec::new();
    places(&request, "", &mut found);
    let long = "\u{e9}".repeat(5000);
    let wrong = json!([null, true, 7, -1, 1.5, 1e300, "", long, [], {}, [[]], [{}], {"type": "function"}]);
    let mut refused = 0;
    for place in &found {
        for value in wrong.as_array().unwrap() {
            let mut request = request.clone();
            *request.pointer_mut(place).unwrap() = value.clone();
            if let Err(error) = parse(&request, &config()) {
                refused += 1;
                assert!(error.param.is_some() || place.is_empty(), "{place}: {}", error.message);
                assert!(error.message.len() < 1000, "{place}: {}", error.message);
            }
        }
    }
    assert!(refused > found.len() * 5, "only {refused} were refused");
}
