//! Builds with Node: the window of `ui/`, which becomes part of the proxy and the tray application, and the icons.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::shell::Cmd;
use crate::workspace::Workspace;

/// The source files of the page.
const SOURCES: [&str; 6] =
    ["index.html", "package.json", "package-lock.json", "src", "svelte.config.js", "vite.config.ts"];

/// Builds `ui/dist`, unless it is newer than all its sources.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let ui = workspace.root.join("ui");
    let made = modified(&ui.join("dist").join("index.html"));
    let newest = SOURCES.iter().map(|name| newest(&ui.join(name))).collect::<Result<Vec<_>>>()?;
    if made.is_some_and(|made| newest.into_iter().flatten().all(|source| source < made)) {
        return Ok(());
    }
    packages(workspace)?;
    npm(&ui).args(["run", "build"]).run()
}

/// Checks types and lints, and runs the page's own tests: units, then the built page in Chromium.
pub(crate) fn test(workspace: &Workspace, fast: bool) -> Result<()> {
    let ui = workspace.root.join("ui");
    build(workspace)?;
    packages(workspace)?;
    npm(&ui).args(["run", "check"]).run()?;
    npm(&ui).args(["run", "lint"]).run()?;
    npm(&ui).args(["run", if fast { "test:unit" } else { "test" }]).run()
}

/// Checks that the icons match their sources.
pub(crate) fn icons(workspace: &Workspace) -> Result<()> {
    let icons = workspace.root.join("icons");
    locked(&icons)?;
    npm(&icons).args(["run", "check"]).run().context("`npm run render` in icons/ mends this")
}

/// Installs the packages of the window's lock file, unless they are there.
pub(crate) fn packages(workspace: &Workspace) -> Result<()> {
    locked(&workspace.root.join("ui"))
}

/// Installs the packages of a folder's lock file, unless they are there.
pub(crate) fn locked(folder: &Path) -> Result<()> {
    // npm writes this file last. It lists the installed packages.
    let installed = modified(&folder.join("node_modules").join(".package-lock.json"));
    let lock = folder.join("package-lock.json");
    let locked = modified(&lock).with_context(|| format!("{} is missing", lock.display()))?;
    if installed.is_some_and(|installed| installed >= locked) {
        return Ok(());
    }
    npm(folder).args(["ci", "--no-audit", "--no-fund"]).run()
}

fn npm(folder: &Path) -> Cmd {
    Cmd::npm().dir(folder)
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// The time of the newest file at or below `path`. Folders count too, because they change when a file is deleted.
fn newest(path: &Path) -> Result<Option<SystemTime>> {
    let mut newest = modified(path);
    let mut folders: Vec<PathBuf> = path.is_dir().then(|| path.to_owned()).into_iter().collect();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            newest = newest.max(modified(&path));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(newest)
}
