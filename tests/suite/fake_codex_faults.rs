//! The fake Codex follows its scenarios.

use std::process::Command;

use e2e::app_server::{AppServer, user_item};
use e2e::harness::fake_codex_path;
use serde_json::{Value, json};
use tempfile::TempDir;

async fn start(scenario: &Value) -> (AppServer, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let scenario = scenario.to_string();
    let environment = [("FAKE_CODEX_SCENARIO", scenario.as_str())];
    let mut codex = AppServer::spawn(&fake_codex_path(), home.path(), &[], &environment);
    codex.initialize().await;
    (codex, home)
}

async fn turn(codex: &mut AppServer, text: &str) -> (String, String) {
    codex.start_turn(json!({}), json!([user_item(text)]), json!({})).await
}

fn text_of(codex: &AppServer) -> String {
    let deltas = codex.logged("item/agentMessage/delta");
    deltas.iter().map(|line| line["params"]["delta"].as_str().unwrap()).collect()
}

#[test]
fn version_and_catalogue_are_printed() {
    let output = |args: &[&str]| {
        let home = tempfile::tempdir().unwrap();
        let output = Command::new(fake_codex_path()).args(args).env("CODEX_HOME", home.path()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(output(&["--version"]), (Some(0), "codex-cli 0.169.0\n".to_owned()));
    for args in [&["debug", "models"][..], &["-c", "a=b", "debug", "models", "--bundled"]] {
        let (code, text) = output(args);
        let catalogue: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, catalogue["models"][0]["slug"].as_str()), (Some(0), Some("gpt-6.1-sol")));
    }
    assert_eq!(output(&["no-such-command"]).0, Some(1));
}

