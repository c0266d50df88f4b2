//! Makes the same checks as the updater on its file and its packages.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{PublicKey, Signature};
use serde_json::Value;

use crate::dist::names::{ASSETS, UPDATES};
use crate::dist::product;

/// Returns the number of installation kinds with an update.
pub(super) fn verify(folder: &Path, version: &str, key: &str) -> Result<usize> {
    let key = PublicKey::decode(&decoded(key).context("the key is not one of `tauri signer generate`")?)?;
    let text = fs::read_to_string(folder.join(UPDATES)).with_context(|| format!("cannot read {UPDATES}"))?;
    let manifest: Value = serde_json::from_str(&text).with_context(|| format!("{UPDATES} is no JSON"))?;
    if manifest["version"] != version {
        bail!("{UPDATES} announces {}, and not {version}", manifest["version"]);
    }
    let platforms =
        manifest["platforms"].as_object().with_context(|| format!("{UPDATES} has no platforms"))?;
    let mut expected = BTreeSet::new();
    for asset in ASSETS {
        let name = asset.name(version);
        if folder.join(&name).is_file() {
            expected.extend(asset.updater_targets().iter().map(|target| (*target, name.clone())));
        }
    }
    for (target, name) in &expected {
        let entry = platforms.get(*target).with_context(|| format!("{UPDATES} has nothing for {target}"))?;
        if entry["url"] != format!("{}/{name}", product::downloads(version)) {
            bail!("{UPDATES} sends {target} to {}", entry["url"]);
        }
        let signature = entry["signature"].as_str().with_context(|| format!("{target} has no signature"))?;
        let package = fs::read(folder.join(name)).with_context(|| format!("cannot read {name}"))?;
        signed(&key, &package, signature, version)
            .with_context(|| format!("{name} is not signed for {target}"))?;
    }
    if let Some(other) = platforms.keys().find(|target| !expected.iter().any(|(known, _)| known == target)) {
        bail!("{UPDATES} has an update for {other}, which is in no package");
    }
    Ok(expected.len())
}

/// Checks that the key has signed these bytes for this version.
fn signed(key: &PublicKey, package: &[u8], signature: &str, version: &str) -> Result<()> {
    let signature = Signature::decode(&decoded(signature)?)?;
    key.verify(package, &signature, false)?;
    let comment = signature.trusted_comment();
    match comment.split('\t').find_map(|field| field.strip_prefix("version:")) {
        Some(signed) if signed == version => Ok(()),
        Some(other) => bail!("it is signed as {other}"),
        None => bail!("it is signed for no version"),
    }
}

/// Tauri writes keys and signatures in minisign's format, encoded in Base64.
fn decoded(text: &str) -> Result<String> {
    Ok(String::from_utf8(STANDARD.decode(text)?)?)
}
