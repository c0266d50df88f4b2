//! Finds, lists and removes everything that the proxy has stored on this machine.
//!
//! Only files that the proxy creates are removed, by name. Other files in its directories stay, and so does
//! every home directory of Codex except the proxy's own.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::client_setup::{self, Clients};
use crate::instance::{InstanceError, InstanceLock};
use crate::keys::{self, KeyRingError};

/// The places of the proxy's files.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory, in which everything that the proxy has created is removed.
    pub data_dir: PathBuf,
    /// The directory of the log, which other programs may use too.
    pub logs: Option<PathBuf>,
    /// Files and directories elsewhere that belong entirely to the proxy.
    pub elsewhere: Vec<PathBuf>,
    /// Directories with a name of the proxy, which are removed if they are empty.
    pub directories: Vec<PathBuf>,
    /// The places of the keys, some of which may be in the keychain.
    pub keys: keys::Config,
    /// The settings of other programs.
    pub client_setup: client_setup::Config,
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The files and directories to remove.
    #[serde(rename = "deleted")]
    pub places: Vec<Place>,
    /// The number of keys in the keychain, which are removed too; `None` if the list of keys cannot be read.
    pub in_keychain: Option<usize>,
    /// Settings of other programs that use the proxy. They stay.
    pub clients: Vec<PathBuf>,
    /// Files in the data directory that the proxy did not create. They stay.
    pub others: Vec<PathBuf>,
}

/// A file, or a directory with all of its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The path.
    pub path: PathBuf,
    /// The total length of the files in bytes.
    pub bytes: u64,
}

/// Why something was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// A proxy uses the data directory, or the directory is unusable.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The keys cannot be read or removed. Nothing else was removed.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// These could not be removed; all others were.
    #[error("not everything could be removed: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Left(Vec<Left>),
}

/// Something that could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("{} ({source})", .path.display())]
pub struct Left {
    /// The path.
    pub path: PathBuf,
    /// The error from the system.
    pub source: io::Error,
}

/// What the proxy makes in its data directory. Other names that begin with one of [`BEGINNINGS`] are its own too.
const OWN: [&str; 28] = [
    "api-key",
    "cache",
    "clients.json",
    "codex",
    "codex-home",
    "control-token",
    "key-secrets",
    "key-secrets.tmp",
    "keys.json",
    "keys.json.tmp",
    "lock",
    "lock.json",
    "lock.json.tmp",
    "limits.json",
    "limits.json.tmp",
    "logs",
    "proof",
    "proofs",
    "proxy.db",
    "responses.db",
    "share.json",
    "share.json.tmp",
    "tray-icon",
    "update",
    "usage-journal",
    "window.html",
    "work",
    "workers",
];
/// A database with its log, damaged databases, and the files from before a restore.
const BEGINNINGS: [&str; 5] = ["proxy.db-", "proxy.db.", "responses.db-", "responses.db.", "before-restore-"];
const UNFINISHED: &str = ".tmp";
/// The lock files, which are held until all else is removed.
const LOCKS: [&str; 3] = ["lock", "lock.json", "lock.json.tmp"];
const LOG: &str = "codex-proxy.log";
const DIRECTORY: &str = "codex-proxy";

/// Finds everything that would be removed.
pub fn find(config: &Config) -> Found {
    let (own, others): (Vec<_>, Vec<_>) =
        entries(&config.data_dir).into_iter().partition(|path| is_own(path));
    let paths = own.into_iter().chain(logs(config)).chain(config.elsewhere.iter().cloned());
    let places = paths.filter(|path| path.symlink_metadata().is_ok());
    let places = places.map(|path| Place { bytes: length(&path), path }).collect();
    let changed = Clients::new(config.client_setup.clone());
    let clients = changed.list("").into_iter().filter(|client| client.can_undo).map(|client| client.file);
    Found { places, in_keychain: keys::in_keychain(&config.keys).ok(), clients: clients.collect(), others }
}

/// Removes everything. The keychain comes first, because only the list of keys shows what it contains.
/// `with_keychain` selects whether it is included.
///
/// # Errors
/// If a proxy is running, or something could not be removed.
pub fn remove(config: &Config, with_keychain: bool) -> Result<Found, RemovalError> {
    let lock = InstanceLock::take(&config.data_dir)?;
    let found = find(config);
    if with_keychain {
        keys::clear_keychain(&config.keys)?;
    }
    let mut left = Vec::new();
    let (locks, rest): (Vec<_>, Vec<_>) = found.places.iter().partition(|place| is_lock(config, &place.path));
    for place in rest {
        left.extend(remove_one(&place.path));
    }
    drop(lock);
    for place in locks {
        left.extend(remove_one(&place.path));
    }
    for directory in &config.directories {
        // This fails for a directory that other programs use too.
        let emptied = fs::remove_dir(directory);
        // On Windows, data and settings have a common parent directory.
        let above =
            directory.parent().filter(|above| above.file_name().is_some_and(|name| name == DIRECTORY));
        if emptied.is_ok()
            && let Some(above) = above
        {
            drop(fs::remove_dir(above));
        }
    }
    if left.is_empty() { Ok(found) } else { Err(RemovalError::Left(left)) }
}

fn is_lock(config: &Config, path: &Path) -> bool {
    LOCKS.iter().any(|name| *path == config.data_dir.join(name))
}

fn is_own(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    OWN.contains(&&*name)
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || name.starts_with(UNFINISHED)
}

/// The log files, if they are not in the data directory.
fn logs(config: &Config) -> Vec<PathBuf> {
    let Some(dir) = config.logs.as_deref().filter(|dir| !dir.starts_with(&config.data_dir)) else {
        return Vec::new();
    };
    let is_log = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.strip_prefix(LOG).map(|rest| rest.trim_start_matches('.'));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    entries(dir).into_iter().filter(is_log).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The length in bytes of a file, or of all files in a directory; links are not followed.
fn length(path: &Path) -> u64 {
    let Ok(about) = path.symlink_metadata() else { return 0 };
    if about.is_dir() { entries(path).iter().map(|entry| length(entry)).sum() } else { about.len() }
}

fn remove_one(path: &Path) -> Option<Left> {
    let about = path.symlink_metadata();
    let removed = match about {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => Some(Left { path: path.to_owned(), source }),
        Ok(()) | Err(_) => None,
    }
}
