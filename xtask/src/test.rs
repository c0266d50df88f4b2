//! Everything that CI runs on this system, the cheapest first. The test runner comes last, because CI reads its last lines.

use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, Result};

use crate::dist;
use crate::docs;
use crate::registry;
use crate::setup;
use crate::shell::Cmd;
use crate::tidy;
use crate::window;
use crate::workflows;
use crate::workspace::Workspace;

/// Runs the checks and the tests. `fast` leaves out the slow ones.
pub(crate) fn test(workspace: &Workspace, fast: bool) -> Result<()> {
    setup::for_test(workspace, fast)?;
    // The packages of these builds need it, and another value would build the library again.
    let registry = registry::address()?;
    let cargo = || Cmd::cargo().dir(&workspace.root).env(registry::VARIABLE, &registry);

    cargo().args(["fmt", "--all", "--check"]).run().context("`cargo fmt` mends this")?;
    tidy::tidy(workspace)?;
    window::test(workspace, fast)?;
    if !fast {
        window::icons(workspace)?;
        workflows::check(workspace)?;
        docs::build(workspace)?;
    }
    // The tray application needs desktop libraries, which take minutes to install and build.
    let members: &[&str] =
        if fast { &["--workspace", "--exclude", "codex-proxy-app"] } else { &["--workspace"] };
    cargo()
        .args(["clippy", "--locked"])
        .args(members)
        .args(["--all-targets", "--", "-D", "warnings"])
        .run()?;
    if !fast {
        alone(&cargo)?;
        dependencies(workspace)?;
        // These documents are for developers of this project, so they include private items.
        cargo()
            .args(["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")
            .run()?;
        // nextest runs no doc tests. Their report is hidden, so that nextest's report is the only one.
        cargo().args(["test", "--locked", "--workspace", "--doc"]).capture().context("a doc test failed")?;
        println!("doc tests: passed");
    }
    // The suite starts the binaries. Built together with the tests, they share their dependencies' features.
    cargo().args(["build", "--locked"]).args(members).args(["--bins", "--tests"]).run()?;
    if !fast && cfg!(target_os = "linux") {
        // And it installs the package made from them.
        dist::dist(workspace, &dist::Options { debug: true, ..dist::Options::default() })?;
    }
    let profile = if fast { "fast" } else { "ci" };
    // Most tests wait for other programs for much of their time.
    let threads = available_parallelism().map_or(1, NonZero::get) + 1;
    cargo()
        .args(["nextest", "run", "--locked"])
        .args(members)
        .args(["--profile", profile, "--test-threads", &threads.to_string()])
        .run()
}

/// The packages that are shipped.
const SHIPPED: [&str; 2] = ["proxy-core", "codex-proxy-app"];

/// Checks what is shipped alone, as a release builds it. In a common build, a member can use library features that only
/// another member, or a test, requests.
fn alone(cargo: &dyn Fn() -> Cmd) -> Result<()> {
    for name in SHIPPED {
        let check = cargo().args(["check", "--locked", "-p", name]);
        check.run().with_context(|| format!("{name} does not build without the other members"))?;
    }
    Ok(())
}

/// The folder of the advisories about crates.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// Checks licences, bans and sources of the dependencies, and the advisories about them if they are available.
fn dependencies(workspace: &Workspace) -> Result<()> {
    let cargo = || Cmd::cargo().dir(&workspace.root);
    cargo().args(["deny", "--offline", "check", "licenses", "bans", "sources"]).run()?;
    let reach = ["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=20", "ls-remote", "--exit-code"];
    let database = Cmd::new("git").args(reach).args([ADVISORIES, "HEAD"]).env("GIT_TERMINAL_PROMPT", "0");
    if !database.succeeds() {
        println!(
            "skipped: the advisories cannot be fetched from here (`cargo deny check advisories` elsewhere)"
        );
        return Ok(());
    }
    cargo().args(["deny", "check", "advisories"]).run()
}
