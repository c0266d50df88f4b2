//! Thousands of almost correct requests: every answer must be well-formed, and the proxy must keep working.
//!
//! `CODEX_PROXY_TEST_MUTATIONS` sets the number; `cargo xtask fuzz` runs 50,000. A failing request is reduced to a small one.
//! Its seed is kept in `proptest-regressions`, and the next run tries it first.

mod client;
mod request;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use e2e::harness::{Proxy, Setup};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use serde_json::{Value, json};

use client::{Answer, Client};
use request::Request;

const REQUESTS: u32 = 10_000;
/// Connections at once; each has a share of the requests.
const CONNECTIONS: u32 = 4;
/// Resident memory that is far more than an idle proxy needs and far less than a leak would take.
const MOST_KIB: u64 = 700 * 1024;
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/mutations.txt");

#[test]
fn whatever_is_sent_is_answered_in_the_apis_own_words() {
    let requests = std::env::var("CODEX_PROXY_TEST_MUTATIONS").ok().and_then(|number| number.parse().ok());
    let requests: u32 = requests.unwrap_or(REQUESTS);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // A URL in a body is not to lead anywhere, and no key may run out.
    let setup = Setup::fake(&json!({}))
        .env("PROXY_FETCH_IMAGES", "false")
        .env("PROXY_LOG", "error")
        .env("PROXY_MAX_BODY_BYTES", "1000000");
    let proxy = runtime.block_on(setup.start());
    let token = std::fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();
    let began = Instant::now();
    let statuses = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| run(&proxy, token.trim(), requests / CONNECTIONS, &statuses)))
            .collect();
        for run in runs {
            if let Err(panic) = run.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let (seconds, memory) = (began.elapsed().as_secs_f64(), memory_kib(&proxy));
    let statuses = statuses.into_inner().unwrap();
    println!("{requests} requests in {seconds:.1} s, at most {memory} KiB; by status: {statuses:?}");
    let answered = statuses.get(&200).copied().unwrap_or(0);
    assert!(
        answered > requests / 10,
        "most mutations should leave something to refuse late, or nothing at all"
    );
    assert!(memory < MOST_KIB, "{memory} KiB");
    let log = proxy.log_text();
    assert!(!log.contains("panicked"), "{log}");
    runtime.block_on(async {
        let answer = proxy.post_ok("/responses", &json!({"model": "codex-5", "input": "hi"})).await;
        assert_eq!(answer["status"], "completed", "the proxy still works");
        proxy.stop().await;
    });
}

fn run(proxy: &Proxy, token: &str, requests: u32, statuses: &Mutex<BTreeMap<u16, u32>>) {
    let client = std::cell::RefCell::new(Client::new(proxy.port()));
    let mut runner = TestRunner::new(Config {
        cases: requests,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        ..Config::default()
    });
    let ran = runner.run(&request::any(), |request: Request| {
        let bytes = request.bytes(proxy.port(), &proxy.key, token);
        let answer = client.borrow_mut().ask(&bytes).map_err(|error| fail(&bytes, &error))?;
        *statuses.lock().unwrap().entry(answer.status).or_default() += 1;
        check(&answer).map_err(|why| fail(&bytes, &format!("{why}: {answer:?}")))
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
}

fn fail(bytes: &[u8], why: &str) -> TestCaseError {
    TestCaseError::fail(format!("{why}\n{}", String::from_utf8_lossy(bytes)))
}

/// Whether an answer is one that clients can read.
fn check(answer: &Answer) -> Result<(), String> {
    let status = answer.status;
    // hyper refuses what is no HTTP before any of ours sees it, and closes the connection.
    let is_hypers = [400, 414, 431].contains(&status) && answer.body.is_empty() && answer.closes;
    if is_hypers || (200..300).contains(&status) && !answer.is_failed_stream() || answer.is_head {
        return if status < 500 { Ok(()) } else { Err("it has a status of ours".to_owned()) };
    }
    if status < 300 {
        return Err("the stream ends with a fault of ours".to_owned());
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| "no JSON".to_owned())?;
    let error = &body["error"];
    let text = |name: &str| error[name].as_str().is_some_and(|text| !text.is_empty());
    if !(text("message") && text("type") && text("code")) || error.get("param").is_none() {
        return Err("not the form of an error".to_owned());
    }
    let code = error["code"].as_str().unwrap_or_default();
    match status {
        400..=428 | 430..=499 => Ok(()),
        429 if code == "rate_limit_exceeded" => Ok(()),
        503 if ["worker_not_ready", "worker_exited", "server_overloaded"].contains(&code) => Ok(()),
        _ => Err("not a status for what a client sends".to_owned()),
    }
}

/// The most memory that the proxy ever had.
fn memory_kib(proxy: &Proxy) -> u64 {
    let Some(pid) = proxy.pid() else { return 0 };
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
