//! Usage is counted by the ids of keys, whatever their names are.

use rusqlite::Connection;

use super::*;
use crate::usage::database::MIGRATIONS;

fn id(number: u64) -> KeyId {
    KeyId::parse(&format!("key_{number}")).unwrap()
}

fn key(number: u64, name: &str, created_at: u64) -> KnownKey {
    KnownKey { id: id(number), name: KeyName::new(name), created_at: Some(created_at) }
}

fn of(number: u64, name: &str, ts_ms: i64) -> UsageEvent {
    UsageEvent { key: name.into(), key_id: Some(id(number)), ..event(ts_ms) }
}

/// An event as an earlier version recorded it.
fn named(name: &str, ts_ms: i64) -> UsageEvent {
    UsageEvent { key: name.into(), ..event(ts_ms) }
}

/// The name, the id and the requests of each part, ordered by name and id.
#[track_caller]
fn by_key(store: &UsageStore) -> Vec<(String, Option<String>, u64)> {
    let summary = store.summary(&everything("key")).unwrap();
    let parts = summary.data.into_iter();
    let mut parts: Vec<_> =
        parts.map(|part| (part.bucket, part.key_id.map(|id| id.to_string()), part.totals.requests)).collect();
    parts.sort();
    parts
}

fn part(name: &str, id: Option<u64>, requests: u64) -> (String, Option<String>, u64) {
    (name.to_owned(), id.map(|id| format!("key_{id}")), requests)
}

fn open(scene: &Scene, keys: Vec<KnownKey>) -> UsageStore {
    UsageStore::open_in(scene.config(), keys, TimeZone::UTC).unwrap()
}

/// A database as created by the version before keys had ids.
fn old_database(config: &Config, events: &[UsageEvent]) {
    let connection = Connection::open(&config.database).unwrap();
    for migration in &MIGRATIONS[..2] {
        connection.execute_batch(migration).unwrap();
    }
    connection.pragma_update(None, "user_version", 2).unwrap();
    for (event, id) in events.iter().zip(1_i64..) {
        let sql = "INSERT INTO usage_event VALUES (?1, ?2, '', '', '', '', ?3, '', '', '', '', NULL, 0, 200, NULL, 10, 0, \
                   0, 5, 0, 0, 0, NULL, 0, NULL, 'fresh', 0, 0, NULL)";
        connection.execute(sql, (id, event.ts_ms, &event.key)).unwrap();
        for (kind, name) in [
            (0, ""),
            (1, "unknown"),
            (2, if event.key.is_empty() { "unknown" } else { &*event.key }),
            (3, "other"),
        ] {
            let sql = "INSERT INTO usage_sum VALUES (?1, ?2, ?3, 1, 0, 0, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0) \
                       ON CONFLICT DO UPDATE SET requests = requests + 1, input_tokens = input_tokens + 10, \
                       output_tokens = output_tokens + 5";
            connection.execute(sql, (kind, event.ts_ms / 900_000, name)).unwrap();
        }
    }
}

#[test]
fn a_key_is_shown_under_the_name_that_it_has_now_and_a_deleted_one_under_its_last() {
    let scene = Scene::new();
    let store = open(&scene, vec![key(1, "phone", 1)]);
    store.sink().record(of(1, "phone", 1000));
    assert_eq!(by_key(&store), [part("phone", Some(1), 1)]);

    store.set_keys(|| vec![key(1, "tablet", 1)]);
    // A request from before the change of the name is recorded after it.
    store.sink().record(of(1, "phone", 2000));
    assert_eq!(by_key(&store), [part("tablet", Some(1), 2)], "what it had under its old name goes along");

    store.set_keys(|| vec![key(2, "tablet", 3)]);
    store.sink().record(of(2, "tablet", 4000));
    let both = [part("tablet", Some(1), 2), part("tablet", Some(2), 1)];
    assert_eq!(by_key(&store), both, "a later key of the name has its own");
    store.close();
    drop(store);
    let expected = [part("laptop", Some(2), 1), part("tablet", Some(1), 2)];
    let store = open(&scene, vec![key(2, "laptop", 3)]);
    assert_eq!(by_key(&store), expected);
    store.close();
    drop(store);
    assert_eq!(by_key(&scene.open()), expected);
}

#[test]
fn tokens_of_the_day_stay_with_the_key_after_another_name_and_a_restart() {
    let scene = Scene::new();
    let now = Timestamp::now().as_millisecond();
    let store = open(&scene, vec![key(1, "phone", 1)]);
    store.sink().record(of(1, "phone", now));
    store.set_keys(|| vec![key(1, "tablet", 1), key(2, "phone", 2)]);
    store.sink().record(of(1, "tablet", now));
    let today = |store: &UsageStore| (store.sink().tokens_today(&id(1)), store.sink().tokens_today(&id(2)));
    assert_eq!(today(&store), (30, 0), "a new key of the old name begins anew");
    store.close();
    drop(store);
    assert_eq!(today(&open(&scene, vec![key(1, "tablet", 1), key(2, "phone", 2)])), (30, 0));
}

