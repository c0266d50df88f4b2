//! Unusual HTTP clients: invalid requests, refused uploads, clients that close one side or disconnect.

use std::time::Duration;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, Upstream};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::surface::{BOTH, Surface, error_code};

/// An answer as it came, without interim ones.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        line.unwrap_or_default().trim()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Everything that comes until the other side ends.
async fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.expect("the connection is not reset");
    String::from_utf8(bytes).unwrap()
}

/// The only answer in a text. A chunked body keeps the lines with the chunk lengths.
fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?} is no answer"));
    let status = head[9..12].parse().unwrap();
    if status == 100 { answer(body) } else { Answer { status, head: head.to_owned(), body: body.to_owned() } }
}

fn head(proxy: &Proxy, line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{more}\r\n", proxy.port())
}

/// The head and the body of a question.
fn question(proxy: &Proxy, surface: Surface, ask: &Value, more: &str) -> String {
    let body = ask.to_string();
    let more = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{more}",
        proxy.key,
        body.len()
    );
    head(proxy, &format!("POST /v1{}", surface.path()), &more) + &body
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

async fn sign_in_port(proxy: &Proxy) -> u16 {
    let account = proxy.wait_for_account("the pages", |account| account["sign_in_url"].is_string()).await;
    let url = account["sign_in_url"].as_str().unwrap().trim_end_matches('/').to_owned();
    url.rsplit(':').next().unwrap().parse().unwrap()
}

