//! What can be wrong with the store.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version of the proxy has written the database.
    #[error(
        "the database {} was written by a newer Codex Proxy (its schema is {found}, this version knows {known}); \
         start that version again, or choose another directory with PROXY_DATA_DIR. Nothing has been changed",
        file.display()
    )]
    NewerSchema {
        /// The database.
        file: PathBuf,
        /// Its schema's number.
        found: i64,
        /// The last number that this version knows.
        known: i64,
    },
    /// SQLite could not do it.
    #[error("the database {}: {source}", file.display())]
    Database {
        /// The database.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The system could not do it.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that opened it is gone.
    #[error("opening the usage store failed: {0}")]
    Panicked(String),
    /// There is no database at present.
    #[error("the usage database cannot be used at present; the log says why. Requests are still counted")]
    Unavailable,
}

impl StoreError {
    /// Whether the database's content is damaged.
    pub(super) fn is_corruption(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        match source.sqlite_error_code() {
            Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
            // The tables are strict, so that only damage puts something else into a column.
            None => matches!(
                source,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::Utf8Error(..)
            ),
        }
    }

    /// That the database in `file` is damaged in a way that SQLite does not notice.
    pub(super) fn damage(file: &Path, what: impl Into<String>) -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Self::Database {
            file: file.to_owned(),
            source: rusqlite::Error::SqliteFailure(code, Some(what.into())),
        }
    }
}
