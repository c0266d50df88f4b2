use super::*;

#[test]
fn the_least_request_has_defaults() {
    let prepared = parse_with(&json!({"input": "hi", "model": null}), &config()).unwrap();
    let expected = Turn { items: vec![said(Role::User, "hi")], ..Turn::new("gpt-6-sol") };
    assert_eq!(prepared.turn, expected);
    assert!(!prepared.stream);
    let object = prepared.encoder.object(&[]);
    let expected = json!({
        "id": "resp_1",
        "object": "response",
        "created_at": 7,
        "status": "in_progress",
        "completed_at": null,
        "error": null,
        "incomplete_details": null,
        "background": false,
        "frequency_penalty": 0.0,
        "instructions": null,
        "max_output_tokens": null,
        "max_tool_calls": null,
        "metadata": {},
        "model": "gpt-6-sol",
        "parallel_tool_calls": true,
        "presence_penalty": 0.0,
        "previous_response_id": null,
        "prompt_cache_key": null,
        "reasoning": {"effort": null, "summary": null},
        "safety_identifier": null,
        "service_tier": "default",
        "store": true,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "output": [],
        "usage": null,
    });
    assert_eq!(object, expected);
}

#[test]
fn the_object_echoes_the_request() {
    let cases = [
        (json!({"model": "Codex-5-HIGH"}), "model", json!("Codex-5-HIGH")),
        (
            json!({"model": "codex-5-high", "reasoning": {"effort": "low"}}),
            "reasoning",
            json!({"effort": "high", "summary": null}),
        ),
        (
            json!({"reasoning": {"generate_summary": "concise"}}),
            "reasoning",
            json!({"effort": null, "summary": "concise"}),
        ),
        (json!({"instructions": ""}), "instructions", json!("")),
        (json!({"temperature": 1}), "temperature", json!(1)),
        (json!({"temperature": 0.2}), "temperature", json!(0.2)),
        (json!({"top_p": 0.5}), "top_p", json!(0.5)),
        (json!({"presence_penalty": -2}), "presence_penalty", json!(-2)),
        (json!({"frequency_penalty": 0.5}), "frequency_penalty", json!(0.5)),
        (json!({"metadata": {"a": "b"}}), "metadata", json!({"a": "b"})),
        (json!({"store": false}), "store", json!(false)),
        (json!({"truncation": "auto"}), "truncation", json!("auto")),
        (json!({"max_output_tokens": 16}), "max_output_tokens", json!(16)),
        (json!({"max_tool_calls": 3}), "max_tool_calls", json!(3)),
        (json!({"service_tier": "auto"}), "service_tier", json!("default")),
        (json!({"user": "u"}), "user", json!("u")),
        (json!({"safety_identifier": "s"}), "safety_identifier", json!("s")),
        (json!({"prompt_cache_key": "k"}), "prompt_cache_key", json!("k")),
        (json!({"prompt_cache_retention": "24h"}), "prompt_cache_retention", json!("24h")),
        (json!({"parallel_tool_calls": false}), "parallel_tool_calls", json!(false)),
        (
            json!({"text": {"format": {"type": "json_object"}, "verbosity": "high"}}),
            "text",
            json!({"format": {"type": "json_object"}, "verbosity": "high"}),
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}),
            "text",
            json!({"format": {"type": "json_schema", "name": "n", "description": null, "schema": {},
                "strict": false}}),
        ),
        (
            json!({"tools": [{"type": "function", "name": "f", "description": "d", "strict": true}]}),
            "tools",
            json!([{"type": "function", "name": "f", "description": "d",
                 "parameters": {"type": "object", "properties": {}}, "strict": true}]),
        ),
        (
            json!({"tools": [function("f")]}),
            "tools",
            json!([{"type": "function", "name": "f", "description": null, "parameters": {"type": "object"},
                 "strict": null}]),
        ),
        (json!({"tools": [function("f")], "tool_choice": "none"}), "tool_choice", json!("none")),
        (
            json!({"tools": [function("f")], "tool_choice": {"type": "allowed_tools", "tools":
                [{"type": "function", "name": "f"}]}}),
            "tool_choice",
            json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}),
        ),
    ];
    for (changes, member, expected) in cases {
        let prepared = parse_with(&body(&changes), &config()).unwrap();
        assert_eq!(prepared.encoder.object(&[])[member], expected, "{changes}");
    }
    let object = parse_with(&body(&json!({})), &config()).unwrap().encoder.object(&[]);
    assert!(object.get("user").is_none() && object.get("prompt_cache_retention").is_none());
}
