//! Many clients at once, clients that disconnect or are slow, and a proxy that stops.

use std::collections::HashMap;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{Ending, FakeOpenAi, Gate, Script, UPSTREAMS};
use e2e::harness::{Setup, proxy_path};
use e2e::patience::PATIENCE;
use e2e::sse::SseReader;
use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::surface::{BOTH, Surface};

#[tokio::test]
async fn sixteen_interleaved_clients_each_get_their_own_answer() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let gates: Vec<Gate> = (0..16).map(|_| Gate::new()).collect();
        for (n, gate) in gates.iter().enumerate() {
            let (first, second) = (format!("first {n} é "), format!("second {n} 🦀"));
            let script = Script::new().chunk_sizes(&[5, 1, 3]).message_held(&first, gate, &second);
            upstream.on_marker(&format!("<{n}>"), [script]);
        }
        let mut streams: HashMap<usize, SseReader> = HashMap::new();
        for n in 0..16 {
            let surface = BOTH[n % 2];
            streams.insert(n, proxy.stream(surface.path(), &surface.ask(&format!("<{n}>"))).await);
        }
        // All sixteen are in the middle of their answers before the first may continue.
        join_all(gates.iter().map(|gate| gate.reached(1))).await;
        for n in (0..16).rev() {
            gates[n].open();
            let stream = streams.remove(&n).unwrap();
            let text = BOTH[n % 2].streamed_text(&stream.events().await);
            assert_eq!(text, format!("first {n} é second {n} 🦀"));
        }
        assert_eq!(upstream.unscripted(), [""; 0]);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn events_of_two_turns_in_one_worker_do_not_mix() {
    let steps = json!([
        {"step": "barrier", "turns": 2},
        {"step": "text", "deltas": ["a ", "b ", "c ", "{{user}}"]},
    ]);
    let setup = Setup::fake(&json!({"scenarios": {"both": steps}})).env("PROXY_WORKER_COUNT", "1");
    let proxy = setup.start().await;
    for surface in BOTH {
        let asks = [1, 2].map(|n| surface.ask(&format!("{n}[[scenario:both]]")));
        let answers = join_all(asks.iter().map(|ask| surface.events(&proxy, ask))).await;
        for (n, events) in (1..).zip(&answers) {
            assert_eq!(surface.streamed_text(events), format!("a b c {n}[[scenario:both]]"));
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_interrupts_the_turn() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for (n, surface) in BOTH.into_iter().enumerate() {
            let gate = Gate::new();
            upstream.push(Script::new().message(&["one"]).gate(&gate));
            let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
            gate.reached(1).await;
            stream.next_data().await.expect("a frame");
            drop(stream);
            assert_eq!(upstream.wait_for_ending(n).await, Ending::ClosedEarly, "{surface:?}");
        }
        upstream.push(Script::text("still there"));
        let answer = Surface::Chat.answer(&proxy, &Surface::Chat.ask("hi")).await;
        assert_eq!(Surface::Chat.text(&answer), "still there");
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_whole_answer_interrupts_the_turn_too() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for (n, surface) in BOTH.into_iter().enumerate() {
            let gate = Gate::new();
            upstream.push(Script::new().message(&["one"]).gate(&gate));
            let body = surface.ask("hi").to_string();
            let mut socket = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
            let head = format!(
                "POST /v1{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                surface.path(),
                proxy.port(),
                proxy.key,
                body.len()
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            gate.reached(1).await;
            drop(socket);
            assert_eq!(upstream.wait_for_ending(n).await, Ending::ClosedEarly, "{surface:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up_and_loses_nothing() {
    let scenarios = json!({"flood": [{"step": "flood", "count": 60_000, "text": "0123456789"}]});
    let setup = Setup::fake(&json!({"scenarios": scenarios})).env("PROXY_WORKER_COUNT", "1");
    let proxy = setup.start().await;
    let mut ask = Surface::Chat.ask("[[scenario:flood]]");
    ask["stream"] = json!(true);
    let body = ask.to_string();
    let mut slow = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        proxy.port(),
        proxy.key,
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 64];
    slow.read_exact(&mut first).await.unwrap();
    for surface in BOTH {
        let answer = surface.answer(&proxy, &surface.ask("hi")).await;
        assert!(!surface.text(&answer).is_empty());
    }
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    let text = String::from_utf8_lossy(&rest);
    let tail = &text[text.len().saturating_sub(600)..];
    assert!(text.contains("data: [DONE]"), "the stream of the slow client just ended: {tail}");
    // A client that is too slow may be disconnected, but must get an error.
    let whole = text.matches("0123456789").count() == 60_000;
    assert!(whole || text.contains("\"error\""), "something is missing: {tail}");
}

#[tokio::test]
async fn silence_is_filled_with_keepalives() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).env("PROXY_SSE_KEEPALIVE_MS", "100").start().await;
        for surface in BOTH {
            let gate = Gate::new();
            upstream.push(Script::new().gate(&gate).message(&["late"]));
            let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
            let mut comments = 0;
            while comments < 3 {
                let frame = stream.next().await.expect("the stream goes on");
                comments += frame.comments.iter().filter(|comment| *comment == "keepalive").count();
            }
            gate.open();
            assert_eq!(surface.streamed_text(&stream.events().await), "late");
        }
    }
}

#[tokio::test]
async fn keepalives_can_be_turned_off() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).env("PROXY_SSE_KEEPALIVE_MS", "0").start().await;
    for surface in BOTH {
        let gate = Gate::new();
        upstream.push(Script::new().gate(&gate).message(&["late"]));
        let before = upstream.requests().len();
        let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
        upstream.wait_for_requests(before + 1).await;
        gate.open();
        let mut text = String::new();
        while let Some(frame) = stream.next().await {
            assert!(frame.comments.is_empty(), "{frame:?}");
            text += frame.data.as_deref().unwrap_or_default();
        }
        assert!(text.contains("late"), "{text}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_stop_lets_running_answers_finish_and_leaves_no_worker() {
    use rustix::process::{Pid, Signal, kill_process, test_kill_process};
    let steps = json!([{"step": "text", "deltas": ["one "], "open": true}, {"step": "pause", "ms": 300}, {"step": "text", "deltas": ["two"]}]);
    let mut proxy = Setup::fake(&steps).start().await;
    let surface = Surface::Responses;
    let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
    stream.until("response.output_text.delta").await;
    kill_process(proxy.pid().unwrap(), Signal::TERM).unwrap();
    let events = stream.events().await;
    assert_eq!(events.last().unwrap()["type"], "response.completed", "{}", proxy.log_text());
    assert!(proxy.exit().await.success(), "{}", proxy.log_text());
    let pids = proxy.fake_codex_pids();
    assert!(!pids.is_empty());
    for pid in pids {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        assert!(test_kill_process(pid).is_err(), "worker {pid:?} is still there");
    }
}

#[tokio::test]
async fn the_command_quit_lets_running_answers_finish_and_waits_for_the_end() {
    let steps = json!([{"step": "text", "deltas": ["one "], "open": true}, {"step": "pause", "ms": 300}, {"step": "text", "deltas": ["two"]}]);
    let mut proxy = Setup::fake(&steps).start().await;
    let surface = Surface::Responses;
    let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
    stream.until("response.output_text.delta").await;
    let quit = proxy.beside(&proxy_path(), &["quit"]).output();
    let (said, events) = tokio::join!(quit, stream.events());
    let said = said.unwrap();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("has ended"), "{said:?}");
    assert_eq!(events.last().unwrap()["type"], "response.completed", "{}", proxy.log_text());
    // The data directory is no longer in use.
    let again = proxy.beside(&proxy_path(), &["quit"]).output().await.unwrap();
    assert_eq!(again.status.code(), Some(69), "{again:?}");
    assert!(proxy.exit().await.success(), "{}", proxy.log_text());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_killed_proxy_takes_its_workers_with_it() {
    use e2e::processes::{is_gone, signal};
    use rustix::process::{Signal, kill_process};
    let stubborn = json!({"ignore_sigterm": true, "ignore_stdin_close": true});
    let mut proxy = Setup::fake(&stubborn).start().await;
    let pids = proxy.fake_codex_pids();
    assert!(!pids.is_empty());
    kill_process(proxy.pid().unwrap(), Signal::KILL).unwrap();
    proxy.exit().await;
    for pid in pids {
        let mut poll = tokio::time::interval(std::time::Duration::from_millis(20));
        let ends = async {
            while !is_gone(pid) {
                poll.tick().await;
            }
        };
        let left = tokio::time::timeout(PATIENCE, ends).await.is_err();
        if left {
            signal(pid, Signal::KILL);
        }
        assert!(!left, "worker {pid} outlived the proxy by {PATIENCE:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_proxy_whose_output_nobody_reads_still_stops_when_asked() {
    use rustix::process::{Pid, Signal, kill_process};
    use tokio::io::{AsyncBufReadExt, BufReader};
    for format in ["text", "json"] {
        let data = tempfile::tempdir().unwrap();
        let environment =
            [("PROXY_LOG", "trace"), ("PROXY_LOG_FORMAT", format), ("PROXY_LOG_DIR", "/dev/null/logs")];
        let mut child = crate::cli::command(data.path(), &["run"], &environment).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = lines.next_line().await.unwrap().unwrap();
        let url = listening.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        drop((lines, child.stderr.take()));
        // Each of these is logged, but the log has no reader.
        for _ in 0..5 {
            let answer = e2e::sse::client().get(format!("{url}/models")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        assert_eq!(ended.expect("it stops").unwrap().code(), Some(0), "{format}");
    }
}

#[tokio::test]
async fn a_stubborn_worker_is_killed_at_the_end() {
    let stubborn = json!({"ignore_sigterm": true, "ignore_stdin_close": true});
    let setup = Setup::fake(&stubborn).env("WORKER_SHUTDOWN_GRACE_MS", "300");
    setup.start().await.stop().await;
}
