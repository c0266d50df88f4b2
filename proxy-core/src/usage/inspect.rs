//! Inspects the store while no process, or another process, has it open. It changes nothing.

use std::path::{Path, PathBuf};

use super::database::{self, MIGRATIONS, open_reader};
use super::error::StoreError;
use super::{Config, rebuild, replay};

/// The result of an inspection.
#[derive(Debug)]
pub struct Inspection {
    /// The damage of the database. A missing database is not a problem here.
    pub problem: Option<StoreError>,
    /// Damaged databases and parts of the journal that were kept aside.
    pub kept: Vec<PathBuf>,
}

/// Reads the whole database, and lists earlier damage. It takes about a second for a million events.
pub fn inspect(config: &Config) -> Inspection {
    let problem =
        if config.database.symlink_metadata().is_ok() { check(&config.database).err() } else { None };
    let mut kept = Vec::new();
    if let (Some(directory), Some(name)) = (config.database.parent(), config.database.file_name()) {
        let database = name.to_string_lossy();
        kept.extend(named(directory, |name| rebuild::is_aside(&database, name)));
    }
    kept.extend(named(&config.journal, |name| name.ends_with(&format!(".{}", replay::DAMAGED))));
    Inspection { problem, kept }
}

fn check(file: &Path) -> Result<(), StoreError> {
    let error = |source| StoreError::Database { file: file.to_owned(), source };
    let connection = open_reader(file).map_err(error)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(error)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match found {
        found if found > known => Err(StoreError::NewerSchema { file: file.to_owned(), found, known }),
        // The next start migrates it.
        found if found < known => Ok(()),
        _ => database::check(file),
    }
}

fn named(directory: &Path, is_it: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = directory.read_dir() else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.file_name().is_some_and(|name| is_it(&name.to_string_lossy())))
        .collect();
    found.sort_unstable();
    found
}
