//! Full disks, damaged files, and databases of other versions.

use std::fs;

use super::*;

#[test]
fn a_journal_that_was_left_is_read_once() {
    let scene = Scene::new();
    let config = scene.config();
    let mut journal = Journal::create(&config.journal, 4).unwrap();
    let line = |id: u64| format!("{}\n", serde_json::to_string(&UsageEvent { id, ..event(1000) }).unwrap());
    for id in 1..=20 {
        journal.append(line(id).as_bytes()).unwrap();
    }
    journal.append(&line(21).as_bytes()[..50]).unwrap();
    drop(journal);
    for _ in 0..3 {
        let store = scene.open();
        assert_eq!(store.summary(&everything("key")).unwrap().totals.requests, 20);
        store.close();
    }
    assert_eq!(scene.open().sink().record(event(1)), 21);
}

#[test]
fn a_damaged_database_is_put_aside_and_the_journal_brought_into_the_new_one() {
    let scene = Scene::new();
    let config = scene.config();
    let store = scene.open();
    (0..3000).for_each(|n| {
        store.sink().record(event(n));
    });
    store.close();
    drop(store);
    // Every page except the first, so that the file still has the header of a database.
    let mut bytes = fs::read(&config.database).unwrap();
    assert!(bytes.len() > 40_960);
    bytes[4096..].fill(0xa5);
    fs::write(&config.database, &bytes).unwrap();
    let number = journal::list(&config.journal).unwrap().last().unwrap().0 + 1;
    let mut journal = Journal::create(&config.journal, number).unwrap();
    for id in 3001..=3005 {
        let line = serde_json::to_string(&UsageEvent { id, ..event(1000) }).unwrap();
        journal.append(format!("{line}\n").as_bytes()).unwrap();
    }
    let store = scene.open();
    assert_eq!(store.summary(&everything("key")).unwrap().totals.requests, 5);
    assert_eq!(store.sink().record(event(1)), 3006);
    assert_eq!(store.summary(&everything("key")).unwrap().totals.requests, 6);
    assert!(
        store.warnings().len() == 1 && store.warnings()[0].contains(".corrupt-"),
        "{:?}",
        store.warnings()
    );
    let aside = fs::read_dir(scene.dir.path()).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        path.to_string_lossy().contains(".corrupt-").then_some(path)
    });
    assert!(aside.into_iter().any(|path| fs::metadata(path).unwrap().len() == bytes.len() as u64));
}

#[test]
fn a_database_that_cannot_be_written_is_tried_again_and_nothing_is_lost() {
    let scene = Scene::new();
    let config = scene.config();
    // A directory in its place cannot be opened as a file, even by root.
    fs::create_dir(&config.database).unwrap();
    let store = scene.open();
    let first = store.sink().record(event(1000));
    (0..QUEUE_AND_MORE).for_each(|_| {
        store.sink().record(event(1000));
    });
    store.inlet.wait_for_problem();
    let impatient = UsageStore { freshness: Duration::ZERO, ..store.clone() };
    assert!(impatient.summary(&everything("key")).is_err());
    let warnings = store.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("proxy.db"), "{warnings:?}");
    fs::remove_dir(&config.database).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(100);
    let requests = loop {
        match store.summary(&everything("key")) {
            Ok(summary) if store.warnings().is_empty() => break summary.totals.requests,
            _ => assert!(std::time::Instant::now() < deadline, "{:?}", store.warnings()),
        }
    };
    assert_eq!(requests, QUEUE_AND_MORE + 1);
    let events = store.page(10, Some(first - 1)).unwrap().events;
    assert_eq!((events[0].id, events[1].id), (first, first + 1));
}

const QUEUE_AND_MORE: u64 = sink::QUEUE as u64 * 2 + 500;

#[test]
fn a_journal_that_cannot_be_made_costs_no_event() {
    let scene = Scene::new();
    let config = scene.config();
    fs::write(&config.journal, "in the way").unwrap();
    let store = scene.open();
    store.sink().record(event(1000));
    assert_eq!(store.summary(&everything("key")).unwrap().totals.requests, 1);
    assert!(store.warnings()[0].contains("journal"), "{:?}", store.warnings());
}

#[test]
fn a_newer_schema_is_refused_before_anything_is_touched() {
    let scene = Scene::new();
    let config = scene.config();
    let store = scene.open();
    store.sink().record(event(1));
    store.close();
    drop(store);
    let connection = Connection::open(&config.database).unwrap();
    connection.pragma_update(None, "user_version", 1000).unwrap();
    drop(connection);
    let journal = journal::list(&config.journal).unwrap();
    let error = UsageStore::open_in(config.clone(), Vec::new(), TimeZone::UTC).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 1000, .. }), "{error}");
    assert_eq!(journal::list(&config.journal).unwrap(), journal);
}

#[test]
fn a_log_file_that_is_asked_for_later_begins_with_what_comes_then() {
    let scene = Scene::new();
    let path = scene.dir.path().join("logs/usage.ndjson");
    let with_log = Config { token_log: Some(path.clone()), ..scene.config() };
    let run = |config: Config, events: i64| {
        let store = UsageStore::open_in(config, Vec::new(), TimeZone::UTC).unwrap();
        (0..events).for_each(|n| {
            store.sink().record(event(n));
        });
        store.close();
    };
    let lines = || fs::read_to_string(&path).unwrap_or_default().lines().count();
    run(scene.config(), 5);
    run(with_log.clone(), 3);
    assert_eq!(lines(), 3);
    run(with_log.clone(), 2);
    assert_eq!(lines(), 5);
    run(scene.config(), 4);
    run(with_log.clone(), 1);
    assert_eq!(lines(), 6);
    // A new database with lower numbers, as after damage, continues in the same log file.
    fs::remove_file(scene.config().database).unwrap();
    run(with_log, 2);
    assert_eq!(lines(), 8);
}

/// `/dev/full` is a disk that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_log_file_on_a_full_disk_stops_nothing() {
    let scene = Scene::new();
    let full = Config { token_log: Some("/dev/full".into()), ..scene.config() };
    let store = UsageStore::open_in(full, Vec::new(), TimeZone::UTC).unwrap();
    store.sink().record(event(1000));
    assert_eq!(store.summary(&everything("key")).unwrap().totals.requests, 1);
    store.close();
}
