//! The manifest of an archive: its first entry, and the only names that an archive may contain.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::BackupError;

/// The newest format number that this version reads and writes.
pub const FORMAT: u32 = 1;
/// The name of the first entry of an archive.
pub(super) const NAME: &str = "manifest.json";
/// The maximum length of a manifest in bytes.
pub(super) const MOST_MANIFEST: u64 = 4 << 20;
const MOST_FILES: usize = 10_000;
const MOST_BYTES: u64 = 64 << 30;
/// The maximum ratio of the content to the archive. Gzip can reach a thousand; databases reach about ten.
const MOST_GROWTH: u64 = 200;
/// The bytes that the content of a small archive may have in any case.
const FREE_GROWTH: u64 = 64 << 20;
/// The maximum depth of directories.
const MOST_DEPTH: usize = 8;

/// The content of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format number.
    pub format: u32,
    /// The version of the proxy that made it.
    pub product: String,
    /// The creation time, in RFC 3339.
    pub created: String,
    /// The files, in the order of the archive.
    pub files: Vec<FileEntry>,
    /// What is not in the archive, in sentences for people.
    pub left_out: Vec<String>,
}

/// The entry of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The name in the archive: the name of a part and a path below it.
    pub path: String,
    /// The length in bytes.
    pub bytes: u64,
    /// The SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

/// The parts of an archive: the directory to which a file belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The data directory.
    Data,
    /// The directories of the settings.
    Settings,
    /// The home directory of Codex.
    CodexHome,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Data, Self::Settings, Self::CodexHome];

    /// The name of the part in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Settings => "settings",
            Self::CodexHome => "codex-home",
        }
    }

    /// The user's files directly in this directory.
    pub(super) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Data => {
                &["api-key", "clients.json", "key-secrets", "keys.json", "proxy.db", "responses.db"]
            }
            Self::Settings => &["config.toml", "app.json"],
            Self::CodexHome => &["auth.json", "config.toml", "AGENTS.md", "AGENTS.override.md"],
        }
    }

    /// The directories in it that contain only files of the user.
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
    /// The target of a file: a part and a path below it, which cannot lead outside.
    ///
    /// # Errors
    /// If the name is not valid in a backup.
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

/// Whether the name is a plain file name on every system.
pub(super) fn is_plain(step: &str) -> bool {
    !step.is_empty()
        && step.len() <= 200
        && !step.starts_with('.')
        && !step.ends_with(['.', ' '])
        && !step.chars().any(|c| c.is_control() || r#"/\:*?"<>|"#.contains(c))
}

impl Manifest {
    /// Parses a manifest, and checks it against the length of its archive.
    pub(super) fn parse(text: &[u8], archive_bytes: u64) -> Result<Self, BackupError> {
        /// The fields that every format has.
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
            // Some file systems ignore the case of letters.
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

    /// The total number of bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Makes a text from an archive safe for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

/// Whether to include a path of a part.
pub(super) fn fits(part: Part, path: &Path) -> bool {
    let text = path.iter().map(|step| step.to_string_lossy()).collect::<Vec<_>>().join("/");
    let entry = FileEntry { path: name_of(part, &text), bytes: 0, sha256: String::new() };
    entry.path.len() <= 250 && entry.place().is_ok()
}
