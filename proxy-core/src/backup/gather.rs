//! Collects all data of the user for a backup, in a consistent state.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use tempfile::TempDir;

use super::Places;
use super::error::BackupError;
use super::manifest::{FORMAT, FileEntry, Manifest, Part, fits, name_of};
use super::private::{private_folder, sha256};
use crate::usage::{self, Snapshot};
use crate::{keys, response_store};

/// The maximum size of a file in bytes. Settings, keys and prompts are much shorter.
const MOST_BYTES: u64 = 64 << 20;

/// The content of an archive.
#[derive(Debug)]
pub struct Gathered {
    /// What it is.
    pub manifest: Manifest,
    /// A tag that distinguishes the backups of different data directories.
    pub tag: String,
    /// The content of each file.
    pub(super) sources: Vec<Source>,
    /// The directory with the copies of the databases.
    _copy: Option<TempDir>,
}

/// The source of the content of a file.
#[derive(Debug)]
pub(super) enum Source {
    /// In memory.
    Bytes(Zeroizing<Vec<u8>>),
    /// In a file that does not change.
    File(PathBuf),
}

/// Collects the data, while a proxy may be running and writing. The keys in the keychain and the stored responses are
/// included only if the archive will be encrypted.
///
/// # Errors
/// If there are no data, or if something cannot be read.
pub fn gather(places: &Places, encrypted: bool) -> Result<Gathered, BackupError> {
    let mut found = Found::default();
    found.keys(places, encrypted)?;
    for name in ["api-key", "clients.json"] {
        found.file(Part::Data, name, &places.data_dir.join(name))?;
    }
    let copy = found.databases(places, encrypted)?;
    for (name, file) in [("config.toml", &places.settings), ("app.json", &places.application)] {
        if let Some(file) = file {
            found.file(Part::Settings, name, file)?;
        }
    }
    for name in Part::CodexHome.files() {
        found.file(Part::CodexHome, name, &places.codex_home.join(name))?;
    }
    for name in Part::CodexHome.directories() {
        found.directory(Part::CodexHome, &places.codex_home, Path::new(name))?;
    }
    if found.files.is_empty() {
        return Err(BackupError::Nothing(places.data_dir.clone()));
    }
    let manifest = Manifest {
        format: FORMAT,
        product: env!("CARGO_PKG_VERSION").to_owned(),
        created: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        files: found.files,
        left_out: found.left_out,
    };
    let whose = found.installation.unwrap_or_else(|| places.data_dir.display().to_string());
    let mut tag = sha256(&mut whose.as_bytes()).map_err(BackupError::file("read", &places.data_dir))?;
    tag.truncate(TAG);
    Ok(Gathered { manifest, tag, sources: found.sources, _copy: copy })
}

/// The length of a tag in characters.
pub(super) const TAG: usize = 8;

#[derive(Default)]
struct Found {
    files: Vec<FileEntry>,
    sources: Vec<Source>,
    left_out: Vec<String>,
    /// The id of this installation in the list of keys.
    installation: Option<String>,
}

impl Found {
    fn keys(&mut self, places: &Places, encrypted: bool) -> Result<(), BackupError> {
        let Some(keys) = keys::portable(&places.keys, encrypted)? else { return Ok(()) };
        let index: serde_json::Value = serde_json::from_slice(&keys.index).unwrap_or_default();
        self.installation = index["installation"].as_str().map(str::to_owned);
        self.bytes(Part::Data, "keys.json", Zeroizing::new(keys.index))?;
        if let Some(secrets) = keys.secrets {
            self.bytes(Part::Data, "key-secrets", Zeroizing::new(secrets.as_bytes().to_vec()))?;
        }
        for (name, reason) in keys.left_out {
            let how = if encrypted { "" } else { "; an encrypted backup includes it" };
            self.left_out.push(format!(
                "The text of the API key `{name}` ({reason}{how}). After a restore, clients with this key still get in."
            ));
        }
        Ok(())
    }

    /// Copies the databases and the journal of usage into the data directory.
    fn databases(&mut self, places: &Places, encrypted: bool) -> Result<Option<TempDir>, BackupError> {
        if places.data_dir.symlink_metadata().is_err() {
            return Ok(None);
        }
        let copy = private_folder(&places.data_dir)?;
        let Snapshot { database, journal } = usage::snapshot(&places.usage, copy.path())?;
        if let Some(file) = database {
            self.still(Part::Data, "proxy.db", file)?;
        }
        for file in journal {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.still(Part::Data, &format!("usage-journal/{name}"), file)?;
        }
        self.responses(places, copy.path(), encrypted)?;
        Ok(Some(copy))
    }