#[test]
fn events_of_earlier_versions_are_those_of_the_key_that_was_there_then() {
    const QUARTER: i64 = 900_000;
    let scene = Scene::new();
    let config = scene.config();
    // The key `old` was made long before, `new` within the second quarter of an hour, after a key of the same name;
    // `late` within the third, with nothing before it.
    let events = [
        named("old", 1000),
        named("Old", QUARTER + 1000),
        named("new", 1000),
        named("new", QUARTER + 99_000),
        named("new", QUARTER + 101_000),
        named("new", 2 * QUARTER),
        named("late", 2 * QUARTER + 200_000),
        named("gone", 3 * QUARTER),
        named("PROXY_API_KEY", 3 * QUARTER),
        named("", 3 * QUARTER),
    ];
    old_database(&config, &events);
    // Lines of a journal of the earlier version.
    std::fs::create_dir(&config.journal).unwrap();
    let lines =
        [r#"{"id":11,"ts_ms":2000,"key":"old","status":200}"#, r#"{"id":12,"ts_ms":1000,"key":"new"}"#];
    std::fs::write(config.journal.join("00000001.jsonl"), format!("{}\n{}\n", lines[0], lines[1])).unwrap();
    let configured = KnownKey { created_at: None, ..key(4, "PROXY_API_KEY", 0) };
    let keys = || vec![key(1, "old", 0), key(2, "new", 1000), key(3, "late", 1950), configured.clone()];
    let expected = [
        part("PROXY_API_KEY", None, 1),
        part("gone", None, 1),
        part("late", Some(3), 1),
        part("new", None, 4),
        part("new", Some(2), 1),
        part("old", Some(1), 3),
        part("unknown", None, 1),
    ];
    let store = open(&scene, keys());
    assert_eq!(by_key(&store), expected);
    assert_eq!(store.summary(&everything("model")).unwrap().totals.requests, 12);
    // Divided quarters are read from the events: both ways give the same result.
    let cut = store.summary(&ask("0.5", "3599", "key", "UTC")).unwrap();
    assert_eq!(cut.data.iter().map(|part| part.totals.requests).sum::<u64>(), 12);
    let shown = cut.data.iter().find(|part| part.key_id == Some(id(1))).unwrap();
    assert_eq!((shown.bucket.as_str(), shown.totals.requests), ("old", 3));
    let raw = store.page(100, Some(0)).unwrap().events;
    assert_eq!((raw[1].key.as_str(), &raw[1].key_id), ("Old", &Some(id(1))), "the recorded name stays");
    store.close();
    drop(store);
    // An assigned event is not assigned again: neither to another name nor to a key that gets the name later.
    let renamed = vec![key(1, "older", 0), key(2, "newer", 1000), key(5, "gone", 0)];
    let again = by_key(&open(&scene, renamed));
    assert!(
        again.contains(&part("older", Some(1), 3)) && again.contains(&part("newer", Some(2), 1)),
        "{again:?}"
    );
    assert!(again.contains(&part("gone", None, 1)), "{again:?}");
}

#[test]
fn a_rebuilt_database_knows_the_keys_and_their_last_names() {
    let scene = Scene::new();
    let store = open(&scene, vec![key(1, "phone", 1), key(2, "laptop", 1)]);
    for n in 0..50 {
        store.sink().record(of(1 + n % 2, "any", 1000));
    }
    by_key(&store);
    store.set_keys(|| vec![key(2, "laptop", 1)]);
    store.close();
    drop(store);
    let config = scene.config();
    let readers = Readers::new(config.database.clone());
    rebuild::rebuild(&config.database, &config.journal, &readers, &StoreError::Unavailable).unwrap();
    let expected = [part("laptop", Some(2), 25), part("phone", Some(1), 25)];
    assert_eq!(by_key(&scene.open()), expected);
}

#[test]
fn what_cannot_be_brought_up_to_date_is_read_all_the_same() {
    let scene = Scene::new();
    let config = scene.config();
    let events: Vec<UsageEvent> = (0..300).map(|n| named("phone", n)).collect();
    old_database(&config, &events);
    let readers = Readers::new(config.database.clone());
    rebuild::rebuild(&config.database, &config.journal, &readers, &StoreError::Unavailable).unwrap();
    let store = open(&scene, vec![key(1, "phone", 0)]);
    assert_eq!(by_key(&store), [part("phone", Some(1), 300)]);
    assert_eq!(store.page(1000, Some(0)).unwrap().events.len(), 300);
}
