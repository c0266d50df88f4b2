mod crash;
mod damage;
mod keys;
mod random;
mod trouble;

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tempfile::TempDir;

use super::*;
use crate::secret::{KeyId, KeyName};

/// A store in its own temporary directory.
struct Scene {
    dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> Config {
        config(self.dir.path())
    }

    fn open(&self) -> UsageStore {
        UsageStore::open_in(self.config(), Vec::new(), TimeZone::UTC).unwrap()
    }
}

fn config(dir: &Path) -> Config {
    Config {
        database: dir.join("proxy.db"),
        journal: dir.join("usage-journal"),
        token_log: None,
        retention_days: 0,
    }
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

fn event(ts_ms: i64) -> UsageEvent {
    UsageEvent { ts_ms, status: 200, input_tokens: 10, output_tokens: 5, ..UsageEvent::default() }
}

fn ask(start: &str, end: &str, group: &str, tz: &str) -> UsageQuery {
    let parameters = Parameters {
        start: Some(start.into()),
        end: Some(end.into()),
        group: Some(group.into()),
        tz: Some(tz.into()),
    };
    UsageQuery::parse(&parameters, Timestamp::now(), &TimeZone::UTC).unwrap()
}

/// A query for all events.
fn everything(group: &str) -> UsageQuery {
    ask("0", "4000000000", group, "UTC")
}

fn requests(store: &UsageStore, query: &UsageQuery) -> Vec<u64> {
    store.summary(query).unwrap().data.iter().map(|part| part.totals.requests).collect()
}

/// The length of all journal files in bytes.
fn journal_bytes(config: &Config) -> u64 {
    let files = journal::list(&config.journal).unwrap();
    files.iter().map(|(_, path)| std::fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn what_was_recorded_can_be_asked_for_at_once_and_after_a_restart() {
    let scene = Scene::new();
    let store = scene.open();
    let sink = store.sink();
    let ids: Vec<u64> = (0..250).map(|n| sink.record(event(n * 1000))).collect();
    assert_eq!(ids, (1..=250).collect::<Vec<_>>());
    let summary = store.summary(&everything("model")).unwrap();
    assert_eq!((summary.totals.requests, summary.totals.total_tokens), (250, 3750));
    store.close();
    assert_eq!(journal_bytes(&scene.config()), 0, "everything is in the database");

    let store = scene.open();
    assert_eq!(store.summary(&everything("model")).unwrap(), summary);
    assert_eq!(store.sink().record(event(5)), 251);
}

#[test]
fn pages_follow_the_order_of_recording_even_when_the_clock_goes_back() {
    let scene = Scene::new();
    let store = scene.open();
    let sink = store.sink();
    for ts_ms in [50_000, 60_000, 10_000, 10_000, 70_000] {
        sink.record(event(ts_ms));
    }
    let ids = |page: Page| (page.events.iter().map(|event| event.id).collect::<Vec<_>>(), page.has_more);
    assert_eq!(ids(store.page(2, None).unwrap()), (vec![4, 5], false));
    assert_eq!(ids(store.page(2, Some(0)).unwrap()), (vec![1, 2], true));
    assert_eq!(ids(store.page(2, Some(2)).unwrap()), (vec![3, 4], true));
    assert_eq!(ids(store.page(2, Some(4)).unwrap()), (vec![5], false));
    assert_eq!(ids(store.page(2, Some(5)).unwrap()), (vec![], false));
    assert_eq!(store.page(1, Some(2)).unwrap().events[0].ts_ms, 10_000);
}

#[test]
fn days_of_a_zone_have_their_own_length() {
    let scene = Scene::new();
    let store = scene.open();
    // One event in each quarter of an hour of three weeks around both changes of the clock.
    let weeks =
        [("2026-03-20T00:00:00Z", "2026-04-10T00:00:00Z"), ("2026-10-01T00:00:00Z", "2026-11-10T00:00:00Z")];
    for (start, end) in weeks {
        (at(start)..at(end)).step_by(900_000).for_each(|ts| {
            store.sink().record(event(ts));
        });
    }
    let cases = [
        ("Europe/Berlin", "2026-03-29", "2026-03-30", 23.0_f64),
        ("Europe/Berlin", "2026-10-25", "2026-10-26", 25.0),
        ("America/New_York", "2026-11-01", "2026-11-02", 25.0),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-06", 24.5),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-05", 23.5),
        ("Asia/Kathmandu", "2026-03-29", "2026-03-30", 24.0),
        ("UTC", "2026-03-29", "2026-03-30", 24.0),
    ];
    for (tz, start, end, hours) in cases {
        let quarters = (hours * 4.0) as u64;
        let query = ask(start, end, "day", tz);
        assert_eq!(requests(&store, &query), [quarters], "{tz} {start}");
        let by_hour = requests(&store, &ask(start, end, "hour", tz));
        assert_eq!(by_hour.iter().sum::<u64>(), quarters, "{tz} {start}");
        assert_eq!(by_hour.len(), hours.ceil() as usize, "{tz} {start} {by_hour:?}");
        assert!(by_hour.iter().all(|count| [2, 4].contains(count)), "{tz} {start} {by_hour:?}");
    }
}

#[test]
fn empty_hours_and_a_leap_day_are_there_and_cut_ends_are_exact() {
    let scene = Scene::new();
    let store = scene.open();
    for time in
        ["2028-02-28T23:59:59.999Z", "2028-02-29T00:00:00Z", "2028-02-29T12:34:56Z", "2028-03-01T00:00:00Z"]
    {
        store.sink().record(event(at(time)));
    }
    let days = store.summary(&ask("2028-02-28", "2028-03-02", "day", "UTC")).unwrap();
    let found: Vec<(&str, u64)> =
        days.data.iter().map(|part| (part.bucket.as_str(), part.totals.requests)).collect();
    assert_eq!(
        found,
        [
            ("2028-02-28T00:00:00+00:00", 1),
            ("2028-02-29T00:00:00+00:00", 2),
            ("2028-03-01T00:00:00+00:00", 1)
        ]
    );
    let query = ask("2028-02-29T12:30:00Z", "2028-02-29T15:10:00Z", "hour", "UTC");
    assert_eq!(requests(&store, &query), [1, 0, 0, 0]);
    let query = ask("2028-02-29T12:34:56Z", "2028-02-29T12:34:57Z", "hour", "UTC");
    assert_eq!(requests(&store, &query), [1]);
    let query = ask("2028-02-29T12:34:57Z", "2028-02-29T12:35:00Z", "client", "UTC");
    assert_eq!(requests(&store, &query), [0_u64; 0]);
}

#[test]
fn names_beyond_a_bound_are_summed_up_together() {
    let scene = Scene::new();
    let store = scene.open();
    for n in 0..400 {
        store.sink().record(UsageEvent { effective_model: format!("model-{n}"), ..event(1000) });
    }
    let models = store.summary(&everything("model")).unwrap();
    assert_eq!((models.data.len(), models.totals.requests), (257, 400));
    assert_eq!((models.data[0].bucket.as_str(), models.data[0].totals.requests), ("other", 144));
}

#[test]
fn the_day_so_far_is_known_without_the_database() {
    let scene = Scene::new();
    let now = Timestamp::now().as_millisecond();
    let store = scene.open();
    let id = |name: &str| KeyId::parse(&format!("key_{name}")).unwrap();
    let of = |key: &str, ts_ms: i64| UsageEvent { key_id: Some(id(key)), ..event(ts_ms) };
    for (key, ts_ms) in [("a", now), ("a", now), ("b", now), ("a", now - 3 * 86_400_000)] {
        store.sink().record(of(key, ts_ms));
    }
    assert_eq!((store.sink().tokens_today(&id("a")), store.sink().tokens_today(&id("b"))), (30, 15));
    assert_eq!(store.today().requests, 3);
    store.close();
    let store = scene.open();
    assert_eq!((store.sink().tokens_today(&id("a")), store.sink().tokens_today(&id("nobody"))), (30, 0));
    assert_eq!(store.today().requests, 3);
}

#[test]
fn old_events_go_and_their_sums_stay() {
    let scene = Scene::new();
    let now = Timestamp::now().as_millisecond();
    let old = now - 40 * 86_400_000;
    let store = scene.open();
    for n in 0..2500 {
        store.sink().record(event(old + n));
    }
    store.sink().record(event(now));
    let before = store.summary(&everything("client")).unwrap();
    store.close();

    let store =
        UsageStore::open_in(Config { retention_days: 30, ..scene.config() }, Vec::new(), TimeZone::UTC)
            .unwrap();
    // Closing stops a running removal, so wait for the events first.
    let left = || store.page(1000, Some(0)).unwrap().events.len();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while left() > 1 {
        assert!(std::time::Instant::now() < deadline, "{} events are left", left());
    }
    assert_eq!(store.page(10, None).unwrap().events[0].id, 2501);
    assert_eq!(store.summary(&everything("client")).unwrap(), before);
    store.close();
    let store = scene.open();
    assert_eq!(store.summary(&everything("client")).unwrap(), before, "nothing is counted twice");
    assert_eq!(store.sink().record(event(now)), 2502);
}

#[test]
fn an_export_has_every_event_once_and_in_order() {
    let scene = Scene::new();
    let store = scene.open();
    for n in 0..1234 {
        store.sink().record(UsageEvent { key: "=cmd|'/c calc'!A0".into(), ..event(1_000_000 - (n % 7)) });
    }
    let whole = |format| {
        let mut export = export::Export::new(store.clone(), &everything("client"), format);
        let mut bytes = Vec::new();
        while let Some(piece) = export.next_piece().unwrap() {
            bytes.extend(piece);
        }
        bytes
    };
    let json: serde_json::Value = serde_json::from_slice(&whole(export::Format::Json)).unwrap();
    let events = json["data"].as_array().unwrap();
    assert_eq!(events.len(), 1234);
    assert_eq!(events[0]["prompt_tokens_est"], 10);
    let bytes = whole(export::Format::Csv);
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    assert_eq!(reader.headers().unwrap().get(0), Some("id"));
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let order: Vec<(i64, u64)> =
        rows.iter().map(|row| (row[2].parse().unwrap(), row[0].parse().unwrap())).collect();
    assert_eq!(order.len(), 1234);
    assert!(order.is_sorted() && rows.iter().all(|row| &row[7] == "'=cmd|'/c calc'!A0"));
}
