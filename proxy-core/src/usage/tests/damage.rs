//! Damage to the database and to the journal: every recorded event is counted once, and the store reports the
//! damage.

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use super::*;

const PAGE: usize = 4096;

/// Records some events, and waits until queries include them.
fn record(store: &UsageStore, events: u64) {
    let before = store.inlet.lock().last_id();
    for n in 0..events {
        let model = format!("model-{}", n % 3);
        store.sink().record(UsageEvent { effective_model: model, key: "k".into(), ..event(1000) });
    }
    assert_eq!(store.inlet.lock().last_id(), before + events);
}

/// Queries until the only warnings left are about past damage.
fn settled(store: &UsageStore) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answers = [store.summary(&everything("model")).is_ok(), store.page(1000, Some(0)).is_ok()];
        if answers == [true, true] && store.inlet.lock().problem.is_none() {
            return;
        }
        assert!(Instant::now() < deadline, "{:?}", store.warnings());
    }
}

/// Checks that this many requests are counted, by each name and by time.
#[track_caller]
fn assert_counted(store: &UsageStore, expected: u64, what: &str) {
    settled(store);
    for query in [everything("model"), everything("key"), ask("1970-01-01", "1970-01-02", "hour", "UTC")] {
        let totals = store.summary(&query).unwrap().totals;
        assert_eq!((totals.requests, totals.total_tokens), (expected, expected * 15), "{what} {query:?}");
    }
}

fn event_ids(store: &UsageStore) -> Vec<u64> {
    let mut ids = Vec::new();
    loop {
        let page = store.page(1000, Some(ids.last().copied().unwrap_or(0))).unwrap();
        ids.extend(page.events.iter().map(|event| event.id));
        if !page.has_more {
            return ids;
        }
    }
}

fn kept(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| rebuild::is_aside("proxy.db", path.file_name().unwrap().to_str().unwrap())).collect()
}

/// Overwrites a part of a file in place.
fn overwrite(file: &Path, from: usize, length: usize) {
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(from as u64)).unwrap();
    file.write_all(&vec![0xa5; length]).unwrap();
}

/// The offset of the page that holds a table's rows around this number.
fn leaf(file: &Path, number: usize) -> usize {
    let bytes = fs::read(file).unwrap();
    (PAGE..bytes.len()).step_by(PAGE).filter(|at| bytes[*at] == 0x0d).nth(number).unwrap()
}

fn cut(file: &Path, length: usize) {
    OpenOptions::new().write(true).open(file).unwrap().set_len(length as u64).unwrap();
}

type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 7] = [
    ("all of it", |file| overwrite(file, 0, fs::metadata(file).unwrap().len() as usize)),
    ("the first page", |file| overwrite(file, 0, PAGE)),
    ("all but the first page", |file| {
        overwrite(file, PAGE, fs::metadata(file).unwrap().len() as usize - PAGE);
    }),
    ("a few bytes of each page", |file| {
        let pages = fs::metadata(file).unwrap().len() as usize / PAGE;
        (0..pages).for_each(|page| overwrite(file, page * PAGE, 8));
    }),
    ("cut to nothing", |file| cut(file, 0)),
    ("cut within a page", |file| cut(file, PAGE + 100)),
    ("one byte short", |file| cut(file, fs::metadata(file).unwrap().len() as usize - 1)),
];

#[test]
fn damage_while_the_store_is_open_loses_nothing_that_the_journal_has() {
    for (name, damage) in DAMAGES {
        for closed in [false, true] {
            let scene = Scene::new();
            let file = scene.config().database;
            let store = scene.open();
            record(&store, 5);
            assert_counted(&store, 5, name);
            damage(&file);
            record(&store, 4);
            let store = if closed {
                store.close();
                drop(store);
                scene.open()
            } else {
                store
            };
            assert_counted(&store, 9, name);
            assert_eq!(event_ids(&store), (1..=9).collect::<Vec<_>>(), "{name}");
            record(&store, 1);
            store.close();
            drop(store);
            let store = scene.open();
            assert_counted(&store, 10, name);
            let kept = kept(scene.dir.path());
            assert!(kept.len() <= 1, "{name}: {kept:?}");
        }
    }
}

