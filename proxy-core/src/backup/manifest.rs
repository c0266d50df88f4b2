//! What is in an archive: its first entry, and the only names that an archive may hold.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::BackupError;

/// The newest form of the archive that this version reads and writes.
pub const FORMAT: u32 = 1;
/// The name of the first entry of an archive.
pub(super) const NAME: &str = "manifest.json";
/// No manifest is as long.
pub(super) const MOST_MANIFEST: u64 = 4 << 20;
const MOST_FILES: usize = 10_000;
const MOST_BYTES: u64 = 64 << 30;
/// So much larger than the archive may its content be; gzip can make a thousand bytes of one. Databases come to ten.
const MOST_GROWTH: u64 = 200;
/// Small archives may grow more.
const FREE_GROWTH: u64 = 64 << 20;
/// Directories in a directory.
const MOST_DEPTH: usize = 8;

/// What is said of an archive in its first entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the archive.
    pub format: u32,
    /// The version of the proxy that made it.
    pub product: String,
    /// When it was made, in RFC 3339.
    pub created: String,
    /// The files, in the archive's order.
    pub files: Vec<FileEntry>,
    /// What does not come along, in sentences for people.
    pub left_out: Vec<String>,
}

/// A file in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the archive: a part's name and a path below it.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// Whose place a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The data directory.
    Data,
    /// The directories of settings.
    Settings,
    /// Codex's home.
    CodexHome,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Data, Self::Settings, Self::CodexHome];

    /// Its name in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Settings => "settings",
            Self::CodexHome => "codex-home",
        }
    }

    /// The files directly in it that are the user's.
    pub(super) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Data => &["api-key", "clients.json", "key-secrets", "keys.json", "proxy.db"],
            Self::Settings => &["config.toml", "app.json"],
            Self::CodexHome => &["auth.json", "config.toml", "AGENTS.md", "AGENTS.override.md"],
        }
    }

    /// The directories in it all of whose files are the user's.
    pub(super) fn directories(self) -> &'static [&'static str] {
        match self {
            Self::Data => &["usage-journal"],
            Self::Settings => &[],
            Self::CodexHome => &["prompts", "rules", "skills"],
        }
    }
}

/// The name in the archive of a path below a part.
pub(super) fn name_of(part: Part, path: &str) -> String {
    format!("{}/{path}", part.as_str())
}

impl FileEntry {
    /// Where it belongs: a part and a path below it that can lead nowhere else.
    ///
    /// # Errors
    /// When it is no name that a backup has.
    pub(super) fn place(&self) -> Result<(Part, PathBuf), BackupError> {
        let strange = || {
            BackupError::broken(format!(
                "it names `{}`, which does not belong to a backup",
                shown(&self.path)
            ))
        };
        let (part, below) = self.path.split_once('/').ok_or_else(strange)?;
        let part = Part::ALL.into_iter().find(|known| known.as_str() == part).ok_or_else(strange)?;
        let steps: Vec<&str> = below.split('/').collect();
        let is_known = match steps.as_slice() {
            [] => false,
            [file] => part.files().contains(file),
            [directory, rest @ ..] => {
                part.directories().contains(directory)
                    && rest.len() <= MOST_DEPTH
                    && rest.iter().all(|step| is_plain(step))
            }
        };
        if is_known { Ok((part, steps.iter().collect())) } else { Err(strange()) }
    }
}

/// Whether this is the name of a file everywhere, and of nothing else anywhere.
pub(super) fn is_plain(step: &str) -> bool {
    !step.is_empty()
        && step.len() <= 200
        && !step.starts_with('.')
        && !step.ends_with(['.', ' '])
        && !step.chars().any(|c| c.is_control() || r#"/\:*?"<>|"#.contains(c))
}

impl Manifest {
    /// Reads one, and holds it against the length of its archive.
    pub(super) fn parse(text: &[u8], archive_bytes: u64) -> Result<Self, BackupError> {
        /// What every version's has.
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
            #[serde(default)]
            product: String,
        }
        let unreadable =
            |error: serde_json::Error| BackupError::broken(format!("its manifest is not one: {error}"));
        let Versioned { format, product } = serde_json::from_slice(text).map_err(unreadable)?;
        if format > FORMAT {
            return Err(BackupError::Newer { found: format, known: FORMAT, product: shown(&product) });
        }
        let manifest: Self = serde_json::from_slice(text).map_err(unreadable)?;
        manifest.check(archive_bytes)?;
        Ok(manifest)
    }

    fn check(&self, archive_bytes: u64) -> Result<(), BackupError> {
        if self.files.is_empty() || self.files.len() > MOST_FILES {
            return Err(BackupError::broken(format!("it names {} files", self.files.len())));
        }
        let (mut names, mut total) = (HashSet::new(), 0_u64);
        for file in &self.files {
            file.place()?;
            // Some file systems tell no capitals from small letters.
            if !names.insert(file.path.to_lowercase()) {
                return Err(BackupError::broken(format!("it names `{}` twice", shown(&file.path))));
            }
            total = total.saturating_add(file.bytes);
        }
        let most = archive_bytes.saturating_mul(MOST_GROWTH).saturating_add(FREE_GROWTH).min(MOST_BYTES);
        if total > most {
            let reason = format!("it would unpack to {total} bytes, which no backup of its length does");
            return Err(BackupError::Broken(reason));
        }
        Ok(())
    }

    /// The files of a part, with their paths below it.
    pub(super) fn of(&self, part: Part) -> impl Iterator<Item = PathBuf> {
        self.files.iter().filter_map(move |file| {
            let (found, path) = file.place().ok()?;
            (found == part).then_some(path)
        })
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A text from an archive, for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

/// Whether a path is one of a part's, to be gathered.
pub(super) fn fits(part: Part, path: &Path) -> bool {
    let text = path.iter().map(|step| step.to_string_lossy()).collect::<Vec<_>>().join("/");
    let entry = FileEntry { path: name_of(part, &text), bytes: 0, sha256: String::new() };
    entry.path.len() <= 250 && entry.place().is_ok()
}
