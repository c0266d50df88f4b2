//! Files that only their owner may read. They are always complete.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use secrecy::zeroize::Zeroizing;

use crate::files::{self, Target};
use permissions::create_private_dir;
pub(super) use permissions::tighten;

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

/// Puts `content` in the place of `file` in one step, as [`files::replace`] does.
pub(super) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    create_private_dir(file.parent().unwrap_or(Path::new(".")))?;
    files::replace(file, content, Target::Own)
}

/// Makes `file` with `content` unless there is one, as [`files::create`] does.
pub(super) fn create(file: &Path, content: &[u8]) -> io::Result<bool> {
    create_private_dir(file.parent().unwrap_or(Path::new(".")))?;
    files::create(file, content)
}

#[cfg(unix)]
mod permissions {
    use std::fs::{self, File, Permissions};
    use std::io;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    const OTHERS: u32 = 0o077;
    const OTHERS_WRITE: u32 = 0o022;

    pub(super) fn create_private_dir(directory: &Path) -> io::Result<()> {
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

    /// A file that cannot be tightened, such as a read-only mount, is still used: its owner chose it.
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
    use std::fs::File;
    use std::io;
    use std::path::Path;

    // The user's profile is closed to other users already, and new files in it inherit that.

    pub(super) fn create_private_dir(directory: &Path) -> io::Result<()> {
        crate::files::create_private_dir(directory)
    }

    pub(in crate::keys) fn tighten(_path: &Path, _file: &File) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
