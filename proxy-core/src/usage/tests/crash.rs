//! A recording process is killed at a random moment; no acknowledged event is lost or counted twice.

use std::collections::HashSet;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use super::*;

const CHILD: &str = "CODEX_PROXY_TEST_USAGE_DIR";
const KILLS: u64 = 200;

/// Not a test by itself: the process that the other test kills.
#[test]
fn recording_child() {
    #[expect(clippy::disallowed_methods, reason = "tells the killed process from a run of all tests")]
    let Some(dir) = env::var_os(CHILD) else { return };
    let store = UsageStore::open_in(logged(Path::new(&dir)), Vec::new(), TimeZone::UTC).unwrap();
    let sink = store.sink();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let sink = sink.clone();
            std::thread::spawn(move || {
                for n in 0..1_000_000 {
                    let id = sink.record(event(1_700_000_000_000 + n));
                    // The parent counts a line only if it is complete.
                    if std::io::stdout().write_all(format!("\nack {id} .\n").as_bytes()).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn logged(dir: &Path) -> Config {
    Config { token_log: Some(dir.join("usage.ndjson")), ..config(dir) }
}

/// Starts the child, kills it after `kill_after` acknowledged events, and returns those.
fn run_and_kill(dir: &Path, kill_after: usize) -> Vec<u64> {
    #[expect(clippy::disallowed_methods, reason = "a process of its own is what can be killed")]
    let mut command = std::process::Command::new(env::current_exe().unwrap());
    command.args(["--exact", "usage::tests::crash::recording_child", "--nocapture"]);
    command.env(CHILD, dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut next = |acknowledged: &mut Vec<u64>| {
        let Some(Ok(line)) = lines.next() else { return false };
        let id: Option<u64> =
            line.strip_prefix("ack ").and_then(|rest| rest.strip_suffix(" .")).and_then(|id| id.parse().ok());
        acknowledged.extend(id);
        true
    };
    while acknowledged.len() < kill_after && next(&mut acknowledged) {}
    child.kill().unwrap();
    child.wait().unwrap();
    // Events that were acknowledged between the last read and the kill count as well.
    while next(&mut acknowledged) {}
    acknowledged
}

#[test]
fn two_hundred_kills_lose_nothing_and_count_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 0..KILLS {
        // From the first event up to some thousand, so that kills hit the opening, single inserts and batches.
        let kill_after = [1, 2, 5, 17, 60, 200, 600][(round % 7) as usize] + (round as usize * 13) % 37;
        let new = run_and_kill(dir.path(), kill_after);
        assert!(new.len() >= kill_after, "round {round}: the child ended by itself");
        let before = acknowledged.len();
        acknowledged.extend(&new);
        assert_eq!(acknowledged.len(), before + new.len(), "round {round}: a number was given twice");
    }
    let store = UsageStore::open_in(logged(dir.path()), Vec::new(), TimeZone::UTC).unwrap();
    let mut stored = Vec::new();
    loop {
        let page = store.page(1000, Some(stored.last().copied().unwrap_or(0))).unwrap();
        stored.extend(page.events.iter().map(|event| event.id));
        if !page.has_more {
            break;
        }
    }
    assert!(stored.is_sorted_by(|a, b| a < b));
    let stored_set: HashSet<u64> = stored.iter().copied().collect();
    let lost: Vec<_> = acknowledged.difference(&stored_set).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let extra = stored.len() - acknowledged.len();
    assert!(extra <= 2 * KILLS as usize, "{extra} more than two threads can have left unacknowledged");
    let queries = ["model", "key", "client"].map(everything);
    for query in queries.into_iter().chain([ask("2023-11-14", "2023-11-16", "hour", "UTC")]) {
        let totals = store.summary(&query).unwrap().totals;
        assert_eq!(totals.requests, stored.len() as u64, "{query:?}");
        assert_eq!(totals.total_tokens, 15 * stored.len() as u64, "{query:?}");
    }
    store.close();
    let log = std::fs::read_to_string(dir.path().join("usage.ndjson")).unwrap();
    let logged: Vec<u64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    assert_eq!(logged, stored, "the log file has each event once, in order");
}
