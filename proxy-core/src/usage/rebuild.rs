//! Rebuilds a damaged database from its readable parts and from the journal. The damaged one is kept.
//!
//! The new one is written beside it and gets its name only when it is complete, so a crash before that changes
//! nothing.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params_from_iter, types::Value};

use super::database::{Database, open_reader, with_suffix};
use super::error::StoreError;
use super::event::{Ids, UsageEvent};
use super::insert::{self, Inserter};
use super::read::Readers;
use super::rows::{event_columns, event_of, slot_of, sum_columns};
use super::salvage::{Scan, Stop};
use super::state::{self, LOG_ID, LOG_PATH, RAW_SINCE, SUMMED};
use super::{files, known_keys, replay};

/// The result of a rebuild.
#[derive(Debug)]
pub(super) struct Rebuilt {
    /// The path of the damaged database.
    aside: PathBuf,
    /// The number of events that could be read in it.
    events: u64,
    /// Whether some events could not be read.
    gaps: bool,
}

impl Rebuilt {
    /// The message about the rebuild, for people.
    pub(super) fn sentence(&self) -> String {
        let (aside, events) = (self.aside.display(), self.events);
        let rest = if self.gaps {
            "; the rest of it could not be read. What it still holds may be had with the `.recover` command of sqlite3"
        } else {
            ", which is all of it"
        };
        format!(
            "The usage database was damaged. It is kept as {aside}, and a new one was made from the journal and from \
             {events} events that could be read in it{rest}."
        )
    }
}

/// The number of rows that are written in one transaction.
const CHUNK: usize = 1000;

/// Creates a new database in the place of the one in `file`, which is renamed.
pub(super) fn rebuild(
    file: &Path,
    journal: &Path,
    readers: &Readers,
    damage: &StoreError,
) -> Result<Rebuilt, StoreError> {
    let new_file = with_suffix(file, ".rebuilding");
    remove(&new_file)?;
    let mut new = Database::open(&new_file)?;
    let found = match source(file, &new_file)? {
        Some(source) => copy(&source, &mut new, journal)?,
        None => Found { events: 0, gaps: true },
    };
    remove(&graft_of(file))?;
    if !new.checkpoint()? {
        return Err(StoreError::Unavailable);
    }
    drop(new);
    let _alone = readers.alone();
    let aside = set_aside(file)?;
    let placed = fs::rename(&new_file, file).and_then(|()| file.parent().map_or(Ok(()), files::sync_dir));
    placed.map_err(|source| StoreError::File { what: "put in place", path: file.to_owned(), source })?;
    let rebuilt = Rebuilt { aside, events: found.events, gaps: found.gaps };
    tracing::error!(%damage, "{}", rebuilt.sentence());
    Ok(rebuilt)
}

/// Writes a removed database to its path again, from the connection that still has it open.
pub(super) fn put_back(database: &Database, journal: &Path) -> Result<(), StoreError> {
    let new_file = with_suffix(&database.file, ".rebuilding");
    remove(&new_file)?;
    let mut new = Database::open(&new_file)?;
    copy(&database.connection, &mut new, journal)?;
    if !new.checkpoint()? {
        return Err(StoreError::Unavailable);
    }
    drop(new);
    fs::rename(&new_file, &database.file).map_err(|source| StoreError::File {
        what: "put in place",
        path: database.file.clone(),
        source,
    })
}

/// Whether a file name beside the database is that of a kept damaged database.
pub(super) fn is_aside(database: &str, name: &str) -> bool {
    let rest = name.strip_prefix(database).and_then(|rest| rest.strip_prefix(".corrupt-"));
    rest.is_some_and(|rest| !rest.ends_with("-wal") && !rest.ends_with("-shm"))
}

/// Renames a database and the files that SQLite keeps beside it. Returns its new name.
fn set_aside(file: &Path) -> Result<PathBuf, StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = |number: u64| with_suffix(file, &format!(".corrupt-{now}-{number}"));
    let aside = (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
    for suffix in ["-wal", "-shm", ""] {
        let (from, to) = (with_suffix(file, suffix), with_suffix(&aside, suffix));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::File { what: "move aside", path: from, source }),
        }
    }
    Ok(aside)
}

fn graft_of(file: &Path) -> PathBuf {
    with_suffix(file, ".graft")
}

