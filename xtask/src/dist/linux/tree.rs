//! The files of a package in their places on the system, written in the same way in each build.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::shell::Cmd;

/// Files by their absolute paths. A file with a name that ends in `.gz` is compressed when it is written.
#[derive(Default)]
pub(super) struct Tree(BTreeMap<String, Entry>);

struct Entry {
    content: Content,
    mode: u32,
}

enum Content {
    Text(String),
    File(PathBuf),
}

impl Tree {
    pub(super) fn text(&mut self, at: impl Into<String>, text: impl Into<String>) {
        self.0.insert(at.into(), Entry { content: Content::Text(text.into()), mode: 0o644 });
    }

    pub(super) fn script(&mut self, at: impl Into<String>, text: impl Into<String>) {
        self.0.insert(at.into(), Entry { content: Content::Text(text.into()), mode: 0o755 });
    }

    pub(super) fn file(&mut self, at: impl Into<String>, file: &Path) {
        self.0.insert(at.into(), Entry { content: Content::File(file.to_owned()), mode: 0o644 });
    }

    pub(super) fn program(&mut self, at: impl Into<String>, file: &Path) {
        self.0.insert(at.into(), Entry { content: Content::File(file.to_owned()), mode: 0o755 });
    }

    /// Each path with its mode.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry.mode))
    }

    /// Creates `root` and writes all files below it.
    pub(super) fn write(&self, root: &Path, time: SystemTime) -> Result<()> {
        fs::create_dir_all(root)?;
        let mut to_compress = Vec::new();
        for (path, entry) in &self.0 {
            let file = below(root, path);
            let plain = path.strip_suffix(".gz").map_or_else(|| file.clone(), |path| below(root, path));
            if let Some(folder) = plain.parent() {
                fs::create_dir_all(folder)?;
            }
            match &entry.content {
                Content::Text(text) => fs::write(&plain, text)?,
                Content::File(from) => {
                    fs::copy(from, &plain).with_context(|| format!("cannot read {}", from.display()))?;
                }
            }
            set_mode(&plain, entry.mode)?;
            if plain != file {
                to_compress.push(plain);
            }
        }
        if !to_compress.is_empty() {
            Cmd::new("gzip").args(["-9", "--no-name", "--force", "--"]).args(&to_compress).capture()?;
        }
        Ok(settle(root, time)?)
    }
}

/// The path below `root` for an absolute path.
pub(super) fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The time of every file and folder, and the mode of every folder.
fn settle(path: &Path, time: SystemTime) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            settle(&entry?.path(), time)?;
        }
        set_mode(path, 0o755)?;
    }
    File::open(path)?.set_modified(time)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

/// Packages for Linux are made on Linux.
#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn what_is_written_twice_is_the_same() {
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let mut tree = Tree::default();
        tree.text("/usr/share/man/man1/a.1.gz", "A manual.\n".repeat(100));
        tree.script("/usr/bin/a", "#!/bin/sh\n");
        let roots = ["one", "two"].map(|name| dir.path().join(name));
        for root in &roots {
            tree.write(root, time).unwrap_or_else(|error| panic!("{error:#}"));
        }
        for (path, mode) in tree.paths() {
            let [one, two] = roots.each_ref().map(|root| below(root, path));
            let about = fs::metadata(&one).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(about.permissions().mode() & 0o7777, mode, "{path}");
            assert_eq!(about.modified().ok(), Some(time), "{path}");
            assert_eq!(fs::read(one).ok(), fs::read(two).ok(), "{path}");
        }
        let folder = fs::metadata(roots[0].join("usr/share")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(folder.modified().ok(), Some(time));
    }
}
