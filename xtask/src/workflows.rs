//! Checks the GitHub workflows with actionlint (correctness) and zizmor (security). Both work without a network.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::setup::Packaged;
use crate::shell::Cmd;
use crate::window;
use crate::workspace::Workspace;

const ZIZMOR: Packaged = Packaged { program: "zizmor", package: "zizmor", version: "1.32.0" };

/// Installs both below the target directory and `xtask/workflows`, unless they are there.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    window::locked(&actionlint(workspace))?;
    ZIZMOR.install(workspace)
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
    Cmd::new(ZIZMOR.path(workspace))
        .args(["--offline", "--no-progress", "--persona", "pedantic"])
        .args(&files)
        .run()
        .context("zizmor complains")
}

fn actionlint(workspace: &Workspace) -> PathBuf {
    workspace.root.join("xtask").join("workflows")
}
