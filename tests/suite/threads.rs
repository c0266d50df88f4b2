//! A growing chat stays on its thread of Codex: one connection to the upstream, and each item is sent once.

use e2e::codex_bin::{NEWEST, PREVIOUS};
use e2e::fake_openai::{FakeOpenAi, Recorded, Script, Upstream};
use e2e::harness::{Proxy, Setup};
use reqwest::Method;
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = [NEWEST, PREVIOUS];
const MODEL: &str = "gpt-5.5";

async fn world(version: &str, settings: &[(&str, &str)]) -> (FakeOpenAi, Proxy) {
    let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
    upstream.fall_back_to(Script::text("ok"));
    let mut setup = Setup::real(version, &upstream).env("PROXY_WARM_THREADS", "0");
    for (name, value) in settings {
        setup = setup.env(name, value);
    }
    (upstream, setup.start().await)
}

/// Sends a request. Returns the answer and where its thread comes from.
async fn ask(proxy: &Proxy, path: &str, body: &Value) -> (Value, String) {
    ask_as(proxy, path, body, None).await
}

async fn ask_as(proxy: &Proxy, path: &str, body: &Value, key: Option<&str>) -> (Value, String) {
    let mut request = proxy.post(path, body);
    if let Some(key) = key {
        request = proxy
            .bare(Method::POST, &proxy.root_url(&format!("/v1{path}")))
            .bearer_auth(key)
            .body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let thread = response.headers().get("x-proxy-thread");
    let thread = thread.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = response.status();
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(status, 200, "{answer}");
    (answer, thread)
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// What a frame has sent itself, without the items that went before.
fn new_items(request: &Recorded) -> usize {
    request.sent["input"].as_array().map_or(0, Vec::len)
}

/// The texts that the model has seen, with its own.
fn seen(request: &Recorded) -> Vec<String> {
    let items = request.input_without_ids();
    items.iter().map(|item| item["content"][0]["text"].as_str().unwrap_or("?").to_owned()).collect()
}

#[tokio::test]
async fn a_chat_of_twenty_requests_sends_each_item_once_over_one_connection() {
    for version in VERSIONS {
        let (upstream, proxy) = world(version, &[]).await;
        let mut messages = vec![json!({"role": "system", "content": "Be brief."})];
        let mut told = vec!["Be brief.".to_owned()];
        for round in 0..20 {
            upstream.push(Script::text(&format!("answer {round}")));
            messages.push(json!({"role": "user", "content": format!("question {round}")}));
            told.push(format!("question {round}"));
            let body = json!({"model": MODEL, "messages": messages});
            let (answer, thread) = ask(&proxy, "/chat/completions", &body).await;
            assert_eq!(thread, if round == 0 { "fresh" } else { "reused" }, "{version}: {round}");
            let message = answer["choices"][0]["message"].clone();
            assert_eq!(message["content"], format!("answer {round}"));
            messages.push(message);
            let requests = upstream.requests();
            assert_eq!(seen(&requests[round]), told, "{version}: the model sees the whole chat");
            assert_eq!(new_items(&requests[round]), if round == 0 { 2 } else { 1 }, "{version}: {round}");
            told.push(format!("answer {round}"));
        }
        assert_eq!(upstream.connections().ever, 1, "{version}");

        let mut items = Vec::new();
        for round in 0..20 {
            upstream.push(
                Script::new().reasoning(&[&["hm"]], Some("sealed")).message(&[&format!("say {round}")]),
            );
            items.push(user(&format!("ask {round}")));
            let body = json!({"model": MODEL, "input": items, "include": ["reasoning.encrypted_content"]});
            let (answer, thread) = ask(&proxy, "/responses", &body).await;
            assert_eq!(thread, if round == 0 { "fresh" } else { "reused" }, "{version}: {round}");
            items.extend(answer["output"].as_array().unwrap().iter().cloned());
            assert_eq!(new_items(upstream.requests().last().unwrap()), 1);
        }
        assert_eq!(upstream.connections().ever, 2, "{version}");
        assert!(upstream.unscripted().is_empty());
    }
}

fn tool() -> Value {
    json!({"type": "function", "name": "look", "description": "d", "strict": false,
           "parameters": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}}})
}

