//! The single thread that writes the database.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::database::{self, Database};
use super::error::StoreError;
use super::event::Ids;
use super::insert::{self, Inserter};
use super::journal::{self, Journal};
use super::known_keys;
use super::read::{self, Readers};
use super::sink::{Inlet, QUEUE, Queued};
use super::state::{self, LOG_ID, LOG_PATH};
use super::today::Today;
use super::token_log::TokenLog;
use super::{Config, rebuild, replay};

/// The minimum time between two syncs of the journal: a power loss can lose the events of this time.
const SYNC: Duration = Duration::from_secs(1);
/// The time after which a failed attempt is repeated.
const RETRY: Duration = Duration::from_secs(1);
/// The time after which a failed rebuild of a damaged database is repeated.
const REBUILD_RETRY: Duration = Duration::from_secs(30);
/// The time between two removals of old events.
const RETENTION: Duration = Duration::from_secs(3600);
/// The number of old events that are removed in one transaction.
const REMOVED_AT_ONCE: usize = 1000;
/// The size in bytes at which a new journal file is started.
const JOURNAL: u64 = 4 << 20;
/// The number of events that are read at once for the usage log file.
const LOGGED_AT_ONCE: usize = 1000;

/// The state of the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) inlet: Arc<Inlet>,
    pub(super) readers: Arc<Readers>,
    pub(super) config: Config,
    pub(super) database: Option<Database>,
    pub(super) inserter: Inserter,
    pub(super) token_log: Option<TokenLog>,
    /// Events that were taken from the queue, but are not in the database yet.
    pub(super) pending: VecDeque<Queued>,
    /// The journal has events that are neither in the database nor in `pending`.
    pub(super) behind: bool,
    /// The names of the keys are not in the database yet.
    pub(super) keys_changed: bool,
    /// The clock has changed to another day, so the sums of the day have to be read again.
    pub(super) reseed: bool,
    pub(super) failed: bool,
    pub(super) clock: Clock,
}

/// The times of the next regular tasks.
#[derive(Debug)]
pub(super) struct Clock {
    synced: (u64, u64),
    sync_at: Option<Instant>,
    retry_at: Option<Instant>,
    log_retry_at: Option<Instant>,
    retention_at: Instant,
    /// A running removal: events before this time, up to this number.
    removal: Option<(i64, u64)>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            synced: (0, 0),
            sync_at: None,
            retry_at: None,
            log_retry_at: None,
            retention_at: Instant::now(),
            removal: None,
        }
    }
}

impl Clock {
    /// The time of the next task.
    fn next(&self) -> Instant {
        let soon = [self.sync_at, self.retry_at, self.log_retry_at].into_iter().flatten();
        // While the database fails, only the next attempt is useful.
        let retention = if self.retry_at.is_some() { None } else { Some(self.retention_at) };
        soon.chain(retention).min().unwrap_or(self.retention_at)
    }
}

impl Writer {
    /// Runs until the store is closed.
    pub(super) fn run(mut self) {
        loop {
            let (closing, suspect, last_id) = self.take(self.clock.next());
            let waits = self.clock.retry_at.is_some_and(|at| at > Instant::now());
            if !waits || closing {
                match self.work(suspect, closing, last_id) {
                    Ok(()) => self.succeed(),
                    Err(error) => self.fail(&error, closing),
                }
            }
            self.sync_journal();
            if closing {
                break;
            }
        }
        drop(self.database.take());
        self.inlet.update(|state| state.ended = true);
    }

    /// Takes the recorded events. Returns whether the store is being closed, whether a reader found the database
    /// damaged, and the number of the last event.
    fn take(&mut self, deadline: Instant) -> (bool, bool, u64) {
        let mut state = self.inlet.wait_for_work(deadline);
        let taken = std::mem::take(&mut state.queue);
        self.behind |= std::mem::take(&mut state.behind);
        self.keys_changed |= std::mem::take(&mut state.keys_changed);
        self.reseed |= std::mem::take(&mut state.reseed);
        let seen = (state.closing, std::mem::take(&mut state.suspect), state.last_id());
        let mut lost = 0;
        for queued in taken {
            if self.pending.len() < QUEUE {
                self.pending.push_back(queued);
            } else if queued.journaled {
                self.behind = true;
            } else {
                lost += 1;
            }
        }
        if lost > 0 {
            state.lose(lost);
        }
        seen
    }

