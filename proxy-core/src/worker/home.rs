//! Codex's home directory: its configuration, its sign-in, and the files that are made before a start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::Config;
use crate::files;
use crate::process::Program;
use protocol::codex::{auth_file, isolation};

/// Codex's home directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodexHome {
    /// The proxy's own, with a `config.toml` the proxy writes.
    Private(PathBuf),
    /// The operator's; nothing in it is written by the proxy.
    Given(PathBuf),
}

impl CodexHome {
    /// The directory.
    pub fn path(&self) -> &Path {
        match self {
            Self::Private(path) | Self::Given(path) => path,
        }
    }

    /// The file with the sign-in. Codex reads it only at its start.
    pub fn sign_in_file(&self) -> PathBuf {
        self.path().join(auth_file::NAME)
    }

    /// The write time of the sign-in that a process started now would read, if there is one.
    pub fn sign_in(&self) -> Option<SystemTime> {
        std::fs::metadata(self.sign_in_file()).and_then(|file| file.modified()).ok()
    }
}

/// Why Codex's home could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A directory could not be created.
    #[error(
        "the directory '{}' could not be made: {cause}. Make it writable or choose another with \
         PROXY_DATA_DIR, CODEX_HOME or PROXY_CODEX_WORKDIR.",
        .directory.display()
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// A file could not be written.
    #[error("'{}' could not be written: {cause}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

/// Creates the directories that Codex needs, and the configuration of the proxy's own home.
///
/// # Errors
/// Names what could not be created.
pub fn prepare(config: &Config) -> Result<(), HomeError> {
    let make = |path: &Path| {
        files::create_private_dir(path)
            .map_err(|cause| HomeError::Directory { directory: path.to_owned(), cause })
    };
    make(&config.workdir)?;
    make(&config.cache_dir)?;
    if let CodexHome::Private(home) = &config.home {
        make(home)?;
        let file = home.join("config.toml");
        write(&file, isolation::CONFIG_TOML.as_bytes()).map_err(|cause| HomeError::File { file, cause })?;
        forgo_log(home);
        for records in ["sessions", "archived_sessions"] {
            prune(&home.join(records));
        }
    }
    Ok(())
}

/// The Codex at `bin`, with these arguments.
pub fn program(config: &Config, bin: &Path, arguments: Vec<String>) -> Program {
    Program {
        bin: bin.to_owned(),
        arguments,
        workdir: config.workdir.clone(),
        env: [
            ("CODEX_HOME", config.home.path().as_os_str().to_owned()),
            // Codex's last messages are shown to people.
            ("RUST_BACKTRACE", "0".into()),
        ]
        .into_iter()
        .chain(config.env.clone())
        .collect(),
        hidden_env: config.hidden_env.clone(),
    }
}

/// The database in which Codex keeps a log of its own, with every text of an upstream's errors, also addresses and
/// tokens. Where a directory has this name, Codex works without the log.
const CODEX_LOG: &str = "logs_2.sqlite";

fn forgo_log(home: &Path) {
    let log = home.join(CODEX_LOG);
    if log.is_dir() {
        return;
    }
    for end in ["", "-wal", "-shm"] {
        // The file mostly does not exist; if it cannot be removed, the directory cannot be created either.
        drop(std::fs::remove_file(home.join(format!("{CODEX_LOG}{end}"))));
    }
    if let Err(error) = files::create_private_dir(&log) {
        tracing::warn!(%error, file = %log.display(), "Codex keeps a log of its own");
    }
}

/// Removes the conversations that older versions of Codex write unasked into the proxy's own home, once they are
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

/// Replaces a file in one step, unless it already has this content. Workers that start at the same time write the
/// same files, one after the other.
///
/// # Errors
/// The system's error.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static WRITING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    if std::fs::read(path).is_ok_and(|current| current == bytes) {
        return Ok(());
    }
    files::replace(path, bytes, files::Target::Own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_start_at_once_write_one_file() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config.toml");
        let bytes = isolation::CONFIG_TOML.as_bytes();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|_| scope.spawn(|| write(&file, bytes))).collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
        });
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
    }

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