/// Waits until the workers have this many turns.
async fn active_turns(proxy: &Proxy, wanted: u64) {
    let waiting = async {
        loop {
            let (_, report) = sse::json(proxy.bare(Method::GET, &proxy.root_url("/healthz"))).await;
            let workers = report["worker_supervisor"]["workers"].as_array().unwrap().clone();
            let active = workers.iter().map(|worker| worker["active_turns"].as_u64().unwrap()).sum::<u64>();
            if active == wanted {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "there are never {wanted} turns\n{}", proxy.log_text());
}

#[tokio::test]
async fn an_upload_that_nobody_wants_gets_its_answer() {
    let proxy = Setup::fake(&json!({})).env("PROXY_LOGIN_LISTENER", "always").start().await;
    let pages = sign_in_port(&proxy).await;
    let upload = vec![b'x'; 16 << 20];
    let (own, key) = (proxy.port(), format!("Authorization: Bearer {}\r\n", proxy.key));
    for (port, line, more, status) in [
        (own, "POST /v1/nothing", "", 404),
        (own, "POST /control/workers/restart", "", 401),
        (own, "POST /control/shutdown", "", 401),
        (own, "PUT /v1/responses", "", 401),
        (own, "PUT /v1/responses", key.as_str(), 405),
        (own, "POST /v1/models", "", 405),
        (own, "POST /healthz", "", 405),
        (own, "POST /ui/", "", 405),
        (own, "GET /healthz", "", 200),
        (own, "POST /v1/responses", "Origin: https://evil.example\r\n", 403),
        (pages, "PUT /", "", 405),
        (pages, "POST /nothing", "", 404),
        (pages, "POST /start", "", 403),
    ] {
        let host = format!("Host: 127.0.0.1:{port}\r\nConnection: close\r\n{more}");
        let plain = format!("{line} HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n", upload.len());
        let chunked = format!("{line} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n", upload.len());
        for (head, chunk, end) in [(plain, "", ""), (chunked, chunk.as_str(), "\r\n0\r\n\r\n")] {
            let mut socket = connect(port).await;
            for part in [head.as_bytes(), chunk.as_bytes(), &upload, end.as_bytes()] {
                socket.write_all(part).await.unwrap_or_else(|error| panic!("{line}: {error}"));
            }
            let answer = answer(&rest(&mut socket).await);
            assert_eq!(answer.status, status, "{line} {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_the_apis_form() {
    let proxy = Setup::fake(&json!({})).env("PROXY_LOGIN_LISTENER", "always").start().await;
    let pages = sign_in_port(&proxy).await;
    let long = "x".repeat(70_000);
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let huge = format!("x-huge: {}\r\n", "y".repeat(2_000_000));
    let cases = [
        ("GET / HTTP/1.1\r\nno header\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("G@T\x01 / HTTP/1.1\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03".to_owned(), 400, "malformed_request"),
        (
            head(&proxy, "GET /healthz", "Content-Length: 1\r\nContent-Length: 2\r\n"),
            400,
            "malformed_request",
        ),
        (head(&proxy, &format!("GET /{long}"), ""), 414, "url_too_long"),
        (head(&proxy, "GET /healthz", &many), 431, "headers_too_large"),
        (head(&proxy, "GET /healthz", &huge), 431, "headers_too_large"),
    ];
    let before = head(&proxy, "GET /livez", "");
    for port in [proxy.port(), pages] {
        for (request, status, code) in &cases {
            let mut socket = connect(port).await;
            socket.write_all(request.as_bytes()).await.unwrap();
            let answer = answer(&rest(&mut socket).await);
            assert_eq!(answer.status, *status, "{answer:?}");
            assert_eq!(error_code(&answer.json()), *code, "{answer:?}");
            assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
            assert_eq!(answer.header("content-type"), "application/json");
            assert_eq!(answer.header("content-length"), answer.body.len().to_string());
            assert_eq!(answer.header("connection"), "close");
            assert_eq!(answer.header("x-frame-options"), "DENY");
            assert!(answer.header("x-request-id").starts_with("req_"), "{answer:?}");
        }
    }
    // On a connection that has answered before, even when both requests came at once.
    for (request, status, code) in &cases {
        let mut socket = connect(proxy.port()).await;
        socket.write_all(format!("{before}{request}").as_bytes()).await.unwrap();
        let text = rest(&mut socket).await;
        let second = text.find("}HTTP/1.1").unwrap_or_else(|| panic!("{text:?} is one answer")) + 1;
        assert_eq!(answer(&text[..second]).status, 200);
        let refused = answer(&text[second..]);
        assert_eq!((refused.status, error_code(&refused.json()).as_str()), (*status, *code));
    }
}

/// A turn that writes a word and then waits for a second turn like it.
fn waiting() -> Value {
    let steps = json!([
        {"step": "text", "deltas": ["before "], "open": true}, {"step": "barrier", "turns": 2},
        {"step": "text", "deltas": ["after"]},
    ]);
    json!({"scenarios": {"default": steps}})
}

#[tokio::test]
async fn a_client_that_ends_its_side_still_gets_its_answer() {
    let proxy = Setup::fake(&waiting()).start().await;
    for surface in BOTH {
        for stream in [true, false] {
            let mut ask = surface.ask("hi");
            ask["stream"] = json!(stream);
            let mut socket = connect(proxy.port()).await;
            socket.write_all(question(&proxy, surface, &ask, "").as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            active_turns(&proxy, 1).await;
            // Its answer continues when a second turn has started.
            let second = proxy.post_ok(surface.path(), &surface.ask("hi")).await;
            assert_eq!(surface.text(&second), "before after");
            let answer = answer(&rest(&mut socket).await);
            assert_eq!(answer.status, 200, "{answer:?}");
            if stream {
                assert!(answer.body.contains("after") && answer.body.contains("data: [DONE]"), "{answer:?}");
            } else {
                assert_eq!(surface.text(&answer.json()), "before after");
            }
        }
    }
}

/// How a client disconnects.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    /// Like a program that closes its socket, or ends.
    Closes,
    /// With unread data, which resets the connection.
    Resets,
    /// First its sending side, then the whole connection.
    InTwoSteps,
}

#[tokio::test]
async fn a_client_that_is_gone_ends_its_turn() {
    let hang = json!([{"step": "text", "deltas": ["held"], "open": true}, {"step": "hang"}]);
    // Without keepalive comments, which would also detect it.
    let setup = Setup::fake(&json!({"scenarios": {"default": hang}})).env("PROXY_SSE_KEEPALIVE_MS", "600000");
    let proxy = setup.env("PROXY_IDLE_TIMEOUT_MS", "600000").start().await;
    for surface in BOTH {
        for stream in [true, false] {
            for leaves in [Leaves::Closes, Leaves::Resets, Leaves::InTwoSteps] {
                let mut ask = surface.ask("hi");
                ask["stream"] = json!(stream);
                let mut socket = connect(proxy.port()).await;
                socket.write_all(question(&proxy, surface, &ask, "").as_bytes()).await.unwrap();
                active_turns(&proxy, 1).await;
                if stream && !matches!(leaves, Leaves::Resets) {
                    let mut text = String::new();
                    while !text.contains("held") {
                        let mut bytes = [0; 4096];
                        let read = socket.read(&mut bytes).await.unwrap();
                        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
                    }
                }
                match leaves {
                    Leaves::Closes => {}
                    Leaves::Resets => socket.set_zero_linger().unwrap(),
                    Leaves::InTwoSteps => {
                        socket.shutdown().await.unwrap();
                        // It is still there, and so is its turn.
                        socket.readable().await.unwrap();
                        active_turns(&proxy, 1).await;
                    }
                }
                drop(socket);
                active_turns(&proxy, 0).await;
            }
        }
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered_and_missed() {
    let hang = json!([{"step": "text", "deltas": ["held"], "open": true}, {"step": "hang"}]);
    let proxy = Setup::fake(&json!({"scenarios": {"hang": hang}})).start().await;
    let surface = Surface::Chat;
    let old = |ask: &Value| question(&proxy, surface, ask, "").replace("HTTP/1.1", "HTTP/1.0");
    let mut socket = connect(proxy.port()).await;
    socket.write_all(old(&surface.ask("hi")).as_bytes()).await.unwrap();
    assert_eq!(answer(&rest(&mut socket).await).status, 200);

    let mut socket = connect(proxy.port()).await;
    socket.write_all(old(&surface.ask("[[scenario:hang]]")).as_bytes()).await.unwrap();
    active_turns(&proxy, 1).await;
    drop(socket);
    active_turns(&proxy, 0).await;
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_sends_nothing_that_is_refused() {
    let proxy = Setup::fake(&json!({})).start().await;
    let ask = Surface::Responses.ask("hi");
    let whole = question(&proxy, Surface::Responses, &ask, "Expect: 100-continue\r\nConnection: close\r\n");
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    let mut socket = connect(proxy.port()).await;
    socket.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut told = [0; 25];
    socket.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(answer(&rest(&mut socket).await).status, 200);

    for (head, status) in [
        (head.replace(&proxy.key, "wrong-wrong"), "401"),
        (head.replace("/v1/responses", "/v1/nothing"), "404"),
        (head.replace("POST", "PUT"), "405"),
        (head.replace(&format!("Content-Length: {}", body.len()), "Content-Length: 900000000"), "413"),
    ] {
        let mut socket = connect(proxy.port()).await;
        socket.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let text = rest(&mut socket).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {text}");
    }
}

#[tokio::test]
async fn requests_of_every_form_are_answered_in_their_order() {
    let proxy = Setup::fake(&json!({})).start().await;
    let port = proxy.port();
    let surface = Surface::Responses;
    let body = surface.ask("hi").to_string();
    let key = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", proxy.key);
    let (first, second) = body.split_at(body.len() / 2);
    let chunked = head(&proxy, "POST /v1/responses", &format!("{key}Transfer-Encoding: chunked\r\n"))
        + &format!("{:x}\r\n{first}\r\n{:x};x=y\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let requests = [
        head(&proxy, "HEAD /v1/models", ""),
        head(&proxy, "HEAD /v1/responses", &key),
        head(&proxy, &format!("GET http://127.0.0.1:{port}/livez"), ""),
        chunked,
        head(&proxy, "GET /v1/nothing", ""),
        head(&proxy, "GET /livez", "Connection: close\r\n"),
    ];
    let mut socket = connect(port).await;
    socket.write_all(requests.concat().as_bytes()).await.unwrap();
    let text = rest(&mut socket).await;
    let statuses: Vec<&str> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "200", "200", "404", "200"], "{text}");

    let foreign = head(&proxy, "GET http://evil.example/livez", "Connection: close\r\n");
    let mut socket = connect(port).await;
    socket.write_all(foreign.as_bytes()).await.unwrap();
    let refused = answer(&rest(&mut socket).await);
    assert_eq!(error_code(&refused.json()), "forbidden_host");
}

#[tokio::test]
async fn a_data_directory_that_is_gone_is_no_fault_of_the_client() {
    let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
    upstream.fall_back_to(Script::text("ok"));
    // A thread that was started ahead would still answer.
    let proxy = Setup::real(NEWEST, &upstream).env("PROXY_WARM_THREADS", "0").start().await;
    proxy.post_ok("/responses", &Surface::Responses.ask("hi")).await;
    std::fs::remove_dir_all(proxy.data_dir()).unwrap();
    for surface in BOTH {
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
        assert_eq!(status, 500, "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("data directory") && message.contains("restart the proxy"), "{message}");
    }
}