    fn work(&mut self, suspect: bool, closing: bool, last_id: u64) -> Result<(), StoreError> {
        self.revive(suspect)?;
        self.commit()?;
        self.note_keys()?;
        self.inlet.update(|state| state.committed = state.committed.max(last_id));
        self.write_log()?;
        self.reseed()?;
        let length = self.inlet.lock().journal.as_ref().map_or(0, Journal::length);
        if length >= JOURNAL || (closing && length > 0) {
            self.cut_journal()?;
        }
        if Instant::now() >= self.clock.retention_at && !closing {
            self.remove_old()?;
        }
        Ok(())
    }

    /// Opens the database if it is not open.
    fn revive(&mut self, suspect: bool) -> Result<(), StoreError> {
        if suspect {
            database::check(&self.config.database)?;
        }
        self.keep_in_place()?;
        if self.database.is_none() {
            let database = Database::open(&self.config.database)?;
            self.inserter = Inserter::default();
            if self.token_log.is_none() {
                let last = insert::last_id(&database.connection).map_err(|source| database.error(source))?;
                self.token_log = open_log(&database, self.config.token_log.as_ref(), last)?;
            }
            self.database = Some(database);
            // A new database may not have the names of the keys.
            self.keys_changed = true;
            // Earlier runs may have left events in the journal, and a new database does not have the latest
            // ones.
            self.behind = true;
        }
        Ok(())
    }

