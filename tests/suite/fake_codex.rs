//! Compares the output of the fake Codex with that of the real one.

use std::collections::BTreeMap;

use e2e::app_server::{AppServer, user_item};
use e2e::codex_bin::{NEWEST, codex_path};
use e2e::codex_home::codex_home;
use e2e::fake_openai::{FakeOpenAi, Gate, Script, ev_item_added, ev_text_delta};
use e2e::harness::fake_codex_path;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Switches that keep a real Codex from adding items of its own, which the fake never does.
const SWITCHES: [&str; 8] = [
    "-c",
    "include_environment_context=false",
    "-c",
    "include_permissions_instructions=false",
    "-c",
    "features.apps=false",
    "-c",
    "features.plugins=false",
];

struct Pair {
    upstream: FakeOpenAi,
    real: AppServer,
    fake: AppServer,
    _homes: [TempDir; 2],
}

impl Pair {
    async fn start(scripts: Vec<Script>, scenario: Value) -> Self {
        let upstream = FakeOpenAi::start().await;
        for script in scripts {
            upstream.push(script);
        }
        let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        codex_home(homes[0].path(), NEWEST, &upstream.base_url(), 0);
        std::fs::write(homes[1].path().join("fake-codex.json"), scenario.to_string()).unwrap();
        let mut real = AppServer::spawn(&codex_path(NEWEST), homes[0].path(), &SWITCHES, &[]);
        let mut fake = AppServer::spawn(&fake_codex_path(), homes[1].path(), &SWITCHES, &[]);
        let answers = [real.initialize().await, fake.initialize().await];
        assert_eq!(form(&answers[0]), form(&answers[1]));
        Self { upstream, real, fake, _homes: homes }
    }

    fn both(&mut self) -> [&mut AppServer; 2] {
        [&mut self.real, &mut self.fake]
    }

    /// Checks that both printed the same, apart from values.
    fn agree(&self) {
        let [real, fake] = [lines(&self.real.log), lines(&self.fake.log)];
        let names = |lines: &[(String, String)]| lines.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
        assert_eq!(names(&fake), names(&real), "the order of messages differs");
        for (fake, real) in fake.iter().zip(&real) {
            assert_eq!(fake, real);
        }
    }
}

/// The messages of a turn with their form; noise that has nothing to do with turns is left out.
fn lines(log: &[Value]) -> Vec<(String, String)> {
    log.iter()
        .filter(|line| {
            let method = line["method"].as_str().unwrap_or_default();
            !["configWarning", "deprecationNotice", "warning", "mcpServer/startupStatus/updated"]
                .contains(&method)
                && line["params"]["item"]["role"] != "developer"
        })
        .map(|line| (line["method"].as_str().unwrap_or("answer").to_owned(), form(line)))
        .collect()
}

