//! More requests at once than Codex accepts: the others wait, and none is refused while the queue has space.

use std::fs;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::processes;
use e2e::sse::{self, SseReader};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::faults::peak;
use crate::surface::{BOTH, error_code};

/// Each request has a connection of its own to the proxy, and one to the upstream.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn scenario(faults: &Value) -> Value {
    let hello = json!({"step": "text", "deltas": ["Hello"]});
    json!({"faults": faults, "scenarios": {
        "default": [hello],
        "hang": [hello, {"step": "hang"}],
        "long": [hello, {"step": "file", "name": "go-on"}],
    }})
}

/// Asks `count` times at once, on both surfaces, with and without a stream.
async fn assert_all_answered(proxy: &Proxy, count: usize) {
    let asks: FuturesUnordered<_> = (0..count)
        .map(|number| async move {
            let surface = BOTH[number % 2];
            let mut ask = surface.ask(&format!("question {number}"));
            if number % 4 < 2 {
                let (status, body) = sse::json(proxy.post(surface.path(), &ask)).await;
                return (status != 200).then(|| format!("{status} {}", error_code(&body)));
            }
            ask["stream"] = json!(true);
            match proxy.post(surface.path(), &ask).send().await {
                Ok(response) if response.status() == 200 => {
                    let text = response.text().await.unwrap_or_default();
                    let whole = text.contains("\"response.completed\"") || text.contains("[DONE]");
                    (!whole || text.contains("\"error\":{")).then_some(text)
                }
                Ok(response) => Some(response.status().to_string()),
                Err(error) => Some(error.to_string()),
            }
        })
        .collect();
    let lost: Vec<String> = asks.filter_map(std::future::ready).collect().await;
    assert!(lost.is_empty(), "{} of {count}, such as {}\n{}", lost.len(), lost[0], proxy.log_text());
}

/// A stream that has begun.
async fn started(proxy: &Proxy, scenario: &str) -> SseReader {
    let mut ask = BOTH[0].ask(&format!("[[scenario:{scenario}]]"));
    ask["stream"] = json!(true);
    let mut stream = proxy.stream(BOTH[0].path(), &ask).await;
    while let Some(frame) = stream.next().await {
        if frame.event.as_deref() == Some("response.output_text.delta") {
            return stream;
        }
    }
    panic!("the stream ended");
}

#[tokio::test]
async fn more_than_codex_takes_at_once_are_all_answered() {
    allow_many_files();
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).env("PROXY_WORKER_COUNT", "1").start().await;
        assert_all_answered(&proxy, 400).await;
        let log = proxy.stop().await;
        assert!(!log.contains("a codex worker is down"), "{log}");
    }
}

#[tokio::test]
async fn a_thousand_at_once_are_all_answered_with_bounded_memory() {
    allow_many_files();
    let setup = Setup::fake(&scenario(&json!([]))).env("PROXY_WORKER_COUNT", "1");
    // Only those count who wait for a place that another has.
    let proxy = setup.env("PROXY_QUEUE_LIMIT", "0").start().await;
    assert_all_answered(&proxy, 1_000).await;
    // A build for release takes a third.
    assert!(peak(&proxy) < 160 * 1024, "{} KiB", peak(&proxy));
}

#[tokio::test]
async fn what_codex_has_no_room_for_is_sent_again() {
    let methods =
        ["thread/start", "thread/inject_items", "turn/start", "turn/interrupt", "thread/unsubscribe"];
    let busy = methods.map(|method| json!({"at": method, "fault": "busy", "times": 3}));
    let proxy = Setup::fake(&scenario(&json!(busy))).env("PROXY_WORKER_COUNT", "1").start().await;
    assert_all_answered(&proxy, 12).await;
    // A client that leaves: its turn has to be ended, although the request for it is refused at first.
    let stream = started(&proxy, "hang").await;
    drop(stream);
    until("its place", async || {
        let status = proxy.control_ok("/status", None).await;
        (status["workers"][0]["turns_running"] == 0).then_some(())
    })
    .await;
    assert!(!proxy.stop().await.contains("a codex worker is down"));
}

#[tokio::test]
async fn a_turn_that_does_not_end_takes_no_other_with_it() {
    let faults = json!([{"at": "turn/interrupt", "fault": "hang", "runs": [1]}]);
    let setup = Setup::fake(&scenario(&faults)).env("PROXY_WORKER_COUNT", "1");
    let proxy = setup.env("PROXY_STREAM_IDLE_TIMEOUT_MS", "600000").start().await;
    let mut living = started(&proxy, "long").await;
    drop(started(&proxy, "hang").await);
    proxy.wait_for_log("a codex worker was replaced").await;
    assert_all_answered(&proxy, 4).await;

    fs::write(proxy.codex_home().join("go-on"), "").unwrap();
    let mut last = None;
    while let Some(frame) = living.next().await {
        last = frame.event.or(last);
    }
    assert_eq!(last.as_deref(), Some("response.completed"));
    // With its last living turn over, the old process is no longer needed.
    processes::gone(proxy.fake_codex_pids()[0]).await;
}
