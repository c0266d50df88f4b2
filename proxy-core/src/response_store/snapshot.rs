//! Copies the database while a proxy may be writing to it, and looks at a copy.

use std::path::{Path, PathBuf};

use super::FILE;
use super::database::{MIGRATIONS, is_sound, open_reader};
use super::error::StoreError;

/// Copies the database in a data directory into a directory that only this user can read. Nothing that was deleted is in
/// the copy. `None` if nothing is stored.
///
/// # Errors
/// If the database cannot be read, is damaged, or the copy cannot be written.
pub fn snapshot(data_dir: &Path, into: &Path) -> Result<Option<PathBuf>, StoreError> {
    let file = data_dir.join(FILE);
    if file.symlink_metadata().is_err() {
        return Ok(None);
    }
    let connection = open_reader(&file)?;
    // A proxy that has just made the file may not have made its tables yet.
    let made: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if made == 0 {
        return Ok(None);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM response WHERE deleted = 0) OR EXISTS (SELECT 1 FROM conversation) \
               OR EXISTS (SELECT 1 FROM chat)";
    if !connection.query_row(sql, [], |row| row.get(0))? {
        return Ok(None);
    }
    let copy = into.join(FILE);
    connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
    Ok(Some(copy))
}

/// Checks that this version can use the database in a directory, if there is one.
///
/// # Errors
/// If it was written by a newer version, or is damaged.
pub fn inspect(directory: &Path) -> Result<(), StoreError> {
    let file = directory.join(FILE);
    if file.symlink_metadata().is_err() {
        return Ok(());
    }
    let found: i64 = open_reader(&file)?.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { file, found, known });
    }
    if is_sound(&file) { Ok(()) } else { Err(StoreError::damage("it is not as SQLite wants it")) }
}
