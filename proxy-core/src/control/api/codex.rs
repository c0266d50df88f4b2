//! `/control/codex`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

words! {
    /// Where the Codex CLI in use comes from.
    CodexSource {
        /// It is named in the settings.
        Setting = "setting",
        /// The proxy has installed it.
        Managed = "managed",
        /// It is the first on `PATH`.
        Path = "path",
    }
}

words! {
    /// What a job is to do.
    JobAction {
        /// Put a version into use: the pinned one unless another is asked for.
        Install = "install",
        /// Put the newest version into use unless another is asked for.
        Update = "update",
        /// Put the previous version into use.
        Rollback = "rollback",
    }
}

words! {
    /// How far a job is.
    JobPhase {
        /// The registry is asked what there is.
        Resolving = "resolving",
        /// The archive is downloaded.
        Downloading = "downloading",
        /// The archive's digest is checked.
        Verifying = "verifying",
        /// The archive is unpacked.
        Unpacking = "unpacking",
        /// The new binary is run once.
        Checking = "checking",
        /// It is proved that it adds nothing to prompts.
        Proving = "proving",
        /// It is put into use.
        Switching = "switching",
        /// It is in use.
        Done = "done",
        /// Nothing has changed.
        Failed = "failed",
    }
}

/// The answer of `GET /control/codex`: which Codex is used, and what is going on with the managed copies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct CodexStatus {
    /// Where it comes from; `None` if there is none.
    pub source: Option<CodexSource>,
    /// Its binary.
    pub path: Option<PathBuf>,
    /// Its version, as far as it has said so.
    pub version: Option<String>,
    /// Whether the proxy can drive it.
    pub supported: bool,
    /// What is wrong with it, and what to do.
    pub problem: Option<String>,
    /// What is worth knowing though nothing is wrong.
    pub note: Option<String>,
    /// The version that is installed unless another is asked for.
    pub pinned: String,
    /// The proxy's own copies.
    pub managed: Managed,
    /// Programs that could be used, where there is none to use: they lie where installers put Codex.
    pub elsewhere: Vec<PathBuf>,
    /// The last installation, update or rollback since the proxy was started.
    pub job: Option<Job>,
}

/// The versions of the proxy's own copies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Managed {
    /// The one that is used unless another is set.
    pub current: Option<String>,
    /// The one that a rollback puts into use.
    pub previous: Option<String>,
}

/// An installation, an update or a rollback, running or ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Job {
    /// What it is to do.
    pub action: JobAction,
    /// How far it is.
    pub phase: JobPhase,
    /// The version it is about, once that is known.
    pub version: Option<String>,
    /// Bytes of the archive that are there.
    pub bytes: u64,
    /// Bytes of the archive, once they are known.
    pub total_bytes: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The body of `POST /control/codex/install`: a version, or a file of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct InstallCodex {
    /// The version; the pinned one if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A binary or an archive with one, by its absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// The body of `POST /control/codex/update`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct UpdateCodex {
    /// The version; the newest if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Job {
    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, JobPhase::Done | JobPhase::Failed)
    }
}
