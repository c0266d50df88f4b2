//! Writes lines to stdout: buffered, and split into small writes if a scenario requests it.

use std::collections::HashSet;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The buffered output of the fake.
pub(super) struct Output<W: Write> {
    sink: W,
    buffer: Vec<u8>,
    opted_out: HashSet<String>,
    split: Option<usize>,
}

impl<W: Write> Output<W> {
    pub(super) fn new(sink: W) -> Self {
        Self { sink, buffer: Vec::with_capacity(1 << 16), opted_out: HashSet::new(), split: None }
    }

    /// Leaves out notifications of these methods from now on.
    pub(super) fn opt_out(&mut self, methods: impl IntoIterator<Item = String>) {
        self.opted_out.extend(methods);
    }

    /// Writes what is there, and from now on at most `size` bytes at once.
    pub(super) fn split(&mut self, size: usize) -> io::Result<()> {
        self.flush()?;
        self.split = Some(size.max(1));
        Ok(())
    }

    /// A message without a time stamp: an answer or a server request.
    pub(super) fn message(&mut self, message: &Value) -> io::Result<()> {
        writeln!(self.buffer, "{message}")
    }

    /// Any line.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.buffer, "{line}")
    }

    /// A notification.
    pub(super) fn notify(&mut self, method: &str, params: &Value) -> io::Result<()> {
        if self.opted_out.contains(method) {
            return Ok(());
        }
        let now = now_ms();
        writeln!(self.buffer, r#"{{"method":"{method}","params":{params},"emittedAtMs":{now}}}"#)
    }

    /// An `item/agentMessage/delta`, with the line prepared up to the text.
    pub(super) fn delta(&mut self, prefix: &str, text: &str) -> io::Result<()> {
        if self.opted_out.contains("item/agentMessage/delta") {
            return Ok(());
        }
        self.buffer.write_all(prefix.as_bytes())?;
        serde_json::to_writer(&mut self.buffer, text)?;
        writeln!(self.buffer, r#"}},"emittedAtMs":{}}}"#, now_ms())
    }

    pub(super) fn is_large(&self) -> bool {
        self.buffer.len() > 1 << 16
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        for piece in self.buffer.chunks(self.split.unwrap_or(usize::MAX)) {
            self.sink.write_all(piece)?;
            self.sink.flush()?;
        }
        self.buffer.clear();
        Ok(())
    }
}

/// Milliseconds since the epoch.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
