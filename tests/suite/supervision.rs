//! Several workers, the queue for them, their replacement, and the messages when no worker is ready.

use std::fs;
use std::time::Duration;

use e2e::harness::{Proxy, Setup, fake_codex_path};
use e2e::patience::PATIENCE;
use e2e::processes::{is_gone, signal};
use e2e::sse::{self, SseReader};
use futures_util::future::join_all;
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface, error_code};

/// `/healthz` once it meets a condition.
async fn health(proxy: &Proxy, met: impl Fn(&Value) -> bool) -> Value {
    let url = proxy.root_url("/healthz");
    let mut last = Value::Null;
    let polling = async {
        let mut poll = tokio::time::interval(Duration::from_millis(10));
        while !met(&last) {
            poll.tick().await;
            (_, last) = sse::json(proxy.bare(Method::GET, &url)).await;
        }
    };
    let met = tokio::time::timeout(PATIENCE, polling).await;
    assert!(met.is_ok(), "still {last:#}\n{}", proxy.log_text());
    last
}

fn workers(report: &Value) -> &[Value] {
    report["worker_supervisor"]["workers"].as_array().map_or(&[], Vec::as_slice)
}

fn all_ready(report: &Value) -> bool {
    !workers(report).is_empty() && workers(report).iter().all(|worker| worker["state"] == "ready")
}

fn active(report: &Value) -> Vec<u64> {
    workers(report).iter().map(|worker| worker["active_turns"].as_u64().unwrap()).collect()
}

async fn active_turns(proxy: &Proxy, wanted: &[u64]) -> Value {
    health(proxy, |report| active(report) == wanted).await
}

async fn queue_depth(proxy: &Proxy, wanted: u64) -> Value {
    health(proxy, |report| report["worker_supervisor"]["queue_depth"] == wanted).await
}

/// A fake Codex whose default turn answers, and whose turn `hang` writes a word and never ends.
fn hanging() -> Value {
    let hang = json!([{"step": "text", "deltas": ["held"], "open": true}, {"step": "hang"}]);
    json!({"record": true, "scenarios": {"hang": hang}})
}

/// A stream that has started and never ends.
async fn hold(proxy: &Proxy, surface: Surface) -> SseReader {
    let mut stream = proxy.stream(surface.path(), &surface.ask("[[scenario:hang]]")).await;
    let mut events = Vec::new();
    while surface.streamed_text(&events) != "held" {
        events.push(stream.next_data().await.expect("the stream goes on").json());
    }
    stream
}

#[tokio::test]
async fn three_workers_share_the_work_and_one_of_them_may_die() {
    let barrier = json!([
        {"step": "text", "deltas": ["before "], "open": true}, {"step": "barrier", "turns": 3},
        {"step": "text", "deltas": ["after"]},
    ]);
    // The fourth process, which takes the place of the dead one, gets stuck in its handshake.
    let faults = json!([{"at": "initialize", "fault": "hang", "runs": [4]}]);
    let setup = Setup::fake(&json!({"faults": faults, "scenarios": {"default": barrier}}));
    let setup = setup.env("PROXY_WORKER_COUNT", "3").env("WORKER_STARTUP_TIMEOUT_MS", "15000");
    let proxy = setup.start().await;
    health(&proxy, all_ready).await;

    let mut streams = Vec::new();
    for number in 1..=6 {
        let surface = BOTH[number % 2];
        streams.push((surface, proxy.stream(surface.path(), &surface.ask("hi")).await));
        health(&proxy, |report| active(report).iter().sum::<u64>() == number as u64).await;
    }
    let report = active_turns(&proxy, &[2, 2, 2]).await;
    let killed = workers(&report)[1]["pid"].clone();
    signal(killed.as_u64().unwrap(), Signal::KILL);
    let gone = |report: &Value| active(report) == [2, 0, 2] && workers(report)[1]["pid"] != killed;
    health(&proxy, gone).await;

    // Two more turns open both barriers: the two workers continue normally.
    for surface in BOTH {
        streams.push((surface, proxy.stream(surface.path(), &surface.ask("hi")).await));
    }
    let texts = join_all(streams.into_iter().map(|(surface, stream)| async move {
        let events = stream.events().await;
        (surface.streamed_text(&events), events.last().unwrap().to_string())
    }));
    let texts = texts.await;
    let whole = texts.iter().filter(|(text, _)| text == "before after").count();
    // Their progress at the time of the kill does not matter.
    let lost = texts
        .iter()
        .filter(|(text, last)| "before ".starts_with(text.as_str()) && last.contains("worker_exited"));
    let lost = lost.count();
    assert_eq!((whole, lost), (6, 2), "{texts:#?}");

    let report = health(&proxy, all_ready).await;
    let reason = workers(&report)[1]["last_exit"].as_str().unwrap();
    assert!(reason.contains("WORKER_STARTUP_TIMEOUT_MS"), "{report:#}");
    proxy.stop().await;
}

