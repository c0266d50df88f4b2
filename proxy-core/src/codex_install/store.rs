//! The managed copies on disk.
//!
//! ```text
//! lock           held by a running installation
//! current.json   the copy in use, and the one before it: replaced in one step
//! versions/      whole copies; each holds `in-use`, which its users lock together
//! downloads/     archives, whole or in part
//! staging/       copies that are being made or removed; they are never used
//! ```
//!
//! A copy is made in `staging`, moved to `versions` when it is complete, and used once `current.json` names it. So
//! if a program is killed at any moment, either the old copy or the new one is in use, and at most some litter is
//! left.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::CodexError;
use crate::files;

/// The directory of the managed copies.
#[derive(Debug, Clone)]
pub(super) struct Store {
    dir: PathBuf,
}

/// A managed copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The version of Codex in it.
    pub(super) version: String,
    /// The name of its directory.
    pub(super) dir: String,
    /// The path of its binary within its directory, with `/` between the parts.
    pub(super) binary: String,
}

/// The content of `current.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pointer {
    format: u32,
    /// The copy in use; `None` if none was ever installed.
    pub(super) current: Option<Entry>,
    /// The copy that was in use before.
    pub(super) previous: Option<Entry>,
}

/// The version of the layout. It is raised when the layout changes, so that an older program does not misread it.
const FORMAT: u32 = 1;

/// Keeps a copy from being removed while this value exists. Copies on file systems without locks are not
/// protected.
#[derive(Debug)]
pub struct InUse {
    _file: Option<File>,
}

