//! Checks that a release is complete: all files exist, are unchanged and signed, and start on this system.

mod packages;
mod updates;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::assemble::{self, NOTES, sha256};
use crate::dist::names::{CHECKSUMS, UPDATES};
use crate::setup;

/// The options of `cargo xtask verify-release`.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The folder with all files of the release.
    pub(crate) folder: PathBuf,
    /// The version; the default is that of this checkout.
    pub(crate) version: Option<String>,
    /// The updater's public key, in the format of `tauri signer generate`.
    pub(crate) key: Option<PathBuf>,
    /// Install packages that cannot be checked in another way, and remove them again.
    pub(crate) install: bool,
}

/// Fails with the first problem.
pub(crate) fn verify(options: &Options) -> Result<()> {
    let folder = &options.folder;
    let version = options.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
    if !folder.is_dir() {
        bail!("`cargo xtask verify-release` needs the folder with the files of the release");
    }
    for name in assemble::missing(folder, version)? {
        println!("this release has no {name}");
    }
    let files = checksums(folder)?;
    println!("checksums: {} files", files.len());
    if folder.join(UPDATES).is_file() {
        let key = options.key.as_deref().context("there are updates, whose signatures need --update-key")?;
        let key = fs::read_to_string(key).with_context(|| format!("cannot read {}", key.display()))?;
        println!("updates: {} signatures", updates::verify(folder, version, key.trim())?);
    } else if options.key.is_some() {
        bail!("there is no {UPDATES}, although there is a key for it");
    } else {
        println!("updates: none, as nothing is signed for the updater");
    }
    setup::for_verify()?;
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    for name in packages::verify(&folder, version, options.install)? {
        println!("starts: {name}");
    }
    println!("{version} is whole");
    Ok(())
}

/// Compares every file with its checksum. No file may be missing or unlisted. Returns the names.
fn checksums(folder: &Path) -> Result<BTreeSet<String>> {
    let list =
        fs::read_to_string(folder.join(CHECKSUMS)).with_context(|| format!("there is no {CHECKSUMS}"))?;
    let mut listed = BTreeSet::new();
    for line in list.lines() {
        let (sum, name) =
            line.split_once("  ").with_context(|| format!("{CHECKSUMS} has the line {line:?}"))?;
        if Path::new(name).components().count() != 1 || name.contains(['/', '\\']) {
            bail!("{CHECKSUMS} names {name:?}, which is not beside it");
        }
        if sha256(&folder.join(name))? != sum {
            bail!("{name} is not what {CHECKSUMS} says");
        }
        listed.insert(name.to_owned());
    }
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !listed.contains(&name) && name != CHECKSUMS && name != NOTES {
            bail!("{name} is not in {CHECKSUMS}");
        }
    }
    Ok(listed)
}
