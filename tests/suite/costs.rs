//! The cost of long names and large requests: names are cut where they are stored, logged or shown, and memory is freed.

use std::fs;
use std::time::Duration;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::{BOTH, MODEL, Surface};

/// Characters that any text of an answer, a record or a log line may have.
const SHORT: usize = 4000;

/// Every text in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(elements) => elements.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn with(surface: Surface, name: &str, value: Value) -> Value {
    let mut ask = surface.ask("hi");
    ask[name] = value;
    ask
}

#[tokio::test]
async fn a_name_is_cut_where_it_is_kept_logged_or_told() {
    let proxy = Setup::fake(&json!({})).env("PROXY_LOG", "debug").start().await;
    let long = "n".repeat(140_000);
    let named = |value: Value| json!({ long.as_str(): value });
    let mut asks = Vec::new();
    for surface in BOTH {
        asks.extend([
            (surface, with(surface, "model", json!(format!("gpt-{long}")))),
            (surface, with(surface, "model", json!(long))),
            (surface, with(surface, "metadata", named(json!(5)))),
            (surface, with(surface, &long, json!("ignored"))),
            (surface, with(surface, "reasoning", named(json!(true)))),
            (surface, with(surface, "service_tier", json!(long))),
            (surface, with(surface, "tool_choice", json!(long))),
            (surface, with(surface, "tools", json!([{"type": long}]))),
        ]);
    }
    for (surface, ask) in asks {
        let request = proxy.post(surface.path(), &ask).header("user-agent", &long[..50_000]);
        let response = request.send().await.unwrap();
        let headers: usize = response.headers().values().map(|value| value.len()).sum();
        let body = response.text().await.unwrap();
        assert!(headers < SHORT && body.len() < SHORT, "{headers}, {}: {:.200}", body.len(), ask.to_string());
    }
    for path in [format!("/models/{}", &long[..50_000]), format!("/{}", &long[..50_000])] {
        let (status, body) = sse::json(proxy.request(Method::GET, &path)).await;
        assert!(status == 404 && body.to_string().len() < SHORT, "{}", body.to_string().len());
    }
    for encoding in ["content-encoding", "content-type"] {
        let request = proxy.post("/responses", &json!({})).header(encoding, &long[..50_000]);
        let body = request.send().await.unwrap().text().await.unwrap();
        assert!(body.len() < SHORT, "{}", body.len());
    }
    let kept = [
        proxy.control_ok("/requests", None).await,
        sse::json(proxy.request(Method::GET, "/usage/raw?limit=1000")).await.1,
    ];
    for text in kept.iter().flat_map(texts) {
        assert!(text.chars().count() <= 201, "{}: {text:.300}", text.len());
    }
    for line in proxy.log_text().lines() {
        assert!(line.len() < SHORT, "{}: {line:.300}", line.len());
    }
    proxy.stop().await;
}

#[tokio::test]
async fn what_the_upstream_says_of_a_failure_is_cut_too() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let said = json!({"error": {"message": "m".repeat(200_000), "type": "invalid_request_error", "param": "input"}});
        for surface in BOTH {
            upstream.push(Script::http_error(400, said.clone(), &[]));
            let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
            assert!(status == 400 && body.to_string().len() < SHORT, "{status}: {}", body.to_string().len());
        }
        for line in proxy.log_text().lines() {
            assert!(line.len() < SHORT, "{}: {line:.300}", line.len());
        }
    }
}

/// Resident memory now, in MiB.
fn resident(proxy: &Proxy) -> u64 {
    memory(proxy, "VmRSS:")
}

/// The maximum resident memory of the proxy so far, in MiB.
pub(crate) fn peak(proxy: &Proxy) -> u64 {
    memory(proxy, "VmHWM:")
}

fn memory(proxy: &Proxy, which: &str) -> u64 {
    let pid = proxy.pid().unwrap().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}

/// Waits until the proxy has no more than this.
async fn shrinks_to(proxy: &Proxy, most: u64) {
    let mut poll = tokio::time::interval(Duration::from_millis(50));
    let shrinking = async {
        while resident(proxy) > most {
            poll.tick().await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), shrinking).await;
    assert!(done.is_ok(), "the proxy stays at {} MiB, more than {most}", resident(proxy));
}

#[tokio::test]
async fn memory_of_large_requests_goes_back() {
    /// What stays of buffers, caches and other threads' heaps.
    const LEFT: u64 = 16;
    let large = "n".repeat(15_000_000);
    // Many small pieces, which lie scattered over the heaps.
    let mut many: Vec<Value> =
        (0..60_000).map(|n| json!({"role": "user", "content": format!("word {n}")})).collect();
    many.push(json!({"role": "wizard", "content": "x"}));
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            surface.answer(&proxy, &surface.ask("hi")).await;
        }
        let before = resident(&proxy);
        for surface in BOTH {
            let named = with(surface, "model", json!(format!("gpt-{large}")));
            for _ in 0..5 {
                let (status, body) = sse::json(proxy.post(surface.path(), &named)).await;
                assert_eq!(status, 404, "{body}");
            }
        }
        shrinks_to(&proxy, before + LEFT).await;
        let text = Surface::Chat.ask(&"word ".repeat(200_000));
        let pieces = json!({"model": MODEL, "input": many});
        join_all((0..4).map(|_| async {
            Surface::Chat.answer(&proxy, &text).await;
            let (status, body) = sse::json(proxy.post("/responses", &pieces)).await;
            assert_eq!(status, 400, "{body}");
        }))
        .await;
        shrinks_to(&proxy, before + LEFT).await;
        proxy.stop().await;
    }
}