#[tokio::test]
async fn a_tool_loop_of_five_rounds_is_one_turn_of_codex() {
    for version in VERSIONS {
        let (upstream, proxy) = world(version, &[]).await;
        let mut items = vec![user("look five times")];
        for round in 0..5 {
            let (one, two) = (format!("one_{round}"), format!("two_{round}"));
            upstream.push(
                Script::new()
                    .function_call(&one, "look", r#"{"n": 1}"#, 3)
                    .function_call(&two, "look", "{}", 3),
            );
            let body = json!({"model": MODEL, "input": items, "tools": [tool()]});
            let (answer, thread) = ask(&proxy, "/responses", &body).await;
            assert_eq!(thread, if round == 0 { "fresh" } else { "parked" }, "{version}: {round}");
            let output = answer["output"].as_array().unwrap();
            assert_eq!(output.len(), 2);
            items.extend(output.iter().cloned());
            for call in output {
                let call_id = &call["call_id"];
                items.push(json!({"type": "function_call_output", "call_id": call_id, "output": format!("seen {round}")}));
            }
        }
        upstream.push(Script::text("done"));
        let (answer, thread) =
            ask(&proxy, "/responses", &json!({"model": MODEL, "input": items, "tools": [tool()]})).await;
        assert_eq!(
            (answer["output"][0]["content"][0]["text"].as_str(), thread.as_str()),
            (Some("done"), "parked")
        );
        items.push(answer["output"][0].clone());
        items.push(user("thanks"));
        let (_, thread) =
            ask(&proxy, "/responses", &json!({"model": MODEL, "input": items, "tools": [tool()]})).await;
        assert_eq!(thread, "reused");
        let requests = upstream.requests();
        assert_eq!(requests.len(), 7, "{version}");
        assert_eq!(upstream.connections().ever, 1, "{version}");
        let sent: Vec<_> = requests.iter().map(new_items).collect();
        assert_eq!(sent, [2, 2, 2, 2, 2, 2, 1], "{version}: tools and question, then pairs of outputs");
        let turns: std::collections::HashSet<_> = requests[..6]
            .iter()
            .flat_map(|request| request.metadata().into_iter().cloned())
            .filter_map(|metadata| metadata["turn_id"].as_str().map(str::to_owned))
            .filter(|turn| !turn.starts_with("auto-compact"))
            .collect();
        assert_eq!(turns.len(), 1, "{version}: {turns:?}");
    }
}

#[tokio::test]
async fn what_is_not_the_outputs_of_a_parked_turn_goes_to_a_new_thread_with_the_whole_history() {
    let (upstream, proxy) = world(NEWEST, &[]).await;
    let ask_with = async |items: &[Value]| {
        ask(&proxy, "/responses", &json!({"model": MODEL, "input": items, "tools": [tool()]})).await
    };
    let output =
        |call: &str, text: &str| json!({"type": "function_call_output", "call_id": call, "output": text});
    type Rest = fn(&str) -> Vec<Value>;
    let disturbances: [(&str, Rest, &str); 4] = [
        (
            "exact",
            |call| vec![json!({"type": "function_call_output", "call_id": call, "output": "a"})],
            "parked",
        ),
        (
            "a message more",
            |call| {
                vec![json!({"type": "function_call_output", "call_id": call, "output": "a"}), user("and?")]
            },
            "fresh",
        ),
        (
            "another question",
            |_| vec![json!({"type": "function_call_output", "call_id": "other", "output": "a"})],
            "fresh",
        ),
        (
            "a picture",
            |call| {
                let url = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
                vec![json!({"type": "function_call_output", "call_id": call,
                            "output": [{"type": "input_image", "image_url": url}]})]
            },
            "fresh",
        ),
    ];
    for (number, (name, rest, expected)) in disturbances.into_iter().enumerate() {
        let call = format!("call_{number}");
        let mut items = vec![user(name)];
        upstream.push(Script::new().function_call(&call, "look", "{}", 3));
        let (answer, _) = ask_with(&items).await;
        items.push(answer["output"][0].clone());
        if name == "another question" {
            items.pop();
            items.push(
                json!({"type": "function_call", "call_id": "other", "name": "look", "arguments": "{}"}),
            );
        }
        items.extend(rest(&call));
        upstream.push(Script::text(name));
        let (answer, thread) = ask_with(&items).await;
        assert_eq!(
            (answer["output"][0]["content"][0]["text"].as_str(), thread.as_str()),
            (Some(name), expected)
        );
    }
    // Two clients with the same history: one goes on, the other starts fresh.
    let mut items = vec![user("both")];
    upstream.push(Script::new().function_call("shared", "look", "{}", 3));
    let (answer, _) = ask_with(&items).await;
    items.extend([answer["output"][0].clone(), output("shared", "x")]);
    upstream.push(Script::text("first"));
    upstream.push(Script::text("second"));
    assert_eq!(ask_with(&items).await.1, "parked");
    let (answer, thread) = ask_with(&items).await;
    assert_eq!(
        (answer["output"][0]["content"][0]["text"].as_str(), thread.as_str()),
        (Some("second"), "fresh")
    );
    let last = upstream.requests().last().unwrap().input_without_ids();
    assert_eq!(last.len(), 4, "tools, question, call and output: {last:?}");
    assert!(upstream.unscripted().is_empty());
}

#[tokio::test]
async fn an_edited_chat_another_key_and_a_lost_worker_get_new_threads() {
    let (upstream, proxy) = world(NEWEST, &[]).await;
    let body = |texts: &[(&str, &str)]| {
        let messages: Vec<_> =
            texts.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
        json!({"model": MODEL, "messages": messages})
    };
    let path = "/chat/completions";
    assert_eq!(ask(&proxy, path, &body(&[("user", "one")])).await.1, "fresh");
    let grown = body(&[("user", "one"), ("assistant", "ok"), ("user", "two")]);
    proxy.control_ok("/keys", Some(&json!({"name": "other"}))).await;
    let revealed = proxy.control_ok("/keys/other/reveal", Some(&json!({}))).await;
    let other = revealed["secret"].as_str().unwrap().to_owned();
    assert_eq!(ask_as(&proxy, path, &grown, Some(&other)).await.1, "fresh", "another key");
    let edited = body(&[("user", "one"), ("assistant", "no"), ("user", "two")]);
    assert_eq!(ask(&proxy, path, &edited).await.1, "fresh", "an answer that was edited");
    assert_eq!(ask(&proxy, path, &grown).await.1, "reused");
    let again = body(&[
        ("user", "one"),
        ("assistant", "ok"),
        ("user", "two"),
        ("assistant", "ok"),
        ("user", "three"),
    ]);
    let restarted = proxy.control(Method::POST, "/workers/restart").send().await.unwrap();
    assert!(restarted.status().is_success());
    let (answer, thread) = ask(&proxy, path, &again).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "ok");
    assert_eq!(seen(upstream.requests().last().unwrap()), ["one", "ok", "two", "ok", "three"], "{thread}");
}

