//! The derived model catalogues on disk. They are made from Codex's own catalogue, and kept until Codex changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Config;
use super::home::{program, write};
use crate::process::{self, ProcessError};
use protocol::codex::isolation::{self, NotACatalogue};

/// How long Codex may take to print its catalogue.
const LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of a catalogue; today's have one million.
pub const MOST_BYTES: usize = 16 << 20;

/// The derived catalogues, and the other facts from the vendor's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The file for every thread.
    pub plain: PathBuf,
    /// The file for threads with web search.
    pub search: PathBuf,
    /// The context window in tokens (prompt and answer together), by the model's id.
    pub windows: BTreeMap<String, u64>,
}

/// The source of the catalogues on disk, and the facts that they do not hold.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    origin: Origin,
    windows: BTreeMap<String, u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    format: u32,
    bin: PathBuf,
    size: u64,
    modified: u64,
    home: PathBuf,
    provider: Option<String>,
    auth: u64,
}

/// The version of the derivation. It is raised when the derivation changes, so that older files are not used.
const FORMAT: u32 = 2;

/// Why there are no catalogues. Old versions print none and need none; newer ones must not be used without them.
#[derive(Debug, thiserror::Error)]
pub enum NoCatalogue {
    /// Codex printed none.
    #[error("it did not print its model catalogue ({0}). `codex-proxy codex install` gets one that does.")]
    NotPrinted(ProcessError),
    /// Codex printed something else.
    #[error("it printed a model catalogue that cannot be read ({0}).")]
    Unreadable(NotACatalogue),
}

/// The derived catalogues could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the model catalogue, without which prompts would not be pure, could not be written to '{}': {cause}. \
     Make space there, or choose another directory with PROXY_DATA_DIR.",
    .directory.display()
)]
pub struct NotWritten {
    /// The path.
    directory: PathBuf,
    /// The system's error.
    cause: std::io::Error,
}

/// The catalogues for this Codex, derived now if those on disk are from another one. The inner error is the reason
/// why there are none.
///
/// # Errors
/// When they cannot be written: without them prompts would not be pure.
pub async fn prepare(config: &Config, bin: &Path) -> Result<Result<Derived, NoCatalogue>, NotWritten> {
    let plain = config.cache_dir.join("models.json");
    let search = config.cache_dir.join("models-search.json");
    let origin = origin(config, bin);
    let note = config.cache_dir.join("models-origin.json");
    if let Some(origin) = &origin {
        let known = std::fs::read(&note).ok().and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
        if let Some(known) = known.filter(|known| known.origin == *origin)
            && plain.is_file()
            && search.is_file()
        {
            return Ok(Ok(Derived { plain, search, windows: known.windows }));
        }
    }
    let signed_in = origin.as_ref().is_some_and(|origin| origin.auth > 0);
    let printed = match printed(config, bin, signed_in).await {
        Ok(printed) => printed,
        Err(error) => return Ok(Err(NoCatalogue::NotPrinted(error))),
    };
    let derived = match isolation::derive_catalogues(&printed) {
        Ok(derived) => derived,
        Err(reason) => return Ok(Err(NoCatalogue::Unreadable(reason))),
    };
    let windows = derived.windows;
    let written = write(&plain, derived.plain.to_string().as_bytes())
        .and_then(|()| write(&search, derived.search.to_string().as_bytes()))
        .and_then(|()| match origin {
            Some(origin) => write(&note, &serde_json::to_vec(&Note { origin, windows: windows.clone() })?),
            None => Ok(()),
        });
    match written {
        Ok(()) => Ok(Ok(Derived { plain, search, windows })),
        Err(cause) => Err(NotWritten { directory: config.cache_dir.clone(), cause }),
    }
}

/// Identifies the catalogue by the binary and the account.
fn origin(config: &Config, bin: &Path) -> Option<Origin> {
    let bin = std::fs::canonicalize(bin).ok()?;
    let metadata = std::fs::metadata(&bin).ok()?;
    Some(Origin {
        format: FORMAT,
        size: metadata.len(),
        modified: seconds(metadata.modified().ok()),
        bin,
        home: config.home.path().to_owned(),
        provider: config.provider.clone(),
        auth: seconds(config.home.sign_in()),
    })
}

fn seconds(time: Option<SystemTime>) -> u64 {
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs())
}

/// Codex's own catalogue: the account's if one is signed in, else the built-in one.
async fn printed(config: &Config, bin: &Path, signed_in: bool) -> Result<String, ProcessError> {
    let provider = config.provider.as_deref();
    let print = async |bundled| {
        let arguments = isolation::catalogue_arguments(provider, bundled);
        process::output(&program(config, bin, arguments), LIMIT, MOST_BYTES).await
    };
    if signed_in {
        match print(false).await {
            Ok(printed) => return Ok(printed),
            Err(error) => tracing::warn!(%error, "codex did not print the account's model catalogue"),
        }
    }
    print(true).await
}
