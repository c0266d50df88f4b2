//! Checks for the other systems, from Debian: Windows is type-checked and its tests run under Wine, macOS is
//! type-checked.
//!
//! The standard library for those targets is built from the source of the same compiler. Debian has packages for both
//! (`rustc-web`, `cargo-web`, `rust-web-src`). rustup has a ready-made library, but on its own host.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::dist;
use crate::setup;
use crate::shell::Cmd;
use crate::window;
use crate::workspace::Workspace;

/// Another operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Windows,
    Macos,
}

/// The task for that system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Type-checks the whole workspace.
    Check,
    /// Runs the library's tests (Windows only).
    Test,
    /// Builds the programs (Windows only).
    Build,
    /// Builds and starts them (Windows only).
    Start,
    /// Builds them, and updates an installed one (Windows only). It takes long, so it is no part of continuous
    /// integration.
    Update,
}

impl Task {
    /// The tests that run with the built programs.
    fn tests(self) -> Option<&'static str> {
        match self {
            Self::Check | Self::Test | Self::Build => None,
            Self::Start => Some("package(e2e) & test(/^wine::/) & !test(/^wine::updates::/)"),
            Self::Update => Some("package(e2e) & test(/^wine::updates::/)"),
        }
    }
}

/// The place of the compiler in Debian's packages.
const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";
const RUSTDOC: &str = "/usr/bin/rustdoc";
const WINE: &str = "/usr/lib/wine/wine64";
const WINE_SERVER: &str = "/usr/lib/wine/wineserver";

impl System {
    const fn target(self) -> &'static str {
        match self {
            Self::Windows => "x86_64-pc-windows-gnu",
            Self::Macos => "aarch64-apple-darwin",
        }
    }
}

/// Does `task` for `system`.
pub(crate) fn cross(workspace: &Workspace, system: System, task: Task) -> Result<()> {
    if system == System::Macos && task != Task::Check {
        bail!("macOS programs can only be linked on macOS; from here they are type-checked");
    }
    setup::for_cross(system == System::Windows, task.tests().is_some())?;
    window::build(workspace)?;
    let target = target(workspace);
    let mut cmd = cargo(workspace, &target).arg(match task {
        Task::Check => "check",
        Task::Test => "test",
        Task::Build | Task::Start | Task::Update => "build",
    });
    cmd = for_system(cmd, system);
    cmd = match task {
        Task::Check => cmd.args(["--workspace", "--all-targets"]),
        Task::Test => cmd.args(["--package", "proxy-core", "--lib"]),
        Task::Build | Task::Start | Task::Update => cmd.args(DEBUG_PROGRAMS),
    };
    cmd = match system {
        System::Windows => windows(cmd, &target, task)?,
        System::Macos => macos(cmd, workspace),
    };
    cmd.run()?;
    task.tests().map_or(Ok(()), |tests| start(workspace, &target, tests))
}

/// Runs `cargo build` for Windows with these arguments and environment variables. Returns the folder with the programs.
pub(crate) fn build_windows(
    workspace: &Workspace,
    arguments: &[&str],
    environment: &[(&str, String)],
) -> Result<PathBuf> {
    let target = target(workspace);
    let cmd = for_system(cargo(workspace, &target).arg("build"), System::Windows).args(arguments);
    let cmd = windows(cmd, &target, Task::Build)?;
    environment.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value)).run()?;
    let profile = if arguments.contains(&"--release") { "release" } else { "debug" };
    Ok(target.join(System::Windows.target()).join(profile))
}

/// The cargo arguments for a build like that of the Windows tests, so that nothing is built twice.
pub(crate) const DEBUG_PROGRAMS: [&str; 6] =
    ["--workspace", "--exclude", "xtask", "--exclude", "bench", "--bins"];

fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("cross")
}

/// With the library `test`, which only the tests need: so the programs use what was built for the tests.
fn for_system(cmd: Cmd, system: System) -> Cmd {
    cmd.args(["--locked", "--target", system.target(), "-Zbuild-std=std,panic_unwind,test"])
}

/// Runs the tests with the built programs: as they are, and installed.
fn start(workspace: &Workspace, target: &Path, tests: &str) -> Result<()> {
    let programs = target.join(System::Windows.target()).join("debug");
    dist::windows::pack_for_tests(workspace, &programs)?;
    let stand_in = programs.join("stand-in-for-webview2.exe");
    self::stand_in(workspace, "stand-in-for-webview2.c", &[], &stand_in)?;
    Cmd::cargo()
        .dir(&workspace.root)
        .args(["nextest", "run", "--locked", "--workspace", "--profile", "ci"])
        .args(["--run-ignored", "only", "--filterset", tests])
        .env("E2E_WINDOWS_BIN_DIR", programs)
        .env("WINEPREFIX", wine_prefix(target)?)
        .run()
}

/// Builds a program for Windows from one of the C files in `xtask/cross`.
pub(crate) fn stand_in(workspace: &Workspace, source: &str, options: &[&str], program: &Path) -> Result<()> {
    let source = workspace.root.join("xtask").join("cross").join(source);
    let cmd = Cmd::new("x86_64-w64-mingw32-gcc").args(["-O2", "-s"]).args(options).arg("-o");
    cmd.arg(program).arg(source).arg("-ladvapi32").run()
}

/// Debian's cargo with Debian's compiler, with permission to build its own standard library.
pub(crate) fn cargo(workspace: &Workspace, target: &Path) -> Cmd {
    Cmd::new(CARGO)
        .dir(&workspace.root)
        .env("RUSTC", RUSTC)
        .env("RUSTDOC", RUSTDOC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTUP_TOOLCHAIN")
}

fn windows(cmd: Cmd, target: &Path, task: Task) -> Result<Cmd> {
    let cmd = cmd.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", "x86_64-w64-mingw32-gcc");
    if task != Task::Test {
        return Ok(cmd);
    }
    let prefix = wine_prefix(target)?;
    Ok(cmd
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", WINE)
        .env("WINEPREFIX", prefix)
        .env("WINEDEBUG", "-all")
        .env("WINEDLLOVERRIDES", "mscoree,mshtml="))
}

/// A separate Wine prefix below `target`, with the one library that this Wine does not have.
fn wine_prefix(target: &Path) -> Result<PathBuf> {
    let prefix = target.join("wine");
    let library = prefix.join("drive_c/windows/system32/bcryptprimitives.dll");
    if library.is_file() {
        return Ok(prefix);
    }
    let wine = |cmd: Cmd| {
        cmd.env("WINEPREFIX", &prefix).env("WINEDEBUG", "-all").env("WINEDLLOVERRIDES", "mscoree,mshtml=")
    };
    std::fs::create_dir_all(&prefix)?;
    wine(Cmd::new(WINE).args(["wineboot", "--init"])).run()?;
    wine(Cmd::new(WINE_SERVER).arg("--wait")).run()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cross");
    Cmd::new("x86_64-w64-mingw32-gcc")
        .args(["-shared", "-O2", "-o"])
        .arg(&library)
        .args([source.join("bcryptprimitives.c"), source.join("bcryptprimitives.def")])
        .arg("-ladvapi32")
        .run()?;
    Ok(prefix)
}

fn macos(cmd: Cmd, workspace: &Workspace) -> Cmd {
    let compiler = workspace.root.join("xtask").join("cross").join("empty-objects");
    cmd.env("CC_aarch64_apple_darwin", &compiler)
        .env("CXX_aarch64_apple_darwin", &compiler)
        .env("AR_aarch64_apple_darwin", "ar")
}
