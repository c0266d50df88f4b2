//! One proxy per data directory, and who else is in the way of one.

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

/// The right to use a data directory, as long as this lives.
///
/// The system takes the lock back when the process ends, however it ends. Who holds it is in a file of its own,
/// since no other process can read a locked file on Windows.
#[derive(Debug)]
pub struct InstanceLock {
    data_dir: PathBuf,
    file: File,
    holder: Holder,
}

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The number of the process.
    pub pid: u32,
    /// When it took the lock, in seconds since 1970.
    pub started: u64,
    /// Where it listens, once it does.
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
        /// Who uses it, unless the other has only just started.
        holder: Option<Holder>,
    },
    /// It cannot be written.
    #[error("{}", unusable(.data_dir, .source))]
    Unusable {
        /// The data directory.
        data_dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its file system has no locks.
    #[error(
        "the file system of the data directory '{}' cannot lock files ({source}). Choose a directory on a local \
         disk with PROXY_DATA_DIR.",
        .data_dir.display()
    )]
    NoLocks {
        /// The data directory.
        data_dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

const LOCK: &str = "lock";
const HOLDER: &str = "lock.json";

impl InstanceLock {
    /// Takes the directory for this process; makes it if there is none.
    ///
    /// # Errors
    /// When another process has it, or it cannot be written.
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

    /// Tells others where this process listens.
    ///
    /// # Errors
    /// When that cannot be written. The lock is held all the same.
    pub fn announce(&mut self, address: &SocketAddr) -> Result<(), InstanceError> {
        self.holder.address = Some(*address);
        self.tell()
    }

    /// Readers always see a whole file.
    fn tell(&self) -> Result<(), InstanceError> {
        let written = serde_json::to_vec(&self.holder)
            .map_err(io::Error::from)
            .and_then(|text| files::replace(&self.data_dir.join(HOLDER), text, files::Target::Fleeting));
        written.map_err(|source| InstanceError::Unusable { data_dir: self.data_dir.clone(), source })
    }
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // Whoever comes next must not be told of this process; and a child that is being started just now may
        // share the lock for a moment, so closing the file is not enough.
        let removed = fs::remove_file(self.data_dir.join(HOLDER));
        if let Err(error) = removed.and(self.file.unlock()) {
            tracing::debug!(%error, "the lock of the data directory could not be released");
        }
    }
}

impl Holder {
    /// ` (process 1234, listening on 127.0.0.1:11435, since ...)`, with the space before it.
    fn described(&self) -> String {
        let address = self.address.map(|address| format!(", listening on {address}")).unwrap_or_default();
        let since = UNIX_EPOCH
            .checked_add(Duration::from_secs(self.started))
            // Of a later year there is no text.
            .filter(|_| self.started < 253_402_300_800)
            .map(|time| format!(", since {}", httpdate::fmt_http_date(time)))
            .unwrap_or_default();
        format!(" (process {}{address}{since})", self.pid)
    }
}

/// Who uses the data directory, if anybody does now.
///
/// What a proxy that was killed has left behind names nobody: the lock itself is asked, for the least moment and
/// only where somebody says to hold it.
///
/// # Errors
/// When the lock cannot be asked.
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

/// Who says to hold the lock. What is no such file, or only half of one, says nothing.
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
    // Windows denies access to a directory instead of saying what it is.
    private_file()
        .open(path)
        .map_err(|error| if path.is_dir() { ErrorKind::IsADirectory.into() } else { error })
}

fn private_file() -> OpenOptions {
    let mut options = files::private();
    options.read(true).write(true).create(true).truncate(false);
    options
}
