//! The paths of the checkout, of cargo's target directory, and of the Codex CLIs below it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::Cmd;

#[path = "../../proxy-core/src/codex_install/versions.rs"]
#[expect(unreachable_pub, reason = "the one source of these numbers is a file of the library's")]
mod versions;

pub(crate) use versions::{
    FLOOR as CODEX_FLOOR, LEGACY as CODEX_LEGACY, PINNED as CODEX, PREVIOUS as CODEX_PREVIOUS,
};

/// A located checkout.
pub(crate) struct Workspace {
    /// The folder that holds the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
    /// `cargo metadata --no-deps`.
    pub(crate) metadata: Value,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and `build.target-dir` work as in a build.
    pub(crate) fn locate() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
        let json = Cmd::cargo()
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .capture()?;
        let metadata: Value = serde_json::from_str(&json).context("`cargo metadata` printed no JSON")?;
        let folder = |key: &str| {
            let path = metadata[key].as_str().with_context(|| format!("`cargo metadata` names no {key}"))?;
            anyhow::Ok(PathBuf::from(path))
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")?, metadata })
    }

    /// A binary of this workspace, built with the dev or the release profile.
    pub(crate) fn binary(&self, name: &str, release: bool) -> PathBuf {
        let profile = if release { "release" } else { "debug" };
        self.target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// The folder of one installed version of the Codex CLI.
    pub(crate) fn codex_dir(&self, version: &str) -> PathBuf {
        self.target.join("codex").join(version)
    }
}