#[tokio::test]
async fn without_a_scenario_it_greets_and_calls_the_tools_it_is_told_to() {
    let (mut codex, _home) = start(&json!({})).await;
    turn(&mut codex, "hi").await;
    codex.until("turn/completed").await;
    assert!(text_of(&codex).starts_with("Hello!"));
    assert!(codex.logged("item/agentMessage/delta").len() > 5);
    assert_eq!(codex.logged("item/reasoning/summaryTextDelta").len(), 2);
    codex.log.clear();

    let tool =
        json!({"type": "function", "name": "add", "description": "", "inputSchema": {"type": "object"}});
    let text = r#"[[call:add {"a":1}]] [[call:add {"a":2}]] [[call:unknown {}]]"#;
    codex.start_turn(json!({"dynamicTools": [tool]}), json!([user_item(text)]), json!({})).await;
    for expected in [1, 2] {
        let call = codex.until("item/tool/call").await;
        assert_eq!(call["params"]["arguments"], json!({"a": expected}));
        let output = json!({"contentItems": [{"type": "inputText", "text": "3"}], "success": true});
        codex.send(&json!({"id": call["id"], "result": output})).await;
    }
    codex.until("turn/completed").await;
    assert_eq!(text_of(&codex), "The tools have answered, thank you.");
    codex.log.clear();

    let items = json!([
        user_item(text),
        {"type": "function_call", "name": "add", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": "42"},
    ]);
    codex.start_turn(json!({"dynamicTools": [tool]}), items, json!({})).await;
    codex.until("turn/completed").await;
    assert_eq!(text_of(&codex), "The tools answered: 42");
    codex.log.clear();

    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    codex.start_turn(json!({}), json!([user_item("x")]), json!({"outputSchema": schema})).await;
    codex.until("turn/completed").await;
    assert_eq!(text_of(&codex), r#"{"a":1}"#);
    assert_eq!(codex.close().await, Some(0));
}

#[tokio::test]
async fn turns_at_a_barrier_interleave() {
    let steps = json!([{"step": "barrier", "turns": 2}, {"step": "text", "deltas": ["a", "b", "{{user}}"]}]);
    let (mut codex, _home) = start(&json!({"scenarios": {"both": steps}})).await;
    turn(&mut codex, "1[[scenario:both]]").await;
    turn(&mut codex, "2[[scenario:both]]").await;
    codex.until("turn/completed").await;
    codex.until("turn/completed").await;
    assert_eq!(text_of(&codex), "aabb1[[scenario:both]]2[[scenario:both]]");
}

#[tokio::test]
async fn lines_can_be_split_garbled_huge_and_many() {
    let steps = json!([
        {"step": "split", "size": 3}, {"step": "stderr_flood", "bytes": 200_000},
        {"step": "text", "deltas": ["añ🦀"]}, {"step": "flood", "count": 1000, "text": "x"},
        {"step": "big_line", "bytes": 300_000}, {"step": "garbage", "line": "no {json"},
    ]);
    let (mut codex, _home) = start(&steps).await;
    turn(&mut codex, "hi").await;
    let mut garbage = 0;
    let mut text = String::new();
    while let Some(line) = codex.receive_text().await {
        let Ok(line) = serde_json::from_str::<Value>(&line) else {
            assert_eq!(line, "no {json");
            garbage += 1;
            continue;
        };
        text.push_str(line["params"]["delta"].as_str().unwrap_or_default());
        if line["method"] == "turn/completed" {
            break;
        }
    }
    assert_eq!(garbage, 1);
    assert_eq!(text, format!("añ🦀{}", "x".repeat(301_000)));
}

#[tokio::test]
async fn it_exits_where_it_is_told_to_and_only_in_that_run() {
    let fault = json!({"at": "thread/start", "fault": "exit", "code": 3, "runs": [1]});
    let scenario = json!({"faults": [fault], "scenarios": {"default": [{"step": "exit", "code": 4}]}});
    let (mut codex, home) = start(&scenario).await;
    codex.start_request("thread/start", json!({})).await;
    assert_eq!(codex.exited().await, Some(3));

    let text = scenario.to_string();
    let environment = [("FAKE_CODEX_SCENARIO", text.as_str())];
    let mut codex = AppServer::spawn(&fake_codex_path(), home.path(), &[], &environment);
    codex.initialize().await;
    turn(&mut codex, "hi").await;
    assert_eq!(codex.exited().await, Some(4));
    let pids = std::fs::read_to_string(home.path().join("fake-codex.pids")).unwrap();
    assert_eq!(pids.lines().count(), 2);
}

#[tokio::test]
async fn a_late_answer_comes_after_the_next_one_and_a_hanging_request_gets_none() {
    let faults = json!([
        {"at": "account/read", "fault": "late"}, {"at": "account/logout", "fault": "hang"},
        {"at": "account/login/cancel", "fault": "error", "code": -32000, "message": "no"},
    ]);
    let (mut codex, _home) = start(&json!({"faults": faults})).await;
    codex.until("remoteControl/status/changed").await;
    let late = codex.start_request("account/read", json!({})).await;
    codex.start_request("account/logout", json!({})).await;
    let next = codex.start_request("account/login/cancel", json!({})).await;
    let after = codex.start_request("model/list", json!({})).await;
    let refused = codex.receive().await.unwrap();
    assert_eq!((&refused["id"], &refused["error"]["message"]), (&json!(next), &json!("no")));
    assert_eq!(codex.receive().await.unwrap()["id"], after);
    assert_eq!(codex.receive().await.unwrap()["id"], late);
}

#[tokio::test]
async fn a_hanging_turn_can_be_interrupted() {
    let (mut codex, _home) = start(&json!([{"step": "hang"}])).await;
    let (thread, id) = turn(&mut codex, "hi").await;
    let answer = codex.request("turn/interrupt", json!({"threadId": thread, "turnId": id})).await;
    assert_eq!(answer["result"], json!({}));
    assert_eq!(codex.until("turn/completed").await["params"]["turn"]["status"], "interrupted");
    assert_eq!(codex.close().await, Some(0));
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_ends_it_unless_it_ignores_it() {
    use rustix::process::{Pid, Signal, kill_process};
    let terminate = |codex: &AppServer| {
        let pid = i32::try_from(codex.pid().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    };
    let (codex, _home) = start(&json!({})).await;
    terminate(&codex);
    assert_eq!(codex.exited().await, None, "a signal is no exit code");
    let (mut codex, _home) = start(&json!({"ignore_sigterm": true})).await;
    terminate(&codex);
    let answer = codex.request("account/read", json!({})).await;
    assert_eq!(answer["result"]["requiresOpenaiAuth"], false);
    assert_eq!(codex.close().await, Some(0));
}
