//! The derived model catalogues on disk, made of what this Codex prints and kept until Codex changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::process::{self, ProcessError, Program};
use super::{CodexHome, Config};
use crate::files;
use protocol::codex::isolation;

/// How long Codex may take to print its catalogue.
const LIMIT: Duration = Duration::from_secs(10);

/// Bytes that a catalogue may have; those of today have one million.
pub const MOST_BYTES: usize = 16 << 20;

/// The derived catalogues, and what else the vendor's says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The file for every thread.
    pub plain: PathBuf,
    /// The file for threads with web search.
    pub search: PathBuf,
    /// Tokens that prompt and answer may have together, by the model's id.
    pub windows: BTreeMap<String, u64>,
}

/// What the catalogues on disk were made of, and what they do not say.
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

/// Raised when the derivation changes, so that older files are not used.
const FORMAT: u32 = 2;

/// The catalogues for this Codex, derived now if those on disk are of another one.
///
/// The inner error says why there are none: old versions print no catalogue and need none; newer ones must not be used
/// without.
///
/// # Errors
/// When they cannot be written: without them prompts would not be pure.
pub async fn prepare(config: &Config, bin: &Path) -> Result<Result<Derived, String>, String> {
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
        Err(error) => {
            return Ok(Err(format!(
                "it did not print its model catalogue ({error}). `codex-proxy codex install` gets one that does."
            )));
        }
    };
    let derived = match isolation::derive_catalogues(&printed) {
        Ok(derived) => derived,
        Err(error) => return Ok(Err(format!("it printed a model catalogue that cannot be read ({error})."))),
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
        Err(error) => Err(format!(
            "the model catalogue, without which prompts would not be pure, could not be written to '{}': {error}. \
             Make space there, or choose another directory with PROXY_DATA_DIR.",
            config.cache_dir.display()
        )),
    }
}

/// What identifies the catalogue: the binary, and who is signed in.
fn origin(config: &Config, bin: &Path) -> Option<Origin> {
    let bin = std::fs::canonicalize(bin).ok()?;
    let metadata = std::fs::metadata(&bin).ok()?;
    let auth = std::fs::metadata(config.home.path().join("auth.json")).ok();
    Some(Origin {
        format: FORMAT,
        size: metadata.len(),
        modified: seconds(metadata.modified().ok()),
        bin,
        home: config.home.path().to_owned(),
        provider: config.provider.clone(),
        auth: seconds(auth.and_then(|metadata| metadata.modified().ok())),
    })
}

fn seconds(time: Option<SystemTime>) -> u64 {
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs())
}

/// Codex's own catalogue: the account's where somebody is signed in, else the one it was built with.
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

/// The Codex at `bin`, with these arguments.
pub fn program(config: &Config, bin: &Path, arguments: Vec<String>) -> Program {
    Program {
        bin: bin.to_owned(),
        arguments,
        workdir: config.workdir.clone(),
        env: [
            ("CODEX_HOME", config.home.path().as_os_str().to_owned()),
            // Its last words are for people.
            ("RUST_BACKTRACE", "0".into()),
        ]
        .into_iter()
        .chain(config.env.clone())
        .collect(),
        hidden_env: config.hidden_env.clone(),
    }
}

/// Makes the directories Codex needs, and the configuration of a home of our own.
///
/// # Errors
/// Says which directory could not be made.
pub fn prepare_directories(config: &Config) -> Result<(), String> {
    let make = |path: &Path| {
        files::create_private_dir(path).map_err(|error| {
            format!(
                "the directory '{}' could not be made: {error}. Make it writable or choose another with \
                 PROXY_DATA_DIR, CODEX_HOME or PROXY_CODEX_WORKDIR.",
                path.display()
            )
        })
    };
    make(&config.workdir)?;
    make(&config.cache_dir)?;
    if let CodexHome::Private(home) = &config.home {
        make(home)?;
        let file = home.join("config.toml");
        write(&file, isolation::CONFIG_TOML.as_bytes())
            .map_err(|error| format!("'{}' could not be written: {error}", file.display()))?;
        forgo_log(home);
        for records in ["sessions", "archived_sessions"] {
            prune(&home.join(records));
        }
    }
    Ok(())
}

/// Codex keeps a log of its own in a database of this name, with all that an upstream says in an error: addresses and
/// tokens too. Where a directory takes the name, it goes on without one.
const CODEX_LOG: &str = "logs_2.sqlite";

fn forgo_log(home: &Path) {
    let log = home.join(CODEX_LOG);
    if log.is_dir() {
        return;
    }
    for end in ["", "-wal", "-shm"] {
        // It is not there in most cases; where it cannot be removed, the directory cannot be made either.
        drop(std::fs::remove_file(home.join(format!("{CODEX_LOG}{end}"))));
    }
    if let Err(error) = files::create_private_dir(&log) {
        tracing::warn!(%error, file = %log.display(), "Codex keeps a log of its own");
    }
}

/// Removes the conversations that older versions of Codex write down unasked, in a home of our own, once they are
/// no longer being written.
fn prune(dir: &Path) {
    const STALE: Duration = Duration::from_secs(60 * 60);
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            prune(&path);
            continue;
        }
        let written = entry.metadata().and_then(|file| file.modified()).ok();
        let stale = written.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > STALE);
        let is_record = path.extension().is_some_and(|extension| extension == "jsonl");
        if stale
            && is_record
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(%error, file = %path.display(), "a stale record of Codex's could not be removed");
        }
    }
}

/// Replaces a file in one step.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|current| current == bytes) {
        return Ok(());
    }
    files::replace(path, bytes, files::Target::Own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_codex_gives_way_to_a_directory() {
        let home = tempfile::tempdir().unwrap();
        for end in ["", "-wal", "-shm"] {
            std::fs::write(home.path().join(format!("{CODEX_LOG}{end}")), "secret").unwrap();
        }
        for _ in 0..2 {
            forgo_log(home.path());
            let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().flatten().collect();
            assert_eq!(left.len(), 1);
            assert!(left[0].file_name() == CODEX_LOG && left[0].path().is_dir());
        }
    }

    #[test]
    fn only_stale_records_are_pruned() {
        let home = tempfile::tempdir().unwrap();
        let day = home.path().join("sessions/2026/11/23");
        std::fs::create_dir_all(&day).unwrap();
        let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
        for (name, age) in [("old.jsonl", 2), ("new.jsonl", 0), ("other.txt", 2)] {
            let file = std::fs::File::create(day.join(name)).unwrap();
            file.set_modified(hours_ago(age)).unwrap();
        }
        prune(&home.path().join("sessions"));
        let mut left: Vec<_> = std::fs::read_dir(&day)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["new.jsonl", "other.txt"]);
    }
}
