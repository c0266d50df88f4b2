//! Reads lines of bounded length from a child's output.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;

use memchr::memchr;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz;

/// The longest line of a protocol, in bytes. Codex repeats its input, images included.
pub(super) const LONGEST_MESSAGE: usize = 64 << 20;

/// How an error describes a child that prints a longer line.
pub(super) const TOO_LONG: &str = "printed a line of more than 64 MiB, which is too long";

/// The bytes that are kept of a line that is too long: enough to find its turn.
const HEAD: usize = 1024;

/// Reads lines of bounded length. A line over the limit is skipped; the stream continues.
pub(super) struct LineReader<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// The longest line, in bytes.
    longest: usize,
    /// Whether the rest of a line that is too long has still to come.
    skipping: bool,
    taken: bool,
}

pub(super) enum Line<'a> {
    Text(&'a str),
    /// Returned at once, with the beginning of the line. The rest is skipped, because it may never end.
    TooLong(&'a str),
    NotText,
    End,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of at most `longest` bytes.
    pub(super) fn new(reader: R, longest: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1024, reader),
            line: Vec::new(),
            longest,
            skipping: false,
            taken: false,
        }
    }

    /// The next line. Cancel-safe: bytes that have been read are kept.
    pub(super) async fn next(&mut self) -> std::io::Result<Line<'_>> {
        if std::mem::take(&mut self.taken) {
            if self.line.capacity() > 1024 * 1024 {
                self.line = Vec::new();
            }
            self.line.clear();
        }
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                if self.line.is_empty() {
                    return Ok(Line::End);
                }
                break;
            }
            let end = memchr(b'\n', chunk);
            let length = end.unwrap_or(chunk.len());
            let (skipped, fits) = (self.skipping, self.line.len() + length <= self.longest);
            if fits && !skipped {
                self.line.extend_from_slice(&chunk[..length]);
            } else if !skipped {
                let missing = HEAD.saturating_sub(self.line.len()).min(length);
                self.line.extend_from_slice(&chunk[..missing]);
            }
            self.reader.consume(length + usize::from(end.is_some()));
            self.skipping = end.is_none() && (skipped || !fits);
            match (skipped, fits, end) {
                (true, ..) | (false, true, None) => {}
                (false, false, _) => {
                    self.line.truncate(HEAD);
                    self.line.shrink_to_fit();
                    self.taken = true;
                    let head = self.line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                    return Ok(Line::TooLong(head));
                }
                (false, true, Some(_)) => break,
            }
        }
        self.taken = true;
        Ok(std::str::from_utf8(&self.line).map_or(Line::NotText, Line::Text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: usize = 100_000;

    async fn read(bytes: &[u8]) -> Vec<String> {
        let mut reader = LineReader::new(bytes, LONGEST);
        let mut lines = Vec::new();
        loop {
            lines.push(match reader.next().await.unwrap() {
                Line::Text(text) => text.to_owned(),
                Line::TooLong(head) => format!("too long: {} x", head.len()),
                Line::NotText => "not text".to_owned(),
                Line::End => return lines,
            });
        }
    }

    #[tokio::test]
    async fn lines_come_whole_and_bad_ones_alone_are_lost() {
        assert_eq!(read(b"a\n\nb\xff\nc").await, ["a", "", "not text", "c"]);
        for (length, whole) in [(LONGEST, true), (LONGEST + 1, false), (3 * LONGEST, false)] {
            let long = "x".repeat(length);
            let first = if whole { long.clone() } else { format!("too long: {HEAD} x") };
            assert_eq!(
                read(format!("{long}\nnext\n").as_bytes()).await,
                [first, "next".to_owned()],
                "{length}"
            );
        }
        assert_eq!(read("x".repeat(LONGEST + 1).as_bytes()).await, [format!("too long: {HEAD} x")]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_told_of_before_its_end() {
        let mut reader = LineReader::new(tokio::io::repeat(b'y'), LONGEST);
        assert!(matches!(reader.next().await, Ok(Line::TooLong(head)) if head.len() == HEAD));
        assert!(reader.line.capacity() <= 2 * HEAD);
    }

    proptest! {
        #[test]
        fn lines_are_read_however_they_come(
            lines in prop::collection::vec("[^\\n]{0,40}", 0..8), piece in 1usize..9, cut in any::<bool>(),
        ) {
            let ended = lines.iter().any(|line| !line.is_empty());
            let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            // The last line needs no newline; an empty one does not count then.
            if cut && lines.last().is_some_and(|line| !line.is_empty()) {
                text.pop();
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let found = runtime.block_on(async {
                let (mut child, ours) = tokio::io::duplex(piece);
                let writing = async move {
                    tokio::io::AsyncWriteExt::write_all(&mut child, text.as_bytes()).await.unwrap();
                };
                let reading = async {
                    let mut reader = LineReader::new(ours, LONGEST);
                    let mut found = Vec::new();
                    while let Line::Text(line) = reader.next().await.unwrap() {
                        found.push(line.to_owned());
                    }
                    found
                };
                tokio::join!(writing, reading).1
            });
            prop_assert!(ended || found.iter().all(String::is_empty));
            prop_assert_eq!(found, lines);
        }
    }
}
