//! Scoop: <https://github.com/ScoopInstaller/Scoop/blob/master/schema.json>.

use serde_json::json;

use super::super::names::Asset;
use super::super::product;
use super::{File, Release, checksums_of};

/// Scoop unpacks an NSIS installer if the manifest calls it an archive. It does not run the installer.
const UNPACK: &str = "#/dl.7z";

pub(super) fn file(release: &Release) -> File {
    let next = "$version";
    let manifest = json!({
        "version": release.version,
        "description": product::SUMMARY,
        "homepage": product::homepage(),
        "license": product::LICENCE,
        "architecture": {"64bit": {
            "url": format!("{}{UNPACK}", release.url(Asset::Setup)),
            "hash": release.sum(Asset::Setup),
        }},
        "pre_install": "Remove-Item \"$dir\\`$PLUGINSDIR\", \"$dir\\uninstall.exe\" -Force -Recurse -ErrorAction SilentlyContinue",
        "bin": format!("{}.exe", product::COMMAND),
        "shortcuts": [[format!("{}.exe", product::APP), product::NAME]],
        "checkver": {"github": product::homepage()},
        "autoupdate": {"architecture": {"64bit": {
            "url": format!("{}/{}{UNPACK}", product::downloads(next), Asset::Setup.name(next)),
            "hash": {"url": checksums_of(next)},
        }}},
    });
    (format!("scoop/{}.json", product::COMMAND), format!("{manifest:#}\n"))
}
