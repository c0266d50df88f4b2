use serde_json::{Value, json};

use super::*;
use crate::openai::chat::testing::{check_error, node};

fn parse(body: &Value, strict: bool) -> Result<(Tools, Vec<String>)> {
    let mut ignored = Ignored::new(strict);
    let tools = read(&node(body, "").object()?, &mut ignored)?;
    Ok((tools, ignored.into_params()))
}

/// Checks which functions a body offers, whether it may search, and what is ignored.
fn check(body: &Value, functions: &[&str], web_search: bool, ignored: &[&str]) {
    let (tools, params) = parse(body, false).unwrap();
    let names: Vec<_> = tools.offered.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(
        (names.as_slice(), tools.web_search, params.as_slice()),
        (functions, web_search, &*owned(ignored))
    );
    assert_eq!(tools.legacy, body.get("functions").is_some(), "{body}");
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn refuse(body: &Value, param: &str, words: &str) {
    check_error(&parse(body, false).unwrap_err(), param, words);
}

fn function(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

#[test]
fn tools_of_all_spellings_are_read() {
    let schema = json!({"type": "object", "properties": {"q": {"type": "string"}}});
    let wrapped = json!({"name": "f", "description": "D", "parameters": schema, "strict": null});
    let flat = json!({"type": "function", "name": "g", "parameters": null, "strict": true});
    let body =
        json!({"tools": [{"type": "function", "function": wrapped}, flat], "parallel_tool_calls": false});
    let (tools, ignored) = parse(&body, false).unwrap();
    assert_eq!(ignored, ["parallel_tool_calls"]);
    let expected = [
        json!({"type": "function", "name": "f", "description": "D", "parameters": schema, "strict": null}),
        flat,
    ];
    let definitions: Vec<_> = tools.offered.iter().map(|tool| tool.definition.clone()).collect();
    assert_eq!(definitions, expected);
    assert!(!tools.parallel);

    check(&json!({}), &[], false, &[]);
    check(&json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": true}), &[], false, &[]);
    check(&json!({"tool_choice": "required"}), &[], false, &[]);
    for kind in ["web_search", "web_search_preview", "web_search_preview_2025_03_11"] {
        check(&json!({"tools": [{"type": kind}, function("f")]}), &["f"], true, &[]);
    }
    check(&json!({"web_search_options": {}}), &[], true, &[]);
}

#[test]
fn custom_tools_of_all_spellings_are_offered() {
    let grammar = json!({"syntax": "lark", "definition": "start: /.+/s"});
    let nested =
        json!({"type": "custom", "custom": {"name": "p", "format": {"type": "grammar", "grammar": grammar}}});
    let flat = json!({
        "type": "custom", "name": "q",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"},
    });
    let shell = json!({"type": "local_shell"});
    let (tools, ignored) = parse(&json!({"tools": [nested, flat, shell]}), false).unwrap();
    assert_eq!(tools.offered[0].definition["format"], flat["format"]);
    assert_eq!(tools.offered[1].definition, flat);
    assert!(tools.offered.iter().all(|tool| tool.kind == ToolKind::Custom));
    assert_eq!(ignored, ["tools[2]"]);
}

#[test]
fn a_choice_narrows_the_offer() {
    let offer = [function("f"), function("g"), json!({"type": "web_search"})];
    let with = |choice: Value| json!({"tools": offer, "tool_choice": choice});
    let allowed = |mode: &str| json!({"mode": mode, "tools": [function("g"), {"type": "web_search"}]});
    check(&with(json!("auto")), &["f", "g"], true, &[]);
    check(&with(json!("none")), &[], false, &[]);
    check(&with(json!("required")), &["f", "g"], true, &["tool_choice"]);
    check(&with(function("g")), &["g"], false, &["tool_choice"]);
    check(&with(json!({"type": "function", "name": "g"})), &["g"], false, &["tool_choice"]);
    check(&with(json!({"type": "allowed_tools", "allowed_tools": allowed("auto")})), &["g"], true, &[]);
    let required = json!({"type": "allowed_tools", "allowed_tools": allowed("required")});
    check(&with(required), &["g"], true, &["tool_choice"]);
    let flat = json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]});
    check(&with(flat), &["f"], false, &[]);
    check_error(&parse(&with(json!("required")), true).unwrap_err(), "tool_choice", "cannot be honoured");
}

