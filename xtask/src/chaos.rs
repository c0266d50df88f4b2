//! Builds the programs for the chaos test, and starts the test.

use std::ffi::OsString;

use anyhow::Result;

use crate::setup;
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// Runs the chaos test; `args` are its own. Killing processes uses the debug build of the tests, load uses a release build.
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
