mod echoed;
mod odd_values;
mod refused;

use super::*;
use crate::openai::{Config, Encoder as _, Environment};
use crate::turn::{Catalogue, FunctionTool, Limits, Model, OutputMode, ToolOutput};

const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";

fn config() -> Config {
    Config {
        environment: Environment::Prod,
        default_model: "gpt-5.2".into(),
        ignore_client_system_prompt: true,
        strict_params: false,
        model_fallback: true,
        max_prompt_tokens: 0,
        responses_default_max_tokens: 0,
        chat_output_mode: OutputMode::OpenaiJson,
        responses_output_mode: OutputMode::OpenaiJson,
    }
}

fn parse_with(body: &Value, config: &Config) -> Result<Prepared<ResponsesEncoder>> {
    let catalogue = Catalogue {
        models: vec![Model {
            id: "gpt-6-sol".into(),
            display_name: "Sol".into(),
            description: String::new(),
            efforts: vec![Effort::Low, Effort::Medium, Effort::High],
            default_effort: None,
            images: true,
            hidden: false,
            is_default: true,
        }],
    };
    let context = Context { config, catalogue: &catalogue, output_mode: None, id: "1", now: 7 };
    parse(body, &context)
}

/// The body with `changes` laid over a request that is right.
fn body(changes: &Value) -> Value {
    let mut body = json!({"model": "gpt-6-sol", "input": "hi"});
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn turn(changes: &Value) -> Turn {
    parse_with(&body(changes), &config()).unwrap_or_else(|error| panic!("{changes}: {error}")).turn
}

fn said(role: Role, text: &str) -> Item {
    Item::Message { role, content: vec![Part::Text(text.into())], phase: None }
}

/// A schema that goes to the model as it is.
fn closed() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "additionalProperties": false})
}

fn function(name: &str) -> Value {
    json!({"type": "function", "name": name, "parameters": {"type": "object"}})
}

#[test]
fn a_turn_has_what_the_request_says() {
    let full = json!({
        "model": "GPT-6-SOL",
        "instructions": "Be brief.",
        "input": [
            {"role": "system", "content": "sys"},
            {"type": "message", "role": "user", "id": "msg_0", "status": "completed", "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": PNG, "detail": "low"},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s"}],
             "encrypted_content": "sealed"},
            {"type": "reasoning", "id": "rs_2", "summary": []},
            {"role": "assistant", "content": "", "phase": "commentary"},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": ""},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_image", "image_url": PNG}]},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "custom_tool_call", "call_id": "c3", "name": "g", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "c3", "output": [{"type": "input_text", "text": "y"}]},
            {"type": "compaction", "encrypted_content": "zip"},
            {"role": "developer", "content": "dev"},
        ],
        "tools": [function("f"), {"type": "web_search_preview_2025_03_11"}],
        "parallel_tool_calls": false,
        "reasoning": {"effort": "high", "summary": "detailed"},
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": closed(), "strict": null},
            "verbosity": "low",
        },
        "max_output_tokens": 5,
        "stop": ["a", "b"],
        "stream": true,
    });
    let prepared = parse_with(&full, &config()).unwrap();
    let raw = |value: Value| Item::Raw(value);
    let image = |detail: Option<&str>| Part::Image { url: PNG.into(), detail: detail.map(str::to_owned) };
    let expected = Turn {
        model: "gpt-6-sol".into(),
        base_instructions: None,
        items: vec![
            said(Role::Developer, "Be brief."),
            said(Role::Developer, "sys"),
            Item::Message {
                role: Role::User,
                content: vec![Part::Text("look".into()), image(Some("low"))],
                phase: None,
            },
            Item::Reasoning {
                id: Some("rs_1".into()),
                summary: vec!["s".into()],
                encrypted_content: "sealed".into(),
            },
            Item::Message {
                role: Role::Assistant,
                content: vec![Part::Text(String::new())],
                phase: Some("commentary".into()),
            },
            Item::FunctionCall { call_id: "c1".into(), name: "f".into(), arguments: "{}".into() },
            Item::FunctionCall { call_id: "c2".into(), name: "f".into(), arguments: String::new() },
            Item::FunctionCallOutput { call_id: "c2".into(), output: ToolOutput::Parts(vec![image(None)]) },
            Item::FunctionCallOutput { call_id: "c1".into(), output: ToolOutput::Text("done".into()) },
            raw(full["input"][9].clone()),
            raw(full["input"][10].clone()),
            raw(full["input"][11].clone()),
            raw(full["input"][12].clone()),
            said(Role::Developer, "dev"),
        ],
        tools: vec![FunctionTool {
            name: "f".into(),
            description: String::new(),
            parameters: json!({"type": "object"}),
        }],
        web_search: true,
        parallel_tool_calls: false,
        effort: Some(Effort::High),
        summary: Some(Summary::Detailed),
        verbosity: Some(Verbosity::Low),
        output_schema: Some(closed()),
        answer_form: AnswerForm::Free,
        limits: Limits { max_output_tokens: Some(5), stop: vec!["a".into(), "b".into()] },
        output_mode: OutputMode::OpenaiJson,
    };
    assert_eq!(prepared.turn, expected);
    assert!(prepared.stream);
    assert_eq!(prepared.choices, 1);
    assert_eq!(prepared.image_params, ["input[1].content[1].image_url", "input[7].output[0].image_url"]);
    let mut turn = prepared.turn;
    assert_eq!(turn.image_urls_mut().count(), prepared.image_params.len());
    assert_eq!(prepared.notes, Notes::default());
}

