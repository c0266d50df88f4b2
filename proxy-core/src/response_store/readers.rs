//! The connections that only read.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use rusqlite::Connection;

use super::database::open_reader;
use super::error::StoreError;

/// The most idle connections that are kept.
const IDLE: usize = 4;

/// A pool of connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Locked for reading by each query, and for writing while another file replaces the database: Windows cannot
    /// rename a file that is open.
    in_use: RwLock<()>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::default(), in_use: RwLock::default() }
    }

    /// Runs `ask` with a connection from the pool, in one transaction.
    pub(super) fn with<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        let idle = self.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.file)?,
        };
        let transaction = connection.transaction()?;
        let answer = ask(&transaction);
        transaction.finish()?;
        // A connection that has met an error is not used again.
        if !matches!(answer, Err(StoreError::Database(_))) {
            let mut idle = self.lock();
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
        answer
    }

    /// Waits for all running queries, drops the idle connections, and blocks new queries until the guard is
    /// dropped.
    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        self.lock().clear();
        alone
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
