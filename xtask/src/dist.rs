//! Makes what people install.

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

/// The system that is packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Linux,
    Windows,
    Macos,
}

impl Default for Target {
    /// The system that this runs on.
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

/// What `cargo xtask dist` was asked for.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) target: Target,
    /// Pack the debug profile, as the tests do: it is built already.
    pub(crate) debug: bool,
    /// Pack the command line for any Linux too, which takes a build of its own.
    pub(crate) tarball: bool,
    /// Make an AppImage too, with this runtime.
    pub(crate) appimage_runtime: Option<PathBuf>,
    /// Pack what was built before.
    pub(crate) no_build: bool,
    /// Where the packages go; without it, beside what was built.
    pub(crate) into: Option<PathBuf>,
    /// Where the packed application asks for newer versions; without it, it never does.
    pub(crate) channel: Option<Channel>,
}

/// A place that tells of newer versions, and the key that proves them.
pub(crate) struct Channel {
    /// An `https` address; the updater's documentation says what it has to answer.
    pub(crate) endpoint: String,
    /// The public half of the key that signs packages, as `tauri signer generate` writes it.
    pub(crate) public_key: String,
}

/// Names the private key, in the variable that Tauri's own tools read.
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

impl Options {
    /// What `cargo build` is told for a package of the release profile.
    fn release_arguments() -> [&'static str; 11] {
        [
            "--release",
            "--package",
            "proxy-core",
            "--package",
            "codex-proxy-app",
            "--bin",
            "codex-proxy",
            "--bin",
            "codex-proxy-app",
            "--features",
            "codex-proxy-app/custom-protocol",
        ]
    }
}

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
