//! The manifests for package managers, all made from one description and the packages' checksums.

mod aur;
mod flatpak;
mod homebrew;
mod nix;
mod scoop;
mod winget;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use semver::Version;

use super::names::{Asset, CHECKSUMS, UPDATES};
use super::product;
use crate::assemble::sha256;
use crate::workspace::Workspace;

/// A packed version.
pub(super) struct Release {
    version: String,
    sums: BTreeMap<Asset, String>,
    /// Whether the application looks for updates itself.
    updates_itself: bool,
}

/// A file for a package manager: its path and its content.
type File = (String, String);

/// The packages that the manifests use. The other packages are only for people.
const NEEDED: [Asset; 6] =
    [Asset::Deb, Asset::Rpm, Asset::LinuxTarball, Asset::Setup, Asset::Dmg, Asset::MacosTarball];

/// Writes the manifests of `version`, whose packages are in `assets`.
pub(crate) fn write(workspace: &Workspace, version: &str, assets: &Path) -> Result<PathBuf> {
    let into = workspace.target.join("manifests");
    if into.exists() {
        fs::remove_dir_all(&into).context("the manifests that were made before cannot be removed")?;
    }
    for (name, text) in files(&Release::of(version, assets)?) {
        let file = into.join(&name);
        fs::create_dir_all(file.parent().context("a manifest has no folder")?)?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("made {name}");
    }
    Ok(into)
}

impl Release {
    fn of(version: &str, assets: &Path) -> Result<Self> {
        let parsed = Version::parse(version).with_context(|| format!("{version} is no version"))?;
        if !parsed.pre.is_empty() || !parsed.build.is_empty() {
            bail!("{version} is no version that is released");
        }
        let mut sums = BTreeMap::new();
        for asset in NEEDED {
            sums.insert(asset, sha256(&assets.join(asset.name(version)))?);
        }
        Ok(Self { version: version.to_owned(), sums, updates_itself: assets.join(UPDATES).is_file() })
    }

    fn url(&self, asset: Asset) -> String {
        format!("{}/{}", product::downloads(&self.version), asset.name(&self.version))
    }

    /// In hexadecimal, in the order of [`NEEDED`].
    fn sum(&self, asset: Asset) -> &str {
        self.sums.get(&asset).map_or("", String::as_str)
    }
}

fn files(release: &Release) -> Vec<File> {
    let mut files = winget::files(release);
    files.push(scoop::file(release));
    files.extend(homebrew::files(release));
    files.extend(aur::files(release));
    files.push(flatpak::file(release));
    files.push(nix::file(release));
    files
}

/// `text` as a JSON string. This is also a string in YAML, and in Nix if it contains no `${`. Without quotes, YAML could read
/// a checksum as a number.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The address of the checksums of a version, with the package manager's placeholder for the version.
fn checksums_of(version: &str) -> String {
    format!("{}/{CHECKSUMS}", product::downloads(version))
}
