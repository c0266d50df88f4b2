mod echoed;
mod odd_values;
mod refused;

use super::*;
use crate::openai::{Config, Encoder as _, Environment};
use crate::turn::{
    Catalogue, Image, ImageLoad, Limits, Model, OutputMode, Task, ThreadSpec, Tool, ToolKind, ToolOutput,
};

const PNG: &str = content::images::PIXEL;

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
            service_tiers: Some(vec!["priority".into()]),
            context_window: None,
        }],
    };
    let context = Context {
        config,
        catalogue: &catalogue,
        output_mode: None,
        id: "1",
        now: 7,
        continued: None,
        stores: true,
    };
    parse(body, &context)
}

/// The body with `changes` applied to a valid request.
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
    let image = |detail: Option<&str>| {
        Part::Image(Image {
            url: PNG.into(),
            detail: detail.map(str::to_owned),
            load: ImageLoad { width: 1, height: 1, remade: 0 },
        })
    };
    let expected = Turn {
        task: Task::Answer,
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
            call(ToolKind::Function, "c1", "f", "{}"),
            call(ToolKind::Function, "c2", "f", "{}"),
            returned(ToolKind::Function, "c2", ToolOutput::Parts(vec![image(None)])),
            returned(ToolKind::Function, "c1", ToolOutput::Text("done".into())),
            raw(full["input"][9].clone()),
            call(ToolKind::Custom, "c3", "g", "x"),
            returned(ToolKind::Custom, "c3", ToolOutput::Parts(vec![Part::Text("y".into())])),
            raw(full["input"][12].clone()),
            said(Role::Developer, "dev"),
        ],
        spec: ThreadSpec {
            model: "gpt-6-sol".into(),
            base_instructions: None,
            tools: vec![Arc::new(Tool {
                kind: ToolKind::Function,
                namespace: None,
                name: "f".into(),
                definition: function("f"),
            })],
            service_tier: None,
            web_search: true,
            effort: Some(Effort::High),
            summary: Some(Summary::Detailed),
            verbosity: Some(Verbosity::Low),
        },
        parallel_tool_calls: false,
        output_schema: Some(closed()),
        answer_form: AnswerForm::Free,
        limits: Limits { max_output_tokens: Some(5), stop: vec!["a".into(), "b".into()] },
        output_mode: OutputMode::OpenaiJson,
    };
    assert_eq!(prepared.turn, expected);
    assert!(prepared.stream);
    assert_eq!(prepared.choices, 1);
    assert_eq!(prepared.image_params, ["input[1].content[1].image_url", "input[7].output[0].image_url"]);
    let turn = prepared.turn;
    assert_eq!(turn.images().count(), prepared.image_params.len());
    assert_eq!(prepared.notes.ignored_params, ["parallel_tool_calls", "input[1].content[1].detail"]);
    assert_eq!(prepared.notes.effective_effort, None);
}

fn call(kind: ToolKind, call_id: &str, name: &str, input: &str) -> Item {
    let (call_id, name, input) = (call_id.into(), name.into(), input.into());
    Item::ToolCall { kind, call_id, namespace: None, name, input }
}

fn returned(kind: ToolKind, call_id: &str, output: ToolOutput) -> Item {
    Item::ToolOutput { kind, call_id: call_id.into(), output }
}

/// The names of the tools that a request offers, each after its namespace, and what is ignored.
fn offered(changes: &Value) -> Vec<String> {
    let prepared = parse_with(&body(changes), &config()).unwrap_or_else(|error| panic!("{changes}: {error}"));
    let name = |tool: &Arc<Tool>| match tool.namespace_name() {
        Some(namespace) => format!("{namespace}.{}", tool.name),
        None => tool.name.clone(),
    };
    let mut offered: Vec<_> = prepared.turn.spec.tools.iter().map(name).collect();
    offered.extend(prepared.notes.ignored_params.iter().map(|param| format!("!{param}")));
    offered
}

#[test]
fn tools_of_every_kind_are_offered() {
    let custom = json!({"type": "custom", "name": "p", "format": {"type": "text"}});
    let crm = |name: &str| json!({"type": "namespace", "name": name, "description": "d", "tools": [function("f"), custom]});
    let tools = json!([function("f"), custom, crm("crm"), crm("functions")]);
    let names = ["f", "p", "crm.f", "crm.p", "functions.f", "functions.p"];
    assert_eq!(offered(&json!({ "tools": tools })), names);
    let echo = parse_with(&body(&json!({ "tools": tools })), &config()).unwrap().encoder.object(&[]);
    assert_eq!(echo["tools"][2], tools[2]);

    let item = json!({"type": "additional_tools", "role": "developer", "tools": [function("g"), crm("crm")]});
    let input = json!([item, {"role": "user", "content": "hi"}]);
    assert_eq!(offered(&json!({"tools": [function("f")], "input": input})), ["f", "g", "crm.f", "crm.p"]);
    assert_eq!(
        offered(
            &json!({"tools": [function("f")], "input": input, "tool_choice": {"type": "custom", "name": "p"}})
        ),
        ["crm.p", "!tool_choice"]
    );
    let allowed =
        json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "crm"}]});
    assert_eq!(offered(&json!({"input": input, "tool_choice": allowed})), ["crm.f", "crm.p"]);
    let run_there =
        json!([function("f"), {"type": "local_shell"}, {"type": "tool_search", "execution": "client"}]);
    assert_eq!(offered(&json!({ "tools": run_there })), ["f", "!tools[1]", "!tools[2]"]);
}