#[test]
fn what_can_be_read_of_a_damaged_database_is_kept_and_said() {
    for (name, damage, readable) in [
        ("the first page", (|file| overwrite(file, 0, PAGE)) as fn(&Path), 3000..=3000),
        ("the header", |file| overwrite(file, 0, 100), 3000..=3000),
        ("a page of events", |file| overwrite(file, leaf(file, 15), PAGE), 2900..=2999),
        (
            "pages here and there",
            |file| {
                (0..4).for_each(|number| overwrite(file, leaf(file, 2 + 6 * number), PAGE));
            },
            2500..=2999,
        ),
        (
            "the second half",
            |file| {
                let length = fs::metadata(file).unwrap().len() as usize;
                overwrite(file, length / 2, length - length / 2);
            },
            1000..=2900,
        ),
    ] {
        let scene = Scene::new();
        let file = scene.config().database;
        let store = scene.open();
        record(&store, 3000);
        store.close();
        drop(store);
        assert_eq!(journal_bytes(&scene.config()), 0);
        damage(&file);
        let damaged = fs::read(&file).unwrap();
        let store = scene.open();
        // Reading all events finds the damage.
        let read = store.page(1000, Some(0)).and_then(|_| store.page(1000, Some(1000)));
        let _either = read.and_then(|_| store.page(1000, Some(2000)));
        settled(&store);
        let deadline = Instant::now() + Duration::from_secs(30);
        let ids = loop {
            let pages = (0..3).map(|at| store.page(1000, Some(at * 1000)));
            // Until its next write, the store also reports that it could not write.
            if let Ok(pages) = pages.collect::<Result<Vec<_>, _>>()
                && store.warnings().len() == 1
                && !kept(scene.dir.path()).is_empty()
            {
                drop(pages);
                break event_ids(&store);
            }
            assert!(Instant::now() < deadline, "{name} {:?}", store.warnings());
        };
        assert!(readable.contains(&ids.len()), "{name}: {} events", ids.len());
        let kept = kept(scene.dir.path());
        let warnings = store.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains(&kept[0].display().to_string()), "{warnings:?}");
        assert!(warnings[0].contains(&format!("{} events", ids.len())), "{name} {warnings:?}");
        assert!(fs::read(&kept[0]).unwrap() == damaged, "{name}: what is kept is what was there");
        // The sums are on separate pages, which are not damaged in this case.
        if name != "the second half" {
            assert_counted(&store, 3000, name);
        }
        assert_eq!(store.sink().record(event(1000)), ids.last().unwrap() + 1);
    }
}

#[test]
fn sums_are_believed_where_events_are_gone_and_made_anew_where_they_are_missing() {
    let scene = Scene::new();
    let config = scene.config();
    let store = scene.open();
    record(&store, 600);
    store.close();
    drop(store);
    let connection = Connection::open(&config.database).unwrap();
    // The state after the removal of old events, and after the loss of a page of sums.
    connection
        .execute_batch("DELETE FROM usage_event WHERE id <= 100; DELETE FROM usage_sum WHERE kind = 1")
        .unwrap();
    drop(connection);
    let readers = Readers::new(config.database.clone());
    rebuild::rebuild(&config.database, &config.journal, &readers, &StoreError::Unavailable).unwrap();
    let store = scene.open();
    assert_eq!(store.summary(&everything("key")).unwrap().totals.requests, 600);
    assert_eq!(store.summary(&everything("model")).unwrap().totals.requests, 500);
}

#[test]
fn a_line_with_a_number_that_nothing_can_follow_stops_no_counting() {
    const LINES: &[&str] = &[
        r#"{"id":18446744073709551615,"ts_ms":1000,"status":200}"#,
        r#"{"id":9223372036854775807,"ts_ms":1000,"status":200}"#,
        r#"{"id":9223372036854775806,"ts_ms":1000,"status":200}"#,
        r#"{"id":4611686018427387904,"ts_ms":1000,"status":200}"#,
        r#"{"id":-1,"ts_ms":1000,"status":200}"#,
        r#"{"id":99999999999999999999999,"ts_ms":1000,"status":200}"#,
        r#"{"id":6,"ts_ms":1000,"status":-200}"#,
    ];
    for line in LINES {
        let scene = Scene::new();
        let store = scene.open();
        record(&store, 5);
        store.close();
        drop(store);
        let mut journal = Journal::create(&scene.config().journal, 9).unwrap();
        journal.append(format!("{line}\n").as_bytes()).unwrap();
        drop(journal);
        let store = scene.open();
        record(&store, 4);
        assert_counted(&store, 9, line);
        assert_eq!(event_ids(&store), (1..=9).collect::<Vec<_>>(), "{line}");
        let warnings = store.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("00000009.damaged"), "{line} {warnings:?}");
        assert!(scene.config().journal.join("00000009.damaged").exists());
        store.close();
        drop(store);
        assert_counted(&scene.open(), 9, line);
    }
}

