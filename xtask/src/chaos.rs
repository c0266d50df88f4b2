//! Builds what the chaos test starts, and starts it.

use std::ffi::OsString;

use anyhow::Result;

use crate::setup;
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// Runs the chaos test; `args` are its own. Deaths are tried on the build that tests use, load on a release build.
pub(crate) fn chaos(workspace: &Workspace, args: Vec<OsString>) -> Result<()> {
    let has = |name: &str| args.iter().any(|arg| arg == name);
    setup::for_run(workspace, has("--real"))?;
    if has("--edge") {
        setup::for_edge(workspace)?;
    }
    let release = has("--load");
    Cmd::cargo()
        .args(["build", "--locked", "--bins", "-p", "proxy-core", "-p", "e2e"])
        .args(release.then_some("--release"))
        .dir(&workspace.root)
        .run()?;
    Cmd::new(workspace.binary("chaos", release)).args(args).dir(&workspace.root).run()
}