#[test]
fn the_older_form_is_read() {
    let functions = json!([{"name": "f"}, {"name": "g", "description": "D"}]);
    let with = |choice: Value| json!({"functions": functions, "function_call": choice});
    check(&with(json!(null)), &["f", "g"], false, &[]);
    check(&with(json!("auto")), &["f", "g"], false, &[]);
    check(&with(json!("none")), &[], false, &[]);
    check(&with(json!({"name": "g"})), &["g"], false, &["function_call"]);
    assert!(!parse(&with(json!("auto")), false).unwrap().0.parallel);
}

#[test]
fn bad_tools_are_named() {
    let tool = |tool: Value| json!({"tools": [tool]});
    let with = |choice: Value| json!({"tools": [function("f")], "tool_choice": choice});
    let allowed = |tools: Value| with(json!({"type": "allowed_tools", "allowed_tools": {"tools": tools}}));
    for (body, param, words) in [
        (json!({"tools": {}}), "tools", "an array"),
        (tool(json!("f")), "tools[0]", "an object"),
        (tool(json!({"function": {}})), "tools[0].type", "Missing"),
        (tool(json!({"type": "function"})), "tools[0].function", "Missing"),
        (tool(json!({"type": "function", "function": {}})), "tools[0].function.name", "Missing"),
        (
            tool(json!({"type": "function", "function": {"name": "a b"}})),
            "tools[0].function.name",
            "is no name",
        ),
        (
            tool(json!({"type": "function", "function": {"name": "f", "parameters": {"type": 5}}})),
            "tools[0].function.parameters",
            "no valid JSON Schema",
        ),
        (tool(json!({"type": "custom", "custom": {"format": {}}})), "tools[0].custom.name", "Missing"),
        (tool(json!({"type": "file_search"})), "tools[0].type", "'file_search' is not available"),
        (json!({"tools": [function("f"), function("f")]}), "tools[1].function.name", "declared twice"),
        (json!({"tools": [], "functions": []}), "functions", "only one of them"),
        (json!({"functions": [{"name": "f"}, {"name": "f"}]}), "functions[1].name", "declared twice"),
        (json!({"functions": [5]}), "functions[0]", "an object"),
        (json!({"function_call": {"name": "f"}}), "function_call.name", "no tool 'f'"),
        (json!({"function_call": "required"}), "function_call", "'none', 'auto'"),
        (json!({"function_call": 5}), "function_call", "a string or an object"),
        (json!({"parallel_tool_calls": "no"}), "parallel_tool_calls", "a boolean"),
        (json!({"web_search_options": true}), "web_search_options", "an object"),
        (with(json!("any")), "tool_choice", "'none', 'auto', 'required'"),
        (with(json!([])), "tool_choice", "a string or an object"),
        (with(json!({"type": "custom"})), "tool_choice.custom", "Missing"),
        (with(function("g")), "tool_choice.function.name", "no tool 'g'"),
        (with(json!({"type": "function"})), "tool_choice.function", "Missing"),
        (allowed(json!([function("g")])), "tool_choice.allowed_tools.tools[0].function.name", "no tool 'g'"),
        (
            allowed(json!([{"type": "mcp"}])),
            "tool_choice.allowed_tools.tools[0].type",
            "'mcp' is not available",
        ),
        (allowed(json!({})), "tool_choice.allowed_tools.tools", "an array"),
        (with(json!({"type": "allowed_tools", "mode": "x", "tools": []})), "tool_choice.mode", "'required'"),
    ] {
        refuse(&body, param, words);
    }
}
