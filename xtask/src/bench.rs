//! Builds the programs for the benchmark with the release profile, and starts the benchmark.

use std::ffi::OsString;

use anyhow::Result;

use crate::setup;
use crate::shell::Cmd;
use crate::window;
use crate::workspace::Workspace;

/// Runs the benchmark; `args` are its own.
pub(crate) fn bench(workspace: &Workspace, args: Vec<OsString>) -> Result<()> {
    let codex = setup::for_bench(workspace)?;
    window::build(workspace)?;
    Cmd::cargo()
        .args(["build", "--release", "--locked", "--bins"])
        .args(["-p", "proxy-core", "-p", "e2e", "-p", "bench", "-p", "codex-proxy-app"])
        .args(["--features", "codex-proxy-app/custom-protocol"])
        .dir(&workspace.root)
        .run()?;
    Cmd::new(workspace.binary("bench", true))
        .arg("--proxy")
        .arg(workspace.binary("codex-proxy", true))
        .arg("--fake-codex")
        .arg(workspace.binary("fake-codex", true))
        .arg("--codex")
        .arg(codex)
        .args(args)
        .dir(&workspace.root)
        .run()
}
