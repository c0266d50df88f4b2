//! Finds files and directories that other users can access, and makes them private.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Shared system directories. To close one would break the system. Other directories that all users can write to
/// may belong to the proxy.
const SHARED: [&str; 5] = ["/tmp", "/var/tmp", "/dev/shm", "/private/tmp", "/private/var/tmp"];

/// What must be private.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToClose {
    /// The directory that contains everything else; its owner is trusted for its content.
    pub root: PathBuf,
    /// Further files and directories, whether they exist or not.
    pub more: Vec<PathBuf>,
    /// Directories whose files must be private too, whether they exist or not.
    pub with_files: Vec<PathBuf>,
}

/// What other users could access.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Files and directories that others could read or change, which are private now, with their old mode.
    pub repaired: Vec<(PathBuf, u32)>,
    /// Directories that others could list, which are private now.
    pub shut: Vec<(PathBuf, u32)>,
    /// What stays open to a group that the administrator chose, or can still be listed.
    pub left: Vec<(PathBuf, u32)>,
}

/// Why something is not private.
#[derive(Debug, thiserror::Error)]
pub enum NotClosed {
    /// The permissions cannot be changed.
    #[error(
        "other users may read or change '{}' (its mode is {mode:o}), and that cannot be changed: {source}. Have its owner \
         run chmod go-rwx '{}', or use another place",
        path.display(),
        path.display()
    )]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// The permission bits that it has.
        mode: u32,
        /// The error from the system.
        source: io::Error,
    },
    /// It belongs to another user.
    #[error(
        "'{}' belongs to another user (number {owner}), who can read and change it. Move it away if you do not know it, or \
         give it to this user with chown",
        path.display()
    )]
    Foreign {
        /// The file or directory.
        path: PathBuf,
        /// The user id of the owner.
        owner: u32,
    },
    /// The directory is shared by all users, such as `/tmp`.
    #[error("'{}' is a directory that all users share. Choose one of its own with PROXY_DATA_DIR", .0.display())]
    Shared(PathBuf),
}

impl ToClose {
    /// Makes everything private.
    ///
    /// # Errors
    /// With the first file or directory that stays open to others.
    pub fn close(&self) -> Result<Closed, NotClosed> {
        let mut closed = Closed::default();
        let Some(root) = system::look(&self.root) else { return Ok(closed) };
        let real = fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
        if SHARED.iter().any(|shared| real == Path::new(shared)) {
            return Err(NotClosed::Shared(self.root.clone()));
        }
        // In a container, the superuser may use a directory that a user of the host owns.
        let trusted = [Some(root.owner), system::me(), Some(0)];
        closed.take(&self.root, &root, &trusted)?;
        for path in &self.more {
            closed.look_at(path, &trusted)?;
        }
        for directory in &self.with_files {
            closed.look_at(directory, &trusted)?;
            // The proxy cannot use a directory that cannot be read; its user reports the error.
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                closed.look_at(&entry.path(), &trusted)?;
            }
        }
        Ok(closed)
    }
}

impl Closed {
    fn look_at(&mut self, path: &Path, trusted: &[Option<u32>]) -> Result<(), NotClosed> {
        system::look(path).map_or(Ok(()), |found| self.take(path, &found, trusted))
    }

    fn take(&mut self, path: &Path, found: &Found, trusted: &[Option<u32>]) -> Result<(), NotClosed> {
        if !trusted.contains(&Some(found.owner)) {
            return Err(NotClosed::Foreign { path: path.to_owned(), owner: found.owner });
        }
        if found.mode & 0o077 == 0 {
            return Ok(());
        }
        // The content of a directory has modes of its own.
        let harm = if found.is_dir { 0o022 } else { 0o077 };
        match system::set_mode(path, found.mode & !0o077) {
            Ok(()) if found.mode & harm == 0 => self.shut.push((path.to_owned(), found.mode)),
            Ok(()) => self.repaired.push((path.to_owned(), found.mode)),
            Err(_) if found.mode & harm & 0o007 == 0 && found.owner == 0 => {
                self.left.push((path.to_owned(), found.mode));
            }
            Err(source) => {
                return Err(NotClosed::Refused { path: path.to_owned(), mode: found.mode, source });
            }
        }
        Ok(())
    }
}

