//! OTLP traces, decoded by OpenTelemetry's own messages.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::IntoResponse;
use e2e::harness::{Proxy, Setup};
use e2e::sdk::{self, Runtime};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::surface::BOTH;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Takes what an exporter sends.
#[derive(Clone, Default)]
struct Collector {
    received: Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>,
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Router::new().fallback(take).with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, service).await });
        (collector, url)
    }

    fn bodies(&self) -> String {
        let received = self.received.lock().unwrap();
        let hex = |bytes: &Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        received.iter().map(|(_, _, body)| hex(body)).collect::<Vec<_>>().join(" ")
    }
}

async fn take(State(collector): State<Collector>, request: Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    collector.received.lock().unwrap().push((parts.uri.path().to_owned(), parts.headers, body));
    (StatusCode::OK, [("content-type", "application/x-protobuf")])
}

fn traced(url: &str) -> Setup {
    let scenario = json!({"scenarios": {"default": [{"step": "text", "deltas": ["Hel", "lo"]}]}});
    Setup::fake(&scenario).env("PROXY_ENABLE_OTEL", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", url)
}

/// Ends the proxy, which sends what is left, and decodes everything.
async fn spans(proxy: Proxy, collector: &Collector) -> Vec<Value> {
    proxy.stop().await;
    // The decoder is not a client; it only needs some proxy to be named.
    let idle = Setup::fake(&json!({})).unready().start().await;
    let decoded = sdk::run(Runtime::Python, "otlp.py", &idle, &[("BODIES", &collector.bodies())]).await;
    decoded.as_array().unwrap().clone()
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

#[tokio::test]
async fn a_request_is_followed_to_its_turn() {
    let (collector, url) = Collector::start().await;
    let proxy = traced(&url)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue%20team")
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
        .env("OTEL_SERVICE_NAME", "my-proxy")
        .start()
        .await;
    let surface = &BOTH[0];
    let mut ask = surface.ask("hi");
    ask["stream"] = true.into();
    let path = format!("{}?secret=no", surface.path());
    let request = proxy.post(&path, &ask).header("traceparent", CALLER).header("tracestate", "vendor=1");
    let answer = request.header("user-agent", "probe/1.0").send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(answer.text().await.unwrap().contains("[DONE]"));
    proxy.request(Method::GET, "/no/such").send().await.unwrap();
    let spans = spans(proxy, &collector).await;

    let server = named(&spans, "POST /v1/responses");
    let (dispatch, turn) = (named(&spans, "dispatch"), spans.iter().find(|span| span["kind"] == 3).unwrap());
    assert_eq!(server["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(server["parent_span_id"], "b7ad6b7169203331");
    assert_eq!(server["kind"], 2);
    assert_eq!(dispatch["parent_span_id"], server["span_id"]);
    assert_eq!(turn["parent_span_id"], dispatch["span_id"]);
    assert_eq!(turn["trace_id"], server["trace_id"]);
    let said = &server["attributes"];
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/v1/responses")),
        ("url.path", json!("/v1/responses")),
        ("user_agent.original", json!("probe/1.0")),
        ("codex_proxy.request_id", json!(id)),
    ] {
        assert_eq!(said[name], value, "{name} in {server:#}");
    }
    assert_eq!(said["http.response.status_code"], 200);
    let said = &turn["attributes"];
    assert_eq!(said["gen_ai.operation.name"], "chat", "{turn:#}");
    assert!(
        said["gen_ai.request.model"].is_string() && said["gen_ai.response.model"].is_string(),
        "{turn:#}"
    );
    assert!(said["gen_ai.usage.input_tokens"].is_number(), "{turn:#}");
    assert_eq!(said["gen_ai.response.finish_reasons"], json!(["stop"]), "{turn:#}");
    assert_eq!(server["resource"]["service.name"], "my-proxy");
    assert_eq!(server["resource"]["deployment.environment"], "test");
    let lost = named(&spans, "GET");
    assert_ne!(lost["trace_id"], server["trace_id"]);
    assert_eq!(lost["attributes"]["http.response.status_code"], 404);
    assert!(!format!("{spans:?}").contains("secret=no"), "a query is in a trace");

    let received = collector.received.lock().unwrap();
    for (path, headers, _) in received.iter() {
        assert_eq!((path.as_str(), &headers["x-tenant"]), ("/v1/traces", &"blue team".parse().unwrap()));
    }
}

#[tokio::test]
async fn the_sampler_is_obeyed() {
    let (collector, url) = Collector::start().await;
    let proxy = traced(&url).env("OTEL_TRACES_SAMPLER", "parentbased_always_off").start().await;
    let surface = &BOTH[0];
    proxy.post_ok(surface.path(), &surface.ask("hi")).await;
    let sampled = proxy.post(surface.path(), &surface.ask("hi")).header("traceparent", CALLER);
    assert_eq!(sampled.send().await.unwrap().status(), 200);
    let spans = spans(proxy, &collector).await;
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert!(spans.iter().all(|span| span["trace_id"] == "0af7651916cd43dd8448eb211c80319c"), "{spans:#?}");
}

#[tokio::test]
async fn a_collector_that_is_not_there_disturbs_nobody() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let proxy = traced(&url).start().await;
    for surface in BOTH {
        proxy.post_ok(surface.path(), &surface.ask("hi")).await;
    }
    let started = std::time::Instant::now();
    proxy.stop().await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn without_an_endpoint_it_says_that_nothing_is_sent() {
    let proxy = Setup::fake(&json!({})).env("PROXY_ENABLE_OTEL", "true").start().await;
    proxy.wait_for_log("nothing says where traces go").await;
    let surface = &BOTH[0];
    proxy.post_ok(surface.path(), &surface.ask("hi")).await;
}

/// The package of this collector is built for these alone.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn an_independent_collector_takes_them() {
    use std::process::Stdio;

    use e2e::patience::PATIENCE;
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    let mut ports = Vec::new();
    for _ in 0..2 {
        ports.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let [grpc, http] = [0, 1].map(|at| ports[at].local_addr().unwrap().to_string());
    drop(ports);
    let folder = tempfile::tempdir().unwrap();
    let mut collector = tokio::process::Command::new(Runtime::Python.program("rotel", "rotel-agent"));
    collector.args(["start", "--exporter", "blackhole", "--debug-log", "traces"]);
    collector.args(["--debug-log-verbosity", "detailed", "--otlp-grpc-endpoint", &grpc]);
    collector.args(["--otlp-http-endpoint", &http, "--pid-file"]).arg(folder.path().join("pid"));
    let mut collector = collector.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(collector.stdout.take().unwrap()).lines();

    let proxy = traced(&format!("http://{http}")).start().await;
    let ask = proxy.post(BOTH[0].path(), &BOTH[0].ask("hi")).header("traceparent", CALLER);
    assert_eq!(ask.send().await.unwrap().status(), 200);
    proxy.stop().await;

    let mut said = String::new();
    let heard = tokio::time::timeout(PATIENCE, async {
        let names = ["POST /v1/responses", "dispatch", "chat "];
        while !names.iter().all(|name| said.contains(&format!(": {name}"))) {
            said += &lines.next_line().await.unwrap().expect("the collector goes on");
            said.push('\n');
        }
    });
    assert!(heard.await.is_ok(), "{said}");
    assert!(said.contains("Parent ID      : b7ad6b7169203331"), "{said}");
    assert!(said.contains("service.name: Str(codex-proxy)"), "{said}");
    collector.kill().await.unwrap();
}