/// Removes a database and the files that SQLite keeps beside it.
fn remove(file: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = with_suffix(file, suffix);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::File { what: "remove", path, source }),
        }
    }
    Ok(())
}

/// Opens a connection to the damaged database, if its tables can be found.
fn source(file: &Path, new_file: &Path) -> Result<Option<Connection>, StoreError> {
    // Every column has to exist. A database that was too damaged to be migrated lacks the later ones; then the
    // first page of a new database is used.
    let open = |file: &Path| -> rusqlite::Result<Connection> {
        let connection = open_reader(file)?;
        connection.execute_batch("PRAGMA cell_size_check = ON")?;
        connection.prepare(concat!("SELECT ", event_columns!(), " FROM usage_event"))?;
        for table in ["usage_sum", "usage_state"] {
            connection.prepare(&format!("SELECT * FROM {table}"))?;
        }
        Ok(connection)
    };
    if let Ok(connection) = open(file) {
        return Ok(Some(connection));
    }
    let graft = graft_of(file);
    remove(&graft)?;
    let made = graft_first_page(file, &graft, new_file);
    made.map_err(|source| StoreError::File { what: "copy", path: file.to_owned(), source })?;
    Ok(open(&graft).ok())
}

/// Copies a database and replaces the first page of the copy by that of `donor`. This page holds the location of
/// each table, which is equal in both databases, because the same statements created them.
fn graft_first_page(file: &Path, graft: &Path, donor: &Path) -> io::Result<()> {
    const PAGE: usize = 4096;
    let mut first = Vec::with_capacity(PAGE);
    fs::File::open(donor)?.take(PAGE as u64).read_to_end(&mut first)?;
    fs::copy(file, graft)?;
    let wal = with_suffix(file, "-wal");
    if wal.exists() {
        fs::copy(wal, with_suffix(graft, "-wal"))?;
    }
    let pages = u32::try_from(fs::metadata(graft)?.len() / PAGE as u64).unwrap_or(u32::MAX);
    let mut put = |at: usize, number: u32| {
        if let Some(place) = first.get_mut(at..at + 4) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    };
    // The length of the database in pages, and that no page is free.
    put(28, pages);
    put(32, 0);
    put(36, 0);
    OpenOptions::new().write(true).open(graft)?.write_all(&first)
}

struct Found {
    events: u64,
    gaps: bool,
}

/// Copies everything that can be read.
fn copy(source: &Connection, new: &mut Database, journal: &Path) -> Result<Found, StoreError> {
    let (events, mut gaps) = copy_events(source, new)?;
    gaps |= copy_sums(source, new)?;
    for name in [LOG_PATH, LOG_ID, RAW_SINCE, SUMMED, known_keys::ASSIGNED] {
        match state::state(source, name) {
            Ok(None) => {}
            Ok(Some(value)) => {
                state::set_state(&new.connection, name, &value).map_err(|source| new.error(source))?;
            }
            Err(_) => gaps = true,
        }
    }
    match known_keys::names(source) {
        Ok(names) => known_keys::set_names(&new.connection, &names).map_err(|source| new.error(source))?,
        Err(_) => gaps = true,
    }
    // The last event that the sums contain. The writer inserts and counts the rest of the journal.
    let summed = state::state(&new.connection, SUMMED).map_err(|source| new.error(source))?;
    let summed = summed.and_then(|id| id.parse().ok());
    let last = insert::last_id(&new.connection).map_err(|source| new.error(source))?;
    let summed: u64 = summed.unwrap_or(last);
    state::set_state(&new.connection, SUMMED, &summed.to_string()).map_err(|source| new.error(source))?;
    let ids = Ids::after(last);
    let mut of_journal = Vec::new();
    for (_, path) in replay::files(journal)? {
        replay::read(&path, ids, |event| {
            if event.id <= summed {
                of_journal.push(event);
            }
            Ok(())
        })?;
    }
    insert_events(new, &mut of_journal)?;
    count(new)?;
    Ok(Found { events, gaps })
}

