//! Real reverse proxies in front of the proxy, with the examples in `installers`: what must get through, and what must not.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use e2e::edge::{Edge, Kind, NAME};
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::sse::{self, SseReader};
use http::Method;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::large_images::image;
use crate::surface::{BOTH, Surface, error_code};

/// Addresses of this machine, so that the client has another address than the reverse proxy.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

macro_rules! behind_each {
    ($($check:ident)+) => {
        behind_each!(@ nginx Nginx $($check)+);
        behind_each!(@ caddy Caddy $($check)+);
        behind_each!(@ traefik Traefik $($check)+);
    };
    (@ $module:ident $kind:ident $($check:ident)+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $check() {
                    super::$check(e2e::edge::Kind::$kind).await;
                }
            )+
        }
    };
}

behind_each! {
    a_stream_comes_piece_by_piece
    a_client_that_goes_ends_its_turn
    only_who_shows_a_key_is_let_in
    a_preflight_ends_at_the_edge
    large_requests_and_true_addresses_come_through
}

struct Behind {
    proxy: Proxy,
    edge: Edge,
}

impl Behind {
    async fn start(kind: Kind, scenarios: &Value) -> Self {
        let setup = Setup::fake(scenarios)
            .env("PROXY_ALLOWED_HOSTS", NAME)
            .env("PROXY_TRUSTED_PROXIES", "127.0.0.1")
            .env("PROXY_ENABLE_METRICS", "true")
            .env("PROXY_SSE_KEEPALIVE_MS", "100");
        let proxy = setup.start().await;
        let edge = Edge::start(kind, proxy.port()).await;
        Self { proxy, edge }
    }