#[test]
fn items_of_tools_that_are_not_here_are_left_out_and_named() {
    let kinds = [
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "computer_call",
        "computer_call_output",
        "mcp_list_tools",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "local_shell_call",
        "local_shell_call_output",
        "shell_call",
        "shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "tool_search_call",
        "tool_search_output",
    ];
    for kind in kinds {
        let input = json!([{"type": kind, "id": "x"}, {"role": "user", "content": "hi"}]);
        let prepared = parse_with(&body(&json!({ "input": input })), &config()).unwrap();
        assert_eq!(prepared.turn.items, [said(Role::User, "hi")], "{kind}");
        assert_eq!(prepared.notes.ignored_params, ["input[0]"], "{kind}");
        let strict = Config { strict_params: true, ..config() };
        let error = parse_with(&body(&json!({ "input": input })), &strict).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("input[0]"), "{kind}");
    }
}

#[test]
fn a_service_tier_is_asked_for_by_name_or_by_the_models_id() {
    let tier = |changes: Value| turn(&changes).spec.service_tier;
    for (name, expected) in [
        ("auto", None),
        ("default", None),
        ("flex", Some(ServiceTier::Flex)),
        ("priority", Some(ServiceTier::Priority)),
        ("fast", Some(ServiceTier::Priority)),
    ] {
        assert_eq!(tier(json!({ "service_tier": name })), expected, "{name}");
        let answer =
            parse_with(&body(&json!({ "service_tier": name })), &config()).unwrap().encoder.object(&[]);
        assert_eq!(answer["service_tier"], expected.map_or("default", ServiceTier::as_str), "{name}");
    }
    for (id, effort) in [
        ("gpt-6-sol-fast", None),
        ("gpt-6-sol-high-fast", Some(Effort::High)),
        ("GPT-6-Sol-Fast-High", Some(Effort::High)),
    ] {
        let turn = turn(&json!({"model": id, "service_tier": "flex"}));
        assert_eq!((turn.spec.model.as_str(), turn.spec.effort), ("gpt-6-sol", effort), "{id}");
        assert_eq!(turn.spec.service_tier, Some(ServiceTier::Priority), "{id}");
    }
    let mut without = Catalogue::default();
    without.models.push(Model {
        id: "gpt-6-sol".into(),
        display_name: String::new(),
        description: String::new(),
        efforts: Vec::new(),
        default_effort: None,
        images: true,
        hidden: false,
        is_default: true,
        service_tiers: Some(Vec::new()),
        context_window: None,
    });
    let config = config();
    let context = Context {
        config: &config,
        catalogue: &without,
        output_mode: None,
        id: "1",
        now: 7,
        continued: None,
        stores: true,
    };
    let error = parse(&body(&json!({"service_tier": "priority"})), &context).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("service_tier"));
    assert!(error.message.contains("'priority'") && error.message.contains("gpt-6-sol"), "{}", error.message);
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
        (f(), "f !tool_choice"),
        (json!({"type": "web_search_preview"}), "web !tool_choice"),
        (allowed("auto", json!([f(), {"type": "web_search"}])), "f web"),
        (allowed("required", json!([f()])), "f !tool_choice"),
        (allowed("none", json!([f()])), ""),
    ];
    for (choice, expected) in cases {
        let changes = json!({"tools": tools, "tool_choice": choice});
        let prepared = parse_with(&body(&changes), &config()).unwrap();
        let mut got: Vec<_> = prepared.turn.spec.tools.iter().map(|tool| tool.name.clone()).collect();
        got.extend(prepared.turn.spec.web_search.then(|| "web".to_owned()));
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
        (turn.spec.base_instructions, turn.items)
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
        let context = Context {
            config: &xml,
            catalogue: &catalogue,
            output_mode: asked,
            id: "1",
            now: 7,
            continued: None,
            stores: true,
        };
        let body = json!({"input": "hi"});
        assert_eq!(parse(&body, &context).unwrap().turn.output_mode, expected);
    }
    let moved = parse_with(&body(&json!({"reasoning": {"effort": "xhigh"}})), &config()).unwrap();
    assert_eq!(moved.notes.effective_effort, Some(Effort::High));
    assert_eq!(moved.turn.spec.effort, Some(Effort::High));
}
