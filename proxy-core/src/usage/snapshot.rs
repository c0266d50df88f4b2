//! A copy of the store, taken while a proxy may be writing to it.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::database::open_reader;
use super::error::StoreError;
use super::{Config, files, replay};

/// What was copied.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The database, if there was one.
    pub database: Option<PathBuf>,
    /// The files of the journal.
    pub journal: Vec<PathBuf>,
}

/// Copies the store into a directory that only this user can read, with every event that was recorded before.
///
/// The journal comes first: a file of it that is gone by then is in the database already, and an event that is in both
/// is counted once.
///
/// # Errors
/// When something cannot be read, is damaged, or cannot be written.
pub fn snapshot(config: &Config, into: &Path) -> Result<Snapshot, StoreError> {
    let mut taken = Snapshot::default();
    for (_, path) in replay::files(&config.journal)? {
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(source) => return Err(StoreError::File { what: "read", path, source }),
        };
        // A line that is just being written was not recorded before.
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
