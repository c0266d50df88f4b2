//! Keeps responses, conversations and stored chat completions in the SQLite database `responses.db`, so that a
//! later request can continue them by their ids.
//!
//! A response is kept as its object without the output, and one row for each item of its own input and output. A
//! response that continues another one only points at it: no history is kept twice. A deleted response whose items
//! are the history of others stays as a tombstone until the last of them is gone; nothing else can read it.
//!
//! Everything belongs to the id of an API key. To another key, an id is unknown.
//!
//! One connection writes, a few others read, none of them on an async thread.

mod chats;
mod conversations;
mod database;
mod error;
mod items;
mod lately;
mod page;
mod readers;
mod responses;
mod snapshot;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

pub use chats::ChatFilter;
pub use error::StoreError;
pub use page::{Listed, Page};
pub use responses::{Saved, Status, Stored};
pub use snapshot::{inspect, snapshot};
pub use upkeep::Stats;

use crate::secret::KeyId;
use database::Database;
use lately::Lately;
use readers::Readers;

/// The name of the database file in the data directory.
pub const FILE: &str = "responses.db";

/// The most reads at once.
const READERS: usize = 4;

/// What the operator decides about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Whether anything is kept. What is there already is still removed by age and size.
    pub enabled: bool,
    /// The age at which something is removed; `None` keeps it for ever.
    pub max_age: Option<Duration>,
    /// The size from which on the oldest is removed; `None` for no limit.
    pub max_bytes: Option<u64>,
}

impl Config {
    /// The configuration with the limits in days and MiB; 0 is no limit.
    pub fn of(enabled: bool, max_days: u32, max_mib: u64) -> Self {
        Self {
            enabled,
            max_age: (max_days > 0).then(|| Duration::from_secs(u64::from(max_days) * 86_400)),
            max_bytes: (max_mib > 0).then_some(max_mib << 20),
        }
    }
}

/// Whether the store keeps anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreState {
    /// It does.
    On,
    /// The operator does not want it to.
    Off,
    /// The database could not be used at the start, for this reason.
    Broken(String),
}

/// The store. Cheap to clone.
///
/// While it is off, it knows nothing, and what is saved is not kept. While it is broken, reading and saving are
/// [`StoreError::Unavailable`].
#[derive(Debug, Clone)]
pub struct ResponseStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    file: PathBuf,
    state: Mutex<StoreState>,
    writer: Arc<AsyncMutex<Writer>>,
    readers: Readers,
    /// Bounds the threads that read.
    reading: Arc<Semaphore>,
    lately: Mutex<Lately>,
}

/// What a writing operation needs. Whoever holds it is the only one that writes.
#[derive(Debug, Default)]
struct Writer {
    database: Option<Database>,
    /// When everything past its time was removed last.
    pruned_at: Option<Instant>,
    /// Deleted texts may still be in the write-ahead log.
    unwiped: bool,
}

impl ResponseStore {
    /// Opens the store in the data directory. It blocks.
    ///
    /// This never fails. A damaged database is renamed, and a new one is begun. With a database of a newer version
    /// or an error of the disk, the store is out of use: [`ResponseStore::state`] says why. A response that was
    /// still running when the last proxy ended becomes a failed one.
    pub fn open(config: Config, directory: &Path) -> Self {
        let file = directory.join(FILE);
        if !config.enabled && !file.exists() {
            return Self::new(config, file, None, StoreState::Off);
        }
        let (database, state) = match open_database(&file) {
            Ok(database) => (Some(database), if config.enabled { StoreState::On } else { StoreState::Off }),
            Err(error) => {
                tracing::error!(%error, "responses cannot be stored; requests go on without it");
                (None, StoreState::Broken(error.to_string()))
            }
        };
        Self::new(config, file, database, state)
    }

    /// A store that keeps nothing.
    pub fn off() -> Self {
        let config = Config { enabled: false, max_age: None, max_bytes: None };
        Self::new(config, PathBuf::new(), None, StoreState::Off)
    }

    fn new(config: Config, file: PathBuf, database: Option<Database>, state: StoreState) -> Self {
        Self(Arc::new(Shared {
            config,
            readers: Readers::new(file.clone()),
            file,
            state: Mutex::new(state),
            writer: Arc::new(AsyncMutex::new(Writer { database, ..Writer::default() })),
            reading: Arc::new(Semaphore::new(READERS)),
            lately: Mutex::default(),
        }))
    }

