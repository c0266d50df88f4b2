//! `/metrics`, read by Prometheus' own parsers, and the dashboard over it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::harness::{Proxy, Setup};
use e2e::patience::PATIENCE;
use e2e::sdk::{self, Runtime};
use e2e::sse;
use http::Method;
use serde_json::{Value, json};

use crate::surface::BOTH;

fn scenarios() -> Value {
    json!({"scenarios": {
        "default": [{"step": "text", "deltas": ["Hel", "lo"]}],
    }})
}

async fn measured() -> Proxy {
    Setup::fake(&scenarios()).env("PROXY_ENABLE_METRICS", "true").start().await
}

/// What the parsers made of `/metrics`.
pub(crate) async fn scrape(proxy: &Proxy) -> Value {
    sdk::run(Runtime::Python, "metrics.py", proxy, &[("METRICS_URL", &proxy.root_url("/metrics"))]).await
}

fn value(scrape: &Value, name: &str, labels: &Value) -> Option<f64> {
    let has = |sample: &&Value| {
        sample["name"] == name
            && labels.as_object().into_iter().flatten().all(|(key, value)| sample["labels"][key] == *value)
    };
    scrape["samples"].as_array()?.iter().find(has)?["value"].as_f64()
}

pub(crate) async fn use_it(proxy: &Proxy) {
    for surface in BOTH {
        proxy.post_ok(surface.path(), &surface.ask("hi")).await;
        surface.events(proxy, &surface.ask("hi")).await;
    }
}

