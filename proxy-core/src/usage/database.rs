//! The database file: opens it, migrates its schema and checks it.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::StoreError;
use super::files::{self, Identity};
use super::insert;
use super::rows::{event_columns, event_of, sum_columns, sums_of};

/// The statements that migrate the schema from each version to the next. Never change an entry after its
/// release: a damaged database is read with the help of a new one that the same statements have created.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/1_usage.sql"),
    include_str!("schema/2_service_tier.sql"),
    include_str!("schema/3_key_id.sql"),
];

const BUSY: Duration = Duration::from_secs(5);

/// An open database and its path.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) file: PathBuf,
    /// The identity of the file when it was opened.
    identity: Option<Identity>,
}

impl Database {
    /// Opens the database for writing. Creates or migrates it if necessary.
    pub(super) fn open(file: &Path) -> Result<Self, StoreError> {
        if let Some(directory) = file.parent() {
            let made = files::create_private_dir(directory);
            made.map_err(|source| StoreError::File { what: "make", path: directory.to_owned(), source })?;
        }
        finish_rebuild(file)?;
        // SQLite gives its other files the permissions of this one.
        let made = files::append_private(file);
        made.map_err(|source| StoreError::File { what: "write", path: file.to_owned(), source })?;
        let error = |source| StoreError::Database { file: file.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(file, flags).map_err(error)?;
        connection.busy_timeout(BUSY).map_err(error)?;
        connection.set_prepared_statement_cache_capacity(32);
        migrate(&mut connection, file)?;
        if !has_tables(&connection).map_err(error)? {
            return Err(StoreError::damage(file, "a table is missing"));
        }
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192;",
            )
            .map_err(error)?;
        insert::renumber(&mut connection).map_err(error)?;
        Ok(Self { connection, file: file.to_owned(), identity: files::identity(file) })
    }

    /// Whether the path still leads to this file. It does not if the file was moved, removed or replaced.
    pub(super) fn is_in_place(&self) -> bool {
        files::identity(&self.file) == self.identity
    }

    /// An SQLite error in this file.
    pub(super) fn error(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { file: self.file.clone(), source }
    }

    /// Moves everything from the write-ahead log into the database and puts it on disk. Returns whether all of it
    /// could be moved: a reader may still need the log.
    pub(super) fn checkpoint(&self) -> Result<bool, StoreError> {
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            let (busy, log, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(busy == 0 && log == moved)
        });
        moved.map_err(|source| self.error(source))
    }
}

/// Completes a rebuild that a crash interrupted between its last two renames.
fn finish_rebuild(file: &Path) -> Result<(), StoreError> {
    let new_file = with_suffix(file, ".rebuilding");
    match (file.symlink_metadata(), new_file.symlink_metadata()) {
        (Err(error), Ok(_)) if error.kind() == io::ErrorKind::NotFound => fs::rename(&new_file, file)
            .map_err(|source| StoreError::File { what: "put in place", path: file.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Opens the database for reading. The writer has already migrated its schema.
pub(super) fn open_reader(file: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch("PRAGMA cache_size = -8192;")?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let error = |source| StoreError::Database { file: file.to_owned(), source };
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    // The version is read under the write lock, so that no other process migrates in between.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(error)?;
    if found > known {
        return Err(StoreError::NewerSchema { file: file.to_owned(), found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    // The database of another program can have a schema number too.
    if done > 0 && !has_tables(&transaction).map_err(error)? {
        return Err(StoreError::damage(file, "a table is missing"));
    }
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration).map_err(error)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(error)?;
    transaction.commit().map_err(error)
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('usage_event', 'usage_sum', \
               'usage_state')";
    connection.query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? == 3))
}

/// Reads everything in the database on a new connection, because the cache of the writer's connection may hide
/// damage.
pub(super) fn check(file: &Path) -> Result<(), StoreError> {
    let error = |source| StoreError::Database { file: file.to_owned(), source };
    let connection = open_reader(file).map_err(error)?;
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(error)?;
    if verdict != "ok" {
        return Err(StoreError::damage(file, verdict));
    }
    let read = || -> rusqlite::Result<()> {
        let mut events = connection.prepare(concat!("SELECT ", event_columns!(), " FROM usage_event"))?;
        events.query_map([], event_of)?.try_for_each(|event| event.map(drop))?;
        let mut sums = connection.prepare(concat!("SELECT name, ", sum_columns!(), " FROM usage_sum"))?;
        let sum = |row: &rusqlite::Row<'_>| {
            row.get_ref(0)?.as_str()?;
            sums_of(row, 1)
        };
        sums.query_map([], sum)?.try_for_each(|sum| sum.map(drop))
    };
    read().map_err(error)
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_new_database_is_private_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/proxy.db");
        for _ in 0..2 {
            let database = Database::open(&file).unwrap();
            assert!(database.checkpoint().unwrap() && database.is_in_place());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("proxy.db");
        let database = Database::open(&file).unwrap();
        database.connection.pragma_update(None, "user_version", 99).unwrap();
        drop(database);
        let before = fs::read(&file).unwrap();
        let error = Database::open(&file).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("PROXY_DATA_DIR"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), before);
    }
}