    fn post(&self, client: &reqwest::Client, surface: Surface, body: &Value) -> RequestBuilder {
        client
            .post(self.edge.url(&format!("/v1{}", surface.path())))
            .bearer_auth(&self.proxy.key)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    async fn stream(&self, surface: Surface, text: &str) -> SseReader {
        let mut ask = surface.ask(text);
        ask["stream"] = true.into();
        let response = self.post(&self.edge.client(), surface, &ask).send().await.unwrap();
        SseReader::new(response).await
    }

    async fn metrics(&self) -> String {
        let url = self.proxy.root_url("/metrics");
        self.proxy
            .bare(Method::GET, &url)
            .bearer_auth(&self.proxy.key)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

/// The rest of the answer waits for a file that the test makes.
fn held() -> Value {
    json!({"scenarios": {"default": [
        {"step": "text", "deltas": ["first"], "open": true},
        {"step": "file", "name": "go"},
        {"step": "text", "deltas": [" and last"]},
    ]}})
}

async fn until_text(stream: &mut SseReader, surface: Surface, text: &str) -> Vec<Value> {
    let mut events = Vec::new();
    while surface.streamed_text(&events) != text {
        events.push(stream.next_data().await.expect("the stream goes on").json());
    }
    events
}

/// Text arrives at once, comments arrive while there is no text, and later text arrives too.
async fn a_stream_comes_piece_by_piece(kind: Kind) {
    let behind = Behind::start(kind, &held()).await;
    let go = behind.proxy.codex_home().join("go");
    for surface in BOTH {
        let mut stream = behind.stream(surface, "hi").await;
        assert!(
            header_of(&stream, "x-accel-buffering") == "no" || kind == Kind::Nginx,
            "nginx keeps it for itself"
        );
        let mut events = until_text(&mut stream, surface, "first").await;
        for _ in 0..3 {
            let frame = stream.next().await.expect("the stream goes on");
            assert_eq!((frame.data, &frame.comments[..]), (None, &["keepalive".to_owned()][..]));
        }
        fs::write(&go, "").unwrap();
        events.extend(stream.events().await);
        assert_eq!(surface.streamed_text(&events), "first and last");
        fs::remove_file(&go).unwrap();
    }
    fs::write(&go, "").unwrap();
    by_http_2(&behind).await;
    let metrics = behind.metrics().await;
    assert!(metrics.contains("codex_stream_end_total{reason=\"stop\"} 3"), "{metrics}");
}

fn header_of(stream: &SseReader, name: &str) -> String {
    stream.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// The edge speaks HTTP/2 with clients, and HTTP/1.1 with the proxy, which speaks no other.
async fn by_http_2(behind: &Behind) {
    let mut ask = Surface::Chat.ask("hi");
    ask["stream"] = true.into();
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["--silent", "--show-error", "--http2", "--max-time", "60", "--noproxy", "*", "--cacert"])
        .arg(behind.edge.certificate())
        .args(["--resolve", &format!("{NAME}:{}:127.0.0.1", behind.edge.port())])
        .args(["--header", &format!("authorization: Bearer {}", behind.proxy.key)])
        .args(["--header", "content-type: application/json", "--data", &ask.to_string()])
        .args(["--write-out", "version %{http_version}", &behind.edge.url("/v1/chat/completions")]);
    let ended = curl.output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        said.ends_with("data: [DONE]\n\nversion 2"),
        "{said}\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

async fn a_client_that_goes_ends_its_turn(kind: Kind) {
    let behind = Behind::start(kind, &held()).await;
    let mut stream = behind.stream(Surface::Responses, "hi").await;
    until_text(&mut stream, Surface::Responses, "first").await;
    drop(stream);
    let line = r#"codex_stream_end_total{reason="client_gone"} 1"#;
    until("the end of the turn", async || behind.metrics().await.contains(line).then_some(())).await;
    // And one that has not been answered yet.
    let ask = Surface::Chat.ask("hi");
    let client = behind.edge.client();
    let running = r#"codex_proxy_turns_running 1"#;
    let over = r#"codex_proxy_turns_running 0"#;
    tokio::select! {
        answer = behind.post(&client, Surface::Chat, &ask).send() => panic!("{answer:?}"),
        () = until("the turn", async || behind.metrics().await.contains(running).then_some(())) => {}
    }
    until("the end of the turn", async || behind.metrics().await.contains(over).then_some(())).await;
}

async fn only_who_shows_a_key_is_let_in(kind: Kind) {
    let behind = Behind::start(kind, &json!({})).await;
    let (edge, client) = (&behind.edge, behind.edge.client());
    let page = "app://obsidian.md";
    for key in [None, Some("wrong"), Some("")] {
        for surface in BOTH {
            let url = edge.url(&format!("/v1{}", surface.path()));
            let mut request = client.post(url).header("origin", page).body(surface.ask("hi").to_string());
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{key:?}");
            assert_eq!(header(&response, "www-authenticate"), "Bearer realm=api");
            assert_eq!(response.headers().get_all("www-authenticate").iter().count(), 1);
            assert_protected(&response);
            let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(error_code(&answer), "invalid_api_key");
        }
    }
    // The reverse proxy only checked these keys with `/verify`, and did not forward the requests.
    let metrics = behind.metrics().await;
    assert!(
        metrics.contains(r#"route="/verify""#) && !metrics.contains(r#"route="/v1/responses""#),
        "{metrics}"
    );

    let response = behind
        .post(&client, Surface::Chat, &Surface::Chat.ask("hi"))
        .header("origin", page)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "{}", edge.log());
    assert_eq!(header(&response, "access-control-allow-origin"), page);
    assert_eq!(response.headers().get_all("access-control-allow-origin").iter().count(), 1);
    assert_protected(&response);

    let health = client.get(edge.url("/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    assert_protected(&health);
    let token = fs::read_to_string(behind.proxy.data_dir().join("control-token")).unwrap();
    for path in
        ["/control/status", "/ui/", "/metrics", "/verify", "/-/verify", "/readyz", "/v1/../control/status"]
    {
        let request = client.get(edge.url(path)).bearer_auth(token.trim());
        let status = request.send().await.unwrap().status();
        assert!([400, 401, 404].contains(&status.as_u16()), "{path}: {status}");
    }
    // A page that may not call is refused by the proxy itself, whatever the edge makes of it.
    let request = behind.post(&client, Surface::Chat, &Surface::Chat.ask("hi"));
    let foreign = request.header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    assert_eq!(header(&foreign, "access-control-allow-origin"), "");
}

fn assert_protected(response: &Response) {
    for (name, value) in [
        ("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        (
            "permissions-policy",
            "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
        ),
    ] {
        let all: Vec<_> = response.headers().get_all(name).iter().collect();
        assert_eq!(all, [value], "{name} of {}", response.url());
    }
}

async fn a_preflight_ends_at_the_edge(kind: Kind) {
    let behind = Behind::start(kind, &json!({})).await;
    let client = behind.edge.client();
    let preflight = async |origin: &str| {
        let url = behind.edge.url("/v1/chat/completions");
        let request = client
            .request(Method::OPTIONS, url)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization, content-type, x-stainless-os, user-agent",
            );
        request.send().await.unwrap()
    };
    for origin in ["app://obsidian.md", "capacitor://localhost", "http://localhost:1313", "https://localhost"]
    {
        let response = preflight(origin).await;
        assert!(response.status().is_success(), "{origin}: {}", response.status());
        assert_eq!(header(&response, "access-control-allow-origin"), origin);
        assert_eq!(response.headers().get_all("access-control-allow-origin").iter().count(), 1);
        assert!(header(&response, "access-control-allow-methods").contains("POST"));
        assert_eq!(header(&response, "access-control-max-age"), "600");
        let allowed = header(&response, "access-control-allow-headers").to_ascii_lowercase();
        let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
        for name in ["authorization", "content-type", "x-stainless-os", "user-agent"] {
            // An asterisk allows every header except the one with the key.
            let stands = name != "authorization" && allowed.contains(&"*");
            assert!(stands || allowed.contains(&name), "{name} is not in {allowed:?}");
        }
    }
    for origin in ["https://evil.example", "http://localhost.evil.example", "app://obsidian.md.evil", "null"]
    {
        let response = preflight(origin).await;
        assert_eq!(header(&response, "access-control-allow-origin"), "", "{origin}");
    }
    let metrics = behind.metrics().await;
    assert!(!metrics.contains(r#"method="OPTIONS""#), "{metrics}");
    assert!(!metrics.contains(r#"route="/verify""#), "{metrics}");
}

async fn large_requests_and_true_addresses_come_through(kind: Kind) {
    let behind = Behind::start(kind, &json!({})).await;
    let client = behind.edge.builder().local_address(CLIENT).build().unwrap();
    let picture = json!([{"role": "user", "content": [
        {"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": image(5 << 20)},
    ]}]);
    let mut ask = Surface::Responses.ask("");
    ask["input"] = picture;
    let request = behind.post(&client, Surface::Responses, &ask);
    let (status, answer) = sse::json(request).await;
    assert_eq!(status, 200, "{answer}\n{}", behind.edge.log());

    // Forwarding headers from the client have no effect.
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.5"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=203.0.113.5;host=evil.example"),
        ("x-real-ip", "203.0.113.5"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
    ] {
        let request = behind.post(&client, Surface::Chat, &Surface::Chat.ask("hi")).header(name, value);
        let (status, answer) = sse::json(request).await;
        assert_eq!(status, 200, "{name}: {answer}\n{}", behind.edge.log());
    }
    let log = behind.proxy.control_ok("/requests", None).await;
    let addresses: Vec<_> =
        log["requests"].as_array().unwrap().iter().map(|entry| &entry["address"]).collect();
    assert_eq!(addresses, vec![&json!(CLIENT.to_string()); 7], "{log:#}");
    let url = behind.edge.url("/v1/models");
    let other =
        client.get(&url).bearer_auth(&behind.proxy.key).header("host", "evil.example").send().await.unwrap();
    let said = other.text().await.unwrap();
    assert!(!said.contains("codex-5"), "by another name there is nothing: {said}");
}

/// The worker for Cloudflare's edge, by Node's own test runner.
#[test]
fn the_worker_answers_preflights() {
    let mut node = std::process::Command::new("node");
    node.args(["--test", "--test-reporter", "spec"]);
    let folder = e2e::codex_bin::workspace_dir().join("installers/cloudflare");
    let ended = node.arg("preflight-worker.test.mjs").current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("pass 5"),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}
