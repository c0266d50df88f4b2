//! Files that only their owner may read. They are always complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use crate::files;
pub(super) use permissions::{create_private_dir, make_private, tighten};

/// The content of `file`, or `None` if there is no such file. A file longer than `limit` bytes is an error.
///
/// The buffer never grows, so no copy of a secret stays in memory without being wiped.
pub(super) fn read(file: &Path, limit: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    tighten(file, &opened)?;
    let told = usize::try_from(opened.metadata()?.len()).unwrap_or(usize::MAX);
    let mut content = Zeroizing::new(Vec::with_capacity(told.min(limit) + 1));
    opened.take(limit as u64 + 1).read_to_end(&mut content)?;
    if content.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {limit} bytes")));
    }
    Ok(Some(content))
}

/// Replaces the content of `file` by `content` in one step: a reader gets the old or the new content, and so does
/// the next start after a power cut.
pub(super) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    create_private_dir(directory)?;
    let temporary = Temporary::beside(file)?;
    write_new(temporary.path(), content)?;
    files::rename(temporary.path(), file)?;
    files::sync_dir(directory)
}

/// Writes a file that must not exist yet.
pub(super) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    make_private(&mut options);
    let mut file = options.open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // A partial file would stop every later start; the reported error is that of the write.
        drop(fs::remove_file(path));
    }
    written
}

/// The name of a temporary file, which is removed in every case.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// A unique name in the directory of `file`.
    pub(super) fn beside(file: &Path) -> io::Result<Self> {
        let number = getrandom::u64().map_err(io::Error::other)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self(file.with_file_name(format!(".{name}.{number:016x}.tmp"))))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(
                file = %self.0.display(),
                %error,
                "could not remove a temporary file that may hold a key; delete it"
            ),
        }
    }
}

#[cfg(unix)]
mod permissions {
    use std::fs::{self, File, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    use std::path::Path;

    const OTHERS: u32 = 0o077;
    const OTHERS_WRITE: u32 = 0o022;

    pub(in crate::keys) fn create_private_dir(directory: &Path) -> io::Result<()> {
        crate::files::create_private_dir(directory)?;
        let mode = fs::metadata(directory)?.permissions().mode();
        if mode & OTHERS_WRITE != 0 {
            tracing::warn!(
                directory = %directory.display(),
                "other users may write to the directory of the API keys and could replace them: chmod 700 it"
            );
        }
        Ok(())
    }

    pub(in crate::keys) fn make_private(options: &mut OpenOptions) {
        options.mode(0o600);
    }

    /// A file with permissions that cannot be tightened, as on a read-only mount, is still used: its owner chose
    /// it.
    pub(in crate::keys) fn tighten(path: &Path, file: &File) -> io::Result<()> {
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.permissions().mode() & OTHERS == 0 {
            return Ok(());
        }
        match file.set_permissions(Permissions::from_mode(0o600)) {
            Ok(()) => tracing::warn!(
                file = %path.display(),
                "other users could read this file of keys; now only its owner can. Have new keys made"
            ),
            Err(error) => tracing::warn!(
                file = %path.display(),
                %error,
                "other users can read this file of keys and its permissions cannot be changed: chmod 600 it"
            ),
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod permissions {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    // The user's profile is closed to other users already, and new files in it inherit that.

    pub(in crate::keys) fn create_private_dir(directory: &Path) -> io::Result<()> {
        crate::files::create_private_dir(directory)
    }

    pub(in crate::keys) fn make_private(_options: &mut OpenOptions) {}

    pub(in crate::keys) fn tighten(_path: &Path, _file: &File) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("data").join("keys.json");
        assert!(read(&file, 10).unwrap().is_none());
        replace(&file, b"first").unwrap();
        replace(&file, b"second").unwrap();
        assert_eq!(read(&file, 10).unwrap().unwrap().as_slice(), b"second");
        assert_eq!(names(file.parent().unwrap()), ["keys.json"]);
    }

    #[test]
    fn what_is_too_long_is_an_error_and_not_cut() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        replace(&file, b"12345").unwrap();
        assert!(read(&file, 5).is_ok());
        assert_eq!(read(&file, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_is_only_for_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        fs::write(&file, "loose").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&file, b"tight").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
