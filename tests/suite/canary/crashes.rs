//! Processes that crash with secrets in their memory and their output.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use e2e::codex_bin::{NEWEST, codex_path};
use e2e::harness::{Setup, fake_codex_path, proxy_path};
use reqwest::Method;
use rustix::process::{Signal, kill_process};
use serde_json::json;

use super::marks::Canaries;
use super::places;
use super::world::{API_KEY, person};
use crate::cli::run;
use crate::surface::BOTH;

fn script(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("program");
    fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

fn canaries() -> Canaries {
    let mut canaries = Canaries::default();
    let person = person();
    for (name, text) in [
        ("API key", API_KEY),
        ("token", "eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOiJhIHRva2VuIHRoYXQgaXMgc2FpZCJ9.canary-4711-signature"),
        ("refresh token", &person.refresh_token),
        ("e-mail", &person.email),
        ("OpenAI key", "sk-proj-canary0123456789abcdefghijklmnop-4711"),
    ] {
        canaries.add(name, text);
    }
    canaries
}

/// The output of Codex before it ends.
fn last_words() -> String {
    let person = person();
    format!(
        "thread main panicked: token eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOiJhIHRva2VuIHRoYXQgaXMgc2FpZCJ9.canary-4711-signature \
         refresh {} of {} with sk-proj-canary0123456789abcdefghijklmnop-4711 at {}",
        person.refresh_token,
        person.email,
        "x".repeat(300),
    )
}

/// Runs a proxy with a Codex that ends after `text`, and checks all its output about this.
async fn dies(text: &str, scenario: &serde_json::Value) {
    let dir = tempfile::tempdir().unwrap();
    let complaint = dir.path().join("complaint");
    fs::write(&complaint, format!("{}\n", last_words())).unwrap();
    let fake = fake_codex_path();
    let text = text.replace("SAY", &format!("cat '{}' >&2", complaint.display()));
    let program = script(dir.path(), &text.replace("FAKE", &format!("exec '{}' \"$@\"", fake.display())));
    let setup = Setup::over(program).unready().env("PROXY_LOG", "trace").env("PROXY_API_KEY", API_KEY);
    let setup = setup.env("FAKE_CODEX_SCENARIO", &scenario.to_string()).env("RUST_BACKTRACE", "full");
    let proxy = setup.env("WORKER_READY_TIMEOUT_MS", "2000").start().await;
    let canaries = canaries();
    let finder = canaries.finder();
    let mut leaks = Vec::new();
    for surface in BOTH {
        for stream in [false, true] {
            let mut ask = surface.ask("hi");
            ask["stream"] = stream.into();
            let request = proxy.bare(Method::POST, &format!("{}{}", proxy.base_url, surface.path()));
            let answer = request.bearer_auth(API_KEY).body(ask.to_string()).send().await.unwrap();
            leaks.extend(finder.find(surface.path(), &answer.bytes().await.unwrap()));
        }
    }
    for path in ["/status", "/codex", "/account", "/requests", "/logs?lines=1000"] {
        let answer = proxy.control(Method::GET, path).send().await.unwrap();
        leaks.extend(finder.find(path, &answer.bytes().await.unwrap()));
    }
    let ready = proxy.bare(Method::GET, &proxy.root_url("/readyz")).send().await.unwrap();
    leaks.extend(finder.find("/readyz", &ready.bytes().await.unwrap()));
    for words in
        [&["doctor"][..], &["doctor", "--json"], &["status"], &["status", "--json"], &["logs"], &["workers"]]
    {
        let said = run(proxy.data_dir(), words, &[("PROXY_API_KEY", API_KEY)], "").await;
        leaks.extend(finder.find(&words.join(" "), format!("{}{}", said.out, said.err).as_bytes()));
    }
    let log = proxy.wait_for_log("[redacted]").await;
    assert!(!log.is_empty());
    let (said, [home, data]) = proxy.stop_and_keep().await;
    leaks.extend(finder.find("the proxy's output", said.as_bytes()));
    leaks.extend(places::files(data.path(), &canaries, places::OF_DATA));
    leaks.extend(places::files(home.path(), &canaries, places::OF_CODEX));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test]
async fn a_codex_that_dies_at_its_start_gives_nothing_away() {
    dies("if [ \"$1\" = --version ]; then FAKE\nfi; SAY; exit 101", &json!({})).await;
}

#[tokio::test]
async fn a_codex_that_cannot_tell_its_version_gives_nothing_away() {
    dies("SAY; kill -ABRT $$", &json!({})).await;
}

#[tokio::test]
async fn a_codex_that_dies_in_a_turn_gives_nothing_away() {
    let scenario = json!({"scenarios": {"default": [
        {"step": "error", "message": last_words(), "details": last_words(), "willRetry": true},
        {"step": "garbage", "line": last_words()},
        {"step": "exit", "code": 101},
    ]}});
    dies("SAY; FAKE", &scenario).await;
}

#[tokio::test]
async fn a_codex_that_refuses_with_a_secret_gives_nothing_away() {
    let scenario = json!({
        "faults": [
            {"at": "thread/start", "fault": "error", "code": -32000, "message": last_words()},
            {"at": "account/read", "fault": "error", "code": -32000, "message": last_words()},
            {"at": "account/rateLimits/read", "fault": "error", "code": -32000, "message": last_words()},
        ],
    });
    dies("SAY; FAKE", &scenario).await;
}

#[tokio::test]
async fn a_codex_that_fails_with_a_secret_gives_nothing_away() {
    let scenario = json!({"scenarios": {"default": [
        {"step": "text", "deltas": ["a"]},
        {"step": "error", "message": last_words(), "details": last_words()},
    ]}});
    dies("SAY; FAKE", &scenario).await;
}

#[tokio::test]
async fn a_proxy_that_is_aborted_leaves_no_dump_of_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    let go = format!(
        "ulimit -S -c unlimited; cd '{}'; exec '{}' \"$@\"",
        dir.path().display(),
        proxy_path().display()
    );
    let setup = Setup::fake(&json!({})).program(script(dir.path(), &go)).env("PROXY_LOG", "trace");
    let mut proxy = setup.env("PROXY_API_KEY", API_KEY).env("RUST_BACKTRACE", "full").start().await;
    let pid = proxy.pid().unwrap();
    let mut pids = places::children(&proxy);
    assert!(!pids.is_empty());
    pids.insert(pid.as_raw_nonzero().get());
    for pid in pids {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    }
    kill_process(pid, Signal::ABORT).unwrap();
    assert!(!proxy.exit().await.success());
    let mut canaries = canaries();
    let token = fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();
    canaries.add("control token", token.trim());
    let finder = canaries.finder();
    let mut leaks = finder.find("the proxy's output", proxy.log_text().as_bytes());
    leaks.extend(places::files(proxy.data_dir(), &canaries, places::OF_DATA));
    leaks.extend(places::files(dir.path(), &canaries, &[]));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test]
async fn codex_keeps_no_log_in_a_home_of_the_proxys_own() {
    let proxy = Setup::over(codex_path(NEWEST)).private_home().start().await;
    let home = proxy.data_dir().join("codex-home");
    assert!(home.join("logs_2.sqlite").is_dir());
    let request = proxy.post("/responses", &BOTH[0].ask("hi"));
    assert_eq!(request.send().await.unwrap().status(), 401, "nobody is signed in, but Codex works");
    for entry in fs::read_dir(&home).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(!name.starts_with("logs_") || entry.path().is_dir(), "there is a log: {name}");
    }
    proxy.stop().await;
}