/// A value with every leaf replaced by its type, to compare fields and their order.
fn form(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(text) => match text.as_str() {
            "completed"
            | "inProgress"
            | "failed"
            | "interrupted"
            | "active"
            | "idle"
            | "systemError"
            | "summary"
            | "notLoaded"
            | "agentMessage"
            | "reasoning"
            | "dynamicToolCall"
            | "message"
            | "function_call"
            | "function_call_output"
            | "user"
            | "assistant" => format!("{text:?}"),
            _ => "string".to_owned(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(form).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k}:{}", form(v))).collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

fn weather() -> Value {
    json!({
        "type": "function", "name": "get_weather", "description": "w",
        "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
    })
}

#[tokio::test]
async fn a_turn_of_reasoning_and_text_looks_like_the_real_one() {
    let script =
        Script::new().reasoning(&[&["**Pl", "an**"], &["two"]], Some("ENC")).message(&["one ", "two"]);
    let scenario = json!([
        {"step": "reasoning", "parts": [["**Pl", "an**"], ["two"]], "encrypted": "ENC"},
        {"step": "text", "deltas": ["one ", "two"]},
    ]);
    let mut pair = Pair::start(vec![script], scenario).await;
    for codex in pair.both() {
        codex.start_turn(json!({}), json!([user_item("hi")]), json!({})).await;
        codex.until("turn/completed").await;
    }
    pair.agree();
}

#[tokio::test]
async fn parallel_tool_calls_look_like_the_real_ones() {
    let script = Script::new()
        .function_call("call_a", "get_weather", r#"{"city":"Paris"}"#, 5)
        .function_call("call_b", "get_weather", r#"{"city":"Rome"}"#, 5);
    let scenario = json!([
        {"step": "calls", "calls": [
            {"name": "get_weather", "arguments": {"city": "Paris"}, "call_id": "call_a"},
            {"name": "get_weather", "arguments": {"city": "Rome"}, "call_id": "call_b"},
        ]},
        {"step": "text", "deltas": ["done"]},
    ]);
    let mut pair = Pair::start(vec![script, Script::text("done")], scenario).await;
    for codex in pair.both() {
        let thread = json!({"dynamicTools": [weather()]});
        codex.start_turn(thread, json!([user_item("hi")]), json!({})).await;
        let mut calls = Vec::new();
        while calls.len() < 2 {
            calls.push(codex.until("item/tool/call").await);
        }
        // The end of the model's response comes before or after the last call; wait for it as well.
        if codex.logged("rawResponse/completed").is_empty() {
            codex.until("rawResponse/completed").await;
        }
        for call in &calls {
            let output = json!({"contentItems": [{"type": "inputText", "text": "sunny"}], "success": true});
            codex.send(&json!({"id": call["id"], "result": output})).await;
        }
        codex.until("turn/completed").await;
    }
    let [real, fake] = [lines(&pair.real.log), lines(&pair.fake.log)];
    // The real one reads its upstream beside, so only what each kind of message looks like is compared.
    let by_name = |lines: Vec<(String, String)>| {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for (name, form) in lines {
            all.entry(name).or_default().push(form);
        }
        for forms in all.values_mut() {
            forms.sort();
        }
        all
    };
    let [real, fake] = [by_name(real), by_name(fake)];
    for (name, forms) in &real {
        assert_eq!(fake.get(name), Some(forms), "{name}");
    }
    assert_eq!(fake.len(), real.len(), "the fake has messages that the real one has not");
    assert_eq!(pair.upstream.requests().len(), 2);
}

#[tokio::test]
async fn an_interrupt_in_a_text_looks_like_the_real_one() {
    let gate = Gate::new();
    let script = Script::new()
        .event(ev_item_added(
            0,
            &json!({"type": "message", "id": "msg_0", "role": "assistant", "content": []}),
        ))
        .event(ev_text_delta("msg_0", 0, "one"))
        .gate(&gate);
    let scenario = json!([{"step": "text", "deltas": ["one"], "open": true}, {"step": "hang"}]);
    let mut pair = Pair::start(vec![script], scenario).await;
    for codex in pair.both() {
        let (thread, turn) = codex.start_turn(json!({}), json!([user_item("hi")]), json!({})).await;
        codex.until("item/agentMessage/delta").await;
        codex.request("turn/interrupt", json!({"threadId": thread, "turnId": turn})).await;
        codex.until("turn/completed").await;
    }
    pair.agree();
}

#[tokio::test]
async fn a_failed_turn_looks_like_the_real_one() {
    let body = json!({"error": {"message": "bad thing", "type": "invalid_request_error"}});
    let scenario = json!([{"step": "error", "message": "bad thing", "info": "badRequest"}]);
    let mut pair = Pair::start(vec![Script::http_error(400, body, &[])], scenario).await;
    for codex in pair.both() {
        codex.start_turn(json!({}), json!([user_item("hi")]), json!({})).await;
        codex.until("turn/completed").await;
    }
    pair.agree();
}

#[tokio::test]
async fn errors_and_lists_look_like_the_real_ones() {
    let mut pair = Pair::start(Vec::new(), json!({})).await;
    let ghost = "01a2072e-aea6-72d1-8bf2-8b18f5adb1e9";
    for (method, params) in [
        ("account/read", json!({})),
        ("account/rateLimits/read", Value::Null),
        ("turn/start", json!({"threadId": ghost, "input": []})),
        ("turn/interrupt", json!({"threadId": ghost, "turnId": "x"})),
        ("thread/inject_items", json!({"threadId": ghost, "items": []})),
        ("thread/unsubscribe", json!({"threadId": ghost})),
        ("initialize", json!({"clientInfo": {"name": "a", "version": "1"}})),
    ] {
        let real = pair.real.request(method, params.clone()).await;
        assert_eq!(pair.fake.request(method, params).await, real, "{method}");
    }
    let unknown = [
        pair.real.request("no/such", json!({})).await["error"].clone(),
        pair.fake.request("no/such", json!({})).await["error"].clone(),
    ];
    for error in &unknown {
        assert_eq!(error["code"], -32600);
        let message = error["message"].as_str().unwrap();
        assert!(
            message.starts_with("Invalid request: unknown variant `no/such`, expected one of `initialize`")
        );
    }
    let first_model = |answer: Value| {
        assert!(answer["result"]["nextCursor"].is_null());
        let fields = answer["result"]["data"][0].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        (fields, answer["result"]["data"][0]["isDefault"].clone())
    };
    let real = pair.real.request("model/list", json!({})).await;
    assert_eq!(first_model(pair.fake.request("model/list", json!({})).await), first_model(real));
    let Pair { real, fake, .. } = pair;
    assert_eq!((real.close().await, fake.close().await), (Some(0), Some(0)));
}
