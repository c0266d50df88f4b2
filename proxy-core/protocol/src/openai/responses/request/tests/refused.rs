use super::*;

#[test]
fn what_has_no_effect_is_named_or_refused() {
    let cases = [
        (json!({"temperature": 1, "top_p": 1.0, "presence_penalty": 0, "frequency_penalty": 0}), ""),
        (
            json!({"temperature": null, "logit_bias": {}, "seed": null, "logprobs": false, "unknown": null}),
            "",
        ),
        (
            json!({"service_tier": "auto", "truncation": "disabled", "stream_options": {"include_obfuscation": true}}),
            "",
        ),
        (json!({"include": ["reasoning.encrypted_content", "code_interpreter_call.outputs"]}), ""),
        (
            json!({"store": false, "user": "u", "prompt_cache_key": "k", "metadata": {}, "top_logprobs": 0}),
            "",
        ),
        (json!({"temperature": 0}), "temperature"),
        (json!({"top_p": 0.9}), "top_p"),
        (json!({"presence_penalty": 1}), "presence_penalty"),
        (json!({"frequency_penalty": -1}), "frequency_penalty"),
        (json!({"seed": -3}), "seed"),
        (json!({"logit_bias": {"5": 1}}), "logit_bias"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"service_tier": "scale"}), "service_tier"),
        (json!({"tools": [], "parallel_tool_calls": false}), "parallel_tool_calls"),
        (json!({"max_tool_calls": 1}), "max_tool_calls"),
        (json!({"prompt_cache_retention": "in-memory"}), "prompt_cache_retention"),
        (json!({"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}}), "prompt_cache_options"),
        (json!({"reasoning": {"effort": "low", "context": "auto"}}), "reasoning.context"),
        (json!({"text": {"stop": 1}}), "text.stop"),
        (json!({"stream_options": {"include_prices": true}}), "stream_options.include_prices"),
        (json!({"include": ["web_search_call.results"]}), "include[0]"),
        (
            json!({"tools": [{"type": "web_search", "search_context_size": "low"}]}),
            "tools[0].search_context_size",
        ),
        (
            json!({"tools": [{"type": "web_search", "user_location": {"type": "approximate"}}]}),
            "tools[0].user_location",
        ),
        (json!({"tools": [function("f")], "tool_choice": "required"}), "tool_choice"),
        (json!({"response_format": {"type": "text"}}), "response_format"),
    ];
    let strict = Config { strict_params: true, ..config() };
    for (changes, expected) in cases {
        let prepared = parse_with(&body(&changes), &config()).unwrap();
        assert_eq!(prepared.notes.ignored_params.join(" "), expected, "{changes}");
        let refused = parse_with(&body(&changes), &strict).err();
        assert_eq!(refused.as_ref().and_then(|error| error.param.as_deref()).unwrap_or_default(), expected);
        if let Some(error) = refused {
            assert_eq!(error.kind, RequestErrorKind::Unsupported, "{changes}");
        }
    }
}

fn check_error(changes: &Value, param: Option<&str>, kind: RequestErrorKind, words: &str) {
    let error = parse_with(&body(changes), &config()).err().unwrap_or_else(|| panic!("{changes} was read"));
    assert_eq!((error.param.as_deref(), error.kind), (param, kind), "{changes}: {}", error.message);
    assert!(error.message.contains(words), "{changes}: {}", error.message);
}

#[test]
fn bad_input_is_named() {
    use RequestErrorKind::{InvalidType, InvalidValue, MissingParameter, NotFound, Unsupported};
    let call = json!({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "c1", "output": "x"});
    let cases = [
        (json!(null), "input", InvalidType, "a string or an array of input items"),
        (json!(5), "input", InvalidType, "but got an integer"),
        (json!(""), "input", InvalidValue, "not empty"),
        (json!([]), "input", InvalidValue, "at least one item"),
        (json!([{"type": "reasoning", "summary": []}]), "input", InvalidValue, "at least one item"),
        (json!(["hi"]), "input[0]", InvalidType, "an object"),
        (json!([{}]), "input[0].type", MissingParameter, "Missing"),
        (json!([{"type": 5}]), "input[0].type", InvalidType, "a string"),
        (json!([{"type": "message", "content": "x"}]), "input[0].role", MissingParameter, "Missing"),
        (json!([{"role": "tool", "content": "x"}]), "input[0].role", InvalidValue, "'developer'"),
        (json!([{"role": "user"}]), "input[0].content", MissingParameter, "Missing"),
        (json!([{"role": "user", "content": null}]), "input[0].content", InvalidType, "null"),
        (
            json!([{"role": "user", "content": "x"}, {"role": "user", "content": [{"type": "input_text", "text": 5}]}]),
            "input[1].content[0].text",
            InvalidType,
            "a string",
        ),
        (
            json!([{"role": "user", "content": [{"type": "input_audio"}]}]),
            "input[0].content[0].type",
            Unsupported,
            "text and images",
        ),
        (
            json!([{"role": "assistant", "content": [{"type": "input_image", "image_url": PNG}]}]),
            "input[0].content[0].image_url",
            InvalidValue,
            "assistant",
        ),
        (
            json!([{"role": "assistant", "content": "x", "phase": "late"}]),
            "input[0].phase",
            InvalidValue,
            "late",
        ),
        (
            json!([{"type": "function_call", "name": "f", "arguments": ""}]),
            "input[0].call_id",
            MissingParameter,
            "Missing",
        ),
        (
            json!([{"type": "function_call", "call_id": "", "name": "f", "arguments": ""}]),
            "input[0].call_id",
            InvalidValue,
            "not empty",
        ),
        (
            json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]),
            "input[0].arguments",
            InvalidType,
            "a string",
        ),
        (
            json!([{"type": "function_call_output", "call_id": "c"}]),
            "input[0].output",
            MissingParameter,
            "Missing",
        ),
        (
            json!([call, {"type": "function_call_output", "call_id": "c1", "output": {"a": 1}}]),
            "input[1].output",
            InvalidType,
            "array of content parts",
        ),
        (json!([call]), "input", InvalidValue, "No tool output found for function call c1."),
        (
            json!([output]),
            "input",
            InvalidValue,
            "No tool call found for function call output with call_id c1.",
        ),
        (json!([output, call]), "input", InvalidValue, "No tool call found"),
        (
            json!([{"type": "reasoning", "summary": [{"type": "summary_text"}]}]),
            "input[0].summary[0].text",
            MissingParameter,
            "Missing",
        ),
        (
            json!([{"type": "reasoning", "summary": [], "encrypted_content": 5}]),
            "input[0].encrypted_content",
            InvalidType,
            "a string",
        ),
        (json!([{"type": "item_reference", "id": "msg_9"}]), "input[0].id", NotFound, "'msg_9' not found"),
        (json!([{"id": "msg_9"}]), "input[0].id", NotFound, "'msg_9' not found"),
        (json!([{"type": "item_reference"}]), "input[0].id", MissingParameter, "Missing"),
        (json!([{"type": "web_search_call", "status": 5}]), "input[0].status", InvalidType, "a string"),
        (
            json!([{"type": "web_search_call", "action": {}}]),
            "input[0].action.type",
            MissingParameter,
            "Missing",
        ),
        (
            json!([{"type": "custom_tool_call", "call_id": "c", "name": "g"}]),
            "input[0].input",
            MissingParameter,
            "Missing",
        ),
        (
            json!([{"type": "custom_tool_call_output", "call_id": "c", "output": 5}]),
            "input[0].output",
            InvalidType,
            "a string or an array",
        ),
        (
            json!([{"type": "custom_tool_call_output", "call_id": "c", "output": "o"}]),
            "input",
            InvalidValue,
            "No tool call found",
        ),
        (json!([{"type": "compaction"}]), "input[0].encrypted_content", MissingParameter, "Missing"),
        (json!([{"type": "compaction_trigger"}]), "input[0].type", Unsupported, "'compaction_trigger'"),
        (json!([{"type": "mcp"}]), "input[0].type", Unsupported, "'mcp'"),
        (json!([{"type": "mcp_call"}]), "input", InvalidValue, "at least one item"),
    ];
    for (input, param, kind, words) in cases {
        check_error(&json!({"input": input}), Some(param), kind, words);
    }
    let error = parse_with(&json!({"model": "codex-5", "instructions": "x"}), &config()).unwrap_err();
    assert_eq!(error.message, "Missing required parameter: 'input'.");
    assert_eq!(parse_with(&json!([]), &config()).unwrap_err().kind, InvalidType);
    let twice = json!([call, call, output, output]);
    assert_eq!(turn(&json!({"input": twice})).items.len(), 4);
}

