//! Puts a release together from the packages of three systems: the updater's file, checksums, and the release notes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::dist::names::{ASSETS, Asset, CHECKSUMS, UPDATES, signature_of};
use crate::dist::product;
use crate::release;

/// The text of the release page.
pub(crate) const NOTES: &str = "NOTES.md";

/// Completes a folder that contains the packages of every system under their released names.
pub(crate) fn assemble(folder: &Path, changelog: &Path) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let changes =
        fs::read_to_string(changelog).with_context(|| format!("cannot read {}", changelog.display()))?;
    let notes = release::notes(&changes, version)?;
    let missing = missing(folder, version)?;
    for name in &missing {
        println!("this release has no {name}");
    }
    match updates(folder, version, &notes, &product::downloads(version))? {
        Some(manifest) => {
            let text = format!("{}\n", serde_json::to_string_pretty(&manifest)?);
            fs::write(folder.join(UPDATES), text).with_context(|| format!("cannot write {UPDATES}"))?;
        }
        None => println!("no package is signed for the updater, so there is no {UPDATES}"),
    }
    fs::write(folder.join(CHECKSUMS), checksums(folder)?)
        .with_context(|| format!("cannot write {CHECKSUMS}"))?;
    // After the checksums, because this text is for the release page and is not a file of the release.
    fs::write(folder.join(NOTES), format!("{notes}\n")).with_context(|| format!("cannot write {NOTES}"))?;
    println!("assembled {version} in {}", folder.display());
    Ok(())
}

/// The names of the missing packages. Only packages that a release may leave out can be missing.
pub(crate) fn missing(folder: &Path, version: &str) -> Result<Vec<String>> {
    let is_missing = |asset: &&Asset| !folder.join(asset.name(version)).is_file();
    let names = |assets: Vec<&Asset>| assets.iter().map(|asset| asset.name(version)).collect::<Vec<_>>();
    let (optional, needed): (Vec<_>, Vec<_>) =
        ASSETS.iter().filter(is_missing).partition(|asset| asset.is_optional());
    if !needed.is_empty() {
        bail!("{} has no {}", folder.display(), names(needed).join(", "));
    }
    Ok(names(optional))
}

/// The file for Tauri's updater: a signed package for each kind of installation. Either all packages are signed, or none.
pub(crate) fn updates(folder: &Path, version: &str, notes: &str, base: &str) -> Result<Option<Value>> {
    let mut platforms = Map::new();
    let mut unsigned = Vec::new();
    for asset in ASSETS.iter().filter(|asset| !asset.updater_targets().is_empty()) {
        let name = asset.name(version);
        if !folder.join(&name).is_file() {
            continue;
        }
        let file = signature_of(&folder.join(&name));
        if !file.is_file() {
            unsigned.push(name);
            continue;
        }
        let signature =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for target in asset.updater_targets() {
            let entry = json!({"signature": signature.trim(), "url": format!("{base}/{name}")});
            platforms.insert((*target).to_owned(), entry);
        }
    }
    if platforms.is_empty() {
        return Ok(None);
    }
    if !unsigned.is_empty() {
        bail!("some packages are signed for the updater, but not {}", unsigned.join(", "));
    }
    Ok(Some(json!({"version": version, "notes": notes, "platforms": platforms})))
}

/// Checksums in the format of `sha256sum`, for every file except the list itself, sorted by name.
pub(crate) fn checksums(folder: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && name != CHECKSUMS && name != NOTES {
            lines.push((name, sha256(&path)?));
        }
    }
    lines.sort();
    Ok(lines.into_iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect())
}

/// In hexadecimal.
pub(crate) fn sha256(file: &Path) -> Result<String> {
    let mut data = fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = std::io::Read::read(&mut data, &mut buffer)
            .with_context(|| format!("cannot read {}", file.display()))?;
        if read == 0 {
            break;
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const VERSION: &str = "1.2.3";

    fn release(signed: impl Fn(&str) -> bool) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for asset in ASSETS {
            let file = folder.path().join(asset.name(VERSION));
            fs::write(&file, "bytes").unwrap();
            if signed(&asset.name(VERSION)) {
                fs::write(signature_of(&file), format!("signature of {asset:?}\n")).unwrap();
            }
        }
        folder
    }

    #[test]
    fn every_kind_of_installation_finds_its_update() {
        let folder = release(|_| true);
        let manifest =
            updates(folder.path(), VERSION, "- New.", "https://example.org/v1.2.3").unwrap().unwrap();
        let platforms = manifest["platforms"].as_object().unwrap();
        assert_eq!(platforms.len(), 11, "{platforms:?}");
        assert_eq!(manifest["version"], VERSION);
        let mac = json!({
            "signature": "signature of AppTarball",
            "url": "https://example.org/v1.2.3/Codex-Proxy-1.2.3-universal.app.tar.gz",
        });
        assert_eq!([&platforms["darwin-aarch64-app"], &platforms["darwin-x86_64"]], [&mac, &mac]);
        assert_eq!(platforms["linux-x86_64-rpm"]["signature"], "signature of Rpm");
    }

    #[test]
    fn a_fork_without_a_key_has_no_updates_and_a_half_signed_release_is_none() {
        let folder = release(|_| false);
        assert_eq!(updates(folder.path(), VERSION, "", "https://example.org").unwrap(), None);
        let folder = release(|name| name.ends_with(".deb"));
        let error = updates(folder.path(), VERSION, "", "https://example.org").unwrap_err().to_string();
        assert!(error.contains(".rpm") && !error.contains(".deb"), "{error}");
    }

    #[test]
    fn only_what_is_optional_may_be_missing() {
        let folder = release(|_| true);
        assert_eq!(missing(folder.path(), VERSION).unwrap(), [""; 0]);
        let image = Asset::AppImage.name(VERSION);
        fs::remove_file(folder.path().join(&image)).unwrap();
        assert_eq!(missing(folder.path(), VERSION).unwrap(), [image]);
        let manifest = updates(folder.path(), VERSION, "", "https://example.org").unwrap().unwrap();
        assert!(manifest["platforms"].get("linux-x86_64-appimage").is_none());
        fs::remove_file(folder.path().join(Asset::Dmg.name(VERSION))).unwrap();
        assert!(missing(folder.path(), VERSION).unwrap_err().to_string().ends_with("universal.dmg"));
    }

    #[test]
    fn checksums_are_those_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "abc").unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        fs::write(folder.path().join(CHECKSUMS), "old").unwrap();
        assert_eq!(
            checksums(folder.path()).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n"
        );
    }
}