    /// Closes a database that was moved or replaced, and writes a removed one to its path again.
    fn keep_in_place(&mut self) -> Result<(), StoreError> {
        let Some(database) = &self.database else { return Ok(()) };
        if database.is_in_place() {
            return Ok(());
        }
        let file = &database.file;
        match file.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                rebuild::put_back(database, &self.config.journal)?;
                tracing::warn!(
                    file = %file.display(),
                    "the usage database was removed while the proxy runs; it was written anew. To begin with an empty \
                     one, stop the proxy first"
                );
            }
            Ok(found) if found.is_dir() => {
                let source = io::ErrorKind::IsADirectory.into();
                return Err(StoreError::File { what: "write", path: file.clone(), source });
            }
            Ok(_) | Err(_) => tracing::warn!(
                file = %file.display(),
                "the usage database was replaced while the proxy runs; the one that is there now is used"
            ),
        }
        self.database = None;
        self.readers.clear();
        Ok(())
    }

    fn database(&mut self) -> Result<&mut Database, StoreError> {
        self.database.as_mut().ok_or(StoreError::Unavailable)
    }

    /// Inserts all events that were taken, and those that only the journal has.
    fn commit(&mut self) -> Result<(), StoreError> {
        let Some(database) = &mut self.database else { return Err(StoreError::Unavailable) };
        if !self.pending.is_empty() {
            let events = self.pending.iter().map(|queued| &queued.event);
            let inserted = self.inserter.insert(&mut database.connection, events);
            inserted.map_err(|source| database.error(source))?;
            self.pending.clear();
        }
        if self.behind {
            let files = replay::files(&self.config.journal)?;
            let last = replay::replay(database, &mut self.inserter, &files)?.last_id;
            let keys = self.inlet.lock().keys.clone();
            known_keys::assign(&mut database.connection, &keys).map_err(|source| database.error(source))?;
            self.inlet.update(|state| state.continue_after(last));
            self.behind = false;
        }
        Ok(())
    }

    /// Stores the names of the keys if they have changed.
    fn note_keys(&mut self) -> Result<(), StoreError> {
        if !self.keys_changed {
            return Ok(());
        }
        let keys = self.inlet.lock().keys.clone();
        let database = self.database()?;
        known_keys::note_names(&mut database.connection, &keys).map_err(|source| database.error(source))?;
        self.keys_changed = false;
        Ok(())
    }

    /// Appends new events to the usage log file.
    fn write_log(&mut self) -> Result<(), StoreError> {
        let Some(log) = &mut self.token_log else { return Ok(()) };
        if self.clock.log_retry_at.is_some_and(|at| at > Instant::now()) {
            return Ok(());
        }
        self.clock.log_retry_at = None;
        let Some(database) = &self.database else { return Err(StoreError::Unavailable) };
        let error = |source| database.error(source);
        loop {
            let events =
                read::events_after(&database.connection, log.last_id(), LOGGED_AT_ONCE).map_err(error)?;
            if events.is_empty() {
                return Ok(());
            }
            if !log.append(&events) {
                self.clock.log_retry_at = Some(Instant::now() + RETRY);
                return Ok(());
            }
            state::set_state(&database.connection, LOG_ID, &log.last_id().to_string()).map_err(error)?;
        }
    }

    /// Reads the sums of the day again if the clock has changed to another day.
    fn reseed(&mut self) -> Result<(), StoreError> {
        if !self.reseed {
            return Ok(());
        }
        let inlet = self.inlet.clone();
        let mut today = Today::at(Timestamp::now(), inlet.lock().today.tz().clone());
        let database = self.database()?;
        read::seed_today(&database.connection, &mut today).map_err(|source| database.error(source))?;
        self.reseed = false;
        inlet.update(|state| {
            for queued in &state.queue {
                today.add(&queued.event);
            }
            // Events that were recorded while the queue was full are only in the journal so far.
            state.reseed = state.behind;
            state.today = today;
        });
        Ok(())
    }

    /// Starts a new journal file, and removes the others once all of their events are on disk in the database.
    /// Returns whether this was possible.
    fn cut_journal(&mut self) -> Result<bool, StoreError> {
        self.database()?;
        let next = journal::next_number(&replay::files(&self.config.journal)?);
        let new = match Journal::create(&self.config.journal, next) {
            Ok(new) => new,
            Err(error) => {
                tracing::debug!(%error, "the journal of usage events goes on in its old file");
                return Ok(false);
            }
        };
        let inlet = self.inlet.clone();
        let (last_id, old) = {
            let mut state = inlet.lock();
            let old = state.journal.replace(new);
            self.pending.extend(std::mem::take(&mut state.queue));
            self.behind |= std::mem::take(&mut state.behind);
            (state.last_id(), old)
        };
        if let Some(old) = old {
            sync(&old.file());
        }
        self.commit()?;
        inlet.update(|state| state.committed = state.committed.max(last_id));
        self.write_log()?;
        let database = self.database()?;
        if !database.checkpoint()? || !database.is_in_place() {
            return Ok(false);
        }
        let ids = replay::ids(database)?;
        let mut files = replay::files(&self.config.journal)?;
        files.retain(|(number, _)| *number != next);
        replay::check_for(&self.config.database, &files, ids)?;
        if let Some(notice) = replay::remove(files, ids) {
            inlet.update(|state| state.damaged.journal = Some(notice));
        }
        Ok(true)
    }

    /// Removes some of the events that are too old.
    fn remove_old(&mut self) -> Result<(), StoreError> {
        let days = i64::from(self.config.retention_days);
        if days == 0 {
            self.clock.retention_at = Instant::now() + RETENTION;
            return Ok(());
        }
        let (before, id) = match self.clock.removal {
            Some(removal) => removal,
            None => {
                // An event that is still in the journal would be counted again when the next start reads it.
                if !self.cut_journal()? {
                    self.clock.retention_at = Instant::now() + RETRY;
                    return Ok(());
                }
                let now = Timestamp::now().as_millisecond();
                (now.saturating_sub(days.saturating_mul(86_400_000)), self.inlet.lock().committed)
            }
        };
        let database = self.database()?;
        let removed = insert::remove_old(&mut database.connection, before, id, REMOVED_AT_ONCE);
        let removed = removed.map_err(|source| database.error(source))?;
        let more = removed == REMOVED_AT_ONCE;
        self.clock.removal = more.then_some((before, id));
        self.clock.retention_at = if more { Instant::now() } else { Instant::now() + RETENTION };
        if removed > 0 {
            tracing::debug!(removed, "usage events past their time were removed; their sums stay");
        }
        Ok(())
    }

    fn succeed(&mut self) {
        self.clock.retry_at = None;
        if self.failed {
            tracing::info!("the usage database can be used again");
            self.inlet.update(|state| state.problem = None);
        }
        self.failed = false;
    }

    fn fail(&mut self, error: &StoreError, closing: bool) {
        self.clock.retry_at = Some(Instant::now() + RETRY);
        self.readers.clear();
        if matches!(error, StoreError::Database { .. }) {
            self.database = None;
        }
        // The journal has everything that the next start needs for a rebuild.
        if error.is_corruption() && !closing {
            match rebuild::rebuild(&self.config.database, &self.config.journal, &self.readers, error) {
                Ok(rebuilt) => {
                    self.clock.retry_at = Some(Instant::now());
                    self.inlet.update(|state| state.damaged.database = Some(rebuilt.sentence()));
                }
                Err(failure) => {
                    self.clock.retry_at = Some(Instant::now() + REBUILD_RETRY);
                    tracing::error!(%failure, "the damaged usage database cannot be built anew at present");
                }
            }
        }
        if !self.failed {
            tracing::warn!(
                %error,
                "usage cannot be stored at present; it is kept in the journal and in memory, and tried again every \
                 second. Free disk space and check the permissions of the data directory"
            );
        }
        self.failed = true;
        self.inlet.update(|state| state.problem = Some(error.to_string()));
    }

    /// Syncs the journal if that is due, and creates a new one if there is none.
    fn sync_journal(&mut self) {
        let now = Instant::now();
        let journal = {
            let state = self.inlet.lock();
            state.journal.as_ref().map(|journal| (journal.number(), journal.length(), journal.file()))
        };
        let Some((number, length, file)) = journal else {
            self.make_journal();
            return;
        };
        if self.clock.synced == (number, length) || length == 0 {
            self.clock.sync_at = None;
        } else if self.clock.sync_at.is_none_or(|at| at > now) {
            self.clock.sync_at.get_or_insert(now + SYNC);
        } else {
            sync(&file);
            self.clock.synced = (number, length);
            self.clock.sync_at = None;
        }
    }

    fn make_journal(&mut self) {
        let number = journal::list(&self.config.journal).map(|files| journal::next_number(&files));
        match number.and_then(|number| Journal::create(&self.config.journal, number)) {
            Ok(journal) => self.inlet.update(|state| state.journal = Some(journal)),
            Err(_) => self.clock.sync_at = Some(Instant::now() + RETRY),
        }
    }
}

