//! The routes for tests of a deployment, the limit of streams, and the workers in `/healthz`.

use std::fs;

use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface, error_code};

fn scenario() -> Value {
    let hello = json!({"step": "text", "deltas": ["Hello"]});
    let call = json!({"name": "look", "arguments": {"at": "it"}});
    json!({"scenarios": {
        "default": [hello],
        "long": [hello, {"step": "file", "name": "go-on"}],
        "call": [{"step": "calls", "calls": [call]}],
    }})
}

async fn asked(proxy: &Proxy, method: Method, path: &str) -> (u16, Value) {
    let (status, body) = sse::json(proxy.bare(method, &proxy.root_url(path)).bearer_auth(&proxy.key)).await;
    (status.as_u16(), body)
}

fn count(response: &reqwest::Response) -> Vec<Option<&str>> {
    let value = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    ["x-conc-before", "x-conc-after", "x-conc-limit"].map(value).into()
}

#[tokio::test]
async fn one_stream_too_many_is_refused_at_once_until_one_ends() {
    let setup =
        Setup::fake(&scenario()).env("PROXY_SSE_MAX_CONCURRENCY", "1").env("PROXY_TEST_ENDPOINTS", "true");
    let release = setup.codex_home().join("go-on");
    let proxy = setup.env("STREAM_RELEASE_FILE", &release.display().to_string()).start().await;
    for surface in BOTH {
        let mut long = surface.ask("[[scenario:long]]");
        long["stream"] = json!(true);
        let first = proxy.post(surface.path(), &long).send().await.unwrap();
        assert_eq!(first.status(), 200);
        assert_eq!(count(&first), [Some("0"), Some("1"), Some("1")]);
        assert_eq!(asked(&proxy, Method::GET, "/__test/conc").await, (200, json!({"conc": 1})));

        let second = proxy.post(surface.path(), &long).send().await.unwrap();
        assert_eq!(second.status(), 429);
        assert_eq!(count(&second), [Some("1"), Some("1"), Some("1")]);
        assert!(second.headers().contains_key("retry-after"));
        let body: Value = serde_json::from_str(&second.text().await.unwrap()).unwrap();
        let error = json!({"message": "too many concurrent streams", "type": "rate_limit_error", "param": null,
                           "code": "concurrency_exceeded"});
        assert_eq!(body["error"], error);
        // What is not streamed has no such limit.
        proxy.post_ok(surface.path(), &surface.ask("hi")).await;

        assert_eq!(asked(&proxy, Method::POST, "/__test/conc/release").await, (200, json!({"ok": true})));
        let text = first.text().await.unwrap();
        assert!(text.contains("[DONE]"), "{text}");
        fs::remove_file(&release).unwrap();
        // A client that has seen the end can start the next request.
        let mut short = surface.ask("hi");
        short["stream"] = json!(true);
        let third = proxy.post(surface.path(), &short).send().await.unwrap();
        assert_eq!(third.status(), 200);
        third.text().await.unwrap();

        // A client that disconnects frees its place.
        let gone = proxy.post(surface.path(), &long).send().await.unwrap();
        assert_eq!(gone.status(), 200);
        drop(gone);
        until("the place of a client that has gone", async || {
            (asked(&proxy, Method::GET, "/__test/conc").await.1 == json!({"conc": 0})).then_some(())
        })
        .await;
    }
    proxy.stop().await;
}

#[tokio::test]
async fn without_the_switch_there_are_no_such_routes_and_no_such_headers() {
    let proxy = Setup::fake(&scenario()).env("PROXY_SSE_MAX_CONCURRENCY", "1").start().await;
    for (method, path) in [(Method::GET, "/__test/conc"), (Method::POST, "/__test/conc/release")] {
        let (status, body) = asked(&proxy, method, path).await;
        assert_eq!((status, error_code(&body)), (404, "unknown_url".to_owned()), "{path}");
    }
    let mut ask = Surface::Chat.ask("hi");
    ask["stream"] = json!(true);
    let answer = proxy.post(Surface::Chat.path(), &ask).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), count(&answer)), (200, vec![None, None, None]));
    proxy.stop().await;
}