/// The state of a file or directory.
struct Found {
    owner: u32,
    /// The permission bits, without the type.
    mode: u32,
    is_dir: bool,
}

#[cfg(unix)]
mod system {
    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::Path;

    use super::Found;

    pub(super) fn look(path: &Path) -> Option<Found> {
        let metadata = fs::metadata(path).ok()?;
        let mode = metadata.mode() & 0o7777;
        Some(Found { owner: metadata.uid(), mode, is_dir: metadata.is_dir() })
    }

    pub(super) fn me() -> Option<u32> {
        Some(rustix::process::geteuid().as_raw())
    }

    pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(mode))
    }
}

#[cfg(not(unix))]
mod system {
    use std::io;
    use std::path::Path;

    use super::Found;

    /// On Windows, the user's profile is private already, and new files in it inherit that.
    pub(super) fn look(path: &Path) -> Option<Found> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Found { owner: 0, mode: 0o700, is_dir: metadata.is_dir() })
    }

    pub(super) fn me() -> Option<u32> {
        None
    }

    pub(super) fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_open_is_closed_and_told_once() {
        let root = tempfile::tempdir().unwrap();
        let (key, journal) = (root.path().join("key"), root.path().join("journal"));
        let line = journal.join("1.jsonl");
        fs::create_dir(&journal).unwrap();
        fs::write(&key, "").unwrap();
        fs::write(&line, "").unwrap();
        for (path, mode) in [(root.path(), 0o777), (&*key, 0o644), (&*journal, 0o755), (&*line, 0o604)] {
            set(path, mode);
        }
        let absent = root.path().join("absent");
        let to_close = ToClose {
            root: root.path().to_owned(),
            more: vec![key.clone(), absent.clone()],
            with_files: vec![journal.clone(), absent],
        };
        let closed = to_close.close().unwrap();
        let expected = [
            (root.path().to_owned(), 0o777),
            (key.clone(), 0o644),
            (journal.clone(), 0o755),
            (line.clone(), 0o604),
        ];
        let [root_was, key_was, journal_was, line_was] = expected;
        assert_eq!((closed.repaired, closed.shut), (vec![root_was, key_was, line_was], vec![journal_was]));
        assert_eq!(
            [mode(root.path()), mode(&key), mode(&journal), mode(&line)],
            [0o700, 0o600, 0o700, 0o600]
        );
        assert_eq!(to_close.close().unwrap(), Closed::default());
    }

    #[test]
    fn a_directory_that_all_share_is_refused() {
        let shared = Path::new("/tmp");
        let before = mode(shared);
        let to_close = ToClose { root: shared.to_owned(), ..ToClose::default() };
        assert!(matches!(to_close.close(), Err(NotClosed::Shared(_))));
        assert_eq!(mode(shared), before);

        // A separately mounted file system looks like this.
        let root = tempfile::tempdir().unwrap();
        set(root.path(), 0o1777);
        let to_close = ToClose { root: root.path().to_owned(), ..ToClose::default() };
        assert_eq!(to_close.close().unwrap().repaired, [(root.path().to_owned(), 0o1777)]);
        assert_eq!(mode(root.path()), 0o1700);
    }

    #[test]
    fn what_belongs_to_others_is_not_trusted() {
        let found = |owner, mode| Found { owner, mode, is_dir: false };
        let path = Path::new("x");
        let mut closed = Closed::default();
        assert!(matches!(
            closed.take(path, &found(2, 0o600), &[Some(1), Some(0)]),
            Err(NotClosed::Foreign { owner: 2, .. })
        ));
        // The file does not exist, so its mode cannot be changed.
        let gone = Path::new("/nowhere/x");
        assert!(matches!(
            closed.take(gone, &found(1, 0o660), &[Some(1)]),
            Err(NotClosed::Refused { mode: 0o660, .. })
        ));
        assert!(matches!(closed.take(gone, &found(0, 0o644), &[Some(0)]), Err(NotClosed::Refused { .. })));
        closed.take(gone, &found(0, 0o640), &[Some(0)]).unwrap();
        // Like a volume of a container that is given to its group.
        closed.take(gone, &Found { is_dir: true, ..found(0, 0o2775) }, &[Some(0)]).unwrap();
        assert_eq!(closed.left, [(gone.to_owned(), 0o640), (gone.to_owned(), 0o2775)]);
    }
}
