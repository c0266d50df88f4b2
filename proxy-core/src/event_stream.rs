//! The parser of all server-sent event streams, for input in chunks of any size.
//!
//! It implements the event stream of the WHATWG's HTML standard ("Parsing an event stream" and "Interpreting an
//! event stream"). The fields `id` and `retry` are ignored: no code here reconnects.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
#[cfg(test)]
mod tests;

use memchr::memchr2;
use serde::Serialize;

#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerEvent {
    /// The name of the event; empty if it has none, which a browser calls `message`.
    pub event: String,
    /// The data, with its lines joined by `\n`. Invalid UTF-8 is replaced by U+FFFD.
    pub data: String,
}

/// Parses a stream from its first byte on. Comments and unknown fields are skipped; an incomplete event at the
/// end of the stream is dropped.
#[derive(Debug, Default)]
pub struct Reader {
    /// The bytes of the current incomplete line.
    line: Vec<u8>,
    /// Whether the last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    /// Whether the first line, which may begin with a byte-order mark, has been read.
    has_begun: bool,
    event: String,
    data: Option<String>,
}

impl Reader {
    /// The events that are complete with these bytes.
    pub fn read(&mut self, mut chunk: &[u8]) -> Vec<ServerEvent> {
        let mut events = Vec::new();
        loop {
            if let [first, rest @ ..] = chunk
                && std::mem::take(&mut self.after_return)
                && *first == b'\n'
            {
                chunk = rest;
            }
            let Some(end) = memchr2(b'\r', b'\n', chunk) else {
                self.line.extend_from_slice(chunk);
                return events;
            };
            self.line.extend_from_slice(&chunk[..end]);
            self.after_return = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            events.extend(self.end_line());
        }
    }

    /// The number of bytes of the incomplete event. For streams that are not trusted, the caller has to limit
    /// it.
    pub fn held(&self) -> usize {
        self.line.len() + self.event.len() + self.data.as_ref().map_or(0, String::len)
    }

    fn end_line(&mut self) -> Option<ServerEvent> {
        let bytes = std::mem::take(&mut self.line);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let unmarked = if is_first { bytes.strip_prefix("\u{feff}".as_bytes()) } else { None };
        let line = String::from_utf8_lossy(unmarked.unwrap_or(&bytes));
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return self.data.take().map(|data| ServerEvent { event, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // A comment is a field without a name.
            _ => {}
        }
        None
    }
}