    /// Whether the store keeps anything.
    pub fn state(&self) -> StoreState {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the store keeps what is saved.
    pub fn is_on(&self) -> bool {
        self.state() == StoreState::On
    }

    /// Writes everything to the database file and closes it. Whatever comes later is refused.
    pub async fn close(&self) {
        let mut writer = self.0.writer.clone().lock_owned().await;
        let state = StoreState::Broken("the proxy is ending".to_owned());
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        let shared = self.0.clone();
        let closed = blocking(move || {
            let _alone = shared.readers.alone();
            let Some(database) = writer.database.take() else { return Ok(()) };
            database.wipe().map(drop)
        });
        if let Err(error) = closed.await {
            tracing::warn!(%error, "the database of stored responses did not close properly; the next start completes it");
        }
    }

    /// Runs `act` for a key in a transaction on the writing connection. `absent` is the answer of a store that is
    /// off, and to a key that was deleted.
    async fn write<T, F>(&self, owner: &KeyId, absent: T, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>, &str) -> Result<T, StoreError> + Send + 'static,
    {
        self.write_then(owner, absent, act, Shared::tidy).await
    }

    /// The same for an operation that deletes: no text of it stays in the files.
    async fn erase<T, F>(&self, owner: &KeyId, absent: T, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>, &str) -> Result<T, StoreError> + Send + 'static,
    {
        self.0.lately().clear();
        self.write_then(owner, absent, act, Shared::wipe).await
    }

    async fn write_then<T, F>(
        &self,
        owner: &KeyId,
        absent: T,
        act: F,
        then: fn(&Shared, &mut Writer),
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>, &str) -> Result<T, StoreError> + Send + 'static,
    {
        if !self.is_used()? {
            return Ok(absent);
        }
        let mut writer = self.0.writer.clone().lock_owned().await;
        // It may have been closed in between.
        if !self.is_used()? || self.0.lately().has_forgotten(owner) {
            return Ok(absent);
        }
        let (shared, owner) = (self.0.clone(), owner.clone());
        blocking(move || {
            let value = shared.change(&mut writer, |transaction| act(transaction, owner.as_str()))?;
            then(&shared, &mut writer);
            Ok(value)
        })
        .await
    }

    /// Runs `act` for a key on a connection that only reads, and sees one state of the database. `absent` is the
    /// answer of a store that is off.
    async fn read<T, F>(&self, owner: &KeyId, absent: T, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &str) -> Result<T, StoreError> + Send + 'static,
    {
        if !self.is_used()? {
            return Ok(absent);
        }
        let owner = owner.clone();
        self.read_kept(move |connection| act(connection, owner.as_str())).await
    }

    async fn read_kept<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.0.reading.clone().acquire_owned().await;
        let shared = self.0.clone();
        let read = blocking(move || {
            let _permit = permit;
            shared.readers.with(act)
        });
        let read = read.await;
        if let Err(error) = &read
            && error.is_corruption()
        {
            let mut writer = self.0.writer.clone().lock_owned().await;
            let (shared, damage) = (self.0.clone(), error.to_string());
            let repaired = blocking(move || {
                shared.repair(&mut writer, &damage);
                Ok(())
            });
            repaired.await?;
        }
        read
    }

    /// Whether the store is on; an error if it is out of use.
    fn is_used(&self) -> Result<bool, StoreError> {
        match self.state() {
            StoreState::On => Ok(true),
            StoreState::Off => Ok(false),
            StoreState::Broken(reason) => Err(StoreError::Unavailable(reason)),
        }
    }
}

impl Shared {
    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database, opened again if it failed before or is not in its place any more.
    fn database<'a>(&self, writer: &'a mut Writer) -> Result<&'a mut Database, StoreError> {
        if writer.database.as_ref().is_some_and(|database| !database.is_in_place(&self.file)) {
            tracing::warn!(
                file = %self.file.display(),
                "the database of stored responses was moved or removed while the proxy runs; what is there now is used"
            );
            let _alone = self.readers.alone();
            writer.database = None;
        }
        if writer.database.is_none() {
            writer.database = Some(Database::open(&self.file)?);
        }
        writer.database.as_mut().ok_or_else(|| StoreError::Unavailable("it is closed".to_owned()))
    }

    /// Runs `act` in a transaction.
    fn change<T>(
        &self,
        writer: &mut Writer,
        act: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let changed = self.database(writer).and_then(|database| {
            let transaction =
                database.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = act(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        if let Err(error) = &changed
            && error.is_corruption()
        {
            self.repair(writer, &error.to_string());
        }
        changed
    }

    /// Begins a new database if the one in use is damaged.
    fn repair(&self, writer: &mut Writer, damage: &str) {
        if writer.database.is_none() || database::is_sound(&self.file) {
            return;
        }
        let _alone = self.readers.alone();
        writer.database = None;
        match begin_anew(&self.file, damage) {
            Ok(database) => writer.database = Some(database),
            Err(error) => tracing::error!(%error, "no new database of responses can be begun"),
        }
    }

    /// Moves deleted texts out of the write-ahead log.
    fn wipe(&self, writer: &mut Writer) {
        let Some(database) = &writer.database else { return };
        match database.wipe() {
            Ok(done) => writer.unwiped = !done,
            Err(error) => {
                writer.unwiped = true;
                tracing::debug!(%error, "deleted texts are still in the write-ahead log; a later operation removes them");
            }
        }
    }
}

/// Opens the database, or a new one if it is damaged.
fn open_database(file: &Path) -> Result<Database, StoreError> {
    let open = || {
        let mut database = Database::open(file)?;
        let transaction = database.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        responses::fail_running(&transaction)?;
        transaction.commit()?;
        Ok(database)
    };
    match open() {
        Err(error) if StoreError::is_corruption(&error) => begin_anew(file, &error.to_string()),
        opened => opened,
    }
}

/// Renames a damaged database and begins a new one.
fn begin_anew(file: &Path, damage: &str) -> Result<Database, StoreError> {
    let aside = database::set_aside(file)?;
    tracing::error!(
        damage,
        "the database of stored responses was damaged. It is kept as {}, and a new one was begun. What it still holds \
         may be had with the `.recover` command of sqlite3",
        aside.display()
    );
    Database::open(file)
}

/// Runs `act` on a thread that may block.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(act).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::Panicked(error.to_string())),
    }
}

/// The seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A number as SQLite has it.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