#[tokio::test]
async fn they_need_a_key_and_a_client_on_this_machine() {
    let start = |remote: &str| {
        let setup = Setup::fake(&scenario()).env("PROXY_TEST_ENDPOINTS", "true");
        setup.env("PROXY_TEST_ALLOW_REMOTE", remote).start()
    };
    let proxy = start("false").await;
    let url = proxy.root_url("/__test/conc");
    let (status, _) = sse::json(proxy.bare(Method::GET, &url)).await;
    assert_eq!(status, 401);
    let (status, _) = sse::json(proxy.bare(Method::GET, &url).bearer_auth("another-key-0123456789")).await;
    assert_eq!(status, 401);
    let forwarded = |proxy: &Proxy| {
        let url = proxy.root_url("/__test/conc");
        proxy.bare(Method::GET, &url).bearer_auth(&proxy.key).header("x-forwarded-for", "192.0.2.1")
    };
    assert_eq!(sse::json(forwarded(&proxy)).await.0, 404, "a reverse proxy speaks for another machine");
    assert_eq!(asked(&proxy, Method::GET, "/__test/conc").await.0, 200);
    assert_eq!(asked(&proxy, Method::POST, "/__test/conc").await.0, 405);
    let (status, body) = asked(&proxy, Method::POST, "/__test/conc/release").await;
    assert_eq!((status, &body["reason"]), (400, &json!("STREAM_RELEASE_FILE not set")));
    proxy.stop().await;

    let proxy = start("true").await;
    assert_eq!(sse::json(forwarded(&proxy)).await.0, 200);
    proxy.stop().await;
}

#[tokio::test]
async fn calls_that_become_blocks_of_text_are_counted() {
    let proxy = Setup::fake(&scenario()).env("PROXY_TEST_ENDPOINTS", "true").start().await;
    let totals = async |expected: u64| {
        until("the count of blocks", async || {
            let (_, body) = asked(&proxy, Method::GET, "/__test/tool-buffer-metrics").await;
            let summary = &body["summary"];
            assert_eq!(summary["started"]["name"], "codex_tool_buffer_started_total");
            assert_eq!(summary["aborted"]["total"], 0);
            let total = |what: &str| summary[what]["total"].as_u64();
            ((total("started"), total("flushed")) == (Some(expected), Some(expected))).then_some(())
        })
        .await;
    };
    totals(0).await;
    let parameters = json!({"type": "object", "properties": {"at": {"type": "string"}}});
    let ask = Surface::Chat.ask_with_tool("[[scenario:call]]", "look", &parameters);
    let asking = proxy.post("/chat/completions", &ask).header("x-proxy-output-mode", "obsidian-xml");
    let (status, answer) = sse::json(asking).await;
    assert_eq!(status, 200, "{answer}");
    assert!(Surface::Chat.text(&answer).contains("<use_tool>"), "{answer}");
    totals(1).await;
    assert_eq!(
        asked(&proxy, Method::POST, "/__test/tool-buffer-metrics/reset").await,
        (200, json!({"ok": true}))
    );
    totals(0).await;
    proxy.stop().await;
}

#[tokio::test]
async fn health_tells_of_starts_and_restarts() {
    let faults = json!([{"at": "initialize", "fault": "exit", "code": 3, "runs": [1]}]);
    let mut with_fault = scenario();
    with_fault["faults"] = faults;
    let proxy = Setup::fake(&with_fault).start().await;
    let report = until("the time at which it got ready", async || {
        let (_, report) = sse::json(proxy.bare(Method::GET, &proxy.root_url("/healthz"))).await;
        report["worker_supervisor"]["last_ready_at"].is_string().then_some(report)
    })
    .await;
    let supervisor = &report["worker_supervisor"];
    for name in ["enabled", "running", "ready"] {
        assert_eq!(supervisor[name], true, "{name}: {supervisor}");
    }
    assert_eq!(supervisor["health"]["readiness"]["ready"], true);
    assert_eq!(supervisor["restarts_total"], 1, "{supervisor}");
    assert_eq!(supervisor["consecutive_failures"], 0, "{supervisor}");
    assert_eq!(supervisor["next_restart_delay_ms"], 0);
    assert!(supervisor["startup_latency_ms"].is_u64(), "{supervisor}");
    assert!(supervisor["last_ready_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{supervisor}");
    assert!(supervisor["last_exit"]["reason"].is_string(), "{supervisor}");
    assert!(supervisor["pid"].is_u64(), "{supervisor}");
    assert_eq!(supervisor["metrics"]["codex_worker_restarts_total"], 1);
    proxy.stop().await;
}