/// Opens the usage log file if one is configured. A new file gets the events from now on.
pub(super) fn open_log(
    database: &Database,
    path: Option<&PathBuf>,
    last_id: u64,
) -> Result<Option<TokenLog>, StoreError> {
    let error = |source| database.error(source);
    let connection = &database.connection;
    let Some(path) = path else {
        state::set_state(connection, LOG_PATH, "").map_err(error)?;
        return Ok(None);
    };
    let name = path.to_string_lossy();
    let known = state::state(connection, LOG_PATH).map_err(error)?.is_some_and(|known| known == name);
    let logged = state::state(connection, LOG_ID).map_err(error)?.and_then(|id| id.parse().ok());
    let believed = |id: &u64| *id == 0 || Ids::after(last_id).believes(*id);
    let logged = logged.filter(|id| known && believed(id)).unwrap_or(last_id);
    let log = TokenLog::open(path.clone(), logged);
    state::set_state(connection, LOG_ID, &log.last_id().to_string()).map_err(error)?;
    state::set_state(connection, LOG_PATH, &name).map_err(error)?;
    Ok(Some(log))
}

/// Syncs a file. A failure is ignored, because it matters only after a power loss.
fn sync(file: &File) {
    if let Err(error) = file.sync_data() {
        tracing::debug!(%error, "the journal of usage events could not be synced");
    }
}
