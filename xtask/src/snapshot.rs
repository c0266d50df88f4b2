//! A bundle of HEAD: its source, its lock files, and checksums of both.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::assemble;
use crate::dist::names::CHECKSUMS;
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// The folder of the bundles. git ignores it.
const FOLDER: &str = "releases";
const BEGINNING: &str = "snapshot-";
/// The names of lock files. They list the exact versions of the tested dependencies.
const LOCKS: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// The options.
pub(crate) struct Options {
    /// Only prints what it would do.
    pub(crate) dry_run: bool,
    /// Removes older bundles.
    pub(crate) prune: bool,
    /// How many to keep then.
    pub(crate) keep: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { dry_run: false, prune: false, keep: 3 }
    }
}

/// Makes the bundle of HEAD in `releases/`.
pub(crate) fn snapshot(workspace: &Workspace, options: &Options) -> Result<()> {
    let git =
        |arguments: &[&str]| Cmd::new("git").args(arguments).env("TZ", "UTC").dir(&workspace.root).capture();
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned();
    let time =
        git(&["show", "-s", "--format=%cd", "--date=format-local:%Y%m%d-%H%M%S", "HEAD"])?.trim().to_owned();
    if !git(&["status", "--porcelain", "--untracked-files=no"])?.trim().is_empty() {
        println!("There are changes that are not committed: they are not in it.");
    }
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("{BEGINNING}{time}-{version}-{commit}");
    let folder = workspace.root.join(FOLDER).join(&name);
    let tracked = git(&["ls-tree", "-r", "--name-only", "HEAD"])?;
    let locks: Vec<&str> = tracked.lines().filter(|file| is_lock(file)).collect();
    let archive = format!("codex-proxy-{version}-{commit}.tar.gz");
    let goes =
        if options.prune { older(&workspace.root.join(FOLDER), &name, options.keep)? } else { Vec::new() };
    if options.dry_run {
        println!("{} would hold {archive}, {CHECKSUMS} and:", folder.display());
        locks.iter().for_each(|lock| println!("  {}", flat(lock)));
        goes.iter().for_each(|path| println!("would remove {}", path.display()));
        return Ok(());
    }
    // It has another name until it is complete.
    let unfinished = workspace.root.join(FOLDER).join(format!(".{name}"));
    for old in [&unfinished, &folder] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    fs::create_dir_all(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
    let prefix = format!("--prefix=codex-proxy-{version}/");
    let output = format!("--output={}", unfinished.join(&archive).display());
    git(&["archive", "--format=tar.gz", &prefix, &output, "HEAD"])?;
    for lock in &locks {
        let text = git(&["show", &format!("HEAD:{lock}")])?;
        let file = unfinished.join(flat(lock));
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let sums = unfinished.join(CHECKSUMS);
    fs::write(&sums, assemble::checksums(&unfinished)?)
        .with_context(|| format!("cannot write {}", sums.display()))?;
    fs::rename(&unfinished, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    println!("{}", folder.display());
    for path in goes {
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        println!("removed {}", path.display());
    }
    Ok(())
}

fn is_lock(file: &str) -> bool {
    LOCKS.contains(&file.rsplit('/').next().unwrap_or(file))
}

/// The name for a file of the repository in a flat folder.
fn flat(file: &str) -> String {
    file.replace('/', "-")
}

/// The oldest bundles to remove, so that `keep` bundles remain, including the new one.
fn older(folder: &Path, new: &str, keep: usize) -> Result<Vec<PathBuf>> {
    if keep == 0 {
        bail!("--keep needs a number of at least 1: the new bundle stays");
    }
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(BEGINNING) && name != new
        })
        .collect();
    // The names start with the time of the commit.
    found.sort();
    found.truncate(found.len().saturating_sub(keep - 1));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bundles_stay_and_so_does_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "snapshot-20260101-000000-0.1.0-a",
            "snapshot-20260201-000000-0.1.0-b",
            "snapshot-new",
            "letters",
        ] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let names = |keep| -> Vec<String> {
            let paths = older(folder.path(), "snapshot-new", keep).unwrap();
            paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(3), [""; 0]);
        assert_eq!(names(2), ["snapshot-20260101-000000-0.1.0-a"]);
        assert_eq!(names(1).len(), 2);
        assert!(older(folder.path(), "snapshot-new", 0).is_err());
        assert!(older(Path::new("/nowhere"), "snapshot-new", 1).unwrap().is_empty());
    }

    #[test]
    fn locks_are_found_and_named_apart() {
        assert!(is_lock("Cargo.lock") && is_lock("ui/package-lock.json"));
        assert!(!is_lock("ui/package.json") && !is_lock("x/Cargo.lock.md"));
        assert_eq!(flat("ui/package-lock.json"), "ui-package-lock.json");
    }
}