/// The right to change the managed copies, as long as this value exists.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Store {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The directory to which archives are downloaded.
    pub(super) fn download(&self, name: &str) -> PathBuf {
        self.dir.join("downloads").join(name)
    }

    /// The directory in which copies are made.
    pub(super) fn staging(&self, name: &str) -> PathBuf {
        self.dir.join("staging").join(name)
    }

    /// The path of a copy's binary, if the file exists.
    pub(super) fn binary(&self, entry: &Entry) -> Option<PathBuf> {
        let plain =
            |text: &str| Path::new(text).components().all(|part| matches!(part, Component::Normal(_)));
        let is_ours = plain(&entry.dir) && plain(&entry.binary) && !entry.dir.is_empty();
        let dir = self.versions().join(&entry.dir);
        let path = entry.binary.split('/').fold(dir, |path, part| path.join(part));
        (is_ours && path.is_file()).then_some(path)
    }

    /// The existing copies. An unreadable or missing file counts as no copies.
    pub(super) fn pointer(&self) -> Pointer {
        let text = match fs::read(self.pointer_file()) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!(%error, "cannot read which installed Codex is in use");
                }
                return Pointer::default();
            }
        };
        match serde_json::from_slice::<Pointer>(&text) {
            Ok(pointer) if pointer.format == FORMAT => pointer,
            Ok(_) => Pointer::default(),
            Err(error) => {
                tracing::warn!(%error, "the file that names the installed Codex in use is not valid");
                Pointer::default()
            }
        }
    }

    /// The copy in use, kept from being removed.
    pub(super) fn hold_current(&self) -> Option<(Entry, PathBuf, InUse)> {
        // A copy that is removed between this check and the lock has been replaced by another one before.
        for _ in 0..3 {
            let entry = self.pointer().current?;
            let Some(in_use) = self.hold(&entry.dir) else { continue };
            if let Some(path) = self.binary(&entry) {
                return Some((entry, path, in_use));
            }
        }
        None
    }

    fn hold(&self, dir: &str) -> Option<InUse> {
        let file = File::open(self.versions().join(dir).join(IN_USE)).ok()?;
        match file.try_lock_shared() {
            Ok(()) => Some(InUse { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(_)) => Some(InUse { _file: None }),
        }
    }

    /// Takes the right to change the copies; creates the directories if there are none.
    pub(super) fn lock(&self) -> Result<Lock, CodexError> {
        for dir in [self.dir.clone(), self.versions(), self.dir.join("downloads"), self.dir.join("staging")] {
            files::create_private_dir(&dir).map_err(CodexError::io(&dir))?;
        }
        let path = self.dir.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(CodexError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { file }),
            Err(TryLockError::WouldBlock) => Err(CodexError::Locked { dir: self.dir.clone() }),
            Err(TryLockError::Error(source)) => Err(CodexError::Io { path, source }),
        }
    }

    /// Removes the remains of an interrupted run, except for the download `keep` and its related files. For the
    /// holder of the lock.
    pub(super) fn clean(&self, keep: Option<&str>) {
        for (dir, keep) in [("staging", None), ("downloads", keep)] {
            for name in names(&self.dir.join(dir)) {
                if keep.is_none_or(|keep| Path::new(keep).file_stem() != Path::new(&name).file_stem()) {
                    remove(&self.dir.join(dir).join(name));
                }
            }
        }
    }

    /// Moves a complete copy from `staged` into place. Returns its directory's name.
    pub(super) fn adopt(&self, staged: &Path, version: &str) -> Result<String, CodexError> {
        let file = staged.join(IN_USE);
        File::create(&file).and_then(|file| file.sync_all()).map_err(CodexError::io(&file))?;
        files::sync_dir(staged).map_err(CodexError::io(staged))?;
        let versions = self.versions();
        let taken = |name: &String| versions.join(name).symlink_metadata().is_ok();
        // A copy of that version that did not work may still be in use, so it is left for `prune`.
        let names = std::iter::once(version.to_owned()).chain((2_u32..).map(|n| format!("{version}.{n}")));
        let mut free = names.filter(|name| !taken(name));
        let name = free.next().unwrap_or_else(|| version.to_owned());
        let target = versions.join(&name);
        files::rename(staged, &target).map_err(CodexError::io(&target))?;
        files::sync_dir(&versions).map_err(CodexError::io(&versions))?;
        Ok(name)
    }

    /// Puts a copy into use, in one step.
    pub(super) fn point_to(&self, current: Entry, previous: Option<Entry>) -> Result<(), CodexError> {
        let pointer = Pointer { format: FORMAT, current: Some(current), previous };
        let file = self.pointer_file();
        let written = serde_json::to_vec(&pointer)
            .map_err(io::Error::from)
            .and_then(|text| files::replace(&file, text, files::Target::Own));
        written.map_err(CodexError::io(&file))
    }

    /// Removes the copies that are neither in use nor the previous one, unless a process still runs them.
    pub(super) fn prune(&self) {
        let pointer = self.pointer();
        let kept = [&pointer.current, &pointer.previous];
        for name in names(&self.versions()) {
            if kept.iter().any(|entry| entry.as_ref().is_some_and(|entry| entry.dir == name)) {
                continue;
            }
            let dir = self.versions().join(&name);
            let lock = File::open(dir.join(IN_USE)).ok();
            if lock.as_ref().is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock))) {
                tracing::info!(copy = name, "an older Codex is still running, so it is removed later");
                continue;
            }
            if cfg!(windows) {
                // A directory that contains an open file cannot be moved there.
                drop(lock);
            }
            let grave = self.staging(&format!("old-{name}"));
            match fs::rename(&dir, &grave) {
                Ok(()) => remove(&grave),
                Err(error) => tracing::warn!(%error, copy = name, "an older Codex could not be removed"),
            }
        }
    }

    fn versions(&self) -> PathBuf {
        self.dir.join("versions")
    }

    fn pointer_file(&self) -> PathBuf {
        self.dir.join("current.json")
    }
}

const IN_USE: &str = "in-use";

