//! The file names of a release. No other place contains them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// A file that people install from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asset {
    Deb,
    Rpm,
    AppImage,
    /// The command line alone, for any Linux.
    LinuxTarball,
    Setup,
    Msi,
    Dmg,
    /// The application, in the form for the updater.
    AppTarball,
    /// The command line alone.
    MacosTarball,
}

/// All of them, in the order in which a release lists them.
pub(crate) const ASSETS: [Asset; 9] = [
    Asset::Deb,
    Asset::Rpm,
    Asset::AppImage,
    Asset::LinuxTarball,
    Asset::Setup,
    Asset::Msi,
    Asset::Dmg,
    Asset::AppTarball,
    Asset::MacosTarball,
];

/// The updater's file.
pub(crate) const UPDATES: &str = "latest.json";
pub(crate) const CHECKSUMS: &str = "SHA256SUMS";
/// The component lists of the programs and of the window.
pub(crate) fn materials(version: &str) -> [String; 2] {
    ["cargo", "npm"].map(|kind| format!("codex-proxy-{version}-{kind}.cdx.json"))
}

/// The suffix of a signature's file name.
pub(crate) const SIGNATURE: &str = ".sig";

impl Asset {
    pub(crate) fn name(self, version: &str) -> String {
        match self {
            Self::Deb => format!("codex-proxy_{version}_amd64.deb"),
            Self::Rpm => format!("codex-proxy-{version}-1.x86_64.rpm"),
            Self::AppImage => format!("Codex-Proxy-{version}-x86_64.AppImage"),
            Self::LinuxTarball => format!("codex-proxy-{version}-x86_64-linux.tar.gz"),
            Self::Setup => format!("Codex-Proxy-{version}-x64-setup.exe"),
            Self::Msi => format!("Codex-Proxy-{version}-x64.msi"),
            Self::Dmg => format!("Codex-Proxy-{version}-universal.dmg"),
            Self::AppTarball => format!("Codex-Proxy-{version}-universal.app.tar.gz"),
            Self::MacosTarball => format!("codex-proxy-{version}-universal-macos.tar.gz"),
        }
    }

    /// Whether a release may leave it out. No registry has the runtime for an AppImage.
    pub(crate) fn is_optional(self) -> bool {
        self == Self::AppImage
    }

    /// The kind of a packed file, from the end of its name.
    pub(crate) fn of(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?;
        let kinds = [
            (".deb", Self::Deb),
            (".rpm", Self::Rpm),
            (".AppImage", Self::AppImage),
            ("-linux.tar.gz", Self::LinuxTarball),
            ("-setup.exe", Self::Setup),
            (".msi", Self::Msi),
            (".dmg", Self::Dmg),
            (".app.tar.gz", Self::AppTarball),
            ("-macos.tar.gz", Self::MacosTarball),
        ];
        kinds.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, asset)| asset)
    }

    /// The entries that the updater looks for if this package is installed, the most specific first. Tauri's updater makes
    /// these names from the system, the processor and the kind of package.
    pub(crate) fn updater_targets(self) -> &'static [&'static str] {
        match self {
            Self::Deb => &["linux-x86_64-deb"],
            Self::Rpm => &["linux-x86_64-rpm"],
            Self::AppImage => &["linux-x86_64-appimage", "linux-x86_64"],
            Self::Setup => &["windows-x86_64-nsis", "windows-x86_64"],
            Self::Msi => &["windows-x86_64-msi"],
            Self::AppTarball => {
                &["darwin-aarch64-app", "darwin-x86_64-app", "darwin-aarch64", "darwin-x86_64"]
            }
            Self::LinuxTarball | Self::Dmg | Self::MacosTarball => &[],
        }
    }
}

/// The folder with the packages of this machine, under the file names of a release.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("packages")
}

/// Puts a package under its released name into [`folder`], with its signature if it has one. Returns its path.
pub(super) fn put(workspace: &Workspace, package: &Path) -> Result<PathBuf> {
    let Some(asset) = Asset::of(package) else {
        bail!("{} is nothing that a release has", package.display());
    };
    let folder = folder(workspace);
    fs::create_dir_all(&folder)?;
    let to = folder.join(asset.name(env!("CARGO_PKG_VERSION")));
    let copy = |from: &Path, to: &Path| {
        fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    };
    copy(package, &to)?;
    let (signature, beside) = (signature_of(package), signature_of(&to));
    if signature.is_file() {
        copy(&signature, &beside)?;
    } else if beside.is_file() {
        fs::remove_file(&beside).with_context(|| format!("cannot remove {}", beside.display()))?;
    }
    Ok(to)
}

/// The path of a file's signature.
pub(crate) fn signature_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(SIGNATURE);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_released_name_tells_what_it_is() {
        for asset in ASSETS {
            assert_eq!(Asset::of(Path::new(&asset.name("1.2.3"))), Some(asset));
        }
        assert_eq!(Asset::of(Path::new("codex-proxy_1.2.3_amd64.deb.sig")), None);
        assert_eq!(Asset::of(Path::new("Codex Proxy_1.2.3_universal.dmg")), Some(Asset::Dmg));
    }

    #[test]
    fn no_two_assets_share_a_name_or_a_target_of_the_updater() {
        let names: BTreeSet<String> = ASSETS.iter().map(|asset| asset.name("1.2.3")).collect();
        assert_eq!(names.len(), ASSETS.len());
        let targets: Vec<&str> = ASSETS.iter().flat_map(|asset| asset.updater_targets()).copied().collect();
        assert_eq!(targets.iter().collect::<BTreeSet<_>>().len(), targets.len());
    }
}
