//! The fake upstream under a plain HTTP client and under the real Codex.

mod signed_in;

use super::*;
use crate::app_server::{AppServer, user_item};
use crate::codex_bin::{self, codex_path};
use crate::codex_home::codex_home;

async fn post(url: &str, text: &str) -> reqwest::Response {
    let body = json!({"input": [{"role": "user", "content": text}]}).to_string();
    client().post(format!("{url}/responses")).body(body).send().await.unwrap()
}

fn client() -> reqwest::Client {
    crate::sse::client()
}

#[tokio::test]
async fn scripts_go_to_their_markers_else_to_the_queue() {
    let upstream = FakeOpenAi::start().await;
    upstream.on_marker("[[a]]", [Script::text("for a"), Script::text("for a again")]);
    upstream.push(Script::text("from the queue"));
    for (say, expect) in [("x", "from the queue"), ("[[a]]", "\"for a\""), ("y [[a]]", "for a again")] {
        let text = post(&upstream.base_url(), say).await.text().await.unwrap();
        assert!(text.contains(expect), "{text}");
        assert!(text.ends_with("\n\n") && text.contains("event: response.completed\n"), "{text}");
    }
    let refused = post(&upstream.base_url(), "[[a]] third").await;
    assert_eq!(refused.status(), 400);
    assert_eq!(upstream.unscripted(), ["[[a]] third"]);
    assert_eq!(upstream.requests().len(), 4);
}

#[tokio::test]
async fn a_tool_output_chooses_before_the_user_does() {
    let upstream = FakeOpenAi::start().await;
    upstream.on_marker("[[a]]", [Script::text("for the user")]);
    upstream.on_marker("sunny", [Script::text("for the output")]);
    let user = json!({"role": "user", "content": "[[a]]"});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": "sunny"});
    for (input, expect) in
        [(json!([user, output]), "for the output"), (json!([output, user]), "for the user")]
    {
        let body = json!({"input": input}).to_string();
        let request = client().post(format!("{}/responses", upstream.base_url())).body(body);
        let text = request.send().await.unwrap().text().await.unwrap();
        assert!(text.contains(expect), "{text}");
    }
}

#[tokio::test]
async fn an_answer_held_at_a_gate_notices_that_the_client_left() {
    let upstream = FakeOpenAi::start().await;
    let gate = Gate::new();
    upstream.push(Script::new().message(&["before"]).gate(&gate).message(&["after"]));
    let response = post(&upstream.base_url(), "x").await;
    gate.reached(1).await;
    assert_eq!(upstream.ending(0), Ending::Open);
    drop(response);
    assert_eq!(upstream.wait_for_ending(0).await, Ending::ClosedEarly);
}

#[tokio::test]
async fn an_opened_gate_lets_the_rest_through() {
    let upstream = FakeOpenAi::start().await;
    let gate = Gate::new();
    upstream.push(Script::new().gate(&gate).message(&["after"]));
    let response = post(&upstream.base_url(), "x").await;
    gate.reached(1).await;
    gate.open();
    assert!(response.text().await.unwrap().contains("after"));
    assert_eq!(upstream.wait_for_ending(0).await, Ending::Sent);
}

#[tokio::test]
async fn chunks_cut_through_characters_and_the_bytes_stay_the_same() {
    let upstream = FakeOpenAi::start().await;
    upstream.push(Script::new().response_id("resp_a").message_with_id("msg_a", &["añ🦀b"]));
    upstream.push(Script::new().response_id("resp_a").chunk_sizes(&[1]).message_with_id("msg_a", &["añ🦀b"]));
    let whole = post(&upstream.base_url(), "x").await.bytes().await.unwrap();
    let mut response = post(&upstream.base_url(), "x").await;
    let mut chunks = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        chunks.push(chunk);
    }
    assert_eq!(chunks.concat(), whole);
    assert!(chunks.iter().skip(1).all(|chunk| chunk.len() == 1), "every byte travels alone");
}

#[tokio::test]
async fn a_disconnect_is_an_error_and_an_http_error_has_its_head() {
    let upstream = FakeOpenAi::start().await;
    upstream.push(Script::new().message(&["cut"]).disconnect());
    upstream.push(Script::http_error(429, json!({"error": {}}), &[("retry-after", "7")]));
    let cut = post(&upstream.base_url(), "x").await;
    assert_eq!(cut.status(), 200);
    assert!(cut.bytes().await.is_err());
    let refused = post(&upstream.base_url(), "x").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "7"));
}