#[test]
fn lines_from_the_future_and_beyond_every_bound_are_brought_within_them() {
    for line in [
        r#"{"id":6,"ts_ms":9223372036854775807,"status":200}"#,
        r#"{"id":6,"ts_ms":-9223372036854775808,"status":200}"#,
        r#"{"id":6,"ts_ms":1000,"input_tokens":18446744073709551615,"output_tokens":9223372036854775807}"#,
        r#"{"id":6,"ts_ms":1000,"duration_ms":18446744073709551615,"ttft_ms":18446744073709551615}"#,
        r#"{"id":253402300799999999,"ts_ms":1000}"#,
    ] {
        let scene = Scene::new();
        let store = scene.open();
        record(&store, 5);
        store.close();
        drop(store);
        for number in [9, 20] {
            let mut journal = Journal::create(&scene.config().journal, number).unwrap();
            journal.append(format!("{line}\n").as_bytes()).unwrap();
            drop(journal);
            let _store = scene.open();
        }
        let store = scene.open();
        record(&store, 4);
        settled(&store);
        assert_eq!(event_ids(&store).len(), 10, "{line}");
        let early = if line.contains(r#""ts_ms":9"#) { 9 } else { 10 };
        assert_eq!(store.summary(&everything("key")).unwrap().totals.requests, early, "{line}");
        assert_eq!(store.warnings(), [""; 0], "{line}");
    }
}

#[test]
fn an_old_database_with_the_last_number_counts_on() {
    let scene = Scene::new();
    let config = scene.config();
    let store = scene.open();
    record(&store, 5);
    store.close();
    drop(store);
    let connection = Connection::open(&config.database).unwrap();
    connection
        .execute_batch(
            "UPDATE usage_event SET id = 9223372036854775807 WHERE id = 2; \
             UPDATE usage_event SET id = 9223372036854775806 WHERE id = 1;",
        )
        .unwrap();
    drop(connection);
    let store = scene.open();
    record(&store, 4);
    assert_counted(&store, 9, "renumbered");
    assert_eq!(event_ids(&store), (3..=11).collect::<Vec<_>>());
}

#[test]
fn a_log_file_with_an_impossible_number_goes_on() {
    let scene = Scene::new();
    let path = scene.dir.path().join("usage.ndjson");
    let config = Config { token_log: Some(path.clone()), ..scene.config() };
    let run = |events| {
        let store = UsageStore::open_in(config.clone(), Vec::new(), TimeZone::UTC).unwrap();
        record(&store, events);
        assert!(store.summary(&everything("key")).unwrap().totals.requests >= events);
        store.close();
    };
    run(2);
    let mut log = fs::read_to_string(&path).unwrap();
    log.push_str("{\"ts\":1,\"id\":18446744073709551615}\n");
    fs::write(&path, &log).unwrap();
    run(3);
    let connection = Connection::open(&config.database).unwrap();
    let sql = "UPDATE usage_state SET value = '18446744073709551615' WHERE name = 'log_id'";
    assert_eq!(connection.execute(sql, []).unwrap(), 1);
    drop(connection);
    run(3);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 9);
    let store = scene.open();
    assert_counted(&store, 8, "the log's number is not counted on from");
}

#[test]
fn a_line_that_follows_a_torn_one_is_read() {
    let scene = Scene::new();
    let config = scene.config();
    let line = |id: u64| serde_json::to_string(&UsageEvent { id, key: "k".into(), ..event(1000) }).unwrap();
    let mut journal = Journal::create(&config.journal, 1).unwrap();
    let torn = &line(1)[..90];
    journal.append(format!("{torn}{}\n\0\0\0\0{}\n{}\n", line(2), line(3), line(4)).as_bytes()).unwrap();
    drop(journal);
    let store = scene.open();
    assert_counted(&store, 3, "2, 3 and 4");
    assert!(store.warnings()[0].starts_with("2 lines of the usage journal"), "{:?}", store.warnings());
}

#[test]
fn a_journal_that_is_cut_while_it_is_written_goes_on_behind_the_torn_line() {
    let scene = Scene::new();
    let config = scene.config();
    fs::create_dir(&config.database).unwrap();
    let store = scene.open();
    let first = store.sink().record(UsageEvent { key: "k".into(), ..event(1000) });
    record(&store, 1);
    let (_, file) = journal::list(&config.journal).unwrap().pop().unwrap();
    cut(&file, fs::metadata(&file).unwrap().len() as usize - 20);
    record(&store, 2);
    // The state after a kill: what is in memory is lost.
    let copied = Scene::new();
    fs::create_dir(copied.config().journal).unwrap();
    fs::copy(&file, copied.config().journal.join("00000001.jsonl")).unwrap();
    let copy = copied.open();
    assert_counted(&copy, 3, "the first and the last two");
    assert_eq!(event_ids(&copy), [first, first + 2, first + 3]);
    // In the process that continues, nothing is lost.
    fs::remove_dir(&config.database).unwrap();
    settled(&store);
    assert_counted(&store, 4, "all");
}

