//! Copies the store while a proxy may be writing to it.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::database::open_reader;
use super::error::StoreError;
use super::{Config, files, replay};

/// The files of a copy.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The database, if there was one.
    pub database: Option<PathBuf>,
    /// The files of the journal.
    pub journal: Vec<PathBuf>,
}

/// Copies the store, with every event that was recorded before the call, into a directory that only this user
/// can read.
///
/// The journal is copied first: a journal file that was removed before is in the database already, and an event
/// that is in both is counted once.
///
/// # Errors
/// If a file cannot be read, is damaged, or cannot be written.
pub fn snapshot(config: &Config, into: &Path) -> Result<Snapshot, StoreError> {
    let mut taken = Snapshot::default();
    for (_, path) in replay::files(&config.journal)? {
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(source) => return Err(StoreError::File { what: "read", path, source }),
        };
        // A line that is being written now was not recorded before the call.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        if bytes.is_empty() {
            continue;
        }
        let copy = into.join(path.file_name().unwrap_or_default());
        let written = files::create_private(&copy).and_then(|mut file| file.write_all(&bytes));
        written.map_err(|source| StoreError::File { what: "write", path: copy.clone(), source })?;
        taken.journal.push(copy);
    }
    if config.database.symlink_metadata().is_ok() {
        let copy = into.join("proxy.db");
        let error = |source| StoreError::Database { file: config.database.clone(), source };
        let connection = open_reader(&config.database).map_err(error)?;
        connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()]).map_err(error)?;
        taken.database = Some(copy);
    }
    Ok(taken)
}
