//! Exports events for other programs as JSON or CSV, in pieces.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::event::UsageEvent;
use super::query::UsageQuery;
use super::{StoreError, UsageStore, query};
use crate::secret::KeyId;

/// An event with additional fields, under the names that usage logs have always had.
#[derive(Debug, Serialize)]
pub struct RawEvent<'a> {
    /// The event itself.
    #[serde(flatten)]
    pub event: &'a UsageEvent,
    /// Tokens of prompt and answer.
    pub total_tokens: u64,
    /// The same as `ts_ms`.
    pub ts: i64,
    /// The same as `input_tokens`.
    pub prompt_tokens_est: u64,
    /// The same as `output_tokens`.
    pub completion_tokens_est: u64,
    /// The same as `total_tokens`.
    pub total_tokens_est: u64,
}

impl<'a> From<&'a UsageEvent> for RawEvent<'a> {
    fn from(event: &'a UsageEvent) -> Self {
        Self {
            event,
            total_tokens: event.total_tokens(),
            ts: event.ts_ms,
            prompt_tokens_est: event.input_tokens,
            completion_tokens_est: event.output_tokens,
            total_tokens_est: event.total_tokens(),
        }
    }
}

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line for each event, after a line with the names of the columns (RFC 4180).
    Csv,
    /// An object with a `data` array that has one object for each event.
    Json,
}

/// A running export of every event of a time range, ordered by time.
#[derive(Debug)]
pub struct Export {
    store: UsageStore,
    format: Format,
    end_ms: i64,
    tz: TimeZone,
    after: (i64, u64),
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    First,
    Going,
    Done,
}

/// The number of events in one piece.
const PIECE: usize = 500;

impl Export {
    /// An export of the time range of `query`.
    pub fn new(store: UsageStore, query: &UsageQuery, format: Format) -> Self {
        Self {
            store,
            format,
            end_ms: query.end_ms,
            tz: query.tz.clone(),
            after: (query.start_ms.saturating_sub(1), u64::MAX),
            state: State::New,
        }
    }

    /// The next piece, or `None` after the last. It blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.state {
            State::Done => return Ok(None),
            State::New => {
                self.state = State::First;
                return Ok(Some(match self.format {
                    Format::Csv => csv_line(&COLUMNS.map(Cow::Borrowed)),
                    Format::Json => br#"{"object":"list","data":["#.to_vec(),
                }));
            }
            State::First | State::Going => {}
        }
        let events = self.store.between(self.after.0, self.end_ms, self.after, PIECE)?;
        let mut piece = Vec::new();
        for event in &events {
            match self.format {
                Format::Csv => piece.extend(csv_line(&self.record(event))),
                Format::Json => {
                    if self.state == State::Going {
                        piece.push(b',');
                    }
                    // An event contains only strings and numbers, so it always has a JSON form.
                    piece.extend(serde_json::to_vec(&RawEvent::from(event)).unwrap_or_default());
                }
            }
            self.state = State::Going;
            self.after = (event.ts_ms, event.id);
        }
        if events.len() < PIECE {
            self.state = State::Done;
            if self.format == Format::Json {
                piece.extend(b"]}\n");
            }
        }
        Ok(Some(piece))
    }

    fn record<'a>(&self, event: &'a UsageEvent) -> [Cow<'a, str>; 32] {
        let number = |number: u64| Cow::Owned(number.to_string());
        let optional = |number: Option<u64>| number.map_or(Cow::Borrowed(""), |n| Cow::Owned(n.to_string()));
        let text = |text: &'a str| harmless(text);
        let yes = |yes: bool| Cow::Borrowed(if yes { "true" } else { "false" });
        [
            number(event.id),
            Cow::Owned(query::iso(event.ts_ms, &self.tz)),
            Cow::Owned(event.ts_ms.to_string()),
            text(&event.route),
            text(&event.method),
            text(&event.surface),
            text(&event.request_id),
            text(&event.key),
            text(&event.client),
            text(&event.user_agent),
            text(&event.requested_model),
            text(&event.effective_model),
            text(event.effort.as_deref().unwrap_or_default()),
            yes(event.stream),
            number(event.status.into()),
            text(event.error_code.as_deref().unwrap_or_default()),
            number(event.input_tokens),
            number(event.cached_tokens),
            number(event.cache_write_tokens),
            number(event.output_tokens),
            number(event.reasoning_tokens),
            number(event.total_tokens()),
            yes(event.estimated),
            number(event.tool_calls),
            optional(event.ttft_ms),
            number(event.duration_ms),
            optional(event.worker),
            text(event.thread.as_str()),
            number(event.request_bytes),
            number(event.response_bytes),
            text(event.service_tier.as_deref().unwrap_or_default()),
            text(event.key_id.as_ref().map_or("", KeyId::as_str)),
        ]
    }
}

const COLUMNS: [&str; 32] = [
    "id",
    "time",
    "ts_ms",
    "route",
    "method",
    "surface",
    "request_id",
    "key",
    "client",
    "user_agent",
    "requested_model",
    "effective_model",
    "effort",
    "stream",
    "status",
    "error_code",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "total_tokens",
    "estimated",
    "tool_calls",
    "ttft_ms",
    "duration_ms",
    "worker",
    "thread",
    "request_bytes",
    "response_bytes",
    "service_tier",
    "key_id",
];

fn csv_line(fields: &[Cow<'_, str>]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // A write to memory fails only for records of different lengths, and here is only one record.
    let written = writer.write_record(fields.iter().map(|field| field.as_bytes()));
    match written {
        Ok(()) => writer.into_inner().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// Protects against formula injection: a text that a spreadsheet would run as a formula gets an apostrophe
/// before it.
fn harmless(text: &str) -> Cow<'_, str> {
    match text.trim_start_matches(' ').chars().next() {
        Some(
            '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}',
        ) => Cow::Owned(format!("'{text}")),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\u{ff1d}1"] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        for text in ["", "gpt-5", "a=b", "curl/8.5 (+x)"] {
            assert_eq!(harmless(text), text);
        }
        let line = csv_line(&[harmless("=HYPERLINK(\"http://x\",\"y\")"), "a,b".into(), "c\nd".into()]);
        assert_eq!(line, b"\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",\"a,b\",\"c\nd\"\r\n");
    }
}