#[test]
fn a_journal_file_of_the_last_number_is_read_and_removed() {
    for name in ["18446744073709551615.jsonl", "9223372036854775807.jsonl", "00000000.jsonl"] {
        let scene = Scene::new();
        let config = scene.config();
        fs::create_dir(&config.journal).unwrap();
        let line = serde_json::to_string(&UsageEvent { id: 1, ..event(1000) }).unwrap();
        fs::write(config.journal.join(name), format!("{line}\n")).unwrap();
        let store = scene.open();
        record(&store, 2);
        assert_counted(&store, 3, name);
        store.close();
        assert!(!config.journal.join(name).exists(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_database_that_is_removed_or_replaced_while_it_is_used_loses_nothing() {
    let scene = Scene::new();
    let file = scene.config().database;
    let moved = scene.dir.path().join("elsewhere.db");
    let store = scene.open();
    record(&store, 5);
    assert_counted(&store, 5, "at first");
    store.close();
    drop(store);
    let store = scene.open();
    record(&store, 1);
    assert_counted(&store, 6, "before");

    fs::remove_file(&file).unwrap();
    record(&store, 1);
    assert_counted(&store, 7, "removed");
    assert!(file.is_file());

    fs::rename(&file, &moved).unwrap();
    fs::create_dir(&file).unwrap();
    record(&store, 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.warnings().is_empty() {
        assert!(Instant::now() < deadline, "nothing was said");
        std::thread::yield_now();
    }
    assert!(store.warnings()[0].contains("proxy.db"), "{:?}", store.warnings());
    fs::remove_dir(&file).unwrap();
    assert_counted(&store, 8, "a directory for a while");

    fs::copy(&file, &moved).unwrap();
    fs::rename(&moved, &file).unwrap();
    record(&store, 1);
    assert_counted(&store, 9, "another file");
    store.close();
    drop(store);
    assert_counted(&scene.open(), 9, "after a restart");
}

#[test]
fn files_beside_the_database_may_be_damaged_or_missing() {
    for suffix in ["-wal", "-shm"] {
        for damage in ["removed", "noise", "empty", "half"] {
            let scene = Scene::new();
            let config = scene.config();
            let store = scene.open();
            record(&store, 5);
            assert_counted(&store, 5, suffix);
            // The state after a kill: the files as they are now.
            let copied = Scene::new();
            fs::create_dir(copied.config().journal).unwrap();
            for (_, path) in journal::list(&config.journal).unwrap() {
                fs::copy(&path, copied.config().journal.join(path.file_name().unwrap())).unwrap();
            }
            for name in ["", "-wal", "-shm"] {
                let name = |file: &Path| database::with_suffix(file, name);
                fs::copy(name(&config.database), name(&copied.config().database)).unwrap();
            }
            let file = database::with_suffix(&copied.config().database, suffix);
            let length = fs::metadata(&file).unwrap().len() as usize;
            match damage {
                "removed" => fs::remove_file(&file).unwrap(),
                "noise" => overwrite(&file, 0, length),
                "empty" => cut(&file, 0),
                _ => cut(&file, length / 2),
            }
            let copy = copied.open();
            record(&copy, 4);
            assert_counted(&copy, 9, &format!("{suffix} {damage}"));
        }
    }
}

#[test]
fn what_is_no_database_of_ours_is_kept() {
    const OTHER: &str = "CREATE TABLE notes (text TEXT); PRAGMA user_version = 2;";
    const OTHER_NOW: &str = "CREATE TABLE notes (text TEXT); PRAGMA user_version = 3;";
    for (name, write) in [
        ("noise", (|file| fs::write(file, "this is no database, ".repeat(500)).unwrap()) as fn(&Path)),
        ("another's", |file| Connection::open(file).unwrap().execute_batch(OTHER).unwrap()),
        ("another's of this number", |file| {
            Connection::open(file).unwrap().execute_batch(OTHER_NOW).unwrap();
        }),
    ] {
        let scene = Scene::new();
        let file = scene.config().database;
        write(&file);
        let before = fs::read(&file).unwrap();
        let store = scene.open();
        record(&store, 2);
        assert_counted(&store, 2, name);
        let kept = kept(scene.dir.path());
        assert_eq!(fs::read(&kept[0]).unwrap(), before, "{name}");
        assert!(store.warnings()[0].contains(&kept[0].display().to_string()), "{:?}", store.warnings());
    }
}

#[test]
fn a_rebuilt_database_that_a_crash_left_without_its_name_gets_it() {
    let scene = Scene::new();
    let file = scene.config().database;
    let store = scene.open();
    record(&store, 5);
    store.close();
    drop(store);
    fs::rename(&file, database::with_suffix(&file, ".rebuilding")).unwrap();
    let store = scene.open();
    assert_counted(&store, 5, "renamed");
}