#[test]
fn bad_parameters_are_named() {
    use RequestErrorKind::{InvalidType, InvalidValue, MissingParameter, ModelNotFound, Unsupported};
    let choose = |choice: Value| json!({"tools": [function("f")], "tool_choice": choice});
    let format = |format: Value| json!({"text": {"format": format}});
    let many: Value = (0..17).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    let cases = [
        (json!({"model": 5}), "model", InvalidType, "a string"),
        (json!({"model": "llama"}), "model", ModelNotFound, "'llama'"),
        (json!({"instructions": []}), "instructions", InvalidType, "a string"),
        (
            json!({"previous_response_id": "resp_9"}),
            "previous_response_id",
            RequestErrorKind::PreviousResponseNotFound,
            "Previous response with id 'resp_9' not found.",
        ),
        (json!({"conversation": "conv_1"}), "conversation", Unsupported, "'input'"),
        (json!({"prompt": {"id": "p"}}), "prompt", Unsupported, "'instructions'"),
        (json!({"background": true, "store": false}), "background", InvalidValue, "'store': true"),
        (json!({"stream": "yes"}), "stream", InvalidType, "a boolean"),
        (json!({"stream_options": true}), "stream_options", InvalidType, "an object"),
        (
            json!({"stream_options": {"include_obfuscation": 1}}),
            "stream_options.include_obfuscation",
            InvalidType,
            "a boolean",
        ),
        (json!({"tools": {}}), "tools", InvalidType, "an array"),
        (json!({"tools": [{}]}), "tools[0].type", MissingParameter, "Missing"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
            "tools[0].name",
            MissingParameter,
            "Missing",
        ),
        (
            json!({"tools": [{"type": "function", "name": "f", "parameters": {"type": "strin"}}]}),
            "tools[0].parameters",
            InvalidValue,
            "JSON Schema",
        ),
        (
            json!({"tools": [{"type": "function", "name": "f", "strict": "no"}]}),
            "tools[0].strict",
            InvalidType,
            "a boolean",
        ),
        (
            json!({"tools": [function("f"), function("f")]}),
            "tools[1].name",
            InvalidValue,
            "two tools named 'f'",
        ),
        (json!({"tools": [{"type": "file_search"}]}), "tools[0].type", Unsupported, "'file_search'"),
        (
            json!({"tools": [{"type": "web_search_later"}]}),
            "tools[0].type",
            Unsupported,
            "'web_search_later'",
        ),
        (
            json!({"tools": [{"type": "web_search", "filters": 5}]}),
            "tools[0].filters",
            InvalidType,
            "an object",
        ),
        (choose(json!(5)), "tool_choice", InvalidType, "a string or an object"),
        (choose(json!("any")), "tool_choice", InvalidValue, "'required'"),
        (choose(json!({"name": "f"})), "tool_choice.type", MissingParameter, "Missing"),
        (
            choose(json!({"type": "function", "name": "g"})),
            "tool_choice.name",
            InvalidValue,
            "Tool choice 'g' not found",
        ),
        (choose(json!({"type": "web_search"})), "tool_choice.type", InvalidValue, "not found"),
        (choose(json!({"type": "mcp"})), "tool_choice.type", Unsupported, "'mcp'"),
        (
            choose(json!({"type": "allowed_tools", "tools": []})),
            "tool_choice.tools",
            InvalidValue,
            "at least one",
        ),
        (
            choose(json!({"type": "allowed_tools", "tools": [{"type": "function", "name": "g"}]})),
            "tool_choice.tools[0].name",
            InvalidValue,
            "not found",
        ),
        (json!({"tool_choice": "required"}), "tool_choice", InvalidValue, "at least one tool"),
        (json!({"parallel_tool_calls": 1}), "parallel_tool_calls", InvalidType, "a boolean"),
        (json!({"text": "json"}), "text", InvalidType, "an object"),
        (format(json!({})), "text.format.type", MissingParameter, "Missing"),
        (format(json!({"type": "xml"})), "text.format.type", InvalidValue, "'json_schema'"),
        (
            format(json!({"type": "json_schema", "schema": {}})),
            "text.format.name",
            MissingParameter,
            "Missing",
        ),
        (
            format(json!({"type": "json_schema", "name": "a b", "schema": {}})),
            "text.format.name",
            InvalidValue,
            "no name",
        ),
        (
            format(json!({"type": "json_schema", "name": "n"})),
            "text.format.schema",
            MissingParameter,
            "Missing",
        ),
        (
            format(json!({"type": "json_schema", "name": "n", "schema": {"type": 1}})),
            "text.format.schema",
            InvalidValue,
            "JSON Schema",
        ),
        (
            format(json!({"type": "json_schema", "name": "n", "schema": {}, "strict": 1})),
            "text.format.strict",
            InvalidType,
            "a boolean",
        ),
        (json!({"text": {"verbosity": "chatty"}}), "text.verbosity", InvalidValue, "'medium'"),
        (json!({"reasoning": "high"}), "reasoning", InvalidType, "an object"),
        (json!({"reasoning": {"effort": "ultra"}}), "reasoning.effort", InvalidValue, "'max'"),
        (json!({"reasoning": {"summary": "none"}}), "reasoning.summary", InvalidValue, "'concise'"),
        (json!({"max_output_tokens": 0}), "max_output_tokens", InvalidValue, "at least 1"),
        (json!({"max_output_tokens": -5}), "max_output_tokens", InvalidValue, "at least 1"),
        (json!({"max_output_tokens": 1.5}), "max_output_tokens", InvalidType, "an integer"),
        (json!({"max_tool_calls": 0}), "max_tool_calls", InvalidValue, "at least 1"),
        (json!({"stop": 5}), "stop", InvalidType, "a string or an array"),
        (json!({"stop": ""}), "stop", InvalidValue, "not empty"),
        (json!({"stop": ["a", 5]}), "stop[1]", InvalidType, "a string"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop", InvalidValue, "at most 4"),
        (json!({"truncation": "later"}), "truncation", InvalidValue, "'disabled'"),
        (json!({"metadata": []}), "metadata", InvalidType, "an object"),
        (json!({"metadata": many}), "metadata", InvalidValue, "at most 16"),
        (json!({"metadata": {"a": 5}}), "metadata.a", InvalidType, "a string"),
        (json!({"metadata": {"a": "x".repeat(513)}}), "metadata.a", InvalidValue, "at most 512"),
        (json!({"metadata": {"k".repeat(65): "x"}}), "metadata", InvalidValue, "longer than 64"),
        (json!({"include": "all"}), "include", InvalidType, "an array"),
        (json!({"include": ["everything"]}), "include[0]", InvalidValue, "'reasoning.encrypted_content'"),
        (
            json!({"include": ["message.output_text.logprobs"]}),
            "include[0]",
            Unsupported,
            "Log probabilities",
        ),
        (json!({"top_logprobs": 2}), "top_logprobs", Unsupported, "Log probabilities"),
        (json!({"top_logprobs": 21}), "top_logprobs", InvalidValue, "at most 20"),
        (json!({"logprobs": true}), "logprobs", Unsupported, "Log probabilities"),
        (json!({"temperature": 2.1}), "temperature", InvalidValue, "from 0 to 2"),
        (json!({"temperature": "1"}), "temperature", InvalidType, "a number"),
        (json!({"top_p": -0.1}), "top_p", InvalidValue, "from 0 to 1"),
        (json!({"presence_penalty": 3}), "presence_penalty", InvalidValue, "from -2 to 2"),
        (json!({"frequency_penalty": []}), "frequency_penalty", InvalidType, "a number"),
        (json!({"seed": 1.5}), "seed", InvalidType, "an integer"),
        (json!({"logit_bias": 5}), "logit_bias", InvalidType, "an object"),
        (json!({"service_tier": "gold"}), "service_tier", InvalidValue, "'priority'"),
        (json!({"store": "no"}), "store", InvalidType, "a boolean"),
        (json!({"user": 5}), "user", InvalidType, "a string"),
        (json!({"safety_identifier": "x".repeat(65)}), "safety_identifier", InvalidValue, "at most 64"),
        (json!({"prompt_cache_key": {}}), "prompt_cache_key", InvalidType, "a string"),
        (json!({"prompt_cache_retention": "1y"}), "prompt_cache_retention", InvalidValue, "'24h'"),
        (
            json!({"prompt_cache_options": {"mode": "no"}}),
            "prompt_cache_options.mode",
            InvalidValue,
            "'implicit'",
        ),
        (json!({"prompt_cache_options": {"ttl": 30}}), "prompt_cache_options.ttl", InvalidType, "a string"),
    ];
    for (changes, param, kind, words) in cases {
        check_error(&changes, Some(param), kind, words);
    }
}
