//! Many clients at once, without kills: waiting times, fairness and memory.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{self, Answers, Request};
use super::stage::{Outcome, Stage};
use super::system::{Door, Instance, Place, Signal, send};
use super::{DRAIN, STUCK};
use crate::harness::fake_codex_path;
use crate::sse;

const CLIENTS: usize = 64;
/// The number of turns at once on the worker: small enough that there is always a queue.
const PLACES: usize = 8;

/// The result for many clients on one worker.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    time: Duration,
    answers: usize,
    /// The answers of the clients that got the fewest and the most.
    share: (usize, usize),
    /// Median, 99th percentile and longest wait for the first frame.
    waits: [Duration; 3],
    /// Resident memory after a tenth of the time, at the end and at most, in KiB.
    resident: (u64, u64, u64),
}

/// 64 clients on one worker for this long: all are answered, fairly, and the proxy does not grow.
///
/// # Errors
/// The first answer that was refused, wrong or cut; growth by more than a fifth.
pub async fn crowd(time: Duration) -> Result<Crowd, String> {
    let place =
        Place::new(&[("PROXY_WORKER_COUNT", "1".to_owned()), ("WORKER_MAX_CONCURRENCY", PLACES.to_string())]);
    place.scenario(&client::slow_scenario());
    let proxy = Instance::start(&place, &fake_codex_path()).await?;
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(ask_until(end, number, proxy.door()));
    }
    let mut resident = Vec::new();
    let mut poll = tokio::time::interval((time / 200).max(Duration::from_millis(10)));
    let mut shares = Vec::new();
    while shares.len() < CLIENTS {
        tokio::select! {
            _ = poll.tick() => resident.push(proxy.resident()?),
            Some(waits) = clients.join_next() => {
                shares.push(waits.map_err(|error| format!("a client ended badly: {error}"))??);
            }
        }
    }
    let early = resident[resident.len() / 10];
    let late = resident[resident.len() - 1];
    let most = resident.iter().copied().max().unwrap_or(late);
    stop(proxy).await?;
    let counts: Vec<usize> = shares.iter().map(Vec::len).collect();
    let mut waits = shares.concat();
    waits.sort_unstable();
    let at = |part: usize| waits.get((waits.len() * part / 1000).min(waits.len() - 1)).copied();
    let waits_shown = [500, 990, 1000].map(|part| at(part).unwrap_or_default());
    let share = (counts.iter().copied().min().unwrap_or(0), counts.iter().copied().max().unwrap_or(0));
    if late > early + early / 5 {
        return Err(format!("the proxy grew from {early} KiB to {late} KiB"));
    }
    if share.0 * 5 < share.1 * 4 {
        return Err(format!("the shares were unfair: from {} to {} answers", share.0, share.1));
    }
    Ok(Crowd { time, answers: waits.len(), share, waits: waits_shown, resident: (early, late, most) })
}

/// Asks again and again, and returns how long each answer took to begin.
async fn ask_until(end: Instant, number: usize, door: Door) -> Result<Vec<Duration>, String> {
    let (http, stage, mut waits) = (sse::client(), Stage::default(), Vec::new());
    while Instant::now() < end {
        let ask = format!("<client {number} request {}>", waits.len());
        let expected = Answers::Echo.expect(&ask);
        let request = Request { door: &door, chat: number.is_multiple_of(2), ask: &ask, expected: &expected };
        let (asked, mut first) = (Instant::now(), None);
        let on_frame = |_: &str| first = first.or_else(|| Some(asked.elapsed()));
        match request.stream(&http, &stage, on_frame).await? {
            Outcome::Complete => waits.push(first.unwrap_or_default()),
            other @ (Outcome::Told(_) | Outcome::Cut { .. }) => return Err(format!("{ask}: {other:?}")),
        }
    }
    Ok(waits)
}

/// The result for many open streams.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    count: usize,
    /// Resident memory before, with all of them open, and after, in KiB.
    resident: (u64, u64, u64),
    time: Duration,
}

/// Holds so many streams open at once, each in the middle of its answer, then lets them finish.
///
/// # Errors
/// The first answer that was refused, wrong or cut.
pub async fn streams(count: usize) -> Result<Streams, String> {
    let place = Place::new(&[("WORKER_MAX_CONCURRENCY", (count + 1).to_string())]);
    place.scenario(&json!({"scenarios": {"default": [
        {"step": "text", "deltas": ["{{user}}"], "open": true},
        {"step": "barrier", "turns": count + 1},
        {"step": "text", "deltas": [" and on"]},
    ]}}));
    let proxy = Instance::start(&place, &fake_codex_path()).await?;
    let before = proxy.resident()?;
    // One HTTP client with many connections: making a thousand clients would take longer than their answers.
    let http = sse::client();
    let begun = Arc::new(Semaphore::new(0));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..count {
        clients.spawn(hold(http.clone(), number, proxy.door(), begun.clone()));
    }
    let all = u32::try_from(count).map_err(|_| "too many streams")?;
    tokio::select! {
        all = begun.acquire_many(all) => all.map_err(|error| error.to_string())?.forget(),
        Some(ended) = clients.join_next() => {
            ended.map_err(|error| format!("a client ended badly: {error}"))??;
            return Err("a stream ended before all had begun".to_owned());
        }
        () = tokio::time::sleep(2 * STUCK) => {
            return Err(format!("only {} of {count} streams began", begun.available_permits()));
        }
    }
    let held = proxy.resident()?;
    clients.spawn(hold(http, count, proxy.door(), begun));
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| format!("a client ended badly: {error}"))??;
    }
    let (after, time) = (proxy.resident()?, began.elapsed());
    stop(proxy).await?;
    Ok(Streams { count, resident: (before, held, after), time })
}

/// Reads one stream; a permit is added when its text has begun.
async fn hold(http: reqwest::Client, number: usize, door: Door, begun: Arc<Semaphore>) -> Result<(), String> {
    let (stage, ask) = (Stage::default(), format!("<stream {number}>"));
    let expected = format!("{ask} and on");
    let chat = number.is_multiple_of(2);
    let request = Request { door: &door, chat, ask: &ask, expected: &expected };
    let mut told = false;
    let on_frame = |said: &str| {
        if !told && !said.is_empty() {
            told = true;
            begun.add_permits(1);
        }
    };
    match request.stream(&http, &stage, on_frame).await? {
        Outcome::Complete => Ok(()),
        other @ (Outcome::Told(_) | Outcome::Cut { .. }) => Err(format!("{ask}: {other:?}")),
    }
}

async fn stop(proxy: Instance) -> Result<(), String> {
    send(proxy.pid(), Signal::Term);
    let status = proxy.exit(DRAIN).await?;
    if status.success() { Ok(()) } else { Err(format!("the proxy ended with {status}")) }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most, longest] = self.waits.map(|wait| wait.as_millis());
        write!(
            f,
            "{CLIENTS} clients on one worker with {PLACES} places for {} s: {} answers, none refused, {} to {} a \
             client; wait for the first frame p50 {median} ms, p99 {most} ms, longest {longest} ms; RSS {} to {} \
             KiB, at most {}",
            self.time.as_secs(),
            self.answers,
            self.share.0,
            self.share.1,
            self.resident.0,
            self.resident.1,
            self.resident.2,
        )
    }
}

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} streams open at once, no error, {} ms in all; RSS {} KiB before, {} with all open, {} after",
            self.count,
            self.time.as_millis(),
            self.resident.0,
            self.resident.1,
            self.resident.2,
        )
    }
}
