//! The Responses API over a WebSocket.

use std::collections::BTreeMap;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{Ending, FakeOpenAi, Gate, Script, UPSTREAMS, Upstream};
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::socket::Socket;
use e2e::spec::{self, Spec};
use e2e::sse;
use flate2::{Decompress, FlushDecompress};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::join;
use tokio::net::TcpStream;

use crate::surface::Surface;

/// A request whose response only its connection remembers.
fn ask(text: &str) -> Value {
    let mut body = Surface::Responses.ask(text);
    body["store"] = json!(false);
    body
}

/// A request that continues a response.
fn go_on(previous: &Value, text: &str) -> Value {
    let mut body = ask(text);
    body["previous_response_id"] = previous["id"].clone();
    body
}

fn in_lane(mut body: Value, lane: &str) -> Value {
    body["stream_id"] = json!(lane);
    body
}

fn code(event: &Value) -> (u64, &str) {
    assert_eq!(event["type"], "error", "{event}");
    (event["status"].as_u64().unwrap(), event["error"]["code"].as_str().unwrap())
}

/// The texts of all messages that the model has got with its last request.
fn seen(upstream: &FakeOpenAi) -> Vec<String> {
    let items = upstream.requests().pop().unwrap().input_without_ids();
    let text = |item: &Value| item["content"][0]["text"].as_str().map(str::to_owned);
    items.iter().filter_map(text).collect()
}

async fn fake() -> Proxy {
    Setup::fake(&json!({"scenarios": {"default": [{"step": "text", "deltas": ["to ", "{{user}}"]}]}}))
        .start()
        .await
}

#[tokio::test]
async fn a_chat_goes_on_by_the_id_of_its_last_response() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let mut socket = Socket::open(&proxy).await;
        for text in ["one", "two", "three"] {
            upstream.push(Script::text(text));
        }
        socket.create(&ask("a")).await;
        let events = socket.events().await;
        let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!((kinds[0], kinds[1]), ("response.created", "response.in_progress"));
        for (number, event) in events.iter().enumerate() {
            assert_eq!((&event["sequence_number"], event.get("stream_id")), (&json!(number), None));
        }
        let first = &events.last().unwrap()["response"];
        assert_eq!(Surface::Responses.text(first), "one");

        socket.create(&go_on(first, "b")).await;
        let second = socket.response().await;
        assert_eq!(seen(&upstream), ["a", "one", "b"]);
        socket.create(&go_on(first, "c")).await;
        assert_eq!(code(&socket.last().await), (400, "previous_response_not_found"));
        socket.create(&go_on(&second, "c")).await;
        assert_eq!(Surface::Responses.text(&socket.response().await), "three");
        assert_eq!(seen(&upstream), ["a", "one", "b", "two", "c"]);

        let log = proxy.control_ok("/requests", None).await;
        let mut states: Vec<_> =
            log["requests"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
        states.sort_by_key(Value::to_string);
        assert_eq!(states, ["done", "done", "done", "failed"]);
        assert_eq!(log["requests"][0]["route"], "/v1/responses");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_warm_up_asks_no_model_and_can_be_continued() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let mut socket = Socket::open(&proxy).await;
    let mut warm_up = ask("a");
    warm_up["generate"] = json!(false);
    socket.create(&warm_up).await;
    let warm = socket.response().await;
    assert_eq!((&warm["output"], upstream.requests().len()), (&json!([]), 0));
    upstream.push(Script::text("one"));
    socket.create(&go_on(&warm, "b")).await;
    assert_eq!(Surface::Responses.text(&socket.response().await), "one");
    assert_eq!(seen(&upstream), ["a", "b"]);
}

#[tokio::test]
async fn a_warm_up_has_a_conversation_opened_ahead() {
    let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let mut socket = Socket::open(&proxy).await;
    let mut warm_up = ask("a");
    warm_up["generate"] = json!(false);
    socket.create(&warm_up).await;
    let warm = socket.response().await;
    until("a conversation that is open", async || (!upstream.warm_ups().is_empty()).then_some(())).await;
    upstream.push(Script::text("one"));
    socket.create(&go_on(&warm, "b")).await;
    assert_eq!(Surface::Responses.text(&socket.response().await), "one");
    assert_eq!(seen(&upstream), ["a", "b"]);
    let log = proxy.control_ok("/requests", None).await;
    assert_eq!(log["requests"][0]["thread"], "warm", "{log}");
}

