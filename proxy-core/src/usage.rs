//! Stores usage events and their sums in the SQLite database `proxy.db`.
//!
//! The way of an event: [`UsageSink::record`] appends it to a journal and queues it; from then on a kill of the
//! process loses nothing. The single writer thread inserts the queue in batches, each with the sums of its
//! events in the same transaction. A journal file is removed once all of its events are on disk in the database;
//! if a file is left, it is read again at the next start. A [`query`] is answered from the sums, on a separate
//! connection.

mod database;
mod error;
pub mod event;
pub mod export;
mod files;
mod insert;
mod inspect;
mod journal;
mod known_keys;
pub mod query;
mod read;
mod rebuild;
mod replay;
mod rows;
mod salvage;
mod sink;
mod snapshot;
mod state;
mod today;
mod token_log;
mod totals;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::Connection;

pub use error::StoreError;
pub use event::UsageEvent;
pub use inspect::{Inspection, inspect};
pub use known_keys::KnownKey;
pub use query::{Group, Parameters, QueryError, Summary, UsageQuery};
pub use sink::UsageSink;
pub use snapshot::{Snapshot, snapshot};
pub use totals::Totals;

use database::Database;
use insert::Inserter;
use journal::Journal;
use read::Readers;
use sink::{Damaged, Inlet};
use today::Today;
use writer::{Clock, Writer};

/// What the operator decides about the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The database file.
    pub database: PathBuf,
    /// The directory of the journal.
    pub journal: PathBuf,
    /// The usage log file, to which a line is appended for each event; `None` for no such file.
    pub token_log: Option<PathBuf>,
    /// The days after which an event is removed; its sums stay. 0 keeps events for ever.
    pub retention_days: u32,
}

/// The maximum time that an answer waits for events recorded before its request. Tests need all events, so they
/// wait longer.
const FRESHNESS: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 2 });

/// The usage store. Cheap to clone. It stops when the last clone is dropped, or with [`UsageStore::close`].
///
/// All methods except [`UsageStore::sink`], [`UsageStore::today`] and [`UsageStore::warnings`] block: call them
/// in `spawn_blocking` from async code.
#[derive(Debug, Clone)]
pub struct UsageStore {
    inlet: Arc<Inlet>,
    readers: Arc<Readers>,
    file: PathBuf,
    tz: TimeZone,
    /// How long a reader waits for events that are not written yet.
    freshness: Duration,
    _closer: Arc<Closer>,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events, oldest first.
    pub events: Vec<UsageEvent>,
    /// Whether there are more after them.
    pub has_more: bool,
}

impl UsageStore {
    /// Opens the store in the system's time zone, inserts the events that a crash left in the journal, and
    /// starts the writer. `keys` are the existing API keys.
    ///
    /// A database that cannot be used now, for example because the disk is full, is not an error: events stay in
    /// the journal, and the store tries again.
    ///
    /// # Errors
    /// If a later version has written the database, or if no thread can be started.
    pub fn open(config: Config, keys: Vec<KnownKey>) -> Result<Self, StoreError> {
        Self::open_in(config, keys, TimeZone::system())
    }

    /// Opens the store with the days of this time zone.
    ///
    /// # Errors
    /// As [`UsageStore::open`].
    pub fn open_in(config: Config, keys: Vec<KnownKey>, tz: TimeZone) -> Result<Self, StoreError> {
        let readers = Arc::new(Readers::new(config.database.clone()));
        let mut today = Today::at(Timestamp::now(), tz.clone());
        let mut inserter = Inserter::default();
        let old = replay::files(&config.journal).unwrap_or_default();
        let mut damaged = Damaged::default();
        let mut started = start(&config, &keys, &mut inserter, &mut today, &old, &mut damaged);
        if let Err(damage) = &started
            && damage.is_corruption()
        {
            // Only once: if the new database is damaged at once, a rebuild does not help.
            let rebuilt = rebuild::rebuild(&config.database, &config.journal, &readers, damage);
            started = rebuilt.and_then(|rebuilt| {
                damaged.database = Some(rebuilt.sentence());
                inserter = Inserter::default();
                today = Today::at(Timestamp::now(), tz.clone());
                start(&config, &keys, &mut inserter, &mut today, &old, &mut damaged)
            });
        }
        let (opened, problem) = match started {
            Ok(opened) => (Some(opened), None),
            Err(error @ StoreError::NewerSchema { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "usage cannot be stored at present; it is kept in the journal and in memory, and tried again every \
                     second. Free disk space and check the permissions of the data directory"
                );
                (None, Some(error.to_string()))
            }
        };
        let journal = Journal::create(&config.journal, journal::next_number(&old));
        let journal = journal.inspect_err(|error| {
            let directory = config.journal.display();
            tracing::warn!(%error, %directory, "the journal of usage events cannot be begun");
        });
        let (database, token_log, last_id) = match opened {
            Some(opened) => (Some(opened.database), opened.token_log, opened.last_id),
            // The last number in the database is unknown, but it is less than the time in microseconds.
            None => (None, None, replay::last_id(&old).max(microseconds_now())),
        };
        let inlet = Arc::new(Inlet::new(journal.ok(), last_id + 1, today, keys));
        inlet.lock().problem.clone_from(&problem);
        inlet.lock().damaged = damaged;
        let (file, has_keys) = (config.database.clone(), !inlet.lock().keys.is_empty());
        let writer = Writer {
            inlet: inlet.clone(),
            readers: readers.clone(),
            config,
            behind: database.is_none(),
            keys_changed: has_keys,
            reseed: false,
            failed: database.is_none(),
            database,
            inserter,
            token_log,
            pending: std::collections::VecDeque::new(),
            clock: Clock::default(),
        };
        let thread = std::thread::Builder::new().name("usage-writer".into()).spawn(move || writer.run());
        thread.map_err(|source| StoreError::File {
            what: "start a writer for",
            path: file.clone(),
            source,
        })?;
        let closer = Arc::new(Closer(inlet.clone()));
        Ok(Self { inlet, readers, file, tz, freshness: FRESHNESS, _closer: closer })
    }

