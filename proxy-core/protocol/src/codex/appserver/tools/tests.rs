use std::sync::Arc;

use super::*;
use crate::turn::Namespace;

fn function(name: &str) -> Tool {
    let definition = json!({
        "type": "function", "name": name, "description": "d", "strict": false,
        "parameters": {"type": "object", "properties": {"n": {"enum": [1, 2], "minimum": 0}}},
    });
    Tool { kind: ToolKind::Function, namespace: None, name: name.into(), definition }
}

fn custom(name: &str) -> Tool {
    let definition = json!({
        "type": "custom", "name": name, "description": "d",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"},
    });
    Tool { kind: ToolKind::Custom, namespace: None, name: name.into(), definition }
}

fn wired(tools: Vec<Tool>, road: Road) -> Tools {
    Tools::new(&tools.into_iter().map(Arc::new).collect::<Vec<_>>(), road)
}

fn within(namespace: &str, tool: Tool) -> Tool {
    let namespace = Namespace { name: namespace.into(), description: "about".into() };
    Tool { namespace: Some(Arc::new(namespace)), ..tool }
}

const EXACT: Road = Road::Exact { once: true };

#[test]
fn exact_tools_travel_as_they_are_beside_twins_without_a_schema() {
    let tools = [function("exec_command"), custom("apply_patch"), within("crm", function("look_up"))];
    let wire = wired(tools.to_vec(), EXACT);
    let sent = wire.item().unwrap();
    assert_eq!(
        sent["tools"],
        json!([
            {"type": "namespace", "name": "client", "description": "",
             "tools": [tools[0].definition, tools[1].definition]},
            {"type": "namespace", "name": "crm", "description": "about", "tools": [tools[2].definition]},
        ])
    );
    let twin = |name: &str| {
        json!({"type": "function", "name": name, "description": "",
               "inputSchema": {"type": "object", "properties": {}}, "deferLoading": true})
    };
    assert_eq!(
        wire.dynamic().unwrap(),
        json!([
            {"type": "namespace", "name": "client", "description": "",
             "tools": [twin("exec_command"), twin("apply_patch")]},
            {"type": "namespace", "name": "crm", "description": "", "tools": [twin("look_up")]},
        ])
    );
    assert!(wire.asks_once());
}

#[test]
fn names_that_codex_keeps_come_back_as_the_clients_own() {
    let long = "n".repeat(128);
    let longest = format!("mcp__{}", "n".repeat(123));
    let cases: &[(&str, Option<&str>)] = &[
        ("mcp", None),
        ("mcp__a__b", None),
        ("exec_command", None),
        ("shell_command", None),
        (&long, None),
        (&longest, None),
        ("f", Some("functions")),
        ("f", Some("mcp__github")),
        ("f", Some("web")),
        ("f", Some("a.b")),
        ("f", Some("client")),
    ];
    for road in [EXACT, Road::Plain] {
        for (name, namespace) in cases {
            let tool = match namespace {
                Some(namespace) => within(namespace, function(name)),
                None => function(name),
            };
            let tools = [tool, function("client_mcp"), function("other")];
            let wire = wired(tools.to_vec(), road);
            let (travelled_in, travelled_as) = wire.travels(*namespace, name);
            assert!(travelled_as.len() <= 128 && travelled_in.is_none_or(|name| name.len() <= 64));
            let called = wire.called(travelled_in, travelled_as, "{}".into()).unwrap();
            assert_eq!((called.name.as_str(), called.namespace.as_deref()), (*name, *namespace), "{road:?}");
        }
    }
}

#[test]
fn no_two_tools_travel_under_one_name() {
    let tools = [
        function("mcp"),
        function("client_mcp"),
        function("client_mcp_2"),
        within("client", function("mcp")),
        within("functions", function("f")),
        within("client_functions", function("f")),
    ];
    for road in [EXACT, Road::Plain] {
        let wire = wired(tools.to_vec(), road);
        let mut seen = HashSet::new();
        for tool in &tools {
            let travels = wire.travels(tool.namespace_name(), &tool.name);
            assert!(seen.insert(travels), "{travels:?} is there twice");
            let called = wire.called(travels.0, travels.1, String::new()).unwrap();
            assert_eq!(
                (called.name.as_str(), called.namespace.as_deref()),
                (tool.name.as_str(), tool.namespace_name())
            );
        }
    }
}

#[test]
fn a_call_without_a_namespace_is_understood_where_it_can_mean_one_tool_only() {
    let tools = [function("f"), within("a", function("g")), within("b", function("g"))];
    let wire = wired(tools.to_vec(), EXACT);
    assert_eq!(wire.called(None, "f", String::new()).unwrap().name, "f");
    assert_eq!(wire.called(None, "g", String::new()), None);
    assert_eq!(wire.called(Some("b"), "g", String::new()).unwrap().namespace.as_deref(), Some("b"));
    assert_eq!(wire.called(Some("c"), "g", String::new()), None);
    assert_eq!(wire.called(None, "exec", String::new()), None);
}

#[test]
fn free_text_travels_as_a_function_where_a_call_would_cost_a_second_question() {
    for road in [Road::Exact { once: false }, Road::Plain] {
        let wire = wired(vec![custom("apply_patch")], road);
        assert!(!wire.asks_once());
        let namespace = wire.travels(None, "apply_patch").0;
        for (arguments, text) in [(r#"{"input":"a\nb"}"#, "a\nb"), ("{}", "{}"), ("plain", "plain")] {
            let called = wire.called(namespace, "apply_patch", arguments.into()).unwrap();
            assert_eq!((called.kind, called.input.as_str()), (ToolKind::Custom, text));
        }
    }
    let wire = wired(vec![custom("apply_patch")], Road::Exact { once: false });
    let sent = wire.item().unwrap()["tools"][0]["tools"][0].clone();
    assert_eq!(sent["type"], "function");
    assert_eq!(sent["description"], "d\n\n`input` follows this lark grammar:\nstart: /.+/s");
}

#[test]
fn plain_tools_are_codexs_own() {
    let wire = wired(vec![function("f"), within("crm", function("g"))], Road::Plain);
    assert_eq!(wire.item(), None);
    let tools = wire.dynamic().unwrap();
    assert_eq!(tools[0]["inputSchema"]["properties"]["n"]["enum"], json!([1, 2]));
    assert_eq!((&tools[1]["name"], &tools[1]["tools"][0]["name"]), (&json!("crm"), &json!("g")));
    assert_eq!(wired(Vec::new(), EXACT).dynamic(), None);
}