fn copy_events(source: &Connection, new: &mut Database) -> Result<(u64, bool), StoreError> {
    const SQL: &str = concat!("SELECT ", event_columns!(), " FROM usage_event WHERE id > ?1 ORDER BY id");
    let (mut events, mut found) = (Vec::with_capacity(CHUNK), 0);
    let gaps = Scan { connection: source, sql: SQL }.each(|row| {
        let mut event = event_of(row)?;
        event.normalise();
        found += 1;
        events.push(event);
        if events.len() == CHUNK {
            insert_events(new, &mut events)?;
        }
        Ok(())
    })?;
    insert_events(new, &mut events)?;
    Ok((found, gaps))
}

fn insert_events(new: &mut Database, events: &mut Vec<UsageEvent>) -> Result<(), StoreError> {
    insert::insert_uncounted(&mut new.connection, events.iter()).map_err(|source| new.error(source))?;
    events.clear();
    Ok(())
}

/// Copies the sums. [`count`] corrects those that are too small.
fn copy_sums(source: &Connection, new: &Database) -> Result<bool, StoreError> {
    const INSERT: &str = concat!(
        "INSERT INTO usage_sum (slot, kind, name, ",
        sum_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) ON CONFLICT DO NOTHING"
    );
    // The scan is ordered by the first column.
    const SQL: [&str; 4] = [
        concat!(
            "SELECT slot, kind, name, ",
            sum_columns!(),
            " FROM usage_sum WHERE kind = 0 AND slot > ?1 ORDER BY slot"
        ),
        concat!(
            "SELECT slot, kind, name, ",
            sum_columns!(),
            " FROM usage_sum WHERE kind = 1 AND slot > ?1 ORDER BY slot"
        ),
        concat!(
            "SELECT slot, kind, name, ",
            sum_columns!(),
            " FROM usage_sum WHERE kind = 2 AND slot > ?1 ORDER BY slot"
        ),
        concat!(
            "SELECT slot, kind, name, ",
            sum_columns!(),
            " FROM usage_sum WHERE kind = 3 AND slot > ?1 ORDER BY slot"
        ),
    ];
    /// An upper bound for the sums of a quarter of an hour.
    const MOST: i64 = 1 << 50;
    let error = |source| new.error(source);
    let mut gaps = false;
    new.connection.execute_batch("BEGIN IMMEDIATE").map_err(error)?;
    for sql in SQL {
        gaps |= Scan { connection: source, sql }.each(|row| {
            let values = (0..16).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()?;
            let in_bounds = |value: &Value| match value {
                Value::Integer(number) => (0..=MOST).contains(number),
                Value::Text(name) => name.chars().count() <= 100,
                Value::Null | Value::Real(_) | Value::Blob(_) => false,
            };
            if !values.iter().all(in_bounds) {
                return Err(Stop::Damage);
            }
            let inserted = new
                .connection
                .prepare_cached(INSERT)
                .and_then(|mut insert| insert.execute(params_from_iter(values)).map(drop));
            inserted.map_err(|source| Stop::Failed(new.error(source)))
        })?;
    }
    new.connection.execute_batch("COMMIT").map_err(error)?;
    Ok(gaps)
}

/// Counts every quarter of an hour again if its sums have fewer requests than there are events: then sums are
/// missing. In the other quarters, events may be missing, because they were removed for their age or cannot be
/// read.
fn count(new: &mut Database) -> Result<(), StoreError> {
    const SQL: &str = concat!("SELECT ", event_columns!(), " FROM usage_event ORDER BY ts_ms");
    let file = new.file.clone();
    let error = |source| StoreError::Database { file: file.clone(), source };
    let reader = open_reader(&new.file).map_err(error)?;
    let mut query = reader.prepare(SQL).map_err(error)?;
    let mut rows = query.query([]).map_err(error)?;
    let mut inserter = Inserter::default();
    let mut slots: HashMap<i64, Vec<UsageEvent>> = HashMap::new();
    let mut events = 0;
    loop {
        let event = rows.next().and_then(|row| row.map(event_of).transpose()).map_err(error)?;
        let is_next = event.as_ref().is_none_or(|event| !slots.contains_key(&slot_of(event.ts_ms)));
        if is_next && (events >= CHUNK || event.is_none()) {
            for (slot, events) in slots.drain() {
                inserter.recount(&mut new.connection, slot, &events).map_err(error)?;
            }
            events = 0;
        }
        let Some(event) = event else { return Ok(()) };
        slots.entry(slot_of(event.ts_ms)).or_default().push(event);
        events += 1;
    }
}