    /// The sink that records events.
    pub fn sink(&self) -> UsageSink {
        UsageSink::new(self.inlet.clone())
    }

    /// Replaces the list of API keys. `keys` is called under a lock, so that an older list cannot replace a
    /// newer one.
    pub fn set_keys(&self, keys: impl FnOnce() -> Vec<KnownKey>) {
        self.inlet.update(|state| {
            let keys = keys();
            if *keys != *state.keys {
                (state.keys, state.keys_changed) = (keys.into(), true);
            }
        });
    }

    /// The time zone that is used if a query names none.
    pub fn tz(&self) -> &TimeZone {
        &self.tz
    }

    /// The sums of all requests since the local day began.
    pub fn today(&self) -> Totals {
        self.sink().today()
    }

    /// The current problems, in sentences for people.
    pub fn warnings(&self) -> Vec<String> {
        let state = self.inlet.lock();
        let mut warnings = Vec::new();
        warnings.extend(state.problem.as_ref().map(|problem| format!("Usage cannot be stored: {problem}")));
        if state.journal_failed() {
            warnings.push("The journal of usage events cannot be written; the log says why.".to_owned());
        }
        if state.lost() > 0 {
            warnings.push(format!("{} usage events could not be kept.", state.lost()));
        }
        let Damaged { database, journal } = state.damaged.clone();
        warnings.extend(database.into_iter().chain(journal));
        warnings
    }

    /// Answers a query about sums, including everything recorded before the call.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn summary(&self, query: &UsageQuery) -> Result<Summary, StoreError> {
        let keys = self.inlet.lock().keys.clone();
        self.read(|connection| read::summary(connection, query, &keys))
    }

    /// The newest `limit` events, or the first `limit` events after number `after`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn page(&self, limit: usize, after: Option<u64>) -> Result<Page, StoreError> {
        self.read(|connection| {
            let mut events = match after {
                Some(after) => read::events_after(connection, after, limit.saturating_add(1))?,
                None => read::last_events(connection, limit)?,
            };
            let has_more = events.len() > limit;
            events.truncate(limit);
            Ok(Page { events, has_more })
        })
    }

    /// Up to `limit` events of a time range, ordered by time, after the event with this time and number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn between(
        &self,
        start_ms: i64,
        end_ms: i64,
        after: (i64, u64),
        limit: usize,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        self.read(|connection| read::events_between(connection, start_ms, end_ms, after, limit))
    }

    /// Writes all events, runs a checkpoint and ends the writer. Later events go only to the journal.
    pub fn close(&self) {
        self.inlet.update(|state| state.closing = true);
        self.inlet.wait_for_end();
    }

    fn read<T>(&self, ask: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.inlet.wait_for_commit(self.freshness);
        if self.inlet.lock().problem.is_some() && !self.file.exists() {
            return Err(StoreError::Unavailable);
        }
        self.readers.with(ask).map_err(|source| {
            let error = StoreError::Database { file: self.file.clone(), source };
            if error.is_corruption() {
                self.inlet.update(|state| state.suspect = true);
            }
            error
        })
    }
}

/// The result of opening the database.
struct Opened {
    database: Database,
    token_log: Option<token_log::TokenLog>,
    last_id: u64,
}

/// Opens the database and inserts the events of the journal.
fn start(
    config: &Config,
    keys: &[KnownKey],
    inserter: &mut Inserter,
    today: &mut Today,
    old: &[(u64, PathBuf)],
    damaged: &mut Damaged,
) -> Result<Opened, StoreError> {
    let mut database = Database::open(&config.database)?;
    let before = insert::last_id(&database.connection).map_err(|source| database.error(source))?;
    let token_log = writer::open_log(&database, config.token_log.as_ref(), before)?;
    let replayed = replay::replay(&mut database, inserter, old)?;
    if !old.is_empty() && database.checkpoint()? {
        let ids = replay::ids(&database)?;
        replay::check_for(&config.database, old, ids)?;
        damaged.journal = replay::remove(old.iter().cloned(), ids);
    }
    known_keys::assign(&mut database.connection, keys).map_err(|source| database.error(source))?;
    read::seed_today(&database.connection, today).map_err(|source| database.error(source))?;
    let logged = token_log.as_ref().map_or(0, token_log::TokenLog::last_id);
    let last_id = before.max(replayed.last_id).max(logged);
    Ok(Opened { database, token_log, last_id })
}

fn microseconds_now() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// Ends the writer when the last handle is dropped.
#[derive(Debug)]
struct Closer(Arc<Inlet>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.update(|state| state.closing = true);
    }
}

#[cfg(test)]
mod tests;