#[tokio::test]
async fn lanes_run_side_by_side_and_fork() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let mut socket = Socket::open(&proxy).await;
        let (held, forked) = (Gate::new(), Gate::new());
        upstream.on_marker("<a1>", [Script::text("one")]);
        upstream.on_marker("<a2>", [Script::new().message_held("t", &held, "wo")]);
        upstream.on_marker("<b1>", [Script::new().message_held("for", &forked, "k")]);
        upstream.on_marker("<a3>", [Script::text("three")]);
        socket.create(&in_lane(ask("<a1>"), "a")).await;
        let first = socket.response().await;

        socket.create(&in_lane(go_on(&first, "<a2>"), "a")).await;
        socket.create(&in_lane(go_on(&first, "<b1>"), "b")).await;
        socket.create(&in_lane(ask("<a3>"), "a")).await;
        held.reached(1).await;
        forked.reached(1).await;
        assert_eq!(upstream.requests().len(), 3, "the third of its lane waits");
        held.open();
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        while texts.values().map(Vec::len).sum::<usize>() < 3 {
            let event = socket.next().await;
            let lane = event["stream_id"].as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
            if event["type"] == "response.completed" {
                texts.entry(lane).or_default().push(Surface::Responses.text(&event["response"]));
            }
            if texts.get("a").is_some_and(|texts| texts.len() == 2) {
                forked.open();
            }
        }
        let expected = [("a", vec!["two", "three"]), ("b", vec!["fork"])];
        let expected =
            expected.map(|(lane, texts)| (lane.to_owned(), texts.into_iter().map(str::to_owned).collect()));
        assert_eq!(texts, BTreeMap::from(expected));
        assert_eq!(upstream.unscripted(), [""; 0]);
    }
}

#[tokio::test]
async fn a_continuation_that_fails_forgets_what_it_continues() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let mut socket = Socket::open(&proxy).await;
    upstream.push(Script::text("one"));
    socket.create(&ask("a")).await;
    let first = socket.response().await;
    let error = json!({"error": {"message": "no", "type": "invalid_request_error"}});
    for (lane, end) in [("fork", ""), ("fork", ""), ("", ""), ("", "previous_response_not_found")] {
        if end.is_empty() {
            upstream.push(Script::http_error(400, error.clone(), &[]));
        }
        let body = go_on(&first, "b");
        socket.create(&if lane.is_empty() { body } else { in_lane(body, lane) }).await;
        let last = socket.last().await;
        assert_ne!(last["type"], "response.completed", "{last}");
        assert_eq!(last["error"]["code"] == "previous_response_not_found", !end.is_empty(), "{lane} {last}");
    }
}

#[tokio::test]
async fn the_handshake_has_the_checks_of_every_request() {
    let proxy = fake().await;
    let bearer = format!("Bearer {}", proxy.key);
    let key = ("authorization", bearer.as_str());
    for path in ["/v1/responses", "/responses", "/v1/responses/", "/openai/v1/responses", "/v1/v1/responses"]
    {
        let mut socket =
            Socket::try_open(&proxy, path, &[key]).await.unwrap_or_else(|no| panic!("{path}: {no:?}"));
        assert_eq!(socket.opened.headers().get("sec-websocket-protocol"), None);
        socket.create(&ask("you")).await;
        assert_eq!(Surface::Responses.text(&socket.response().await), "to you", "{path}");
    }
    for (headers, status, code) in [
        (&[][..], 401, "invalid_api_key"),
        (&[("authorization", "Bearer wrong")], 401, "invalid_api_key"),
        (&[("sec-websocket-protocol", "realtime, openai-insecure-api-key.wrong")], 401, "invalid_api_key"),
        (&[key, ("origin", "https://page.example")], 403, "forbidden_origin"),
        (&[key, ("sec-fetch-site", "cross-site")], 403, "forbidden_origin"),
        (&[key, ("x-proxy-output-mode", "none")], 400, "invalid_value"),
    ] {
        let refused = Socket::try_open(&proxy, "/v1/responses", headers).await.unwrap_err();
        let body: Value = serde_json::from_slice(refused.body()).unwrap();
        assert_eq!(
            (refused.status().as_u16(), &body["error"]["code"]),
            (status, &json!(code)),
            "{headers:?}"
        );
    }
    assert!(Socket::try_open(&proxy, "/v1/responses", &[key, ("origin", "app://obsidian.md")]).await.is_ok());
    let plain = proxy.request(Method::GET, "/responses").send().await.unwrap();
    assert_eq!((plain.status().as_u16(), &plain.headers()["allow"]), (405, &"POST, HEAD".parse().unwrap()));
}

