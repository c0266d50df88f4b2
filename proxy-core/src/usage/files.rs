//! Files that only the owner may read.

use std::fs::{self, File};
use std::io;
use std::path::Path;

pub(super) use crate::files::{create_private_dir, sync_dir};

/// Creates a new file for appending.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    crate::files::private().append(true).create_new(true).open(path)
}

/// Opens a file for appending and reading, and creates it if it does not exist.
pub(super) fn append_private(path: &Path) -> io::Result<File> {
    crate::files::private().append(true).read(true).create(true).open(path)
}

/// Distinguishes a file from a later file with the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

/// The identity of the file at this path. On Windows, a file that is in use cannot be moved or removed, so there
/// all files have the same identity.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some(Identity(metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    metadata.is_file().then_some(Identity(0, 0))
}
