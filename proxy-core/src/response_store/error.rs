//! The errors of the store of responses.

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
    #[error("the database of stored responses: {0}")]
    Database(#[from] rusqlite::Error),
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
    /// The store is out of use since the start, or it is closed.
    #[error("stored responses cannot be used: {0}")]
    Unavailable(String),
    /// The thread of an operation panicked.
    #[error("an operation of the store of responses failed: {0}")]
    Panicked(String),
    /// A page was asked for after or before an item that is not in the list.
    #[error("there is no item `{0}` in this list")]
    UnknownCursor(String),
    /// A response is to be saved whose parent is unknown, deleted, or of another key.
    #[error("there is no response `{0}` to continue")]
    UnknownParent(String),
    /// A response is to be saved to a conversation that is unknown, deleted, or of another key.
    #[error("there is no conversation `{0}`")]
    UnknownConversation(String),
    /// Something else is stored with this id.
    #[error("`{0}` is stored already")]
    Exists(String),
}

impl StoreError {
    /// Whether the database's content is damaged.
    pub(super) fn is_corruption(&self) -> bool {
        let Self::Database(source) = self else { return false };
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

    /// An error for damage that SQLite does not notice.
    pub(super) fn damage(what: impl Into<String>) -> Self {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        Self::Database(rusqlite::Error::SqliteFailure(code, Some(what.into())))
    }

    /// A failed file operation.
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}
