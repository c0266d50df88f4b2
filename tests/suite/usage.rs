//! The usage of every request is recorded exactly, whatever its result is.

use std::sync::Arc;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Gate, Script, UPSTREAMS, Upstream, Usage};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};

/// Reads what a path of the API has.
async fn get(proxy: &Proxy, path: &str) -> Value {
    let (status, body) = sse::json(proxy.request(Method::GET, path)).await;
    assert_eq!(status, 200, "{body}");
    body
}

/// Every event, oldest first, once there are `count`.
async fn events(proxy: &Proxy, count: usize) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let page = get(proxy, &format!("/usage/raw?limit=1000&after={after}")).await;
            let data = page["data"].as_array().expect("a page has data").clone();
            let Some(last) = data.last() else { break };
            after = last["id"].as_u64().expect("an event has a number");
            events.extend(data);
        }
        if events.len() >= count {
            return events;
        }
        assert!(tokio::time::Instant::now() < deadline, "only {} of {count} events", events.len());
    }
}

fn sum(events: &[Value], field: &str) -> u64 {
    let counted = events.iter().filter(|event| event["estimated"] == false);
    counted.map(|event| event[field].as_u64().unwrap_or_default()).sum()
}

fn usage(seed: u64) -> Usage {
    Usage {
        input: 1000 + seed * 7 % 997,
        cached: seed * 3 % 501,
        cache_write: seed % 89,
        output: 20 + seed * 11 % 333,
        reasoning: seed % 17,
    }
}

fn tool() -> Value {
    json!({"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": false})
}

