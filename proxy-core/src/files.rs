//! Replaces files atomically, both the user's settings and the program's own files, and makes files and
//! directories private.

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

/// The maximum length of a file that is read here, in bytes. Settings files are much shorter.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The text of `file`, or `None` if it does not exist.
///
/// # Errors
/// If it cannot be read, is not UTF-8, or is too long for a settings file.
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

/// The kind of file that is replaced. It decides the permissions and whether links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A file of the user: its permissions stay, and a link is followed. A new file is private; new directories
    /// above it get normal permissions.
    Settings,
    /// The same, but the new file is private, even if the old one was not.
    Secret,
    /// A file of the program: it is private, and so are the new directories above it. A link in its place is
    /// replaced. There is one writer at a time. Its draft has the name of the file and `.tmp`: if the process is
    /// killed, the next writer removes the draft.
    Own,
    /// The same for a file that is useless after a restart of the machine, so it is not synced.
    Fleeting,
}

/// Replaces the content of `file` by `content` atomically: a reader sees the old bytes or the new ones.
///
/// After the return, a power loss does not restore the old bytes (except for [`Target::Fleeting`]): the draft is
/// synced before the rename, and the directory after it (Windows has no function for the second). Only the owner
/// can ever read the draft. On Windows, this waits for readers of the old file, for at most two seconds.
///
/// # Errors
/// If the file cannot be written; `file` is then unchanged. The exception is an error of the last step, the sync
/// of the directory: the new bytes are then in place, but a power loss may lose them.
pub fn replace(file: &Path, content: impl AsRef<[u8]>, target: Target) -> io::Result<()> {
    match target {
        Target::Settings => replace_settings(file, content.as_ref(), false),
        Target::Secret => replace_settings(file, content.as_ref(), true),
        Target::Own => replace_own(file, content.as_ref(), true),
        Target::Fleeting => replace_own(file, content.as_ref(), false),
    }
}

fn replace_settings(file: &Path, content: &[u8], private: bool) -> io::Result<()> {
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let directory = directory_of(&target)?;
    let mut new = NamedTempFile::new_in(directory)?;
    new.write_all(content)?;
    if let Ok(old) = fs::metadata(&target) {
        new.as_file().set_permissions(fit(old.permissions(), private))?;
    }
    new.as_file().sync_all()?;
    in_use::patiently(new, |new| new.persist(&target).map_err(|error| (error.error, error.file)))?;
    sync_dir(directory)
}

fn replace_own(file: &Path, content: &[u8], lasting: bool) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    create_private_dir(directory)?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let draft = file.with_file_name(name);
    let written = write_draft(&draft, content, lasting).and_then(|()| rename(&draft, file));
    if written.is_err() {
        // The first error is reported; an incomplete draft is useless.
        drop(fs::remove_file(&draft));
    }
    written?;
    if lasting { sync_dir(directory) } else { Ok(()) }
}

/// Makes `file` with `content`, its owner's alone, unless there is one. Returns whether it was made. Any number of
/// processes may do this at once: one of them makes it, and a reader sees all of it. A link in its place counts as a
/// file that is there. What a process leaves that is killed begins with `.tmp`.
///
/// # Errors
/// When it cannot be written; nothing is left of it then.
pub fn create(file: &Path, content: &[u8]) -> io::Result<bool> {
    let directory = file.parent().unwrap_or(Path::new("."));
    create_private_dir(directory)?;
    let mut draft = NamedTempFile::new_in(directory)?;
    draft.write_all(content)?;
    draft.as_file().sync_all()?;
    let made = match draft.persist_noclobber(file) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(error.error),
        // Some file systems have no such step; there, making the file itself decides who is first.
        Err(_) => create_in_place(file, content),
    };
    match made {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn create_in_place(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = private().write(true).create_new(true).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file would stop every later start; that it could not be written is what is reported.
        drop(fs::remove_file(path));
    }
    written
}

fn write_draft(draft: &Path, content: &[u8], lasting: bool) -> io::Result<()> {
    // A draft of another process may be readable by others, or a link.
    if draft.symlink_metadata().is_ok_and(|left| left.is_file() || left.is_symlink()) {
        fs::remove_file(draft)?;
    }
    let mut file = private().write(true).create_new(true).open(draft)?;
    file.write_all(content)?;
    if lasting { file.sync_all() } else { Ok(()) }
}

