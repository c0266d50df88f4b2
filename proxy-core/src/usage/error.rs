//! The errors of the usage store.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version of the proxy has written the database.
    #[error(
        "the database {} was written by a newer Codex Proxy (its schema is {found}, this version knows {known}); \
         start that version again, or choose another directory with PROXY_DATA_DIR. Nothing has been changed",
        file.display()
    )]
    NewerSchema {
        /// The path of the database.
        file: PathBuf,
        /// The number of its schema.
        found: i64,
        /// The newest schema number that this version supports.
        known: i64,
    },
    /// An SQLite operation failed.
    #[error("the database {}: {source}", file.display())]
    Database {
        /// The path of the database.
        file: PathBuf,
        /// The error from SQLite.
        source: rusqlite::Error,
    },
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// The operation that failed, as a verb.
        what: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
    /// The thread that opened the store panicked.
    #[error("opening the usage store failed: {0}")]
    Panicked(String),
    /// The database cannot be used at present.
    #[error("the usage database cannot be used at present; the log says why. Requests are still counted")]
    Unavailable,
}

impl StoreError {
    /// Whether the database's content is damaged.
    pub(super) fn is_corruption(&self) -> bool {
        let Self::Database { source, .. } = self else { return false };
        match source.sqlite_error_code() {
            Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
            // The tables are strict, so only damage puts a wrong type into a column.
            None => matches!(
                source,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::Utf8Error(..)
            ),
        }
    }

    /// An error for damage in `file` that SQLite does not notice.
    pub(super) fn damage(file: &Path, what: impl Into<String>) -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Self::Database {
            file: file.to_owned(),
            source: rusqlite::Error::SqliteFailure(code, Some(what.into())),
        }
    }
}