    /// Copies the stored responses. They are what a person has asked and was answered, so that no file that anybody can
    /// read gets a copy. That they cannot be copied does not prevent a backup of everything else.
    fn responses(&mut self, places: &Places, into: &Path, encrypted: bool) -> Result<(), BackupError> {
        let why = match response_store::snapshot(&places.data_dir, into) {
            Ok(None) => return Ok(()),
            Ok(Some(file)) if encrypted => return self.still(Part::Data, response_store::FILE, file),
            Ok(Some(_)) => "they are prompts and answers; an encrypted backup includes them".to_owned(),
            Err(error) => error.to_string(),
        };
        self.left_out.push(format!("The stored responses, conversations and chat completions ({why})."));
        Ok(())
    }

    /// Adds a file that may be missing and may change at any time.
    fn file(&mut self, part: Part, path: &str, file: &Path) -> Result<(), BackupError> {
        let Some(bytes) = settled(file)? else { return Ok(()) };
        self.bytes(part, path, bytes)
    }

    /// Adds the files in a directory that may be missing. Links, and names that are not valid on every system,
    /// are left out.
    fn directory(&mut self, part: Part, root: &Path, below: &Path) -> Result<(), BackupError> {
        let directory = root.join(below);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                return Ok(());
            }
            Err(source) => return Err(BackupError::File { what: "read", path: directory, source }),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let below = below.join(path.file_name().unwrap_or_default());
            let is = |test: fn(&fs::FileType) -> bool| {
                path.symlink_metadata().is_ok_and(|about| test(&about.file_type()))
            };
            if is(fs::FileType::is_dir) && fits(part, &below.join("x")) {
                self.directory(part, root, &below)?;
            } else if is(fs::FileType::is_file) && fits(part, &below) {
                let name = below.iter().map(|step| step.to_string_lossy()).collect::<Vec<_>>().join("/");
                self.file(part, &name, &path)?;
            } else {
                self.left_out
                    .push(format!("{} (a link, or a name that does not belong to a backup)", path.display()));
            }
        }
        Ok(())
    }

    fn bytes(&mut self, part: Part, path: &str, bytes: Zeroizing<Vec<u8>>) -> Result<(), BackupError> {
        let digest = sha256(&mut bytes.as_slice()).map_err(BackupError::file("read", Path::new(path)))?;
        let entry = FileEntry { path: name_of(part, path), bytes: bytes.len() as u64, sha256: digest };
        self.files.push(entry);
        self.sources.push(Source::Bytes(bytes));
        Ok(())
    }

    fn still(&mut self, part: Part, path: &str, file: PathBuf) -> Result<(), BackupError> {
        let look = || Ok((file.metadata()?.len(), sha256(&mut File::open(&file)?)?));
        let (bytes, digest) = look().map_err(BackupError::file("read", &file))?;
        self.files.push(FileEntry { path: name_of(part, path), bytes, sha256: digest });
        self.sources.push(Source::File(file));
        Ok(())
    }
}

/// The maximum number of reads until a file stays the same, and the time between two reads.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// The content of a file. Codex overwrites its sign-in in place, so the file is read until two reads give the
/// same bytes. A file with a JSON name also has to be complete JSON.
fn settled(file: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, BackupError> {
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let Some(mut before) = read(file)? else { return Ok(None) };
    for _ in 0..TRIES {
        let Some(now) = read(file)? else { return Ok(None) };
        let is_whole = !is_json || serde_json::from_slice::<serde::de::IgnoredAny>(&now).is_ok();
        if is_whole && now == before {
            return Ok(Some(now));
        }
        before = now;
        pause();
    }
    let restless =
        io::Error::other("another program keeps writing to it, or has not finished writing it; try again");
    Err(BackupError::file("read", file)(restless))
}

#[expect(clippy::disallowed_methods, reason = "nobody tells when another program has finished a file")]
fn pause() {
    thread::sleep(PAUSE);
}

fn read(file: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, BackupError> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(None);
        }
        Err(source) => return Err(BackupError::File { what: "read", path: file.to_owned(), source }),
    };
    let about = opened.metadata().map_err(BackupError::file("read", file))?;
    if !about.is_file() {
        return Ok(None);
    }
    if about.len() > MOST_BYTES {
        return Err(BackupError::TooLong { path: file.to_owned(), most: MOST_BYTES });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1));
    opened.take(MOST_BYTES).read_to_end(&mut bytes).map_err(BackupError::file("read", file))?;
    Ok(Some(bytes))
}