#[tokio::test]
async fn whoever_came_first_is_served_first() {
    let setup = Setup::fake(&hanging()).env("WORKER_MAX_CONCURRENCY", "2");
    let proxy = setup.start().await;
    let _stays = hold(&proxy, Surface::Chat).await;
    let leaves = hold(&proxy, Surface::Responses).await;
    let asks: Vec<_> =
        (0..10).map(|number| (BOTH[number % 2], BOTH[number % 2].ask(&format!("<{number}>")))).collect();
    let (mut waiting, mut depth) = (Vec::new(), 0);
    for (surface, ask) in &asks {
        let request = proxy.post(surface.path(), ask);
        waiting.push(tokio::spawn(sse::json(request)));
        depth += 1;
        queue_depth(&proxy, depth).await;
    }
    drop(leaves);
    for answer in join_all(waiting).await {
        let (status, body) = answer.unwrap();
        assert_eq!(status, 200, "{body}");
    }
    let received = fs::read_to_string(proxy.codex_home().join("fake-codex.received.jsonl")).unwrap();
    let order: Vec<_> = received
        .lines()
        .filter(|line| line.contains("thread/inject_items"))
        .filter_map(|line| (0..10).find(|number| line.contains(&format!("<{number}>"))))
        .collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_queue_and_a_long_wait_are_a_429_that_says_when_to_come_again() {
    let setup = Setup::fake(&hanging()).env("WORKER_MAX_CONCURRENCY", "1");
    let setup = setup.env("PROXY_QUEUE_LIMIT", "2").env("PROXY_QUEUE_TIMEOUT_MS", "1500");
    let proxy = setup.start().await;
    let held = hold(&proxy, Surface::Chat).await;
    let mut waiting = Vec::new();
    for (number, surface) in (1..).zip(BOTH) {
        waiting.push(tokio::spawn(proxy.post(surface.path(), &surface.ask("hi")).send()));
        queue_depth(&proxy, number).await;
    }
    let mut refusals = Vec::new();
    for surface in BOTH {
        refusals.push(proxy.post(surface.path(), &surface.ask("hi")).send().await.unwrap());
    }
    for late in join_all(waiting).await {
        refusals.push(late.unwrap().unwrap());
    }
    for refusal in refusals {
        assert_eq!(refusal.status(), 429);
        let after = refusal.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
        assert!(after > 0);
        let body: Value = serde_json::from_str(&refusal.text().await.unwrap()).unwrap();
        assert_eq!(error_code(&body), "rate_limit_exceeded", "{body}");
    }
    drop(held);
    for surface in BOTH {
        surface.answer(&proxy, &surface.ask("hi")).await;
    }
}

#[tokio::test]
async fn three_choices_take_three_places() {
    let setup = Setup::fake(&hanging()).env("WORKER_MAX_CONCURRENCY", "3");
    let proxy = setup.start().await;
    let mut ask = Surface::Chat.ask("[[scenario:hang]]");
    ask["n"] = json!(3);
    let stream = proxy.stream(Surface::Chat.path(), &ask).await;
    active_turns(&proxy, &[3]).await;
    let request = proxy.post(Surface::Chat.path(), &Surface::Chat.ask("hi"));
    let fourth = tokio::spawn(sse::json(request));
    queue_depth(&proxy, 1).await;
    drop(stream);
    let (status, body) = fourth.await.unwrap();
    assert_eq!(status, 200, "{body}");
    active_turns(&proxy, &[0]).await;
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_frees_its_place_in_line() {
    let setup = Setup::fake(&hanging()).env("WORKER_MAX_CONCURRENCY", "1").env("PROXY_QUEUE_LIMIT", "1");
    let proxy = setup.start().await;
    let held = hold(&proxy, Surface::Chat).await;
    let leaves = tokio::spawn(proxy.post(Surface::Chat.path(), &Surface::Chat.ask("<left>")).send());
    queue_depth(&proxy, 1).await;
    leaves.abort();
    queue_depth(&proxy, 0).await;
    let next = tokio::spawn(sse::json(proxy.post("/responses", &Surface::Responses.ask("hi"))));
    queue_depth(&proxy, 1).await;
    drop(held);
    let (status, body) = next.await.unwrap();
    assert_eq!(status, 200, "{body}");
    let received = fs::read_to_string(proxy.codex_home().join("fake-codex.received.jsonl")).unwrap();
    assert!(!received.contains("<left>"), "Codex was asked for somebody who had left");
}

/// Eight clients send requests while workers are replaced under this setting. No request fails.
async fn replaced_without_a_gap(scenario: &Value, name: &str, value: &str) {
    let setup = Setup::fake(scenario).env(name, value).env("WORKER_PING_INTERVAL_MS", "50");
    let setup = setup.env("WORKER_SHUTDOWN_GRACE_MS", "200");
    let proxy = setup.start().await;
    let (proxy_ref, wanted) = (&proxy, 4);
    let restarts = |report: &Value| report["worker_supervisor"]["restarts"].as_u64().unwrap_or(0);
    let clients = (0..8).map(|number: usize| async move {
        let surface = BOTH[number % 2];
        for count in 0.. {
            let text = format!("<{number}.{count}>");
            let said = if count % 2 == 0 {
                surface.text(&surface.answer(proxy_ref, &surface.ask(&text)).await)
            } else {
                surface.streamed_text(&surface.events(proxy_ref, &surface.ask(&text)).await)
            };
            assert_eq!(said, format!("Hello, {text}"), "{}", proxy_ref.log_text());
            let (_, report) = sse::json(proxy_ref.bare(Method::GET, &proxy_ref.root_url("/healthz"))).await;
            if restarts(&report) >= wanted {
                return;
            }
        }
    });
    tokio::time::timeout(PATIENCE, join_all(clients))
        .await
        .unwrap_or_else(|_| panic!("{}", proxy.log_text()));
    let pids = proxy.fake_codex_pids();
    assert!(pids.len() as u64 > wanted, "{pids:?}");
    let replaced = &pids[..pids.len() - 1];
    let gone = async {
        let mut poll = tokio::time::interval(Duration::from_millis(10));
        while !replaced[..replaced.len() - 1].iter().all(|pid| is_gone(*pid)) {
            poll.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, gone).await.is_ok(), "of {replaced:?} some are left");
    proxy.stop().await;
}

fn greeting(extra: &Value) -> Value {
    let mut scenario = json!({"scenarios": {"default": [
        {"step": "text", "deltas": ["Hel", "lo, "], "open": true}, {"step": "pause", "ms": 5},
        {"step": "text", "deltas": ["{{user}}"]},
    ]}});
    scenario.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    scenario
}

#[tokio::test]
async fn workers_are_replaced_after_their_turns_without_a_failed_request() {
    replaced_without_a_gap(&greeting(&json!({})), "WORKER_MAX_TURNS", "30").await;
}

#[tokio::test]
async fn workers_are_replaced_by_age_without_a_failed_request() {
    replaced_without_a_gap(&greeting(&json!({})), "WORKER_MAX_AGE_MS", "300").await;
}

#[tokio::test]
async fn a_worker_that_refuses_to_go_is_replaced_all_the_same() {
    let stubborn = json!({"ignore_sigterm": true, "ignore_stdin_close": true});
    replaced_without_a_gap(&greeting(&stubborn), "WORKER_MAX_TURNS", "30").await;
}

#[tokio::test]
async fn a_worker_that_dies_at_its_start_is_tried_again_after_growing_pauses() {
    let faults = json!({"faults": [{"at": "start", "fault": "exit", "code": 9}]});
    let proxy = Setup::fake(&faults).unready().start().await;
    let report = health(&proxy, |report| report["worker_supervisor"]["restarts"].as_u64() >= Some(5)).await;
    let reason = report["health"]["readiness"]["reason"].as_str().unwrap();
    assert!(reason.contains("exit status: 9"), "{report:#}");
    let report =
        health(&proxy, |report| workers(report).iter().any(|worker| worker["state"] == "failed")).await;
    assert!(workers(&report)[0]["last_exit"].as_str().unwrap().contains("exit status: 9"), "{report:#}");
    let log = proxy.log_text();
    let pauses: Vec<f64> = log
        .lines()
        .filter_map(|line| {
            line.split("retry_ms=").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
        .collect();
    assert!(pauses.len() >= 5, "{log}");
    for pair in pauses.windows(2) {
        let growth = pair[1] / pair[0];
        assert!((1.6..=2.5).contains(&growth), "{pauses:?}");
    }
    for surface in BOTH {
        let answer = proxy.post(surface.path(), &surface.ask("hi")).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(error_code(&body), "worker_not_ready");
        assert!(body["error"]["message"].as_str().unwrap().contains("exit status: 9"), "{body}");
    }
}

/// The messages when Codex cannot run: in the log, in `/healthz`, in the error body.
async fn says_what_to_do(setup: Setup, says: &[&str]) {
    let proxy = setup.unready().start().await;
    let down = |report: &Value| workers(report).iter().any(|worker| worker["last_exit"].is_string());
    let report = health(&proxy, down).await;
    let reason = report["health"]["readiness"]["reason"].as_str().unwrap().to_owned();
    let (status, ready) = sse::json(proxy.bare(Method::GET, &proxy.root_url("/readyz"))).await;
    assert_eq!(status, 503, "{ready}");
    let mut places = vec![("/healthz", reason), ("the log", proxy.log_text())];
    for surface in BOTH {
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
        assert_eq!((status.as_u16(), error_code(&body).as_str()), (503, "worker_not_ready"), "{body}");
        places.push(("the error", body["error"]["message"].as_str().unwrap().to_owned()));
    }
    for (place, text) in &places {
        for word in says {
            assert!(text.contains(word), "{place} does not say {word:?}: {text}");
        }
    }
    proxy.stop().await;
}

fn script(dir: &std::path::Path, text: &str, mode: u32) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("codex");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[tokio::test]
async fn a_missing_codex_says_how_to_get_it() {
    let setup = Setup::over("/nonexistent/codex".into());
    says_what_to_do(setup, &["/nonexistent/codex", "not found", "codex-proxy codex install", "CODEX_BIN"])
        .await;
}

#[tokio::test]
async fn a_codex_that_may_not_be_executed_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::over(script(dir.path(), "#!/bin/sh\n", 0o644));
    says_what_to_do(setup, &["may not be executed", "permissions", "CODEX_BIN"]).await;
}

#[tokio::test]
async fn a_codex_that_prints_a_banner_first_works() {
    let dir = tempfile::tempdir().unwrap();
    let fake = fake_codex_path();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *app-server*) echo 'Welcome to Codex!'; echo; echo '{{\"not\": \"a message\"}}';; esac\n\
         exec '{}' \"$@\"\n",
        fake.display()
    );
    let proxy = Setup::over(script(dir.path(), &text, 0o755)).start().await;
    for surface in BOTH {
        assert!(!surface.text(&surface.answer(&proxy, &surface.ask("hi")).await).is_empty());
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_made_ends_the_start_with_a_sentence() {
    // Without it there is no key, so there is nothing to serve.
    let output = std::process::Command::new(e2e::harness::proxy_path())
        .env_clear()
        .envs([
            ("PORT", "0"),
            ("PROXY_DATA_DIR", "/dev/null/data"),
            ("PROXY_API_KEY", "a-key-of-some-length"),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    for word in ["/dev/null/data", "PROXY_DATA_DIR"] {
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn deaths_long_after_the_handshake_do_not_make_the_next_one_wait() {
    let proxy = Setup::fake(&hanging()).start().await;
    // The pause after this number of failed starts is longer than the limit, and the limit is longer than any
    // delay of an answer by other load.
    const LIMIT: Duration = Duration::from_secs(10);
    for round in 0..10 {
        let report = health(&proxy, all_ready).await;
        let pid = workers(&report)[0]["pid"].as_u64().unwrap();
        signal(pid, Signal::KILL);
        health(&proxy, |report| !workers(report).is_empty() && workers(report)[0]["pid"] != pid).await;
        let ask = Surface::Chat.ask("hi");
        let answered = tokio::time::timeout(LIMIT, Surface::Chat.answer(&proxy, &ask)).await;
        assert!(
            answered.is_ok(),
            "after {round} deaths before, an answer took longer than {LIMIT:?}\n{}",
            proxy.log_text()
        );
    }
}

#[tokio::test]
async fn a_client_that_has_left_is_not_counted_as_waiting() {
    let setup = Setup::fake(&hanging()).env("WORKER_MAX_CONCURRENCY", "1").env("PROXY_QUEUE_LIMIT", "1");
    let proxy = setup.start().await;
    let held = hold(&proxy, Surface::Chat).await;
    for surface in BOTH {
        let leaves = tokio::spawn(proxy.post(surface.path(), &surface.ask("<left>")).send());
        queue_depth(&proxy, 1).await;
        leaves.abort();
        queue_depth(&proxy, 0).await;
    }
    let stays = tokio::spawn(sse::json(proxy.post(Surface::Chat.path(), &Surface::Chat.ask("hi"))));
    queue_depth(&proxy, 1).await;
    drop(held);
    let (status, body) = stays.await.unwrap();
    assert_eq!(status, 200, "{body}");
    let received = fs::read_to_string(proxy.codex_home().join("fake-codex.received.jsonl")).unwrap();
    assert!(!received.contains("<left>"), "Codex was asked for somebody who had left");
}

#[tokio::test]
async fn a_codex_without_app_server_says_that_it_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let text = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'codex-cli 0.20.0'; exit 0; fi\n\
                echo \"error: unrecognized subcommand 'app-server'\" >&2\nexit 2\n";
    let setup = Setup::over(script(dir.path(), text, 0o755));
    says_what_to_do(setup, &["too old", "codex-proxy codex install"]).await;
}

#[tokio::test]
async fn a_codex_home_that_cannot_be_written_says_so() {
    // Root may write anywhere but here.
    for home in ["/proc/codex-home", "/dev/null/codex-home"] {
        let setup = Setup::fake(&json!({})).env("CODEX_HOME", home);
        says_what_to_do(setup, &[home, "CODEX_HOME", "writable"]).await;
    }
}

#[tokio::test]
async fn a_full_disk_says_so() {
    let Some(disk) = FullDisk::mount() else {
        println!("skipped: a tmpfs can only be mounted by root");
        return;
    };
    let setup = Setup::fake(&json!({})).env("PROXY_DATA_DIR", disk.path());
    says_what_to_do(setup, &[disk.path(), "space", "PROXY_DATA_DIR"]).await;
}

/// A file system without a free byte; it is unmounted when dropped.
struct FullDisk(tempfile::TempDir);

impl FullDisk {
    fn mount() -> Option<Self> {
        use std::process::Command;
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(dir.path());
        if !mount.output().is_ok_and(|output| output.status.success()) {
            return None;
        }
        let disk = Self(dir);
        let written = fs::write(disk.0.path().join("filler"), [1; 128 * 1024]);
        assert!(written.is_err(), "the disk is not full");
        // Directories take no space here; files of more than nothing do.
        assert!(fs::write(disk.0.path().join("more"), [1; 8192]).is_err());
        Some(disk)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
