//! The limit of open files: as high as the system allows, with a message when it is reached.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use e2e::harness::{Proxy, Setup, proxy_path};
use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::surface::BOTH;

/// The proxy under a limit, as `ulimit` of a shell sets it.
fn limited(limit: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("proxy");
    let text = format!("#!/bin/sh\nulimit {limit}\nexec '{}' \"$@\"\n", proxy_path().display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (dir, path)
}

/// The soft and the hard limit of a process.
fn limits(pid: impl std::fmt::Display) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap_or(u64::MAX));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn pid(proxy: &Proxy) -> i32 {
    proxy.pid().unwrap().as_raw_nonzero().get()
}

#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one_for_the_workers_too() {
    let (_dir, program) = limited("-Sn 256");
    let proxy = Setup::fake(&json!({})).program(program).start().await;
    for pid in [pid(&proxy).to_string(), proxy.fake_codex_pids()[0].to_string()] {
        let (soft, hard) = limits(pid);
        assert!(soft > 256 && soft == hard.min(1 << 20), "{soft} of {hard}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn too_many_connections_are_told_of_now_and_then_and_served_when_others_have_gone() {
    let (_dir, program) = limited("-n 96");
    let proxy = Setup::fake(&json!({})).program(program).start().await;
    let address = ("127.0.0.1", proxy.port());
    let open = join_all((0..150).map(|_| TcpStream::connect(address))).await;
    proxy.wait_for_log("LimitNOFILE").await;
    // A connection that waits is tried for twenty times a second; that is not logged so often.
    let mut poll = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..60 {
        poll.tick().await;
    }
    let lines = proxy.log_text().matches("a connection has to wait").count();
    assert!(lines <= 20, "{lines} lines");
    drop(open);
    for surface in BOTH {
        assert!(!surface.text(&surface.answer(&proxy, &surface.ask("hi")).await).is_empty());
    }
    let log = proxy.stop().await;
    assert!(log.contains("log lines were left out") && log.contains("a connection has to wait"), "{log}");
}
