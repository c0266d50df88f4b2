//! The usage store: the cost of recording, and the duration of queries after a large number of requests.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use proxy_core::usage::{Config, UsageEvent, UsageStore};

use crate::Options;
use crate::proxy::{Place, Proxy};
use crate::report::{Report, Times};
use crate::upstream::Upstream;

const SECTION: &str = "usage";
/// The number of events that are recorded without a pause; then the writer catches up, as between the bursts of
/// real clients.
const BURST: usize = 5000;
/// The number of days over which the events are spread.
const DAYS: u64 = 90;
const ASKED: usize = 300;

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let place = Place::below(dir.path());
    upstream.write_codex_home(&place.codex_home)?;
    let config = Config {
        database: place.data_dir.join("proxy.db"),
        journal: place.data_dir.join("usage-journal"),
        token_log: None,
        retention_days: 0,
    };
    let events = options.events;
    let begin = Instant::now();
    let recording = tokio::task::spawn_blocking(move || record(config, events)).await??;
    report.value(SECTION, "events", "", events as f64);
    report.value(SECTION, "record, mean", "us", recording.mean_micros);
    report.times(SECTION, "record", &recording.sampled);
    report.value(SECTION, "events stored a second", "", events as f64 / begin.elapsed().as_secs_f64());

    let proxy = Proxy::start(&options.proxy, &options.codex, &place).await?;
    report.value(SECTION, "start until /readyz says 200", "ms", proxy.until_ready.as_secs_f64() * 1000.0);
    let mut client = proxy.connect().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let cut = format!("start={}&end={}", now - 7 * 86_400 - 123, now - 456);
    for (name, path) in [
        ("a week by day", "/v1/usage".to_owned()),
        ("a week by hour, cut within quarters", format!("/v1/usage?group=hour&{cut}")),
        ("a week by model, cut within quarters", format!("/v1/usage?group=model&{cut}")),
        ("a week by key", "/v1/usage?group=key".to_owned()),
        ("90 days by day", format!("/v1/usage?start={}", now - DAYS * 86_400)),
        ("the last 100 events", "/v1/usage/raw".to_owned()),
    ] {
        let mut times = Times::default();
        for _ in 0..ASKED {
            let begin = Instant::now();
            let status = client.status(&path).await?;
            if status != http::StatusCode::OK {
                bail!("{path} was answered with {status}");
            }
            times.push(begin.elapsed());
        }
        report.times(SECTION, name, &times);
    }
    proxy.stop().await
}

struct Recording {
    mean_micros: f64,
    sampled: Times,
}

fn record(config: Config, events: usize) -> Result<Recording> {
    let journal: PathBuf = config.journal.clone();
    let store = UsageStore::open(config, Vec::new())?;
    let sink = store.sink();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let (first, random) = (now - DAYS * 86_400_000, RandomState::new());
    let mut spent = Duration::ZERO;
    let mut sampled = Times::default();
    for number in 0..events {
        let event = event(first + DAYS * 86_400_000 * number as u64 / events as u64, random.hash_one(number));
        let begin = Instant::now();
        sink.record(event);
        let took = begin.elapsed();
        spent += took;
        // The report has no space for all of them; every burst has some.
        if number % (events / 20_000).max(1) == 0 {
            sampled.push(took);
        }
        if number % BURST == BURST - 1 {
            store.page(1, None)?;
        }
    }
    store.close();
    if !journal.exists() {
        bail!("the store has no journal");
    }
    Ok(Recording { mean_micros: spent.as_secs_f64() * 1e6 / events as f64, sampled })
}

fn event(ts_ms: u64, random: u64) -> UsageEvent {
    let of = |list: &[&str], shift: u32| list[(random >> shift) as usize % list.len()].to_owned();
    UsageEvent {
        ts_ms: ts_ms as i64,
        route: "/v1/chat/completions".to_owned(),
        method: "POST".to_owned(),
        surface: "chat".to_owned(),
        request_id: format!("req_{random:032x}"),
        key: of(&["default", "obsidian", "editor", "ci"], 0),
        user_agent: of(&["OpenAI/JS 4.104.0", "OpenAI/Python 1.97.0", "Zed/0.205.4", "curl/8.5.0"], 8),
        requested_model: "codex-5".to_owned(),
        effective_model: of(&["gpt-5.2", "gpt-5.2-codex", "gpt-5.4-mini"], 16),
        stream: true,
        status: 200,
        input_tokens: random % 20_000,
        cached_tokens: random % 9000,
        output_tokens: random % 3000,
        ttft_ms: Some(random % 2000),
        duration_ms: random % 20_000,
        ..UsageEvent::default()
    }
}
