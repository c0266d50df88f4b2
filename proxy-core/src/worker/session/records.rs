//! The files to which Codex writes the transcripts that it compacts, and nothing else.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::File;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::worker::lines::{LONGEST_MESSAGE, Line, LineReader};
use protocol::codex::{TurnKey, compaction};

/// How often a file is read before it counts as a file without a compact form: Codex may still be writing it.
const ATTEMPTS: u32 = 30;

/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(100);

/// The line of a file that is a compact form, or why there is none.
pub(super) type Found = Result<String, String>;

/// The files that exist at present. Those that are left when it is dropped are deleted.
#[derive(Debug, Default)]
pub(super) struct Records {
    files: HashMap<TurnKey, PathBuf>,
    reads: JoinSet<(TurnKey, Found)>,
}

impl Records {
    /// Codex writes this turn's transcript to `file`.
    pub(super) fn add(&mut self, key: TurnKey, file: PathBuf) {
        self.files.insert(key, file);
    }

    /// Reads the file of a turn; [`Self::next`] returns what is found.
    pub(super) fn read(&mut self, key: TurnKey) {
        let file = self.files.get(&key).cloned();
        self.reads.spawn(async move {
            match file {
                Some(file) => (key, find(&file).await),
                None => (key, Err("its file is not known".to_owned())),
            }
        });
    }

    /// The next file that was read; `None` if none is being read.
    pub(super) async fn next(&mut self) -> Option<(TurnKey, Found)> {
        match self.reads.join_next().await? {
            Ok(read) => Some(read),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Nothing aborts a read.
                Err(_) => None,
            },
        }
    }

    /// Codex was asked to delete the file of a turn.
    pub(super) fn deleted(&mut self, key: TurnKey) {
        if let Some(file) = self.files.remove(&key) {
            remove(&file);
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        for file in self.files.values() {
            remove(file);
        }
    }
}

fn remove(file: &Path) {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, file = %file.display(), "a transcript that Codex wrote could not be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

async fn find(file: &Path) -> Found {
    for _ in 0..ATTEMPTS {
        match last(file).await {
            Ok(Some(line)) => return Ok(line),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
        }
        sleep(PAUSE).await;
    }
    Err("its file has none".to_owned())
}

/// The last compact form in a file.
async fn last(file: &Path) -> std::io::Result<Option<String>> {
    let mut reader = LineReader::new(File::open(file).await?, LONGEST_MESSAGE);
    let mut found = None;
    loop {
        match reader.next().await? {
            Line::Text(line) if compaction::is_compaction(line) => found = Some(line.to_owned()),
            Line::Text(_) | Line::TooLong(_) | Line::NotText => {}
            Line::End => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u32) -> String {
        format!("{{\"type\":\"compacted\",\"payload\":{{\"window_number\":{number}}}}}\n")
    }

    #[tokio::test]
    async fn the_last_compact_form_is_found_and_the_file_goes() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("rollout.jsonl");
        std::fs::write(&file, format!("{{\"type\":\"other\"}}\n{}{}{{}}\n", line(1), line(2))).unwrap();
        let mut records = Records::default();
        records.add(TurnKey(1), file.clone());
        records.read(TurnKey(1));
        assert_eq!(records.next().await, Some((TurnKey(1), Ok(line(2).trim().to_owned()))));
        assert_eq!(records.next().await, None);
        records.deleted(TurnKey(1));
        assert!(!file.exists(), "Codex did not delete it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_one_is_an_error_and_goes_with_the_session() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("rollout.jsonl");
        std::fs::write(&file, "{\"type\":\"other\"}\n").unwrap();
        let mut records = Records::default();
        records.add(TurnKey(1), file.clone());
        for key in [1, 2] {
            records.read(TurnKey(key));
            let (read, found) = records.next().await.unwrap();
            assert_eq!((read, found.is_err()), (TurnKey(key), true));
        }
        drop(records);
        assert!(!file.exists());
    }
}
