//! Files of other people's making, changed in one step: whoever reads one sees the old text or the new. And whatever
//! is this user's alone, closed to others.

mod closed;
mod difference;
mod in_use;

pub use closed::{NotClosed, ToClose};
pub use difference::difference;
pub use in_use::rename;

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The largest file that is read here. Settings of that length are none.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The text of `file`, or `None` if there is no such file.
///
/// # Errors
/// When it cannot be read, is no text, or is too long for a file of settings.
pub fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::metadata(file) {
        Ok(about) if about.len() > MAX_BYTES => {
            Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {MAX_BYTES} bytes")))
        }
        Ok(_) => fs::read_to_string(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts `text` in the place of what `file` holds. Its permissions stay as they are, except that `private` closes it to
/// everybody else; a new file is its owner's alone. A link is followed, not replaced.
///
/// # Errors
/// When it cannot be written; it is then as it was.
pub fn replace(file: &Path, text: &str, private: bool) -> io::Result<()> {
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let directory = directory_of(&target)?;
    let mut new = NamedTempFile::new_in(directory)?;
    new.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(&target) {
        new.as_file().set_permissions(fit(old.permissions(), private))?;
    }
    new.as_file().sync_all()?;
    in_use::patiently(new, |new| new.persist(&target).map_err(|error| (error.error, error.file)))?;
    sync_directory(directory)
}

/// Copies `file` beside itself under its name with `suffix`, or one more number where that is taken. Returns where.
///
/// # Errors
/// When it cannot be copied.
pub fn copy_beside(file: &Path, suffix: &str) -> io::Result<PathBuf> {
    let target = fs::canonicalize(file)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut copy = NamedTempFile::new_in(directory_of(&target)?)?;
    copy.write_all(&fs::read(&target)?)?;
    copy.as_file().set_permissions(fs::metadata(&target)?.permissions())?;
    copy.as_file().sync_all()?;
    let mut number = 1;
    loop {
        let numbered = if number == 1 { String::new() } else { format!("-{number}") };
        let place = target.with_file_name(format!("{name}{suffix}{numbered}"));
        match copy.persist_noclobber(&place) {
            Ok(_) => return Ok(place),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => copy = error.file,
            Err(error) => return Err(error.error),
        }
        number += 1;
    }
}

fn directory_of(file: &Path) -> io::Result<&Path> {
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    Ok(directory)
}

#[cfg(unix)]
fn fit(permissions: Permissions, private: bool) -> Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    if private { Permissions::from_mode(permissions.mode() & !0o077) } else { permissions }
}

#[cfg(not(unix))]
fn fit(permissions: Permissions, _private: bool) -> Permissions {
    permissions
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_with_its_directory_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a").join("b.toml");
        assert_eq!(read(&file).unwrap(), None);
        replace(&file, "one", false).unwrap();
        replace(&file, "two", false).unwrap();
        assert_eq!(read(&file).unwrap().unwrap(), "two");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn copies_never_take_each_others_place() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("c.json");
        for text in ["one", "two"] {
            fs::write(&file, text).unwrap();
            let copy = copy_beside(&file, ".before").unwrap();
            assert_eq!(fs::read_to_string(copy).unwrap(), text);
        }
        assert_eq!(fs::read_to_string(root.path().join("c.json.before-2")).unwrap(), "two");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay_and_a_link_is_followed() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().join("real"), root.path().join("link"));
        replace(&real, "new", false).unwrap();
        assert_eq!(mode(&real), 0o600);
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        replace(&link, "newer", false).unwrap();
        assert_eq!((mode(&real), read(&real).unwrap().unwrap().as_str()), (0o640, "newer"));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(mode(&copy_beside(&link, ".old").unwrap()), 0o640);
        replace(&link, "secret", true).unwrap();
        assert_eq!(mode(&real), 0o600);
    }
}
