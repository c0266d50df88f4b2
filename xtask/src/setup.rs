//! Checks for what building, running and testing need, and installs what is missing: on Debian and its
//! relatives from the distribution's packages, elsewhere it says what to install.
//!
//! Nothing here asks a question, and every step may be repeated.

mod codex;
mod pypi;
mod servers;
mod tools;

use std::path::PathBuf;

use anyhow::{Result, bail};

pub(crate) use self::pypi::Packaged;
pub(crate) use self::tools::LLVM_UNWINDER;
use self::tools::Tool;
use crate::dist::Target;
use crate::docs;
use crate::shell::Cmd;
use crate::workflows;
use crate::workspace::{CODEX, CODEX_FLOOR, CODEX_LEGACY, CODEX_PREVIOUS, Workspace};

/// What every test needs, and what only those on the real Codex, the SDKs and the keychain need.
const TEST: [Tool; 6] =
    [tools::C_COMPILER, tools::GIT, tools::RUSTFMT, tools::CLIPPY, tools::NEXTEST, tools::NPM];
const FULL_TEST: [Tool; 11] = [
    tools::WEBKIT,
    tools::PYTHON,
    tools::SECRET_SERVICE,
    tools::CHROMIUM,
    tools::DESKTOP,
    tools::DENY,
    tools::PACKAGE_MANAGERS,
    tools::PACKING,
    tools::PACKAGE_LINTERS,
    tools::ROOTS,
    tools::IMAGES,
];

/// All that any command needs. With `check_only` nothing is installed, and a missing piece is an error.
pub(crate) fn everything(workspace: &Workspace, check_only: bool) -> Result<()> {
    if check_only {
        return report(workspace);
    }
    for_test(workspace, false)?;
    println!("setup: complete");
    Ok(())
}

/// What `cargo xtask test` needs, or `cargo xtask test --fast`.
pub(crate) fn for_test(workspace: &Workspace, fast: bool) -> Result<()> {
    provide(&TEST)?;
    if !fast {
        provide(&FULL_TEST)?;
        servers::install(workspace)?;
        workflows::install(workspace)?;
        docs::install(workspace)?;
        for version in [CODEX, CODEX_PREVIOUS, CODEX_FLOOR, CODEX_LEGACY] {
            codex::install(workspace, version)?;
        }
    }
    Ok(())
}

/// What `cargo xtask run` needs. With `codex` the pinned Codex CLI too, whose path is the answer.
pub(crate) fn for_run(workspace: &Workspace, codex: bool) -> Result<Option<PathBuf>> {
    provide(&[tools::C_COMPILER, tools::NPM])?;
    if codex { codex::install(workspace, CODEX).map(Some) } else { Ok(None) }
}

/// What `cargo xtask chaos --edge` needs beside that.
pub(crate) fn for_edge(workspace: &Workspace) -> Result<()> {
    provide(&[tools::PYTHON])?;
    servers::install(workspace)
}

/// What `cargo xtask cross` needs: all of it comes from Debian. For Windows the linker and Wine too, and with `starts` the
/// suite that uses the programs.
pub(crate) fn for_cross(windows: bool, starts: bool) -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM, tools::OTHER_SYSTEMS])?;
    if windows {
        provide(&[tools::MINGW, tools::WINE])?;
    }
    if starts {
        provide(&[tools::NSIS, tools::MSI, tools::NEXTEST, tools::WEBKIT, tools::DESKTOP])
    } else {
        Ok(())
    }
}

/// What `cargo xtask dist` needs.
pub(crate) fn for_dist(target: Target) -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM])?;
    match target {
        Target::Linux => provide(&[tools::WEBKIT, tools::PACKING]),
        Target::Windows if cfg!(windows) => provide(&[tools::NSIS]),
        Target::Windows => provide(&[tools::OTHER_SYSTEMS, tools::MINGW, tools::NSIS, tools::MSI]),
        Target::Macos => Ok(()),
    }
}

