//! Makes the packages that people install.

mod linux;
pub(crate) mod macos;
pub(crate) mod manifests;
pub(crate) mod names;
pub(crate) mod product;
pub(crate) mod windows;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::shell::{Cmd, env};
use crate::window;
use crate::workspace::Workspace;

/// The system for which to make packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Linux,
    Windows,
    Macos,
}

impl Default for Target {
    /// The system on which this runs.
    fn default() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::Macos
        } else {
            Self::Linux
        }
    }
}

/// The options of `cargo xtask dist`.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) target: Target,
    /// Pack the debug build, like the tests. It is already built.
    pub(crate) debug: bool,
    /// Also pack the command line for any Linux. This needs a separate build.
    pub(crate) tarball: bool,
    /// Also make an AppImage, with this runtime.
    pub(crate) appimage_runtime: Option<PathBuf>,
    /// Pack the existing build.
    pub(crate) no_build: bool,
    /// The folder for the packages; the default is beside the build.
    pub(crate) into: Option<PathBuf>,
    /// Where the packed application looks for updates; without it, it never does.
    pub(crate) channel: Option<Channel>,
}

/// The update channel: its address and the key that verifies updates.
pub(crate) struct Channel {
    /// An `https` address. The updater's documentation describes the expected answer.
    pub(crate) endpoint: String,
    /// The public half of the key that signs packages, as `tauri signer generate` writes it.
    pub(crate) public_key: String,
}

/// The environment variable with the private key, the same as in Tauri's own tools.
const SIGNING_KEY: &str = "TAURI_SIGNING_PRIVATE_KEY";
const SIGNING_KEY_PATH: &str = "TAURI_SIGNING_PRIVATE_KEY_PATH";

/// Builds, packs, and signs if there is a key.
pub(crate) fn dist(workspace: &Workspace, options: &Options) -> Result<()> {
    let packages = match options.target {
        Target::Linux => linux::dist(workspace, options)?,
        Target::Windows => windows::dist(workspace, options)?,
        Target::Macos => macos::dist(workspace, options)?,
    };
    for package in &packages {
        sign(workspace, package)?;
        println!("packed {}", package.display());
        if !options.debug {
            println!("which a release has as {}", names::put(workspace, package)?.display());
        }
    }
    Ok(())
}

/// What cargo is told to build of a release, beside the profile. Each program by itself: together, the command line would
/// hold what only the application asks of a library that both use.
const RELEASED: [&[&str]; 2] = [
    &["--package", "proxy-core", "--bin", product::COMMAND],
    &["--package", "codex-proxy-app", "--bin", product::APP, "--features", "custom-protocol"],
];

impl Channel {
    fn config(&self) -> Value {
        json!({"plugins": {"updater": {
            "endpoints": [self.endpoint], "pubkey": self.public_key, "requireSignedVersion": true,
        }}})
    }
}

/// Signs a package for the updater, next to it, when there is a key to sign with.
fn sign(workspace: &Workspace, package: &Path) -> Result<()> {
    if env(SIGNING_KEY).is_none() && env(SIGNING_KEY_PATH).is_none() {
        return Ok(());
    }
    window::packages(workspace)?;
    tauri(workspace)
        .args(["signer", "sign", "--app-version", env!("CARGO_PKG_VERSION")])
        .arg(package)
        .run()
        .context("the package could not be signed")
}

fn tauri(workspace: &Workspace) -> Cmd {
    let name = if cfg!(windows) { "tauri.cmd" } else { "tauri" };
    let program = workspace.root.join("ui").join("node_modules").join(".bin").join(name);
    Cmd::new(program).dir(&workspace.root.join("src-tauri"))
}
