//! Records the changes in the settings of other programs, so that they can be undone.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    file: PathBuf,
    /// The path of the backup copy; `None` if there was no file.
    pub(super) backup: Option<PathBuf>,
    /// A hash of the text that was written; `None` if the file also had other changes.
    digest: Option<String>,
}

impl Change {
    pub(super) fn new(file: &Path, backup: Option<PathBuf>, wrote: Option<&str>) -> Self {
        Self { file: file.to_owned(), backup, digest: wrote.map(digest) }
    }

    /// Whether `text` is the text that was written.
    pub(super) fn wrote(&self, text: &str) -> bool {
        self.digest.as_ref().is_some_and(|known| *known == digest(text))
    }
}

/// The changes on disk, by client.
#[derive(Debug)]
pub(super) struct Record(PathBuf);

impl Record {
    pub(super) fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// The change of this client's file, if there is one.
    pub(super) fn of(&self, client: &str, file: &Path) -> Option<Change> {
        self.read().remove(client).filter(|change| change.file == file)
    }

    /// Records a change, or removes the record.
    pub(super) fn note(&mut self, client: &str, change: Option<Change>) -> io::Result<()> {
        let mut changes = self.read();
        match change {
            Some(change) => changes.insert(client.to_owned(), change),
            None => changes.remove(client),
        };
        files::replace(&self.0, serde_json::to_vec_pretty(&changes)?, files::Target::Secret)
    }

    fn read(&self) -> BTreeMap<String, Change> {
        let text = files::read(&self.0).ok().flatten().unwrap_or_default();
        if text.is_empty() {
            return BTreeMap::new();
        }
        serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(file = %self.0.display(), %error, "what was changed in clients' settings is not known");
            BTreeMap::new()
        })
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
