//! What GitHub runs, held against actionlint (is it right?) and zizmor (is it safe?). Both work without a network.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::shell::Cmd;
use crate::window;
use crate::workspace::Workspace;

/// The version of zizmor on PyPI.
const ZIZMOR: &str = "1.32.0";

/// Installs both below the target directory and `xtask/workflows`, unless they are there.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    window::locked(&actionlint(workspace))?;
    let program = zizmor(workspace);
    if program.is_file() {
        return Ok(());
    }
    let folder = folder(workspace);
    fs::create_dir_all(&folder)?;
    let python = if cfg!(windows) { "python" } else { "python3" };
    Cmd::new(python).args(["-m", "venv", "--clear"]).arg(&folder).run()?;
    Cmd::new(program.with_file_name(if cfg!(windows) { "pip.exe" } else { "pip" }))
        .args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
        .arg(format!("zizmor=={ZIZMOR}"))
        .run()
}

/// Checks every workflow.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    install(workspace)?;
    let folder = workspace.root.join(".github").join("workflows");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    if files.is_empty() {
        bail!("{} has no workflows", folder.display());
    }
    let lint = actionlint(workspace).join("actionlint.cjs");
    Cmd::new("node").arg(lint).args(&files).run().context("actionlint complains")?;
    Cmd::new(zizmor(workspace))
        .args(["--offline", "--no-progress", "--persona", "pedantic"])
        .args(&files)
        .run()
        .context("zizmor complains")
}

fn actionlint(workspace: &Workspace) -> PathBuf {
    workspace.root.join("xtask").join("workflows")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("zizmor").join(ZIZMOR)
}

fn zizmor(workspace: &Workspace) -> PathBuf {
    let bin = if cfg!(windows) { "Scripts/zizmor.exe" } else { "bin/zizmor" };
    folder(workspace).join(bin)
}