/// One of the ways in which clients use the proxy. Returns how many events it leaves and what upstream counted.
async fn one(proxy: &Proxy, upstream: &FakeOpenAi, number: u64) -> (usize, Vec<Usage>) {
    let marker = format!("request-{number:05}.");
    let counted = usage(number);
    let chat = json!({"model": "codex-5", "messages": [{"role": "user", "content": marker}]});
    let responses = json!({"model": "codex-5", "input": marker});
    match number % 10 {
        0..=2 => {
            upstream.on_marker(&marker, [Script::text("well").usage(counted)]);
            proxy.post_ok("/responses", &responses).await;
            (1, vec![counted])
        }
        3 => {
            upstream.on_marker(&marker, [Script::text("well").usage(counted)]);
            proxy.post_ok("/chat/completions", &chat).await;
            (1, vec![counted])
        }
        4 => {
            upstream.on_marker(&marker, [Script::text("well").usage(counted)]);
            proxy.stream("/responses", &responses).await.rest().await;
            (1, vec![counted])
        }
        5 => {
            upstream.on_marker(&marker, [Script::text("well").usage(counted)]);
            proxy.stream("/chat/completions", &chat).await.rest().await;
            (1, vec![counted])
        }
        6 => {
            let second = usage(number + 100_000);
            let output = format!("{marker}output");
            upstream
                .on_marker(&marker, [Script::new().function_call("call_1", "look", "{}", 1).usage(counted)]);
            upstream.on_marker(&output, [Script::text("seen").usage(second)]);
            let mut body = responses.clone();
            body["tools"] = json!([tool()]);
            let answer = proxy.post_ok("/responses", &body).await;
            let call = answer["output"].as_array().and_then(|items| items.last()).cloned();
            let call = call.expect("the model calls");
            body["input"] = json!([
                {"role": "user", "content": marker},
                call,
                {"type": "function_call_output", "call_id": call["call_id"], "output": output},
            ]);
            proxy.post_ok("/responses", &body).await;
            (2, vec![counted, second])
        }
        7 => {
            let refusal = json!({"error": {"message": "no", "type": "invalid_request_error"}});
            upstream.on_marker(&marker, [Script::http_error(400, refusal, &[])]);
            let (status, _) = sse::json(proxy.post("/responses", &responses)).await;
            assert_eq!(status, 400);
            (1, vec![])
        }
        8 => {
            let gate = Gate::new();
            let script = Script::new().message_held("some", &gate, "thing").usage(counted);
            upstream.on_marker(&marker, [script]);
            let mut stream = proxy.stream("/responses", &responses).await;
            stream.until("response.output_text.delta").await;
            // The client disconnects; the upstream does not reach the end, where it would report the usage.
            drop(stream);
            (1, vec![])
        }
        _ => {
            let second = usage(number + 200_000);
            upstream
                .on_marker(&marker, [Script::text("one").usage(counted), Script::text("two").usage(second)]);
            let mut body = chat.clone();
            body["n"] = json!(2);
            proxy.post_ok("/chat/completions", &body).await;
            (1, vec![counted, second])
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_equal_the_upstreams_count_over_a_thousand_mixed_requests() {
    totals_equal_the_upstreams_count(Upstream::Plain, 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_equal_the_upstreams_count_with_a_sign_in() {
    totals_equal_the_upstreams_count(Upstream::SignedIn, 300).await;
}

async fn totals_equal_the_upstreams_count(kind: Upstream, requests: u64) {
    const AT_ONCE: u64 = 10;
    let upstream = Arc::new(FakeOpenAi::of(kind).await);
    let proxy = Arc::new(Setup::real(NEWEST, &upstream).start().await);
    let mut tasks = Vec::new();
    for lane in 0..AT_ONCE {
        let (proxy, upstream) = (proxy.clone(), upstream.clone());
        tasks.push(tokio::spawn(async move {
            let (mut left, mut counted) = (0, Vec::new());
            for round in 0..requests / AT_ONCE {
                let (events, usages) =
                    one(&proxy, &upstream, round * AT_ONCE + (lane + round) % AT_ONCE).await;
                left += events;
                counted.extend(usages);
                if lane == 0 && round % 25 == 24 {
                    let restarted = proxy.control(Method::POST, "/workers/restart").send().await;
                    assert_eq!(restarted.expect("the proxy answers").status(), 202);
                }
            }
            (left, counted)
        }));
    }
    let (mut expected_events, mut counted) = (0, Vec::new());
    for task in tasks {
        let (events, usages) = task.await.expect("no client fails");
        expected_events += events;
        counted.extend(usages);
    }
    assert_eq!(upstream.unscripted(), Vec::<String>::new());

    let events = events(&proxy, expected_events).await;
    assert_eq!(events.len(), expected_events, "each request leaves one event");
    let totals = get(&proxy, "/usage").await;
    let totals = &totals["totals"];
    let expected = |of: fn(&Usage) -> u64| counted.iter().map(of).sum::<u64>();
    for (field, expected) in [
        ("input_tokens", expected(|usage| usage.input)),
        ("cached_tokens", expected(|usage| usage.cached)),
        ("cache_write_tokens", expected(|usage| usage.cache_write)),
        ("output_tokens", expected(|usage| usage.output)),
        ("reasoning_tokens", expected(|usage| usage.reasoning)),
    ] {
        assert_eq!(sum(&events, field), expected, "{field} of the events");
        assert_eq!(totals[field], expected, "{field} of the totals");
    }
    assert_eq!(totals["requests"], expected_events);
    assert_eq!(totals["errors"], requests / 10);
    assert_eq!(totals["cancelled"], requests / 10);
    assert_eq!(totals["estimated_requests"], requests / 10, "only what was cancelled is estimated");
    let cancelled: Vec<_> = events.iter().filter(|event| event["status"] == 499).collect();
    assert_eq!(cancelled.len() as u64, requests / 10);
    for event in &cancelled {
        assert_eq!(event["error_code"], "client_closed_request", "{event}");
        assert_eq!(event["estimated"], true, "{event}");
        assert!(event["input_tokens"].as_u64() > Some(0), "{event}");
    }
    let with_calls = events.iter().filter(|event| event["tool_calls"] == 1).count();
    assert_eq!(with_calls as u64, requests / 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_who_asked_for_what_and_how_it_went() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        upstream.push(Script::text("four letters").usage(usage(1)));
        let body = json!({"model": "codex-5-low", "messages": [{"role": "user", "content": "hello"}]});
        let answer = proxy.post("/chat/completions", &body).header("user-agent", "obsidian/1.8").send().await;
        let answer = answer.expect("the proxy answers");
        let request_id = answer.headers()["x-request-id"].to_str().expect("it is text").to_owned();
        let bytes = answer.bytes().await.expect("it has a body").len();
        let (status, _) =
            sse::json(proxy.post("/responses", &json!({"model": "no-such-model", "input": "x"}))).await;
        assert_eq!(status, 404);
        let (status, _) = sse::json(proxy.post("/responses", &json!("nonsense"))).await;
        assert_eq!(status, 400);

        let events = events(&proxy, 3).await;
        let good = &events[0];
        for (field, expected) in [
            ("route", json!("/v1/chat/completions")),
            ("method", json!("POST")),
            ("surface", json!("chat")),
            ("request_id", json!(request_id)),
            ("key", json!("PROXY_API_KEY")),
            ("client", json!("obsidian")),
            ("user_agent", json!("obsidian/1.8")),
            ("requested_model", json!("codex-5-low")),
            ("effort", json!("low")),
            ("stream", json!(false)),
            ("status", json!(200)),
            ("error_code", Value::Null),
            ("input_tokens", json!(usage(1).input)),
            ("estimated", json!(false)),
            ("tool_calls", json!(0)),
            ("worker", json!(0)),
            ("thread", json!("fresh")),
            ("request_bytes", json!(body.to_string().len())),
            ("response_bytes", json!(bytes)),
        ] {
            assert_eq!(good[field], expected, "{field} of {good}");
        }
        assert!(!good["effective_model"].as_str().unwrap_or_default().is_empty(), "{good}");
        assert!(good["ttft_ms"].as_u64() <= good["duration_ms"].as_u64(), "{good}");
        let outcome = |event: &Value| (event["status"].clone(), event["error_code"].clone());
        assert_eq!(outcome(&events[1]), (json!(404), json!("model_not_found")));
        assert_eq!(events[1]["requested_model"], "no-such-model");
        assert_eq!(events[2]["status"], 400);

        let log = proxy.control_ok("/requests", None).await;
        let entries = log["requests"].as_array().expect("there are requests");
        let states: Vec<_> =
            entries.iter().map(|entry| entry["state"].as_str().unwrap_or_default()).collect();
        assert_eq!(states, ["failed", "failed", "done"], "newest first");
        assert_eq!(entries[2]["id"], json!(request_id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_usage_is_answered_without_the_model() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    upstream.push(Script::text("well").usage(usage(5)));
    proxy.post_ok("/responses", &json!({"model": "codex-5", "input": "hello"})).await;
    let chat = json!({"model": "codex-5", "messages": [{"role": "user", "content": " Usage TODAY "}]});
    let responses = json!({"model": "codex-5", "input": "usage last 7d"});
    let answer = proxy.post_ok("/chat/completions", &chat).await;
    let text = answer["choices"][0]["message"]["content"].as_str().expect("a message").to_owned();
    let tokens = usage(5).input + usage(5).output;
    let tokens = format!("{},{:03}", tokens / 1000, tokens % 1000);
    assert!(text.contains(&tokens), "{tokens} in {text}");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let answer = proxy.post_ok("/responses", &responses).await;
    assert!(
        answer["output"][0]["content"][0]["text"].as_str().is_some_and(|text| !text.is_empty()),
        "{answer}"
    );
    let frames = proxy.stream("/responses", &responses).await.events().await;
    assert_eq!(frames.last().map(|event| &event["type"]), Some(&json!("response.completed")));
    let frames = proxy.stream("/chat/completions", &chat).await.events().await;
    let said: String =
        frames.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(said.contains(&tokens), "{said}");
    assert_eq!(upstream.requests().len(), 1, "the model was asked once");
    upstream.push(Script::text("a question for the model"));
    let answer =
        proxy.post_ok("/responses", &json!({"model": "codex-5", "input": "usage of the word 'today'"})).await;
    assert_eq!(answer["output"][0]["content"][0]["text"], "a question for the model");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sent_and_what_reached_codex_is_shown_while_somebody_asks_for_it() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let body = json!({"model": "codex-5", "input": "it's $me"});
    let ask = || proxy.post_ok("/responses", &body);
    upstream.fall_back_to(Script::text("an answer"));
    ask().await;
    proxy.control_ok("/capture", Some(&json!({"key": "PROXY_API_KEY", "seconds": 60}))).await;
    ask().await;
    let list = proxy.control_ok("/requests", None).await;
    assert_eq!(list["capture"]["active"], true);
    assert_eq!(list["requests"][0]["has_capture"], true);
    assert_eq!(list["requests"][1]["has_capture"], false, "before it was asked for");
    let path = format!("/requests/{}", list["requests"][0]["id"].as_str().expect("an id"));
    let one = proxy.control_ok(&path, None).await;
    let texts = &one["capture"];
    assert!(texts["request_body"].as_str().is_some_and(|body| body.contains("it's $me")), "{one}");
    assert!(texts["response_body"].as_str().is_some_and(|body| body.contains("an answer")), "{one}");
    let lines = texts["sent_to_codex"].as_array().expect("lines").iter().filter_map(Value::as_str);
    let methods: Vec<_> = lines
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON")["method"].clone())
        .collect();
    assert_eq!(methods, ["thread/start", "thread/inject_items", "turn/start"]);
    assert!(!one.to_string().contains(&proxy.key), "the key is nowhere");

    let curl = one["curl"].as_str().expect("a line for a shell");
    let output = std::process::Command::new("sh")
        .args(["-c", curl])
        .env("CODEX_PROXY_KEY", &proxy.key)
        .output()
        .expect("a shell with curl");
    let again: Value = serde_json::from_slice(&output.stdout).expect("an answer");
    assert_eq!(again["output"][0]["content"][0]["text"], "an answer", "{again}");
    let last = upstream.requests().pop().expect("it reached the model");
    assert_eq!(last.last_user_text(), "it's $me");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_or_for_too_much_waits() {
    let upstream = FakeOpenAi::start().await;
    upstream.fall_back_to(Script::text("well").usage(usage(5)));
    let often = Setup::real(NEWEST, &upstream).env("RATE_LIMIT_AVG", "1").env("RATE_LIMIT_BURST", "2");
    let proxy = often.start().await;
    let ask = |proxy: &Proxy| proxy.post("/responses", &json!({"model": "codex-5", "input": "x"})).send();
    let first = ask(&proxy).await.expect("the proxy answers");
    assert_eq!(first.headers()["x-ratelimit-limit-requests"], "2");
    assert_eq!(first.headers()["x-ratelimit-remaining-requests"], "1");
    // Faster than they come back: in the end one is refused.
    let refused = loop {
        let all = futures_util::future::join_all((0..4).map(|_| ask(&proxy))).await;
        let refused = all.into_iter().map(|answer| answer.expect("the proxy answers"));
        if let Some(refused) = refused.into_iter().find(|answer| answer.status() == 429) {
            break refused;
        }
    };
    assert_eq!(refused.headers()["retry-after"], "1");
    let body: Value = serde_json::from_slice(&refused.bytes().await.expect("a body")).expect("it is JSON");
    assert_eq!(body["error"]["code"], "rate_limit_exceeded", "{body}");

    let much = Setup::real(NEWEST, &upstream).env("PROXY_DAILY_TOKENS", "1000").start().await;
    assert_eq!(ask(&much).await.expect("the proxy answers").status(), 200);
    let refused = ask(&much).await.expect("the proxy answers");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = serde_json::from_slice(&refused.bytes().await.expect("a body")).expect("it is JSON");
    assert_eq!(body["error"]["code"], "token_budget_exceeded", "{body}");
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("PROXY_API_KEY")), "{body}");
}
