//! The pinned Codex CLIs, from npm, below the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::Cmd;
use crate::workspace::Workspace;

pub(super) fn name(version: &str) -> String {
    format!("Codex CLI {version}")
}

/// The native binary of an installed version, if it exists and reports that version.
pub(super) fn installed(workspace: &Workspace, version: &str) -> Option<PathBuf> {
    binary(&workspace.codex_dir(version), version).ok()
}

/// Makes sure that a version is installed and returns its native binary. Two calls at once are safe: the second
/// waits for the first, and a partial installation is never visible.
pub(super) fn install(workspace: &Workspace, version: &str) -> Result<PathBuf> {
    let dir = workspace.codex_dir(version);
    let parent = workspace.target.join("codex");
    fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let lock = File::create(parent.join(format!("{version}.lock")))?;
    lock.lock().with_context(|| format!("cannot lock {}", parent.display()))?;
    if let Some(path) = installed(workspace, version) {
        return Ok(path);
    }

    println!("setup: installing {} (some hundred megabytes) to {}", name(version), dir.display());
    let staging = parent.join(format!("{version}.new"));
    remove(&staging)?;
    fs::create_dir_all(&staging)?;
    Cmd::npm()
        .args(["install", "--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts"])
        .arg("--prefix")
        .arg(&staging)
        .arg(format!("@openai/codex@{version}"))
        .dir(&staging)
        .run()
        .with_context(|| {
            format!("npm could not install {}; is the npm registry reachable?", name(version))
        })?;
    binary(&staging, version)?;
    remove(&dir)?;
    fs::rename(&staging, &dir).with_context(|| format!("cannot move {} into place", staging.display()))?;
    binary(&dir, version)
}

/// The native binary below `dir`, if it reports this version. The JavaScript launcher beside it is not used: it would be
/// one more process between the proxy and the worker.
fn binary(dir: &Path, version: &str) -> Result<PathBuf> {
    let paths = native_paths(dir)?;
    let Some(path) = paths.iter().find(|path| path.is_file()) else {
        bail!("{} holds no Codex binary for this system; delete that folder and try again", dir.display());
    };
    let said = Cmd::new(path).arg("--version").capture()?;
    if said.split_whitespace().last() != Some(version) {
        bail!("{} says it is `{}`, not {version}", path.display(), said.trim());
    }
    Ok(path.clone())
}

/// The places of the native binary in the npm packages: newer versions have one package for each platform, older ones
/// have all binaries in the main package.
fn native_paths(dir: &Path) -> Result<[PathBuf; 2]> {
    let (package, triple) = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => ("codex-linux-x64", "x86_64-unknown-linux-musl"),
        ("linux", "aarch64") => ("codex-linux-arm64", "aarch64-unknown-linux-musl"),
        ("macos", "x86_64") => ("codex-darwin-x64", "x86_64-apple-darwin"),
        ("macos", "aarch64") => ("codex-darwin-arm64", "aarch64-apple-darwin"),
        ("windows", "x86_64") => ("codex-win32-x64", "x86_64-pc-windows-msvc"),
        ("windows", "aarch64") => ("codex-win32-arm64", "aarch64-pc-windows-msvc"),
        (os, arch) => bail!("there is no Codex CLI for {os} on {arch}"),
    };
    let scope = dir.join("node_modules").join("@openai");
    let executable = format!("codex{}", std::env::consts::EXE_SUFFIX);
    Ok([
        scope.join(package).join("vendor").join(triple).join("bin").join(&executable),
        scope.join("codex").join("vendor").join(triple).join("codex").join(&executable),
    ])
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake_installation(path: &Path, says: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("#!/bin/sh\necho codex-cli {says}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_binary_of_another_version_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        assert!(binary(dir.path(), "0.169.0").is_err());
        for path in native_paths(dir.path()).unwrap() {
            fake_installation(&path, "0.168.0");
            assert!(binary(dir.path(), "0.169.0").is_err());
            fake_installation(&path, "0.169.0");
            assert_eq!(binary(dir.path(), "0.169.0").unwrap(), path);
            fs::remove_file(path).unwrap();
        }
    }
}