#[tokio::test]
async fn a_new_chat_of_a_kind_that_was_seen_starts_on_a_thread_that_is_ready() {
    let (upstream, proxy) = world(NEWEST, &[("PROXY_WARM_THREADS", "1")]).await;
    let body =
        |text: &str| json!({"model": MODEL, "instructions": "Be brief.", "input": text, "tools": [tool()]});
    assert_eq!(ask(&proxy, "/responses", &body("one")).await.1, "fresh");
    upstream.wait_for_connections("the next chat's", |connections| connections.ever == 2).await;
    for text in ["two", "three"] {
        let known = upstream.connections().ever;
        let (_, thread) = ask(&proxy, "/responses", &body(text)).await;
        assert_eq!(thread, "warm");
        let last = upstream.requests().last().unwrap().clone();
        assert_eq!(last.input_without_ids().len(), 3, "tools, instructions and question: {:?}", last.input());
        assert!(!last.sent["previous_response_id"].is_null(), "it goes on from the warm-up");
        upstream.wait_for_connections("the next chat's", |connections| connections.ever > known).await;
    }
}

#[tokio::test]
async fn two_hundred_chats_leave_no_more_connections_than_are_kept() {
    let settings = [("PROXY_KEPT_THREADS", "5"), ("PROXY_WARM_THREADS", "0")];
    let (upstream, proxy) = world(NEWEST, &settings).await;
    for _ in 0..5 {
        let chats = (0..40).map(|number| {
            let body = json!({"model": MODEL, "input": format!("chat {number}"), "stream": false});
            let proxy = &proxy;
            async move { ask(proxy, "/responses", &body).await }
        });
        futures_util::future::join_all(chats).await;
    }
    let what = "five";
    upstream.wait_for_connections(what, |connections| connections.open <= 5).await;
    assert_eq!(upstream.connections().ever, 200);
    proxy.stop().await;
    upstream.wait_for_connections("none", |connections| connections.open == 0).await;
}
