//! The one reader of streams of server-sent events, in whatever pieces they come.
//!
//! It reads what the WHATWG's HTML standard calls an event stream ("Parsing an event stream" and "Interpreting an event
//! stream"). The fields `id` and `retry` are left out: nothing here connects again by itself.

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
    /// Its name; empty if it has none, which a browser calls `message`.
    pub event: String,
    /// Its text, the lines of which are joined by `\n`. What is not UTF-8 in it is replaced by U+FFFD.
    pub data: String,
}

/// Reads a stream from its first byte on. Comments and fields that are not known are passed over; an event that the
/// stream's end cuts off is none.
#[derive(Debug, Default)]
pub struct Reader {
    /// The bytes of a line that has not ended yet.
    line: Vec<u8>,
    /// Whether the last line ended with a carriage return: a line feed that follows belongs to that end.
    after_return: bool,
    /// Whether the first line, which may begin with a byte-order mark, is behind.
    has_begun: bool,
    event: String,
    data: Option<String>,
}

impl Reader {
    /// The events that are whole with these bytes.
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

    /// How many bytes are held of an event that is not whole yet. A reader of a stream that is not trusted bounds this.
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