#[tokio::test]
async fn a_page_shows_its_key_as_a_subprotocol_which_stays_secret() {
    let proxy = Setup::fake(&json!({})).env("PROXY_LOG", "trace").start().await;
    proxy.control_ok("/capture", Some(&json!({"seconds": 60}))).await;
    let offered = format!("realtime, openai-insecure-api-key.{}", proxy.key);
    let headers = [("sec-websocket-protocol", offered.as_str()), ("origin", "http://localhost:5173")];
    let mut socket = Socket::try_open(&proxy, "/v1/responses", &headers).await.unwrap();
    assert_eq!(socket.opened.headers()["sec-websocket-protocol"], "realtime");
    socket.create(&ask("hi")).await;
    socket.response().await;
    let log = proxy.control_ok("/requests", None).await;
    let id = log["requests"][0]["id"].as_str().unwrap();
    let captured = proxy.control_ok(&format!("/requests/{id}"), None).await.to_string();
    assert!(captured.contains("response.completed"), "{captured}");
    assert!(!captured.contains(&proxy.key) && !log.to_string().contains(&proxy.key));
    assert!(!proxy.log_text().contains(&proxy.key), "the log gives the key away");
}

#[tokio::test]
async fn a_key_that_is_disabled_closes_its_connection_with_the_next_frame() {
    let proxy = fake().await;
    let keys = async |method: Method, path: &str, body: &Value| {
        let (status, answer) =
            sse::json(proxy.control(method, &format!("/keys{path}")).body(body.to_string())).await;
        assert!(status.is_success(), "{path} {status} {answer}");
        answer
    };
    let made = keys(Method::POST, "", &json!({"name": "page"})).await;
    let id = format!("/{}", made["id"].as_str().unwrap());
    let key = keys(Method::POST, &format!("{id}/reveal"), &Value::Null).await;
    let bearer = format!("Bearer {}", key["secret"].as_str().unwrap());
    let mut socket = Socket::try_open(&proxy, "/v1/responses", &[("authorization", &bearer)]).await.unwrap();
    socket.create(&ask("you")).await;
    socket.response().await;
    keys(Method::PATCH, &id, &json!({"name": "tablet"})).await;
    socket.create(&ask("you")).await;
    socket.response().await;
    let log = proxy.control_ok("/requests", None).await;
    assert_eq!(log["requests"][0]["key"], "tablet", "the name that it has now");
    keys(Method::PATCH, &id, &json!({"enabled": false})).await;
    socket.create(&ask("you")).await;
    assert_eq!(code(&socket.next().await), (401, "invalid_api_key"));
    assert_eq!(socket.closed().await.0, 1008);
}

