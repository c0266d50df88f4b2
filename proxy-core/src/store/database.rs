//! The database file: opening it, its schema, and what happens when it is damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::StoreError;
use super::files;

/// What brings the schema from each number to the next. An entry is never changed once it was released.
const MIGRATIONS: &[&str] = &[include_str!("schema/1_usage.sql"), include_str!("schema/2_service_tier.sql")];

const BUSY: Duration = Duration::from_secs(5);

/// A database and where it is.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) file: PathBuf,
}

impl Database {
    /// Opens the database for writing, and makes it or brings it up to date where needed.
    pub(super) fn open(file: &Path) -> Result<Self, StoreError> {
        if let Some(directory) = file.parent() {
            let made = files::create_private_dir(directory);
            made.map_err(|source| StoreError::File { what: "make", path: directory.to_owned(), source })?;
        }
        // SQLite gives its other files the permissions of this one.
        let made = files::append_private(file);
        made.map_err(|source| StoreError::File { what: "write", path: file.to_owned(), source })?;
        let error = |source| StoreError::Database { file: file.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(file, flags).map_err(error)?;
        connection.busy_timeout(BUSY).map_err(error)?;
        connection.set_prepared_statement_cache_capacity(32);
        migrate(&mut connection, file)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192;",
            )
            .map_err(error)?;
        Ok(Self { connection, file: file.to_owned() })
    }

    /// Opens the database, and puts one that is damaged aside and makes a new one. Returns whether it did.
    pub(super) fn open_or_replace(file: &Path) -> Result<(Self, bool), StoreError> {
        match Self::open(file) {
            Err(damage) if damage.is_corruption() => {
                set_aside(file, &damage)?;
                Ok((Self::open(file)?, true))
            }
            opened => Ok((opened?, false)),
        }
    }

    /// An error of SQLite's in this file.
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

/// Opens the database for reading. Its schema is up to date: the writer was here first.
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
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration).map_err(error)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(error)?;
    transaction.commit().map_err(error)
}

/// Renames a damaged database, with the files that SQLite keeps beside it.
pub(super) fn set_aside(file: &Path, damage: &StoreError) -> Result<(), StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = |number: u64| with_suffix(file, &format!(".corrupt-{now}-{number}"));
    let aside = (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
    for suffix in ["-wal", "-shm", ""] {
        let (from, to) = (with_suffix(file, suffix), with_suffix(&aside, suffix));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::File { what: "move aside", path: from, source }),
        }
    }
    tracing::error!(
        %damage,
        aside = %aside.display(),
        "the usage database is damaged; it was moved aside and a new one made. Past usage is missing until the old \
         file is repaired, e.g. with the `.recover` command of sqlite3"
    );
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_is_private_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep/proxy.db");
        for _ in 0..2 {
            let (database, replaced) = Database::open_or_replace(&file).unwrap();
            assert!(!replaced && database.checkpoint().unwrap());
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
        let error = Database::open_or_replace(&file).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("PROXY_DATA_DIR"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), before);
    }

    #[test]
    fn noise_is_moved_aside_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("proxy.db");
        fs::write(&file, "this is no database, ".repeat(500)).unwrap();
        let (_, replaced) = Database::open_or_replace(&file).unwrap();
        assert!(replaced);
        let kept = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let kept = kept.into_iter().find(|path| path.to_string_lossy().contains("corrupt")).unwrap();
        assert!(fs::read_to_string(kept).unwrap().starts_with("this is no database"));
    }
}