impl Drop for Lock {
    fn drop(&mut self) {
        // A child that is being started at this moment may share the lock for a short time, so closing is not
        // enough.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the lock of the installed copies could not be released");
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Removes a path of any kind: a file, or a directory with its whole content.
pub(super) fn remove(path: &Path) {
    let is_dir = path.symlink_metadata().is_ok_and(|file| file.is_dir());
    let removed = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "the rest of an installation could not be removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("codex"));
        (root, store)
    }

    fn adopted(store: &Store, version: &str) -> Entry {
        let staged = store.staging("new");
        fs::create_dir_all(staged.join("bin")).unwrap();
        fs::write(staged.join("bin/codex"), version).unwrap();
        let dir = store.adopt(&staged, version).unwrap();
        Entry { version: version.to_owned(), dir, binary: "bin/codex".to_owned() }
    }

    #[test]
    fn one_at_a_time_may_change_the_copies() {
        let (_root, store) = store();
        let lock = store.lock().unwrap();
        assert!(matches!(store.lock(), Err(CodexError::Locked { .. })));
        drop(lock);
        assert!(store.lock().is_ok());
    }

    #[test]
    fn a_copy_that_is_in_use_outlives_its_successors() {
        let (_root, store) = store();
        let _lock = store.lock().unwrap();
        let first = adopted(&store, "1.0.0");
        store.point_to(first.clone(), None).unwrap();
        let (_, path, in_use) = store.hold_current().unwrap();
        let second = adopted(&store, "2.0.0");
        store.point_to(second.clone(), Some(first)).unwrap();
        store.prune();
        let third = adopted(&store, "3.0.0");
        store.point_to(third, Some(second)).unwrap();
        store.prune();
        assert!(path.is_file(), "it is still running");
        drop(in_use);
        store.prune();
        assert!(!path.exists());
        assert_eq!(names(&store.versions()).len(), 2);
        assert_eq!(names(&store.dir.join("staging")), [""; 0]);
    }

    #[test]
    fn the_same_version_again_gets_a_directory_of_its_own() {
        let (_root, store) = store();
        let _lock = store.lock().unwrap();
        let dirs: Vec<_> = (0..3).map(|_| adopted(&store, "1.0.0").dir).collect();
        assert_eq!(dirs, ["1.0.0", "1.0.0.2", "1.0.0.3"]);
    }

    #[test]
    fn what_is_left_of_an_interrupted_run_is_removed() {
        let (_root, store) = store();
        let _lock = store.lock().unwrap();
        fs::create_dir_all(store.staging("half/deep")).unwrap();
        fs::write(store.download("a.part"), "a").unwrap();
        fs::write(store.download("b-0.1.tgz"), "b").unwrap();
        fs::write(store.download("b-0.1.etag"), "b").unwrap();
        store.clean(Some("b-0.1.tgz"));
        assert_eq!(names(&store.dir.join("staging")), [""; 0]);
        let mut kept = names(&store.dir.join("downloads"));
        kept.sort();
        assert_eq!(kept, ["b-0.1.etag", "b-0.1.tgz"]);
    }

    #[test]
    fn a_pointer_that_is_damaged_or_leads_elsewhere_points_to_nothing() {
        let (root, store) = store();
        let _lock = store.lock().unwrap();
        fs::write(root.path().join("evil"), "").unwrap();
        let entry = |dir: &str, binary: &str| {
            format!(
                r#"{{"format":1,"current":{{"version":"1","dir":"{dir}","binary":"{binary}"}},"previous":null}}"#
            )
        };
        let texts = [
            String::new(),
            "{".to_owned(),
            r#"{"format":2,"current":null,"previous":null}"#.to_owned(),
            entry("..", "../evil"),
            entry("", "evil"),
            entry("1", "/etc/passwd"),
        ];
        for text in texts {
            fs::write(store.pointer_file(), &text).unwrap();
            assert!(store.hold_current().is_none(), "{text}");
            assert!(store.pointer().current.is_none_or(|entry| store.binary(&entry).is_none()), "{text}");
        }
    }
}