#[tokio::test]
async fn prometheus_own_parsers_read_what_happened() {
    let proxy = measured().await;
    use_it(&proxy).await;
    let strange = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(proxy.request(strange, "/responses").send().await.unwrap().status(), 405);
    let unknown = proxy.request(Method::GET, "/users/jane/42").send().await.unwrap();
    assert_eq!(unknown.status(), 404);

    let scrape = scrape(&proxy).await;
    let (old, new) = (&scrape["prometheus"], &scrape["openmetrics"]);
    assert_eq!(old["content_type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(new["content_type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for read in [old, new] {
        let at = |name: &str, labels: Value| value(read, name, &labels);
        assert_eq!(read["undocumented"], json!([]));
        for route in ["/v1/responses", "/v1/chat/completions"] {
            let labels = json!({"route": route, "method": "POST", "status": "2xx"});
            assert_eq!(at("codex_proxy_http_requests_total", labels), Some(2.0), "{read}");
        }
        let brew = json!({"route": "/v1/responses", "method": "OTHER", "status": "4xx"});
        assert_eq!(at("codex_proxy_http_requests_total", brew), Some(1.0));
        let unmatched = json!({"route": "unmatched", "method": "GET", "status": "4xx"});
        assert_eq!(at("codex_proxy_http_requests_total", unmatched), Some(1.0));
        assert_eq!(at("codex_stream_ttfb_ms_count", json!({})), Some(2.0));
        assert_eq!(at("codex_stream_duration_ms_count", json!({})), Some(2.0));
        assert_eq!(at("codex_stream_end_total", json!({"reason": "stop"})), Some(2.0));
        assert_eq!(at("codex_proxy_turns_total", json!({"reason": "stop"})), Some(4.0));
        assert_eq!(at("codex_proxy_turns_running", json!({})), Some(0.0));
        assert_eq!(at("codex_worker_ready", json!({"worker": "0"})), Some(1.0));
        assert_eq!(at("codex_worker_restarts_total", json!({"worker": "0"})), Some(0.0));
        assert_eq!(at("codex_worker_turns_total", json!({"worker": "0"})), Some(4.0));
        assert_eq!(at("codex_worker_codex_info", json!({"version": "0.169.0"})), Some(1.0));
        assert_eq!(at("codex_proxy_queue_depth", json!({})), Some(0.0));
        assert_eq!(at("codex_proxy_signed_in", json!({})), Some(1.0));
        assert_eq!(at("codex_proxy_queue_wait_seconds_count", json!({})), Some(4.0));
        let samples = read["samples"].as_array().unwrap();
        assert!(!samples.iter().any(|sample| sample.to_string().contains("jane")), "{samples:#?}");
    }
    assert_eq!(old["types"]["codex_stream_end"], "counter");
    assert_eq!(old["types"]["codex_stream_ttfb_ms"], "histogram");
    if cfg!(target_os = "linux") {
        assert!(value(old, "process_resident_memory_bytes", &json!({})).unwrap() > 1e6);
        assert!(value(old, "process_open_fds", &json!({})).unwrap() > 5.0);
    }
}

#[tokio::test]
async fn a_model_that_nobody_knows_makes_no_series_of_its_own() {
    let proxy = measured().await;
    for surface in BOTH {
        let mut ask = surface.ask("hi");
        ask["model"] = "gpt-jane-secret-77".into();
        proxy.post_ok(surface.path(), &ask).await;
    }
    let text =
        proxy.bare(Method::GET, &proxy.root_url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("jane"), "{text}");
}

#[tokio::test]
async fn a_client_that_goes_is_counted_as_that() {
    let steps = json!({"scenarios": {"hang": [{"step": "text", "deltas": ["part"], "open": true}, {"step": "hang"}]}});
    let proxy = Setup::fake(&steps).env("PROXY_ENABLE_METRICS", "true").start().await;
    let surface = &BOTH[0];
    let mut stream = proxy.stream(surface.path(), &surface.ask("[[scenario:hang]]")).await;
    let mut events = Vec::new();
    while surface.streamed_text(&events) != "part" {
        events.push(stream.next_data().await.expect("the stream goes on").json());
    }
    drop(stream);
    let line = r#"codex_stream_end_total{reason="client_gone"} 1"#;
    let url = proxy.root_url("/metrics");
    let seen = tokio::time::timeout(PATIENCE, async {
        let mut poll = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            poll.tick().await;
            let text = proxy.bare(Method::GET, &url).send().await.unwrap().text().await.unwrap();
            if text.lines().any(|found| found == line) {
                return;
            }
        }
    });
    assert!(seen.await.is_ok(), "{line} never came");
}

#[tokio::test]
async fn it_is_for_this_machine_or_for_who_shows_the_key() {
    let proxy = measured().await;
    let url = proxy.root_url("/metrics");
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(proxy.bare(Method::GET, &url)).await, 200);
    assert_eq!(status(proxy.bare(Method::GET, &format!("{url}/"))).await, 200);
    assert_eq!(status(proxy.bare(Method::POST, &url)).await, 405);
    let head = proxy.bare(Method::HEAD, &url).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(head.text().await.unwrap(), "");
    // A request through a reverse proxy or from a web page does not count as a program on this machine.
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("origin", "http://localhost:3000"),
    ] {
        let request = || proxy.bare(Method::GET, &url).header(name, value);
        let (code, body) = sse::json(request()).await;
        assert_eq!((code.as_u16(), &body["error"]["code"]), (401, &json!("invalid_api_key")), "{name}");
        assert_eq!(status(request().bearer_auth(&proxy.key)).await, 200, "{name}");
    }
    let off = Setup::fake(&scenarios()).start().await;
    assert_eq!(status(off.bare(Method::GET, &off.root_url("/metrics")).bearer_auth(&off.key)).await, 404);
}

#[tokio::test]
async fn the_dashboard_shows_only_series_that_exist() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../installers/grafana/codex-proxy.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut shown = BTreeSet::new();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
        shown.extend(series(target["expr"].as_str().unwrap()));
    }
    assert!(shown.len() > 15, "{shown:?}");
    let proxy = measured().await;
    use_it(&proxy).await;
    let scrape = scrape(&proxy).await;
    let read = &scrape["prometheus"];
    let samples = read["samples"].as_array().unwrap().iter().map(|sample| sample["name"].as_str().unwrap());
    let exposed: BTreeSet<&str> = samples.collect();
    // A metric without samples still appears. Codex has reported no limits and no tokens here.
    let families: BTreeSet<String> = read["types"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(name, kind)| {
            [name.clone(), format!("{name}{}", if kind == "counter" { "_total" } else { "" })]
        })
        .collect();
    for name in shown {
        assert!(
            exposed.contains(name.as_str()) || families.contains(&name),
            "{name} is not exposed\n{exposed:?}"
        );
    }
}

/// The names of series in an expression of Prometheus' language.
pub(crate) fn series(expression: &str) -> Vec<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("codex_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}