#[test]
fn tool_choice_leaves_what_it_allows() {
    let tools = json!([function("f"), function("g"), {"type": "web_search"}]);
    let allowed = |mode: &str, tools: Value| json!({"type": "allowed_tools", "mode": mode, "tools": tools});
    let f = || json!({"type": "function", "name": "f"});
    let cases = [
        (json!(null), "f g web"),
        (json!("auto"), "f g web"),
        (json!("none"), ""),
        (json!("required"), "f g web !tool_choice"),
        (f(), "f"),
        (json!({"type": "web_search_preview"}), "web"),
        (allowed("auto", json!([f(), {"type": "web_search"}])), "f web"),
        (allowed("required", json!([f()])), "f !tool_choice"),
        (allowed("none", json!([f()])), ""),
    ];
    for (choice, expected) in cases {
        let changes = json!({"tools": tools, "tool_choice": choice});
        let prepared = parse_with(&body(&changes), &config()).unwrap();
        let mut got: Vec<_> = prepared.turn.tools.into_iter().map(|tool| tool.name).collect();
        got.extend(prepared.turn.web_search.then(|| "web".to_owned()));
        got.extend(prepared.notes.ignored_params.iter().map(|param| format!("!{param}")));
        assert_eq!(got.join(" "), expected, "{choice}");
        assert_eq!(prepared.encoder.object(&[])["tools"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn instructions_and_system_messages_can_become_base_instructions() {
    let lifting = Config { ignore_client_system_prompt: false, ..config() };
    let place = |changes: Value| {
        let turn = parse_with(&body(&changes), &lifting).unwrap().turn;
        (turn.base_instructions, turn.items)
    };
    let (base, items) = place(json!({"instructions": "A", "input": [
        {"role": "system", "content": [{"type": "input_text", "text": "B"}, {"type": "input_text", "text": "C"}]},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": ""},
        {"role": "developer", "content": "D"},
    ]}));
    assert_eq!(base.as_deref(), Some("A\n\nB\n\nC\n\nD"));
    assert_eq!(items, [said(Role::User, "hi")]);
    assert_eq!(place(json!({"instructions": ""})), (None, vec![said(Role::User, "hi")]));
    let only_system = json!({"instructions": "A", "input": [{"role": "system", "content": "B"}]});
    assert_eq!(place(only_system), (Some("A".into()), vec![said(Role::Developer, "B")]));
    let (base, items) = place(json!({"input": [
        {"role": "system", "content": [{"type": "input_image", "image_url": PNG}]},
        {"role": "user", "content": "hi"},
    ]}));
    assert_eq!((base, items.len()), (None, 2));
    assert_eq!(turn(&json!({"instructions": ""})).items, [said(Role::User, "hi")]);
}

#[test]
fn settings_of_the_operator_are_applied() {
    let capped = Config { responses_default_max_tokens: 9, ..config() };
    let limit = |changes: &Value| parse_with(&body(changes), &capped).unwrap().turn.limits.max_output_tokens;
    assert_eq!(limit(&json!({})), Some(9));
    assert_eq!(limit(&json!({"max_output_tokens": 20})), Some(20));
    assert_eq!(turn(&json!({})).limits, Limits::default());

    let small = Config { max_prompt_tokens: 1, ..config() };
    assert!(parse_with(&body(&json!({"input": "1234"})), &small).is_ok());
    let error = parse_with(&body(&json!({"input": "12345"})), &small).unwrap_err();
    assert_eq!(error.kind, RequestErrorKind::PromptTooLong);

    let xml = Config { responses_output_mode: OutputMode::ObsidianXml, ..config() };
    let catalogue = Catalogue::default();
    for (asked, expected) in
        [(None, OutputMode::ObsidianXml), (Some(OutputMode::OpenaiJson), OutputMode::OpenaiJson)]
    {
        let context = Context { config: &xml, catalogue: &catalogue, output_mode: asked, id: "1", now: 7 };
        let body = json!({"input": "hi"});
        assert_eq!(parse(&body, &context).unwrap().turn.output_mode, expected);
    }
    let moved = parse_with(&body(&json!({"reasoning": {"effort": "xhigh"}})), &config()).unwrap();
    assert_eq!(moved.notes.effective_effort, Some(Effort::High));
    assert_eq!(moved.turn.effort, Some(Effort::High));
}