/// What `cargo xtask dist` needs on macOS, and the standard library of both of its processors.
pub(crate) fn for_macos() -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM, tools::MAC_TARGETS])
}

/// What `cargo xtask sbom` needs.
pub(crate) fn for_sbom() -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM, tools::SBOM])
}

/// What `cargo xtask verify-release` needs.
pub(crate) fn for_verify() -> Result<()> {
    if cfg!(target_os = "linux") { provide(&[tools::PACKING, tools::CPIO]) } else { Ok(()) }
}

/// What the tarball of `cargo xtask dist` needs; `has_std` says that rustup has the standard library for it.
pub(crate) fn for_musl(has_std: bool) -> Result<()> {
    provide(&[tools::MUSL])?;
    if has_std { Ok(()) } else { provide(&[tools::OTHER_SYSTEMS, tools::UNWINDER]) }
}

/// What an AppImage needs.
pub(crate) fn for_appimage() -> Result<()> {
    provide(&[tools::SQUASHFS])
}

/// What `cargo xtask docs` needs.
pub(crate) fn for_docs(writes: bool) -> Result<()> {
    provide(&[tools::PYTHON])?;
    if writes { provide(&[tools::C_COMPILER, tools::NPM]) } else { Ok(()) }
}

/// What `cargo xtask types` needs.
pub(crate) fn for_types() -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM])
}

/// What `cargo xtask bench` needs; the answer is the pinned Codex CLI.
pub(crate) fn for_bench(workspace: &Workspace) -> Result<PathBuf> {
    provide(&[tools::C_COMPILER, tools::NPM, tools::WEBKIT, tools::SECRET_SERVICE, tools::DESKTOP])?;
    codex::install(workspace, CODEX)
}

fn report(workspace: &Workspace) -> Result<()> {
    let mut missing = Vec::new();
    let codex = [CODEX, CODEX_PREVIOUS, CODEX_FLOOR, CODEX_LEGACY]
        .map(|version| (codex::name(version), codex::installed(workspace, version)));
    let found = TEST.iter().chain(&FULL_TEST).map(|tool| (tool.name.to_owned(), tool.is_there()));
    let servers = [(servers::NAME.to_owned(), servers::are_there(workspace))];
    for (name, is_there) in found.chain(servers).chain(codex.map(|(name, path)| (name, path.is_some()))) {
        println!("{} {name}", if is_there { "found  " } else { "missing" });
        if !is_there {
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        bail!("missing: {}; `cargo xtask setup` installs what it can", missing.join(", "));
    }
    Ok(())
}

/// Installs those of `tools` that are missing, and fails with the list of what it could not provide.
fn provide(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !tool.is_there()).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.debian).copied().collect();
    if !packages.is_empty() && tools::is_debian() {
        println!("setup: installing {} from Debian's packages", packages.join(" "));
        apt(&packages)?;
    }
    for tool in &missing {
        if let Some(install) = tool.install.filter(|_| !tool.is_there()) {
            println!("setup: installing {}, {}", tool.name, tool.purpose);
            install()?;
        }
    }
    let left: Vec<String> = missing
        .iter()
        .filter(|tool| !tool.is_there())
        .map(|tool| format!("  {}, {}: {}", tool.name, tool.purpose, tool.by_hand))
        .collect();
    if !left.is_empty() {
        bail!("please install by hand, then run this command again:\n{}", left.join("\n"));
    }
    Ok(())
}

/// `apt-get` as it may change the system.
fn apt_get() -> Cmd {
    let cmd = if tools::is_root() {
        Cmd::new("apt-get")
    } else {
        Cmd::new("sudo").args(["--non-interactive", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
    };
    cmd.env("DEBIAN_FRONTEND", "noninteractive")
}

fn apt(packages: &[&str]) -> Result<()> {
    let installed = apt_get().args(["update", "--quiet"]).run().and_then(|()| {
        apt_get().args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages).run()
    });
    installed.map_err(|error| {
        error.context(format!(
            "could not install Debian packages; run `sudo apt-get install {}`, then this command again",
            packages.join(" ")
        ))
    })
}
