//! Lines of a child's output, of bounded length.

use memchr::memchr;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// A line longer than this is left out. Codex echoes what it is given, images included.
const MAX_LINE: usize = 64 * 1024 * 1024;

/// What is kept of a line that is left out: enough to tell whose it is.
const HEAD: usize = 1024;

/// Reads lines of bounded length; a line that breaks the bounds is skipped, not the stream.
pub(super) struct LineReader<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    skipped: usize,
    taken: bool,
}

pub(super) enum Line<'a> {
    Text(&'a str),
    TooLong(TooLong<'a>),
    NotText,
    End,
}

/// A line that was left out.
#[derive(Clone, Copy)]
pub(super) struct TooLong<'a> {
    /// Its length.
    pub bytes: usize,
    /// Its beginning.
    pub head: &'a str,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1024, reader),
            line: Vec::new(),
            skipped: 0,
            taken: false,
        }
    }

    /// The next line. Cancel-safe: what has been read stays.
    pub(super) async fn next(&mut self) -> std::io::Result<Line<'_>> {
        if std::mem::take(&mut self.taken) {
            if self.line.capacity() > 1024 * 1024 {
                self.line = Vec::new();
            }
            self.line.clear();
            self.skipped = 0;
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
            if self.skipped > 0 {
                self.skipped += length;
            } else if self.line.len() + length > MAX_LINE {
                self.skipped = self.line.len() + length;
                self.line.truncate(HEAD);
                self.line.shrink_to_fit();
            } else {
                self.line.extend_from_slice(&chunk[..length]);
            }
            self.reader.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                break;
            }
        }
        self.taken = true;
        if self.skipped > 0 {
            let head = self.line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            return Ok(Line::TooLong(TooLong { bytes: self.skipped, head }));
        }
        Ok(std::str::from_utf8(&self.line).map_or(Line::NotText, Line::Text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Vec<String> {
        let mut reader = LineReader::new(bytes);
        let mut lines = Vec::new();
        loop {
            lines.push(match reader.next().await.unwrap() {
                Line::Text(text) => text.to_owned(),
                Line::TooLong(line) => format!("too long: {} of {}", line.head.len(), line.bytes),
                Line::NotText => "not text".to_owned(),
                Line::End => return lines,
            });
        }
    }

    #[tokio::test]
    async fn lines_come_whole_and_bad_ones_alone_are_lost() {
        assert_eq!(read(b"a\n\nb\xff\nc").await, ["a", "", "not text", "c"]);
        let mut long = vec![b'x'; MAX_LINE + 1];
        long.extend_from_slice(b"\nnext\n");
        assert_eq!(read(&long).await, [format!("too long: {HEAD} of {}", MAX_LINE + 1), "next".to_owned()]);
    }
}
