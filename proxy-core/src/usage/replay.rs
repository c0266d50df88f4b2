//! Inserts the events of old journal files into the database.

use std::fs;
use std::path::{Path, PathBuf};

use super::database::{Database, open_reader};
use super::error::StoreError;
use super::event::{Ids, UsageEvent};
use super::insert::{self, Inserter};
use super::journal::{self, Damage};
use super::rows::{event_columns, event_of, slot_of};
use super::state;

/// The number of events in one transaction.
const CHUNK: usize = 1000;

/// The result of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Replayed {
    /// The largest number of an event.
    pub(super) last_id: u64,
    /// The number of lines that are not events.
    pub(super) unreadable: u64,
}

/// The journal files, oldest first.
pub(super) fn files(directory: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let listed = journal::list(directory);
    listed.map_err(|source| StoreError::File { what: "list", path: directory.to_owned(), source })
}

/// Inserts every event of the files that is not in the database.
pub(super) fn replay(
    database: &mut Database,
    inserter: &mut Inserter,
    files: &[(u64, PathBuf)],
) -> Result<Replayed, StoreError> {
    let mut replayed = Replayed::default();
    let ids = ids(database)?;
    for (_, path) in files {
        let mut chunk = Vec::with_capacity(CHUNK);
        let damage = read(path, ids, |event| {
            replayed.last_id = replayed.last_id.max(event.id);
            chunk.push(event);
            if chunk.len() == CHUNK {
                flush(database, inserter, &mut chunk)?;
            }
            Ok(())
        })?;
        flush(database, inserter, &mut chunk)?;
        replayed.unreadable += damage.lines;
    }
    Ok(replayed)
}

/// The range of valid numbers for events in the journal of this database.
pub(super) fn ids(database: &Database) -> Result<Ids, StoreError> {
    Ok(Ids::after(insert::last_id(&database.connection).map_err(|source| database.error(source))?))
}

/// The largest number of an event in the files, without a database.
pub(super) fn last_id(files: &[(u64, PathBuf)]) -> u64 {
    let mut last = 0;
    for (_, path) in files {
        let seen = read(path, Ids::after(0), |event| {
            last = last.max(event.id);
            Ok(())
        });
        if let Err(error) = seen {
            tracing::warn!(%error, "a part of the usage journal cannot be read");
        }
    }
    last
}

/// Removes files whose events are all in the database. A file with unreadable parts is renamed and kept; returns
/// a sentence about the last such file, for people.
pub(super) fn remove(files: impl IntoIterator<Item = (u64, PathBuf)>, ids: Ids) -> Option<String> {
    let mut notice = None;
    for (_, path) in files {
        let unreadable = read(&path, ids, |_| Ok(())).map(|damage| damage.lines);
        let done = match unreadable {
            Ok(0) => fs::remove_file(&path),
            Ok(lines) => {
                let kept = kept_as(&path);
                let file = kept.display();
                tracing::warn!(lines, %file, "a part of the usage journal is damaged; it is kept");
                notice = Some(format!(
                    "{lines} lines of the usage journal could not be read, and what they held is not counted. They \
                     are kept in {file}."
                ));
                fs::rename(&path, &kept)
            }
            Err(error) => {
                tracing::warn!(%error, "a part of the usage journal cannot be read");
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, file = %path.display(), "a part of the usage journal cannot be removed");
        }
    }
    notice
}

/// A free name for a damaged file.
fn kept_as(path: &Path) -> PathBuf {
    let named = |suffix: String| path.with_extension(suffix);
    let numbered = (2..).map(|number: u32| named(format!("{number}.{DAMAGED}")));
    let mut names = std::iter::once(named(DAMAGED.to_owned())).chain(numbered);
    names.find(|path| !path.exists()).unwrap_or_else(|| named(DAMAGED.to_owned()))
}

/// The extension of the names of damaged files.
pub(super) const DAMAGED: &str = "damaged";

fn flush(
    database: &mut Database,
    inserter: &mut Inserter,
    chunk: &mut Vec<UsageEvent>,
) -> Result<(), StoreError> {
    let inserted = inserter.insert(&mut database.connection, chunk.iter());
    inserted.map_err(|source| database.error(source))?;
    chunk.clear();
    Ok(())
}

/// Either the file could not be read, or the function for an event failed.
enum Trouble {
    Read(std::io::Error),
    Use(StoreError),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

/// Passes every event of a file to `event`, in order.
pub(super) fn read(
    path: &Path,
    ids: Ids,
    mut event: impl FnMut(UsageEvent) -> Result<(), StoreError>,
) -> Result<Damage, StoreError> {
    journal::read(path, ids, |found| event(found).map_err(Trouble::Use)).map_err(|trouble| match trouble {
        Trouble::Read(source) => StoreError::File { what: "read", path: path.to_owned(), source },
        Trouble::Use(error) => error,
    })
}

/// Checks that a new connection to the database finds every event of these journal files, and their sums.
pub(super) fn check_for(file: &Path, journal: &[(u64, PathBuf)], ids: Ids) -> Result<(), StoreError> {
    let error = |source| StoreError::Database { file: file.to_owned(), source };
    let connection = open_reader(file).map_err(error)?;
    let (mut slots, mut state_read) = (std::collections::HashSet::new(), false);
    for (_, path) in journal {
        read(path, ids, |event| {
            let sql = concat!("SELECT ", event_columns!(), " FROM usage_event WHERE id = ?1");
            let mut query = connection.prepare_cached(sql).map_err(error)?;
            let mut found = query.query_map([insert::number_of(&event)], event_of).map_err(error)?;
            if found.next().transpose().map_err(error)?.is_none() {
                return Err(StoreError::damage(file, format!("event {} is missing", event.id)));
            }
            if slots.insert(slot_of(event.ts_ms)) {
                insert::check_slot(&connection, slot_of(event.ts_ms)).map_err(error)?;
            }
            if !std::mem::replace(&mut state_read, true) {
                state::state(&connection, state::SUMMED).map_err(error)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