#[tokio::test]
async fn the_newest_codex_plays_a_script_and_sends_the_tool_outputs_back() {
    let upstream = FakeOpenAi::start().await;
    let usage = Usage { input: 1000, cached: 900, cache_write: 50, output: 30, reasoning: 10 };
    upstream.push(
        Script::new()
            .chunk_sizes(&[3, 1, 2])
            .reasoning(&[&["**Pl", "an**"], &["two"]], Some("ENC"))
            .message(&["Hé", "llo 🦀"])
            .function_call("call_a", "get_weather", r#"{"city":"Paris"}"#, 4)
            .function_call("call_b", "get_weather", r#"{"city":"Rome"}"#, 4)
            .usage(usage),
    );
    upstream.push(Script::text("done"));
    let home = tempfile::tempdir().unwrap();
    codex_home(home.path(), codex_bin::NEWEST, &upstream.base_url(), 0);
    let mut codex = AppServer::spawn(&codex_path(codex_bin::NEWEST), home.path(), &[], &[]);
    codex.initialize().await;
    let tool = json!({
        "type": "function", "name": "get_weather", "description": "w",
        "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
    });
    codex.start_turn(json!({"dynamicTools": [tool]}), json!([user_item("hi")]), json!({})).await;
    for _ in 0..2 {
        let call = codex.until("item/tool/call").await;
        let output = json!({"contentItems": [{"type": "inputText", "text": "sunny"}], "success": true});
        codex.send(&json!({"id": call["id"], "result": output})).await;
    }
    let end = codex.until("turn/completed").await;
    assert_eq!(end["params"]["turn"]["status"], "completed");
    let deltas: String = codex
        .logged("item/agentMessage/delta")
        .iter()
        .map(|line| line["params"]["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas, "Héllo 🦀done");
    assert_eq!(codex.logged("rawResponse/completed")[0]["params"]["usage"]["inputTokens"], 1000);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].last_user_text(), "hi");
    let outputs: Vec<_> = requests[1]
        .input_without_ids()
        .into_iter()
        .filter(|item| item["type"] == "function_call_output")
        .map(|item| (item["call_id"].clone(), item["output"].clone()))
        .collect();
    assert_eq!(outputs, [(json!("call_a"), json!("sunny")), (json!("call_b"), json!("sunny"))]);
    assert_eq!(codex.close().await, Some(0));
}

#[tokio::test]
async fn an_interrupt_closes_the_upstream_connection() {
    let upstream = FakeOpenAi::start().await;
    let gate = Gate::new();
    upstream.push(Script::new().message(&["one"]).gate(&gate));
    let home = tempfile::tempdir().unwrap();
    codex_home(home.path(), codex_bin::NEWEST, &upstream.base_url(), 0);
    let mut codex = AppServer::spawn(&codex_path(codex_bin::NEWEST), home.path(), &[], &[]);
    codex.initialize().await;
    let (thread, turn) = codex.start_turn(json!({}), json!([user_item("hi")]), json!({})).await;
    codex.until("item/agentMessage/delta").await;
    let answer = codex.request("turn/interrupt", json!({"threadId": thread, "turnId": turn})).await;
    assert_eq!(answer["result"], json!({}));
    assert_eq!(upstream.wait_for_ending(0).await, Ending::ClosedEarly);
}

#[tokio::test]
async fn the_floor_codex_plays_a_script() {
    let upstream = FakeOpenAi::start().await;
    upstream.push(Script::new().chunk_sizes(&[1]).message(&["Hé", "llo 🦀"]));
    let home = tempfile::tempdir().unwrap();
    codex_home(home.path(), codex_bin::FLOOR, &upstream.base_url(), 0);
    let mut codex = AppServer::spawn(&codex_path(codex_bin::FLOOR), home.path(), &[], &[]);
    codex.initialize().await;
    let started = codex.request("thread/start", json!({"model": "gpt-5.2"})).await;
    let thread = started["result"]["thread"]["id"].clone();
    let input = json!([{"type": "text", "text": "hi"}]);
    codex.request("turn/start", json!({"threadId": thread, "input": input})).await;
    codex.until("turn/completed").await;
    let done = codex.logged("item/completed");
    assert_eq!(done.last().unwrap()["params"]["item"]["text"], "Héllo 🦀");
    assert_eq!(upstream.requests()[0].last_user_text(), "hi");
}
