//! Checks the tools for building, running and testing. On Debian and related systems it installs missing ones from the
//! distribution's packages. On other systems it says what to install.
//!
//! It asks no questions, and every step may be repeated.

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

/// The tools for all tests, and those that only tests with the real Codex, the SDKs and the keychain need.
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

/// The tools for all commands. With `check_only`, nothing is installed, and a missing tool is an error.
pub(crate) fn everything(workspace: &Workspace, check_only: bool) -> Result<()> {
    if check_only {
        return report(workspace);
    }
    for_test(workspace, false)?;
    println!("setup: complete");
    Ok(())
}

/// The tools for `cargo xtask test`, or `cargo xtask test --fast`.
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

/// The tools for `cargo xtask run`. With `codex`, also the pinned Codex CLI; returns its path.
pub(crate) fn for_run(workspace: &Workspace, codex: bool) -> Result<Option<PathBuf>> {
    provide(&[tools::C_COMPILER, tools::NPM])?;
    if codex { codex::install(workspace, CODEX).map(Some) } else { Ok(None) }
}

/// The additional tools for `cargo xtask chaos --edge`.
pub(crate) fn for_edge(workspace: &Workspace) -> Result<()> {
    provide(&[tools::PYTHON])?;
    servers::install(workspace)
}

/// The tools for `cargo xtask cross`, all from Debian. For Windows also the linker and Wine, and with `starts` the tests that
/// use the programs.
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

/// The tools for `cargo xtask dist`.
pub(crate) fn for_dist(target: Target) -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM])?;
    match target {
        Target::Linux => provide(&[tools::WEBKIT, tools::PACKING]),
        Target::Windows if cfg!(windows) => provide(&[tools::NSIS]),
        Target::Windows => provide(&[tools::OTHER_SYSTEMS, tools::MINGW, tools::NSIS, tools::MSI]),
        Target::Macos => Ok(()),
    }
}

/// The tools for `cargo xtask dist` on macOS, and the standard library for both processor types.
pub(crate) fn for_macos() -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM, tools::MAC_TARGETS])
}

/// The tools for `cargo xtask sbom`.
pub(crate) fn for_sbom() -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM, tools::SBOM])
}

/// The tools for `cargo xtask verify-release`.
pub(crate) fn for_verify() -> Result<()> {
    if cfg!(target_os = "linux") { provide(&[tools::PACKING, tools::CPIO]) } else { Ok(()) }
}

/// The tools for the tarball of `cargo xtask dist`. `has_std` means that rustup has the standard library for it.
pub(crate) fn for_musl(has_std: bool) -> Result<()> {
    provide(&[tools::MUSL])?;
    if has_std { Ok(()) } else { provide(&[tools::OTHER_SYSTEMS, tools::UNWINDER]) }
}

/// The tools for an AppImage.
pub(crate) fn for_appimage() -> Result<()> {
    provide(&[tools::SQUASHFS])
}

/// The tools for `cargo xtask docs`.
pub(crate) fn for_docs(writes: bool) -> Result<()> {
    provide(&[tools::PYTHON])?;
    if writes { provide(&[tools::C_COMPILER, tools::NPM]) } else { Ok(()) }
}

/// The tools for `cargo xtask types`.
pub(crate) fn for_types() -> Result<()> {
    provide(&[tools::C_COMPILER, tools::NPM])
}

/// The tools for `cargo xtask bench`; returns the pinned Codex CLI.
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

/// Installs the missing ones of `tools`. Fails with a list of the tools that it could not install.
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

/// A program with the rights to change the system, which asks no questions.
fn as_root(program: &str) -> Cmd {
    let cmd = if tools::is_root() {
        Cmd::new(program)
    } else {
        Cmd::new("sudo").args(["--non-interactive", "DEBIAN_FRONTEND=noninteractive", program])
    };
    cmd.env("DEBIAN_FRONTEND", "noninteractive")
}

fn apt(packages: &[&str]) -> Result<()> {
    // An installation that was cut off earlier (a restart, a stopped build) makes apt refuse every other one.
    let installed = as_root("dpkg")
        .args(["--configure", "--pending"])
        .run()
        .and_then(|()| as_root("apt-get").args(["update", "--quiet"]).run())
        .and_then(|()| {
            as_root("apt-get")
                .args(["install", "--yes", "--quiet", "--no-install-recommends"])
                .args(packages)
                .run()
        });
    installed.map_err(|error| {
        error.context(format!(
            "could not install Debian packages; run `sudo apt-get install {}`, then this command again",
            packages.join(" ")
        ))
    })
}