#[tokio::test]
async fn frames_are_packed_for_a_client_that_can_unpack_them() {
    let proxy = fake().await;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let head = format!(
        "GET /v1/responses HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
        proxy.port(),
        proxy.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(
        answer.starts_with("http/1.1 101 ") && answer.contains("s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{answer}"
    );
    let agreed =
        answer.lines().find(|line| line.starts_with("sec-websocket-extensions: permessage-deflate")).unwrap();
    for kept_by_nobody in ["server_no_context_takeover", "client_no_context_takeover"] {
        assert!(agreed.contains(kept_by_nobody), "{agreed}");
    }
    let mut body = ask("you");
    body["type"] = json!("response.create");
    let body = body.to_string();
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 126, "of the short form");
    // Masked with zeros, and not packed, as a client may send what is short.
    stream.write_all(&[&[0x81, 0x80 | length, 0, 0, 0, 0], body.as_bytes()].concat()).await.unwrap();
    let first = stream.read_u8().await.unwrap();
    assert_eq!(first, 0xC1, "a whole text, packed");
    let length = match stream.read_u8().await.unwrap() {
        126 => usize::from(stream.read_u16().await.unwrap()),
        short => usize::from(short),
    };
    let mut packed = vec![0; length];
    stream.read_exact(&mut packed).await.unwrap();
    packed.extend([0, 0, 0xFF, 0xFF]);
    let mut event = Vec::with_capacity(1 << 16);
    Decompress::new(false).decompress_vec(&packed, &mut event, FlushDecompress::Sync).unwrap();
    let event: Value = serde_json::from_slice(&event).unwrap();
    assert_eq!(event["type"], "response.created");
}

#[tokio::test]
async fn thirty_two_clients_of_each_transport_get_their_own_answers_at_once() {
    let proxy = fake().await;
    let over_socket = async |number: usize| {
        let mut socket = Socket::open(&proxy).await;
        let mut previous = None;
        for round in 0..3 {
            let text = format!("{number} in {round}");
            let body = previous.as_ref().map_or_else(|| ask(&text), |previous| go_on(previous, &text));
            socket.create(&body).await;
            previous = Some(answered(&socket.events().await, &text));
        }
    };
    let over_sse = async |number: usize| {
        let mut previous = None;
        for round in 0..3 {
            let text = format!("{number} by SSE in {round}");
            let mut body = Surface::Responses.ask(&text);
            body["previous_response_id"] = previous.take().unwrap_or_default();
            let response = answered(&Surface::Responses.events(&proxy, &body).await, &text);
            previous = Some(response["id"].clone());
        }
    };
    join!(join_all((0..32).map(over_socket)), join_all((0..32).map(over_sse)));
}

/// The response at the end of these events, each of which has to be valid.
fn answered(events: &[Value], text: &str) -> Value {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event:#}");
        if spec::available() {
            let spec = Spec::OpenResponses;
            assert_eq!(spec::validate(spec, spec.stream_event(), event), [""; 0], "{event:#}");
        }
    }
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed", "{last}");
    assert_eq!(Surface::Responses.text(&last["response"]), format!("to {text}"));
    last["response"].clone()
}

#[tokio::test]
async fn a_client_that_leaves_interrupts_its_turns() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let gate = Gate::new();
        let mut socket = Socket::open(&proxy).await;
        for lane in ["a", "b"] {
            upstream.push(Script::new().message(&["one"]).gate(&gate));
            socket.create(&in_lane(ask("hi"), lane)).await;
        }
        gate.reached(2).await;
        drop(socket);
        for number in 0..2 {
            assert_eq!(upstream.wait_for_ending(number).await, Ending::ClosedEarly);
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_proxy_that_stops_ends_running_responses_first_and_tells_its_clients() {
    let upstream = FakeOpenAi::start().await;
    let mut proxy = Setup::real(NEWEST, &upstream).start().await;
    let (idle, mut busy) = (Socket::open(&proxy).await, Socket::open(&proxy).await);
    let gate = Gate::new();
    upstream.push(Script::new().message_held("one ", &gate, "two"));
    busy.create(&ask("hi")).await;
    gate.reached(1).await;
    let pid = proxy.pid().unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let (code, reason) = idle.closed().await;
    assert!(code == 1012 && reason.contains("again"), "{code} {reason}");
    gate.open();
    assert_eq!(Surface::Responses.text(&busy.response().await), "one two");
    assert_eq!(busy.closed().await.0, 1012);
    assert!(proxy.exit().await.success());
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_told_by_the_code_of_the_end() {
    let proxy = Setup::fake(&json!({})).env("PROXY_MAX_BODY_BYTES", "100000").start().await;
    let mut socket = Socket::open(&proxy).await;
    let large = ask(&"x".repeat(99_000));
    socket.create(&large).await;
    socket.response().await;
    socket.create(&ask(&"x".repeat(3_000_000))).await;
    assert_eq!(socket.closed().await.0, 1009);
    until("the requests", async || {
        let log = proxy.control_ok("/requests", None).await;
        (log["requests"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    let (status, _) = sse::json(proxy.post("/responses", &ask("hi"))).await;
    assert_eq!(status, 200);
}
