//! Faults of Codex, one at a time: the client gets an answer or a clear error, the memory stays limited, and the next
//! request works.

use std::fs;
use std::time::Duration;

use e2e::harness::{Proxy, Setup, fake_codex_path};
use e2e::sse;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::surface::{BOTH, Surface, error_code};

/// The largest allowed resident memory during a fault, in KiB. In a debug build, a proxy that has answered a request
/// uses about 20 MiB.
const SMALL: u64 = 64 * 1024;
/// The most that a line of 64 MB may cost: the line, its text, and the frame or the answer made of it.
const BIG_LINE: u64 = 768 * 1024;

/// What a client gets during the fault.
#[derive(Clone, Copy, Debug)]
enum Gets {
    Answer,
    /// This status and code, or the code in the stream.
    Error(u16, &'static str),
}

/// The most memory the proxy has ever had, in KiB.
pub(crate) fn peak(proxy: &Proxy) -> u64 {
    let pid = proxy.pid().unwrap().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

fn assert_bounded(proxy: &Proxy, limit: u64) {
    let peak = peak(proxy);
    assert!(peak < limit, "the proxy had {peak} KiB at a time, more than {limit}");
}

/// Timeouts short enough for a test, long enough for a busy machine.
fn quick(setup: Setup) -> Setup {
    setup
        .env("PROXY_WORKER_COUNT", "1")
        .env("WORKER_STARTUP_TIMEOUT_MS", "2000")
        .env("WORKER_PING_INTERVAL_MS", "200")
        .env("WORKER_PING_TIMEOUT_MS", "2000")
        .env("WORKER_SHUTDOWN_GRACE_MS", "200")
        .env("PROXY_IDLE_TIMEOUT_MS", "1000")
        .env("PROXY_STREAM_IDLE_TIMEOUT_MS", "1000")
        .env("PROXY_TIMEOUT_MS", "20000")
}

async fn expect(proxy: &Proxy, surface: Surface, text: &str, gets: Gets) {
    let ask = surface.ask(text);
    let (status, body) = sse::json(proxy.post(surface.path(), &ask)).await;
    match gets {
        Gets::Answer => {
            assert_eq!(status, 200, "{body}\n{}", proxy.log_text());
            assert_eq!(surface.text(&body), greeting(text));
        }
        Gets::Error(wanted, code) => {
            assert_eq!(
                (status.as_u16(), error_code(&body).as_str()),
                (wanted, code),
                "{body}\n{}",
                proxy.log_text()
            );
        }
    }
}

/// The error that a stream ends with, whether it had begun or not.
async fn streamed_error(proxy: &Proxy, surface: Surface, text: &str) -> String {
    let mut ask = surface.ask(text);
    ask["stream"] = json!(true);
    let response = proxy.post(surface.path(), &ask).send().await.unwrap();
    if response.status() != 200 {
        return error_code(&serde_json::from_str(&response.text().await.unwrap()).unwrap());
    }
    let events = sse::SseReader::new(response).await.events().await;
    let error = events.iter().find(|event| event["error"].is_object());
    error.unwrap_or_else(|| panic!("no error in {events:#?}"))["error"]["code"].as_str().unwrap().to_owned()
}

fn greeting(text: &str) -> String {
    format!("Hello, {text}")
}

fn scenario(faults: &Value, bad: &Value) -> Value {
    let default = json!([{"step": "text", "deltas": ["Hel", "lo, ", "{{user}}"]}]);
    json!({"faults": faults, "scenarios": {"default": default, "bad": bad}})
}

/// The methods of the handshake and those of a turn.
const HANDSHAKE: [&str; 4] = ["start", "initialize", "model/list", "account/read"];
const TURN: [&str; 3] = ["thread/start", "thread/inject_items", "turn/start"];

#[tokio::test]
async fn a_codex_that_fails_in_its_handshake_is_tried_again() {
    let verbs = [json!({"fault": "exit", "code": 3}), json!({"fault": "hang"}), json!({"fault": "freeze"})];
    join_all(HANDSHAKE.iter().flat_map(|at| verbs.iter().map(move |verb| (at, verb))).map(
        |(at, verb)| async move {
            let mut fault = verb.clone();
            (fault["at"], fault["runs"]) = (json!(at), json!([1]));
            let proxy = quick(Setup::fake(&scenario(&json!([fault]), &json!([])))).start().await;
            for surface in BOTH {
                // A worker that has been ready and is then found out is no reason for an error that lasts.
                let mut answered = false;
                for _ in 0..20 {
                    let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
                    if status == 200 {
                        assert_eq!(surface.text(&body), greeting("hi"));
                        answered = true;
                        break;
                    }
                    assert!(
                        ["worker_exited", "worker_not_ready"].contains(&error_code(&body).as_str()),
                        "{fault}: {body}"
                    );
                }
                assert!(answered, "{fault}: no answer\n{}", proxy.log_text());
            }
            assert_eq!(proxy.fake_codex_pids().len(), 2, "{fault}\n{}", proxy.log_text());
            assert_bounded(&proxy, SMALL);
            proxy.stop().await;
        },
    ))
    .await;
}

#[tokio::test]
async fn a_codex_that_ends_or_freezes_at_a_step_of_a_turn_is_replaced() {
    let verbs = [json!({"fault": "exit", "code": 3}), json!({"fault": "freeze"})];
    for (at, verb) in TURN.iter().flat_map(|at| verbs.iter().map(move |verb| (at, verb))) {
        let mut faults = Vec::new();
        for run in [1, 2] {
            let mut fault = verb.clone();
            (fault["at"], fault["runs"]) = (json!(at), json!([run]));
            faults.push(fault);
        }
        // The timeouts of turns are longer here than it takes to notice a frozen worker.
        let setup =
            quick(Setup::fake(&scenario(&json!(faults), &json!([])))).env("PROXY_IDLE_TIMEOUT_MS", "10000");
        let proxy = setup.env("PROXY_STREAM_IDLE_TIMEOUT_MS", "10000").start().await;
        expect(&proxy, Surface::Chat, "hi", Gets::Error(503, "worker_exited")).await;
        assert_eq!(streamed_error(&proxy, Surface::Responses, "hi").await, "worker_exited");
        for surface in BOTH {
            expect(&proxy, surface, "hi", Gets::Answer).await;
        }
        assert_bounded(&proxy, SMALL);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_codex_that_ends_or_freezes_within_an_answer_is_replaced() {
    let part = json!({"step": "text", "deltas": ["part"], "open": true});
    let whole = json!({"step": "text", "deltas": ["all"]});
    let ends = [json!({"step": "exit", "code": 4}), json!({"step": "freeze"})];
    for (text, end) in [&part, &whole].iter().flat_map(|text| ends.iter().map(move |end| (text, end))) {
        let setup = quick(Setup::fake(&scenario(&json!([]), &json!([text, end]))))
            .env("PROXY_IDLE_TIMEOUT_MS", "10000");
        let proxy = setup.env("PROXY_STREAM_IDLE_TIMEOUT_MS", "10000").start().await;
        for surface in BOTH {
            expect(&proxy, surface, "[[scenario:bad]]", Gets::Error(503, "worker_exited")).await;
            expect(&proxy, surface, "hi", Gets::Answer).await;
            assert_eq!(streamed_error(&proxy, surface, "[[scenario:bad]]").await, "worker_exited");
            expect(&proxy, surface, "hi", Gets::Answer).await;
        }
        assert_bounded(&proxy, SMALL);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_turn_that_hangs_is_given_up_and_its_place_is_free_again() {
    let setup = quick(Setup::fake(&scenario(&json!([]), &json!([{"step": "hang"}]))));
    // Codex has taken the turn, so a whole answer is only bounded as a whole.
    let proxy = setup.env("WORKER_MAX_CONCURRENCY", "1").env("PROXY_TIMEOUT_MS", "1000").start().await;
    for surface in BOTH {
        expect(&proxy, surface, "[[scenario:bad]]", Gets::Error(504, "request_timeout")).await;
        expect(&proxy, surface, "hi", Gets::Answer).await;
        assert_eq!(streamed_error(&proxy, surface, "[[scenario:bad]]").await, "idle_timeout");
        expect(&proxy, surface, "hi", Gets::Answer).await;
    }
    assert_eq!(proxy.fake_codex_pids().len(), 1, "a turn that hangs is no reason for a new process");
    proxy.stop().await;
}

#[tokio::test]
async fn a_refusal_at_a_step_of_a_turn_is_told() {
    for at in TURN {
        let faults =
            json!([{"at": at, "fault": "error", "code": -32603, "message": "no such luck", "runs": [1]}]);
        let proxy =
            quick(Setup::fake(&scenario(&faults, &json!([{"step": "exit", "code": 1}])))).start().await;
        for surface in BOTH {
            let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
            assert!(status.is_server_error(), "{at}: {status} {body}");
            assert!(!error_code(&body).is_empty());
            assert!(body["error"]["message"].as_str().unwrap().contains("no such luck"), "{at}: {body}");
        }
        proxy.stop().await;
    }
}

#[tokio::test]
async fn noise_between_the_messages_does_no_harm() {
    let noise = [
        json!({"fault": "garbage", "line": "WARNING: no JSON"}),
        json!({"fault": "garbage", "line": "{\"half\": "}),
        json!({"fault": "garbage", "line": "{\"id\": 4711, \"result\": {}}"}),
        json!({"fault": "garbage", "line": ""}),
        json!({"fault": "late"}),
    ];
    for verb in noise {
        let mut faults = Vec::new();
        // In the handshake, a delayed answer would wait for another answer that never comes.
        let handshake: &[&str] =
            if verb["fault"] == "late" { &[] } else { &["initialize", "model/list", "account/read"] };
        for at in handshake.iter().chain(&TURN) {
            let mut fault = verb.clone();
            fault["at"] = json!(at);
            faults.push(fault);
        }
        let setup =
            quick(Setup::fake(&scenario(&json!(faults), &json!([])))).env("PROXY_IDLE_TIMEOUT_MS", "10000");
        let proxy = setup.start().await;
        let asks = (0..6).map(|number| {
            let proxy = &proxy;
            async move { expect(proxy, BOTH[number % 2], &format!("<{number}>"), Gets::Answer).await }
        });
        join_all(asks).await;
        assert_eq!(proxy.fake_codex_pids().len(), 1, "{verb}\n{}", proxy.log_text());
        assert_bounded(&proxy, SMALL);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn output_that_ends_within_a_line_is_the_end_of_the_worker() {
    use std::os::unix::fs::PermissionsExt;
    // The first app-server's output is cut off after this number of bytes: in the handshake, or in the first
    // turn.
    for bytes in [10, 200, 4500, 5500] {
        let dir = tempfile::tempdir().unwrap();
        let (path, flag) = (dir.path().join("codex"), dir.path().join("was-here"));
        let (fake, flag) = (fake_codex_path(), flag.display().to_string());
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in *app-server*) if [ ! -e '{flag}' ]; then : > '{flag}'; '{0}' \"$@\" | head -c {bytes}; exit; fi;; esac\n\
             exec '{0}' \"$@\"\n",
            fake.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let proxy = quick(Setup::over(path)).start().await;
        let mut answers = 0;
        for round in 0..4 {
            let surface = BOTH[round % 2];
            let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
            if status == 200 {
                answers += 1;
            } else {
                assert_eq!(
                    (status.as_u16(), error_code(&body).as_str()),
                    (503, "worker_exited"),
                    "{bytes}: {body}"
                );
            }
        }
        assert!(answers >= 3, "{bytes}: {answers} answers\n{}", proxy.log_text());
        assert_eq!(proxy.fake_codex_pids().len(), 2, "{bytes}\n{}", proxy.log_text());
        proxy.stop().await;
    }
}

const BIG: usize = 64_000_000;

/// Asks for an answer whose text is one line of 64 MB.
async fn a_big_line(setup: Setup) {
    let proxy = setup.start().await;
    for surface in [Surface::Chat] {
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("[[scenario:bad]]"))).await;
        assert_eq!(status, 200, "{}\n{}", body["error"], proxy.log_text());
        assert_eq!(surface.text(&body).len(), BIG);
        expect(&proxy, surface, "hi", Gets::Answer).await;
    }
    assert_eq!(proxy.fake_codex_pids().len(), 1, "{}", proxy.log_text());
    assert_bounded(&proxy, BIG_LINE);
    proxy.stop().await;
}

#[tokio::test]
async fn a_line_of_64_mb_is_passed_on_within_bounds() {
    let setup = Setup::fake(&scenario(&json!([]), &json!([{"step": "big_line", "bytes": BIG}])));
    a_big_line(setup.env("WORKER_PING_TIMEOUT_MS", "100000")).await;
}

#[tokio::test]
async fn a_flood_of_deltas_waits_for_a_slow_reader_within_bounds() {
    const COUNT: usize = 100_000;
    let bad = json!([{"step": "flood", "count": COUNT, "text": "0123456789"}]);
    let proxy = Setup::fake(&scenario(&json!([]), &bad)).start().await;
    for surface in BOTH {
        let mut ask = surface.ask("[[scenario:bad]]");
        ask["stream"] = json!(true);
        let body = ask.to_string();
        let mut slow = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        let head = format!(
            "POST /v1{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            surface.path(),
            proxy.port(),
            proxy.key,
            body.len()
        );
        slow.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 64];
        slow.read_exact(&mut first).await.unwrap();
        // Others are served in the meantime.
        for surface in BOTH {
            expect(&proxy, surface, "hi", Gets::Answer).await;
        }
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).await.unwrap();
        let text = String::from_utf8_lossy(&rest);
        assert!(text.contains("data: [DONE]") && !text.contains("\"error\":{"), "the stream was cut short");
        let frames = text.lines().filter(|line| line.contains("\"delta\"")).collect::<Vec<_>>().concat();
        assert_eq!(frames.matches("0123456789").count(), COUNT, "something is missing");
    }
    let (status, body) =
        sse::json(proxy.post("/responses", &Surface::Responses.ask("[[scenario:bad]]"))).await;
    assert_eq!((status.as_u16(), Surface::Responses.text(&body).len()), (200, COUNT * 10));
    assert_bounded(&proxy, 2 * SMALL);
    proxy.stop().await;
}

#[tokio::test]
async fn a_flood_on_stderr_of_50_mb_is_no_burden() {
    let bad = json!([{"step": "stderr_flood", "bytes": 50_000_000}, {"step": "text", "deltas": ["Hello, [[scenario:bad]]"]}]);
    let setup = Setup::fake(&scenario(&json!([]), &bad)).env("PROXY_IDLE_TIMEOUT_MS", "60000");
    let proxy = setup.start().await;
    expect(&proxy, Surface::Chat, "[[scenario:bad]]", Gets::Answer).await;
    expect(&proxy, Surface::Responses, "hi", Gets::Answer).await;
    assert_bounded(&proxy, SMALL);
    proxy.stop().await;
}

#[tokio::test]
async fn a_codex_that_refuses_to_end_is_ended() {
    let mut scenario = scenario(&json!([]), &json!([]));
    (scenario["ignore_sigterm"], scenario["ignore_stdin_close"]) = (json!(true), json!(true));
    let proxy = Setup::fake(&scenario).env("WORKER_SHUTDOWN_GRACE_MS", "300").start().await;
    expect(&proxy, Surface::Chat, "hi", Gets::Answer).await;
    let pids = proxy.fake_codex_pids();
    let stopped = tokio::time::timeout(Duration::from_secs(20), proxy.stop()).await;
    assert!(stopped.is_ok(), "it took longer than twice the grace and something");
    for pid in pids {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "worker {pid} is left");
    }
}

#[tokio::test]
async fn a_step_of_a_turn_that_is_never_answered_does_not_cost_the_place_for_good() {
    for at in TURN {
        let faults = json!([{"at": at, "fault": "hang", "runs": [1]}]);
        let setup = quick(Setup::fake(&scenario(&faults, &json!([])))).env("WORKER_MAX_CONCURRENCY", "1");
        let proxy = setup.env("PROXY_QUEUE_TIMEOUT_MS", "30000").start().await;
        expect(&proxy, Surface::Chat, "hi", Gets::Error(504, "idle_timeout")).await;
        // A worker that left a request unanswered has to go: everything else would hang on it as well.
        for surface in BOTH {
            expect(&proxy, surface, "hi", Gets::Answer).await;
        }
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_is_a_named_error_and_no_answer_with_a_hole() {
    let bad = json!([
        {"step": "text", "deltas": ["before "], "open": true}, {"step": "big_line", "bytes": 70_000_000},
    ]);
    let setup = Setup::fake(&scenario(&json!([]), &bad)).env("PROXY_IDLE_TIMEOUT_MS", "60000");
    let proxy = setup.env("PROXY_TIMEOUT_MS", "30000").env("WORKER_PING_TIMEOUT_MS", "60000").start().await;
    for surface in BOTH {
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("[[scenario:bad]]"))).await;
        assert_ne!(status, 200, "{} bytes of 70,000,007", surface.text(&body).len());
        let code = error_code(&body);
        assert!(
            code != "request_timeout" && code != "idle_timeout",
            "nobody was told before the time was over: {body}"
        );
        expect(&proxy, surface, "hi", Gets::Answer).await;
    }
    assert_bounded(&proxy, BIG_LINE);
    proxy.stop().await;
}

#[tokio::test]
async fn a_flood_on_stderr_does_not_hold_up_what_is_said_on_stdout() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("codex");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *app-server*) yes 'WARN noise on stderr that never ends' >&2 & ;; esac\nexec '{}' \"$@\"\n",
        fake_codex_path().display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let proxy = quick(Setup::over(path)).start().await;
    for round in 0..20 {
        let surface = BOTH[round % 2];
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
        assert_eq!(status, 200, "{body}\n{}", proxy.log_text());
    }
    assert_eq!(proxy.fake_codex_pids().len(), 1, "{}", proxy.log_text());
    assert_bounded(&proxy, SMALL);
    proxy.stop().await;
}

#[tokio::test]
async fn a_worker_that_talks_is_alive() {
    // The answer to the ping comes after the turn; the turn's own lines are signs of life in the meantime.
    let mut bad = Vec::new();
    for number in 0..30 {
        bad.push(json!({"step": "text", "deltas": [format!("{number} ")], "open": true}));
        bad.push(json!({"step": "pause", "ms": 100}));
    }
    let faults = json!([{"at": "account/read", "fault": "late"}]);
    let setup = Setup::fake(&scenario(&faults, &json!(bad))).env("WORKER_PING_INTERVAL_MS", "200");
    let proxy = setup.env("WORKER_PING_TIMEOUT_MS", "1000").start().await;
    let answer = sse::json(proxy.post("/chat/completions", &Surface::Chat.ask("[[scenario:bad]]"))).await;
    let expected: String = (0..30).map(|number| format!("{number} ")).collect();
    assert_eq!((answer.0.as_u16(), Surface::Chat.text(&answer.1)), (200, expected), "{}", proxy.log_text());
    proxy.stop().await;
}
