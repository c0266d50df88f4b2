//! Files that only their owner may read.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a directory, and those above it, for this user alone.
pub(super) fn create_private_dir(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

/// Makes a new file for appending.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    private().append(true).create_new(true).open(path)
}

/// Opens a file for appending and reading, and makes it if it is not there.
pub(super) fn append_private(path: &Path) -> io::Result<File> {
    private().append(true).read(true).create(true).open(path)
}

/// Puts the names in a directory on disk, where the platform can.
pub(super) fn sync_dir(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _unused = directory;
    Ok(())
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

fn private() -> OpenOptions {
    #[cfg(unix)]
    {
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
    }
    #[cfg(not(unix))]
    OpenOptions::new()
}
