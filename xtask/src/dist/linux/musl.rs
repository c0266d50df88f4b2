//! The command line, linked statically with its C library, so that it runs on any Linux of this processor type.
//!
//! If rustup has installed the standard library for this target, the build uses it. Otherwise Debian's compiler builds it
//! from its own source, as for other systems.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{BETWEEN_FLAGS, RUSTFLAGS, remapped};
use crate::cross;
use crate::setup;
use crate::shell::Cmd;
use crate::workspace::Workspace;

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds the program. Returns its path.
pub(super) fn build(workspace: &Workspace, debug: bool) -> Result<PathBuf> {
    let is_there = has_standard_library();
    setup::for_musl(is_there)?;
    let (target, cmd, flags) = if is_there {
        (workspace.target.clone(), Cmd::cargo().dir(&workspace.root), Vec::new())
    } else {
        let target = workspace.target.join("cross");
        let cmd =
            cross::cargo(workspace, &target).env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "musl-gcc");
        (target.clone(), cmd, from_source(&target)?)
    };
    let mut cmd = cmd.args([
        "build",
        "--locked",
        "--target",
        TARGET,
        "--package",
        "proxy-core",
        "--bin",
        "codex-proxy",
    ]);
    if !is_there {
        cmd = cmd.arg("-Zbuild-std=std,panic_unwind");
    }
    if !debug {
        cmd = cmd.arg("--release");
    }
    let mut all = remapped(workspace)?;
    all.extend(flags);
    cmd.env("CC_x86_64_unknown_linux_musl", "musl-gcc").env(RUSTFLAGS, all.join(BETWEEN_FLAGS)).run()?;
    Ok(target.join(TARGET).join(if debug { "debug" } else { "release" }).join("codex-proxy"))
}

fn has_standard_library() -> bool {
    let folder = Cmd::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).capture();
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// How a standard library that was built here is linked: with the C library of musl-tools, which `musl-gcc` cannot link
/// into a program that may lie anywhere in memory, and with LLVM's unwinder; GCC's needs a function of glibc's.
fn from_source(target: &Path) -> Result<Vec<String>> {
    let unwinder = target.join("unwinder");
    let (archive, extra) = (unwinder.join("libunwind.a"), unwinder.join("fortify.o"));
    fs::create_dir_all(&unwinder)?;
    fs::copy(setup::LLVM_UNWINDER, &archive).context("the unwinder is missing")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cross").join("fortify.c");
    Cmd::new("musl-gcc").args(["-O2", "-c", "-o"]).arg(&extra).arg(source).run()?;
    Cmd::new("ar").arg("rs").arg(&archive).arg(&extra).run()?;
    let library = format!("-Lnative={}", unwinder.display());
    Ok(vec!["-Clink-self-contained=no".to_owned(), "-Crelocation-model=static".to_owned(), library])
}
