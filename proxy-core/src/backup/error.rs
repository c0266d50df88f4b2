//! The errors of backups and restores.

use std::io;
use std::path::{Path, PathBuf};

use crate::instance::InstanceError;
use crate::keys::KeyRingError;
use crate::response_store;
use crate::usage::StoreError;

/// Why a backup or a restore failed. Nothing was changed, unless the error says so.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", .path.display())]
    File {
        /// The operation that failed, as a verb.
        what: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
    /// The usage database cannot be copied; see [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored responses cannot be used; see [`response_store::StoreError`].
    #[error(transparent)]
    Responses(#[from] response_store::StoreError),
    /// The keys cannot be read or put back; see [`KeyRingError`].
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// A proxy uses the data directory, or it is unusable.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// There are no data of the user yet.
    #[error("there is nothing to back up: {} contains no keys, no usage and no sign-in", .0.display())]
    Nothing(PathBuf),
    /// A file is too long for the archive.
    #[error("{} is longer than {} MiB, which is too large for a backup", .path.display(), .most >> 20)]
    TooLong {
        /// The path of the file.
        path: PathBuf,
        /// The maximum length in bytes.
        most: u64,
    },
    /// The file is not a complete archive of this format.
    #[error(
        "this is not a complete backup: {0}. Nothing was changed. Use another copy of the file, or another backup"
    )]
    Broken(String),
    /// A later version has made the archive.
    #[error(
        "this backup has format {found}, and this version reads formats up to {known}: use the Codex Proxy that made it \
         ({product}) or a newer one. Nothing was changed"
    )]
    Newer {
        /// The format number of the archive.
        found: u32,
        /// The newest format number that this version supports.
        known: u32,
        /// The version of the proxy that made the archive.
        product: String,
    },
    /// The archive is encrypted with a passphrase, and none was given.
    #[error("this backup is encrypted: give its passphrase with --passphrase-file. Nothing was changed")]
    NeedsPassphrase,
    /// The passphrase is wrong.
    #[error("the passphrase does not open this backup. Nothing was changed")]
    WrongPassphrase,
    /// The passphrase file cannot be used.
    #[error("{} contains no passphrase: write one with at least {least} characters into its first line", .path.display())]
    NoPassphrase {
        /// The path of the passphrase file.
        path: PathBuf,
        /// The minimum length of a passphrase.
        least: usize,
    },
    /// These files exist already.
    #[error("a file for the backup already exists: {}", list(.0))]
    Occupied(Vec<PathBuf>),
    /// A step of the switch failed, and the earlier steps were undone.
    #[error("{what}; everything is as it was before{}", also(.left))]
    TakenBack {
        /// The step that failed.
        what: String,
        /// What could not be undone.
        left: Vec<String>,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn also(left: &[String]) -> String {
    if left.is_empty() { String::new() } else { format!(", but for this: {}", left.join("; ")) }
}

impl BackupError {
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }

    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self::Broken(reason.into())
    }
}
