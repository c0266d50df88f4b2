//! Backups: one archive with the user's keys, usage, settings and sign-in, and with the stored responses if it is
//! encrypted. It can be made while the proxy runs,
//! and restored while it does not.
//!
//! An archive is a gzipped tar. Its first entry, `manifest.json`, lists every file with its size and SHA-256.
//! The whole archive can be encrypted. Its content is used only after it was read completely and verified:
//! nothing is written before, and only files with names that [`manifest::Manifest`] allows.

mod archive;
mod error;
mod gather;
mod manifest;
mod private;
mod restore;
mod seal;
mod shelf;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use error::BackupError;
pub use gather::{Gathered, gather};
pub use manifest::{FORMAT, FileEntry, Manifest, Part};
pub use private::private_folder;
pub(crate) use restore::ASIDE;
pub use restore::{Planned, Restored, check, plan, restore};
pub use seal::{Kind, Passphrase, kind_of};
pub use shelf::{Made, draft, has_a_file_system_of_its_own, keep, make, prune};

use crate::{keys, usage};

/// The places of everything in a backup.
#[derive(Debug, Clone)]
pub struct Places {
    /// The data directory, with the keys, the usage database, its journal, and the stored responses.
    pub data_dir: PathBuf,
    /// The configuration file, unless the platform has no place for it.
    pub settings: Option<PathBuf>,
    /// The settings file of the tray application, in the same way.
    pub application: Option<PathBuf>,
    /// The home directory of Codex.
    pub codex_home: PathBuf,
    /// The places of the usage database and its journal.
    pub usage: usage::Config,
    /// The places of the keys, some of which may be in the keychain.
    pub keys: keys::Config,
}