/// Creates a private directory, and its missing parent directories. An existing directory is not changed. On
/// Windows, the user's profile is private already, and new files in it inherit that.
///
/// # Errors
/// If it cannot be created, or its name is in use by a file.
pub fn create_private_dir(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

/// Options that create a private file. They do not change the permissions of an existing file.
pub fn private() -> fs::OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "the platforms share one signature"))]
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Syncs the names in a directory, so that they survive a power loss. On Windows this does nothing, because the
/// system has no function for it.
///
/// # Errors
/// If the directory cannot be opened, or the system cannot write it.
pub fn sync_dir(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Copies `file` to the same directory, with `suffix` after its name, and a number if this name is in use.
/// Returns the path.
///
/// # Errors
/// If the file cannot be copied.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_with_its_directory_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a").join("b.toml");
        assert_eq!(read(&file).unwrap(), None);
        replace(&file, "one", Target::Settings).unwrap();
        replace(&file, "two", Target::Settings).unwrap();
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
        replace(&real, "new", Target::Settings).unwrap();
        assert_eq!(mode(&real), 0o600);
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        replace(&link, "newer", Target::Settings).unwrap();
        assert_eq!((mode(&real), read(&real).unwrap().unwrap().as_str()), (0o640, "newer"));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(mode(&copy_beside(&link, ".old").unwrap()), 0o640);
        replace(&link, "secret", Target::Secret).unwrap();
        assert_eq!(mode(&real), 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_of_our_own_is_for_its_owner_alone_whatever_was_there() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let mode = |file: &Path| fs::symlink_metadata(file).unwrap().permissions().mode() & 0o777;
        let root = tempfile::tempdir().unwrap();
        let (dir, others) = (root.path().join("deep").join("own"), root.path().join("others"));
        let (file, draft) = (dir.join("state.json"), dir.join("state.json.tmp"));
        replace(&file, "one", Target::Own).unwrap();
        assert_eq!([mode(&dir), mode(dir.parent().unwrap()), mode(&file)], [0o700, 0o700, 0o600]);

        // What another process left: an open file, and a draft that is open or is a link.
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::write(&draft, "half a").unwrap();
        fs::set_permissions(&draft, Permissions::from_mode(0o666)).unwrap();
        replace(&file, "two", Target::Own).unwrap();
        assert_eq!((mode(&file), fs::read(&file).unwrap()), (0o600, b"two".to_vec()));
        fs::write(&others, "theirs").unwrap();
        symlink(&others, &draft).unwrap();
        fs::remove_file(&file).unwrap();
        symlink(&others, &file).unwrap();
        replace(&file, [0xff, 0], Target::Own).unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (vec![0xff, 0], 0o600));
        assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&others).unwrap(), "theirs");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_is_made_once_and_what_is_there_stays() {
        for make in [create, |file: &Path, content: &[u8]| match create_in_place(file, content) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }] {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join("token");
            assert!(make(&file, b"one").unwrap());
            assert!(!make(&file, b"two").unwrap());
            assert_eq!(fs::read(&file).unwrap(), b"one");
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left beside it");
            assert!(make(&file.join("below"), b"a file is no directory").is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_made_is_for_its_owner_alone_and_follows_no_link() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let mode = |file: &Path| fs::symlink_metadata(file).unwrap().permissions().mode() & 0o777;
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("own");
        let (file, link, elsewhere) = (dir.join("token"), dir.join("link"), root.path().join("elsewhere"));
        assert!(create(&file, b"one").unwrap());
        assert_eq!([mode(&dir), mode(&file)], [0o700, 0o600]);
        symlink(&elsewhere, &link).unwrap();
        assert!(!create(&link, b"two").unwrap());
        assert_eq!(create_in_place(&link, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(!elsewhere.exists());
        let direct = dir.join("direct");
        create_in_place(&direct, b"three").unwrap();
        assert_eq!(mode(&direct), 0o600);
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let taken = root.path().join("taken");
        fs::create_dir_all(taken.join("full")).unwrap();
        for target in [Target::Settings, Target::Secret, Target::Own] {
            assert!(replace(&taken, "text", target).is_err(), "{target:?}");
            assert!(replace(&taken.join("full").join("x").join(""), "", target).is_err() || cfg!(windows));
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn readers_see_the_old_bytes_or_the_new() {
        let root = tempfile::tempdir().unwrap();
        for target in [Target::Settings, Target::Secret, Target::Own] {
            let file = root.path().join(format!("{target:?}"));
            let text = |number: usize| format!("{number:03}").repeat(20_000);
            replace(&file, text(0), target).unwrap();
            std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    (1..40).for_each(|number| replace(&file, text(number), target).unwrap());
                });
                while !writer.is_finished() {
                    // On Windows, a file that is being replaced may refuse readers.
                    let Ok(seen) = fs::read_to_string(&file) else { continue };
                    assert_eq!(seen, seen[..3].repeat(20_000));
                }
            });
            assert_eq!(fs::read_to_string(&file).unwrap(), text(39));
        }
    }
}
