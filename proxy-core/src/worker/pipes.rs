//! A child's input, and its output on stderr.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::lines::{Line, LineReader};
use crate::process::tail;
use crate::secret::redact::redact;
use protocol::codex;

/// The last bytes of a child's stderr that are shown to people.
const LAST_WORDS: usize = 400;

/// The size up to which lines are joined, in bytes, so that many short ones are one write.
const MAX_JOINED: usize = 64 * 1024;

/// The lines of stderr that are kept for that.
const KEPT: usize = 8;

/// The longest line of stderr, in bytes.
const LONGEST: usize = 64 * 1024;

/// The characters of a line of stderr that are logged.
const LOGGED: usize = 2000;

/// The last lines of a child's stderr. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    fn add(&self, line: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(line.to_owned());
    }

    /// The text in a form that may be shown: first masked, then cut.
    pub(super) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let masked: Vec<String> = kept.iter().map(|line| masked(line)).collect();
        tail(&masked.join(" / "), LAST_WORDS).to_owned()
    }
}

/// A line in a form that may be logged. It is masked before it is cut, because half a key would not be recognised.
fn masked(line: &str) -> String {
    redact(line).chars().take(LOGGED).collect()
}

/// Writes until there is nothing more to write, then closes the child's input and stays pending.
pub(super) async fn write_lines(
    mut stdin: impl AsyncWrite + Unpin,
    mut lines: mpsc::Receiver<codex::Line>,
) -> std::io::Result<()> {
    let mut joined = Vec::new();
    while let Some(line) = lines.recv().await {
        // Short lines are joined to one write; a long one is not copied.
        let mut next = Some(line);
        while let Some(line) = next {
            if line.len() > MAX_JOINED {
                stdin.write_all(&joined).await?;
                joined.clear();
                stdin.write_all(line.as_bytes()).await?;
            } else {
                joined.extend_from_slice(line.as_bytes());
            }
            joined.push(b'\n');
            next = if joined.len() < MAX_JOINED { lines.try_recv().ok() } else { None };
        }
        stdin.write_all(&joined).await?;
        joined.clear();
    }
    drop(stdin);
    std::future::pending().await
}

/// Logs each line of Codex's stderr, cut to a maximum length, and keeps the last ones.
pub(super) async fn log_complaints(stderr: impl AsyncRead + Unpin, last_words: LastWords) {
    let mut reader = LineReader::new(stderr, LONGEST);
    loop {
        match reader.next().await {
            Ok(Line::Text(line)) => {
                // The argument is only computed if the line is logged.
                tracing::debug!(target: "codex", "{}", masked(line));
                last_words.add(line);
            }
            Ok(Line::TooLong(_) | Line::NotText) => {}
            Ok(Line::End) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_words_are_masked_before_they_are_cut() {
        let last_words = LastWords::default();
        log_complaints(&b"first\n\xff\nsecond"[..], last_words.clone()).await;
        assert_eq!(last_words.text(), "first / second");
        // The cut would go through the key.
        let line = format!("{} Bearer {} end", "x".repeat(3000), "k".repeat(LAST_WORDS + 100));
        log_complaints(line.as_bytes(), last_words.clone()).await;
        assert!(!last_words.text().contains("kkk"), "{}", last_words.text());
        let many = "y\n".repeat(100_000);
        log_complaints(many.as_bytes(), last_words.clone()).await;
        assert_eq!(last_words.text(), ["y"; KEPT].join(" / "));
    }
}
