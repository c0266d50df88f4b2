//! Why there is no backup, or why it was not put back.

use std::io;
use std::path::{Path, PathBuf};

use crate::instance::InstanceError;
use crate::keys::KeyRingError;
use crate::usage::StoreError;

/// What can go wrong. Nothing was changed then, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system could not do it.
    #[error("cannot {what} {}: {source}", .path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The usage database cannot be copied; see [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys cannot be read or put back; see [`KeyRingError`].
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// A proxy uses the data directory, or nobody can.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// There is nothing of the user's yet.
    #[error("there is nothing to back up: {} contains no keys, no usage and no sign-in", .0.display())]
    Nothing(PathBuf),
    /// A file is too long for the archive.
    #[error("{} is longer than {} MiB, which is too large for a backup", .path.display(), .most >> 20)]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most bytes that are taken of one.
        most: u64,
    },
    /// It is no archive of ours, or not all of it.
    #[error(
        "this is not a complete backup: {0}. Nothing was changed. Use another copy of the file, or another backup"
    )]
    Broken(String),
    /// A later version has made it.
    #[error(
        "this backup has format {found}, and this version reads formats up to {known}: use the Codex Proxy that made it \
         ({product}) or a newer one. Nothing was changed"
    )]
    Newer {
        /// The form that the archive says it has.
        found: u32,
        /// The newest that is known here.
        known: u32,
        /// The version that made it.
        product: String,
    },
    /// It is encrypted with a passphrase, and none was given.
    #[error("this backup is encrypted: give its passphrase with --passphrase-file. Nothing was changed")]
    NeedsPassphrase,
    /// The passphrase is another.
    #[error("the passphrase does not open this backup. Nothing was changed")]
    WrongPassphrase,
    /// The file of the passphrase cannot be used.
    #[error("{} contains no passphrase: write one with at least {least} characters into its first line", .path.display())]
    NoPassphrase {
        /// The file that was named.
        path: PathBuf,
        /// The shortest passphrase.
        least: usize,
    },
    /// There is something in the way.
    #[error("a file for the backup already exists: {}", list(.0))]
    Occupied(Vec<PathBuf>),
    /// A part of the switch failed, and what was done of it has been taken back.
    #[error("{what}; everything is as it was before{}", also(.left))]
    TakenBack {
        /// What failed.
        what: String,
        /// What could not be taken back.
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
