//! Files that only their owner may read.

use std::fs::{self, File};
use std::io;
use std::path::Path;

pub(super) use crate::files::{create_private_dir, sync_dir};

/// Makes a new file for appending.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    crate::files::private().append(true).create_new(true).open(path)
}

/// Opens a file for appending and reading, and makes it if it is not there.
pub(super) fn append_private(path: &Path) -> io::Result<File> {
    crate::files::private().append(true).read(true).create(true).open(path)
}

/// What tells a file from another that has its name later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

/// Which file a name leads to. On Windows nobody can move or remove a file that is in use, so there it is not asked.
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
