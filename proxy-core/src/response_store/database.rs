//! The database file: opens it, migrates its schema, moves a damaged one aside, removes it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::StoreError;
use crate::files;

/// The statements that migrate the schema from each version to the next. Never change an entry after its release.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema/1_responses.sql")];

const BUSY: Duration = Duration::from_secs(5);
/// How long a delete waits for readers that keep the deleted text in the write-ahead log.
const WIPE: Duration = Duration::from_millis(200);

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    /// The identity of the file when it was opened.
    identity: Option<(u64, u64)>,
}

impl Database {
    /// Opens the database for writing. Creates or migrates it if necessary, but not its directory: a data directory
    /// that was removed while the proxy runs must be missed.
    pub(super) fn open(file: &Path) -> Result<Self, StoreError> {
        // SQLite gives its other files the permissions of this one.
        let made = files::private().append(true).read(true).create(true).open(file);
        made.map_err(StoreError::file("write", file))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(file, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.execute_batch("PRAGMA secure_delete = ON;")?;
        // It works on an empty database only, and would write to any other.
        if connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? == 0 {
            connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
        }
        migrate(&mut connection, file)?;
        if !has_tables(&connection)? {
            return Err(StoreError::damage("a table is missing"));
        }
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192; \
             PRAGMA journal_size_limit = 4194304;",
        )?;
        Ok(Self { connection, identity: identity(file) })
    }

    /// Whether the path still leads to this file. It does not if the file was moved, removed or replaced.
    pub(super) fn is_in_place(&self, file: &Path) -> bool {
        identity(file) == self.identity
    }

    /// The bytes of the database that hold something.
    pub(super) fn used(&self) -> Result<u64, StoreError> {
        let number = |pragma| self.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
        Ok(u64::try_from(pages.saturating_mul(number("page_size")?)).unwrap_or(0))
    }

    /// Moves the write-ahead log into the database and empties it, so that no deleted text stays in it. Returns
    /// whether this was possible: a reader may still need the log.
    pub(super) fn wipe(&self) -> Result<bool, StoreError> {
        self.connection.busy_timeout(WIPE)?;
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let done = self.connection.query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? == 0));
        self.connection.busy_timeout(BUSY)?;
        Ok(done?)
    }

    /// Gives unused pages back to the file system.
    pub(super) fn shrink(&self) -> Result<(), StoreError> {
        let mut freeing = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut rows = freeing.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }
}

/// Opens the database for reading. The writer has already migrated its schema.
pub(super) fn open_reader(file: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.execute_batch("PRAGMA cache_size = -4096;")?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    // The version is read under the write lock, so that no other process migrates in between.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::NewerSchema { file: file.to_owned(), found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    // The database of another program can have a schema number too.
    if done > 0 && !has_tables(&transaction)? {
        return Err(StoreError::damage("a table is missing"));
    }
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}

fn has_tables(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('response', 'conversation', \
               'item', 'chat', 'chat_message')";
    connection.query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? == 5))
}

/// Whether the database is as SQLite wants it, read on a new connection: the cache of another may hide damage.
pub(super) fn is_sound(file: &Path) -> bool {
    let check = || -> rusqlite::Result<String> {
        open_reader(file)?.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
    };
    check().is_ok_and(|verdict| verdict == "ok")
}

/// Renames a damaged database and the files that SQLite keeps beside it. Returns its new name.
pub(super) fn set_aside(file: &Path) -> Result<PathBuf, StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = |number: u64| with_suffix(file, &format!("{ASIDE}{now}-{number}"));
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

const ASIDE: &str = ".corrupt-";

/// The damaged databases that were set aside, and the files of SQLite beside them, each with the second in which
/// it was found damaged.
pub(super) fn asides(file: &Path) -> Vec<(u64, PathBuf)> {
    let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else { return Vec::new() };
    let prefix = format!("{}{ASIDE}", name.to_string_lossy());
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let aside = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let rest = path.file_name()?.to_str()?.strip_prefix(&prefix)?.split('-').next()?.parse().ok()?;
        Some((rest, path))
    };
    entries.filter_map(aside).collect()
}

/// Removes a database and the files that SQLite keeps beside it. No connection may be open.
pub(super) fn remove(file: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        remove_file(&with_suffix(file, suffix))?;
    }
    Ok(())
}

/// Removes a file that may not exist.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::File { what: "remove", path: path.to_owned(), source }),
    }
}

/// The bytes of the database and of the files beside it, damaged ones included.
pub(super) fn bytes_on_disk(file: &Path) -> u64 {
    let own = ["", "-wal", "-shm"].map(|suffix| with_suffix(file, suffix));
    let all = own.into_iter().chain(asides(file).into_iter().map(|(_, path)| path));
    all.filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Distinguishes a file from a later file with the same name. On Windows, a file that is in use cannot be moved or
/// removed, so there all files have the same identity.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    metadata.is_file().then_some((0, 0))
}
