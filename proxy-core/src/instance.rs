//! Makes sure that only one proxy uses a data directory, and finds the process that uses it.

mod listener;
#[cfg(test)]
mod tests;

pub use listener::who_listens;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::files;

/// The lock of a data directory, held until this is dropped.
///
/// The system releases the lock when the process ends, in any way. The data about its holder are in a separate
/// file, because on Windows no other process can read a locked file.
#[derive(Debug)]
pub struct InstanceLock {
    data_dir: PathBuf,
    file: File,
    holder: Holder,
}

/// The process that holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process id.
    pub pid: u32,
    /// When the process took the lock, in seconds since 1970.
    pub started: u64,
    /// The address on which it listens; `None` until it does.
    pub address: Option<SocketAddr>,
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Another proxy uses it.
    #[error(
        "another Codex Proxy{} uses the data directory '{}'. Stop it, or choose another directory with \
         PROXY_DATA_DIR.",
        .holder.as_ref().map(Holder::described).unwrap_or_default(),
        .data_dir.display()
    )]
    Held {
        /// The data directory.
        data_dir: PathBuf,
        /// The process that uses it; `None` if that has only just started.
        holder: Option<Holder>,
    },
    /// The data directory cannot be written.
    #[error("{}", unusable(.data_dir, .source))]
    Unusable {
        /// The data directory.
        data_dir: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
    /// The file system of the data directory does not support locks.
    #[error(
        "the file system of the data directory '{}' cannot lock files ({source}). Choose a directory on a local \
         disk with PROXY_DATA_DIR.",
        .data_dir.display()
    )]
    NoLocks {
        /// The data directory.
        data_dir: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
}

const LOCK: &str = "lock";
const HOLDER: &str = "lock.json";

impl InstanceLock {
    /// Locks the directory for this process, and creates it if it does not exist.
    ///
    /// # Errors
    /// If another process uses it, or it cannot be written.
    pub fn take(data_dir: &Path) -> Result<Self, InstanceError> {
        let unusable = |source| InstanceError::Unusable { data_dir: data_dir.to_owned(), source };
        files::create_private_dir(data_dir).map_err(unusable)?;
        let file = open_lock(&data_dir.join(LOCK)).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(InstanceError::Held { data_dir: data_dir.to_owned(), holder: holder(data_dir) });
            }
            Err(TryLockError::Error(source)) => {
                return Err(InstanceError::NoLocks { data_dir: data_dir.to_owned(), source });
            }
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let holder = Holder { pid: std::process::id(), started, address: None };
        let lock = Self { data_dir: data_dir.to_owned(), file, holder };
        if let Err(error) = lock.tell() {
            tracing::warn!(%error, "the data directory's lock file could not be written; messages cannot name the proxy that uses it");
        }
        Ok(lock)
    }

    /// Publishes the address on which this process listens.
    ///
    /// # Errors
    /// If it cannot be written. The lock is still held.
    pub fn announce(&mut self, address: &SocketAddr) -> Result<(), InstanceError> {
        self.holder.address = Some(*address);
        self.tell()
    }

    /// Replaced atomically, so that readers always see a complete file.
    fn tell(&self) -> Result<(), InstanceError> {
        let written = serde_json::to_vec(&self.holder)
            .map_err(io::Error::from)
            .and_then(|text| files::replace(&self.data_dir.join(HOLDER), text, files::Target::Fleeting));
        written.map_err(|source| InstanceError::Unusable { data_dir: self.data_dir.clone(), source })
    }
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // The next process must not read the data of this one. A child process that is being started may share
        // the lock for a moment, so closing the file is not enough.
        let removed = fs::remove_file(self.data_dir.join(HOLDER));
        if let Err(error) = removed.and(self.file.unlock()) {
            tracing::debug!(%error, "the lock of the data directory could not be released");
        }
    }
}

impl Holder {
    /// Formats ` (process 1234, listening on 127.0.0.1:11435, since ...)`, with a space at the beginning.
    fn described(&self) -> String {
        let address = self.address.map(|address| format!(", listening on {address}")).unwrap_or_default();
        let since = UNIX_EPOCH
            .checked_add(Duration::from_secs(self.started))
            // Later years have no text form.
            .filter(|_| self.started < 253_402_300_800)
            .map(|time| format!(", since {}", httpdate::fmt_http_date(time)))
            .unwrap_or_default();
        format!(" (process {}{address}{since})", self.pid)
    }
}

/// The process that uses the data directory, if there is one.
///
/// A killed proxy leaves its file, so the lock itself is tested, as briefly as possible, and only if the file
/// exists.
///
/// # Errors
/// If the lock cannot be tested.
pub fn running(data_dir: &Path) -> io::Result<Option<Holder>> {
    let Some(found) = holder(data_dir) else { return Ok(None) };
    let file = match File::open(data_dir.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => {
            if let Err(error) = file.unlock() {
                tracing::debug!(%error, "closing the file gives the lock back as well");
            }
            Ok(None)
        }
        Err(TryLockError::WouldBlock) => Ok(Some(found)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The process in the holder file. A missing or incomplete file gives `None`.
fn holder(data_dir: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(data_dir.join(HOLDER)).ok()?).ok()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "few of the system's many reasons have a remedy of their own"
)]
fn unusable(data_dir: &Path, source: &io::Error) -> String {
    let directory = data_dir.display();
    let (reason, remedy) = match source.kind() {
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            ("it is not a directory, or a part of its path is not a directory", "Move that file away")
        }
        ErrorKind::IsADirectory => {
            ("a directory has the name of one of its files", "Move that directory away")
        }
        ErrorKind::ReadOnlyFilesystem => ("its file system is read-only", "Mount it for writing"),
        ErrorKind::PermissionDenied => {
            ("this user may not write to it", "Change its owner or its permissions")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ("there is no space left", "Free some space"),
        _ => ("the system refused", "Check that directory"),
    };
    format!(
        "the data directory '{directory}' cannot be used: {reason} ({source}). {remedy}, or choose another \
         directory with PROXY_DATA_DIR."
    )
}

fn open_lock(path: &Path) -> io::Result<File> {
    // Windows denies access to a directory instead of reporting that it is one.
    private_file()
        .open(path)
        .map_err(|error| if path.is_dir() { ErrorKind::IsADirectory.into() } else { error })
}

fn private_file() -> OpenOptions {
    let mut options = files::private();
    options.read(true).write(true).create(true).truncate(false);
    options
}
