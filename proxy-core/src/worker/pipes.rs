//! What goes into a child's input, and what becomes of its complaints.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::sync::mpsc;

use super::lines::{Line, LineReader};
use super::process::tail;
use crate::codex;
use crate::secret::redact::redact;

/// Bytes of a child's last complaints that are kept.
const LAST_WORDS: usize = 400;

/// Bytes that lines are joined up to, so that many short ones are one write.
const MAX_JOINED: usize = 64 * 1024;

/// Writes until there is nothing more to write, then closes the child's input and stays pending.
pub(super) async fn write_lines(
    mut stdin: ChildStdin,
    mut lines: mpsc::Receiver<codex::Line>,
) -> std::io::Result<()> {
    let mut joined = Vec::new();
    while let Some(line) = lines.recv().await {
        // Short lines go in one piece; a long one is not copied.
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

/// Codex's complaints go to the log, cut to a line's length each; the last ones are kept.
pub(super) async fn log_complaints(stderr: impl AsyncRead + Unpin, last_words: Arc<Mutex<String>>) {
    let mut reader = LineReader::new(stderr);
    loop {
        match reader.next().await {
            Ok(Line::Text(line)) => {
                let end = line.char_indices().nth(2000).map_or(line.len(), |(end, _)| end);
                // A person is shown these words too, not only the log.
                let said = redact(&line[..end]);
                tracing::debug!(target: "codex", "{said}");
                let mut kept = last_words.lock().unwrap_or_else(PoisonError::into_inner);
                let joined = if kept.is_empty() { said.into_owned() } else { format!("{kept} / {said}") };
                *kept = tail(&joined, LAST_WORDS).to_owned();
            }
            Ok(Line::TooLong(_) | Line::NotText) => {}
            Ok(Line::End) | Err(_) => return,
        }
    }
}
