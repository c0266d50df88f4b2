//! All that the proxy has put on this machine: found, told of, and removed for good.
//!
//! Only what the proxy makes is removed, by name. What else lies in its directories stays, and so does every Codex home
//! but its own.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::client_setup::{self, Clients};
use crate::instance::{InstanceError, InstanceLock};
use crate::keys::{self, KeyRingError};

/// Where the proxy puts things.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory, of which all goes that the proxy has made.
    pub data_dir: PathBuf,
    /// The directory of the log, which may be another's as well.
    pub logs: Option<PathBuf>,
    /// Files and directories elsewhere that are all the proxy's.
    pub elsewhere: Vec<PathBuf>,
    /// Directories that are the proxy's by name, and go once they are empty.
    pub directories: Vec<PathBuf>,
    /// The keys, some of which may be in the keychain.
    pub keys: keys::Config,
    /// The settings of other programs.
    pub client_setup: client_setup::Config,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What is removed.
    #[serde(rename = "deleted")]
    pub places: Vec<Place>,
    /// Keys in the keychain, which are removed too; `None` where the list of keys cannot be read.
    pub in_keychain: Option<usize>,
    /// Settings of other programs that name the proxy. They stay.
    pub clients: Vec<PathBuf>,
    /// What lies in the data directory and is not of the proxy's making. It stays.
    pub others: Vec<PathBuf>,
}

/// A file, or a directory with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// The length of its files in bytes.
    pub bytes: u64,
}

/// Why not everything was removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// A proxy uses the data directory, or nobody can.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The keys cannot be read or removed. Nothing was removed yet.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// These could not be removed; all else was.
    #[error("not everything could be removed: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Left(Vec<Left>),
}

/// What could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("{} ({source})", .path.display())]
pub struct Left {
    /// Where it is.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

/// What the proxy makes in its data directory. Other names that begin with one of [`BEGINNINGS`] are its own too.
const OWN: [&str; 23] = [
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
    "logs",
    "proof",
    "proofs",
    "proxy.db",
    "tray-icon",
    "update",
    "usage-journal",
    "window.html",
    "work",
    "workers",
];
/// A database with its log or damaged ones, and what was there before a backup was put back.
const BEGINNINGS: [&str; 3] = ["proxy.db-", "proxy.db.", "before-restore-"];
const UNFINISHED: &str = ".tmp";
/// These are held while all else is removed.
const LOCKS: [&str; 3] = ["lock", "lock.json", "lock.json.tmp"];
const LOG: &str = "codex-proxy.log";
const DIRECTORY: &str = "codex-proxy";

/// Looks for all of it.
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

/// Removes all of it. The keychain comes first, as only the list of keys knows what is in there; `with_keychain` may
/// leave it out.
///
/// # Errors
/// When a proxy is running, or something could not be removed.
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
        // One that others use too is not empty.
        let emptied = fs::remove_dir(directory);
        // On Windows, data and settings have one directory above them.
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

/// The log's files, where they are not in the data directory.
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

/// The length of a file, or of all files in a directory; links are not followed.
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
