//! One archive with all that is the user's: keys, usage, settings and the sign-in. Made while the proxy runs, and put back
//! while none does.
//!
//! An archive is a gzipped tar whose first entry, `manifest.json`, names every file with its size and SHA-256. It may be
//! encrypted as a whole. What is read of one is believed only when all of it has been seen to be whole: nothing is written
//! before, and only names of [`manifest::Manifest`]'s own list are.

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

/// Where everything is, and goes back to.
#[derive(Debug, Clone)]
pub struct Places {
    /// The data directory, with the keys, the usage database and its journal.
    pub data_dir: PathBuf,
    /// The file of settings, unless the platform has no place for it.
    pub settings: Option<PathBuf>,
    /// The tray application's file of settings, likewise.
    pub application: Option<PathBuf>,
    /// Codex's home.
    pub codex_home: PathBuf,
    /// Where the usage database and its journal are.
    pub usage: usage::Config,
    /// Where the keys are, some of which may be in the keychain.
    pub keys: keys::Config,
}
