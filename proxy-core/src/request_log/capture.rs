//! The texts of a request: what its client sent, what was written to Codex, what the client got.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Bytes of each text that are kept.
const MAX_TEXT: usize = 1 << 20;

/// Headers whose values are nobody's business.
const SECRET_HEADERS: &[&str] = &["authorization", "cookie", "proxy-authorization", "api-key", "x-api-key"];

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// Until when, and for which key, texts are captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// The name of the key; `None` for every key.
    pub key: Option<String>,
    pub until: SystemTime,
}

impl Window {
    pub(super) fn is_for(&self, key: Option<&str>) -> bool {
        self.key.is_none() || self.key.as_deref() == key
    }
}

/// Whether texts are being captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CaptureState {
    /// Whether they are.
    pub active: bool,
    /// The name of the key whose requests are captured; nothing for all.
    pub key: Option<String>,
    /// Until when, in seconds since the epoch.
    pub until: Option<u64>,
}

impl CaptureState {
    pub(super) fn of(window: Option<&Window>) -> Self {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            active: window.is_some(),
            key: window.and_then(|window| window.key.clone()),
            until: window.map(|window| seconds(window.until)),
        }
    }
}

/// The texts of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Captured {
    /// The client's headers; the values of secret ones are left out.
    pub request_headers: Vec<(String, String)>,
    /// The client's body.
    pub request_body: Option<String>,
    /// The lines that were written to Codex for it.
    pub sent_to_codex: Vec<String>,
    /// The body of the response so far.
    pub response_body: Option<String>,
    /// Whether some text was too long to be kept whole.
    pub truncated: bool,
}

impl Captured {
    pub(super) fn bytes(&self) -> usize {
        let headers: usize = self.request_headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let lines: usize = self.sent_to_codex.iter().map(String::len).sum();
        let body = |body: &Option<String>| body.as_ref().map_or(0, String::len);
        headers + lines + body(&self.request_body) + body(&self.response_body)
    }
}

/// Collects the texts of one request. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Capture(Arc<Mutex<Captured>>);

impl Capture {
    /// The client's headers, in their order.
    pub fn headers<'a>(&self, headers: impl Iterator<Item = (&'a str, &'a [u8])>) {
        let shown = |(name, value): (&str, &[u8])| {
            let secret = SECRET_HEADERS.iter().any(|secret| secret.eq_ignore_ascii_case(name));
            let value = if secret { REDACTED.into() } else { String::from_utf8_lossy(value) };
            (name.to_owned(), value.into_owned())
        };
        self.lock().request_headers = headers.map(shown).collect();
    }

    /// The client's body.
    pub fn request(&self, body: &[u8]) {
        let mut captured = self.lock();
        let mut text = String::new();
        captured.truncated |= !append(&mut text, body);
        captured.request_body = Some(text);
    }

    /// A line that was written to Codex.
    pub fn sent(&self, line: &str) {
        let mut captured = self.lock();
        let had: usize = captured.sent_to_codex.iter().map(String::len).sum();
        if had >= MAX_TEXT {
            captured.truncated = true;
            return;
        }
        let mut text = String::new();
        captured.truncated |= !append(&mut text, line.as_bytes());
        captured.sent_to_codex.push(text);
    }

    /// More of the response's body.
    pub fn response(&self, bytes: &[u8]) {
        let mut captured = self.lock();
        let mut text = captured.response_body.take().unwrap_or_default();
        captured.truncated |= !append(&mut text, bytes);
        captured.response_body = Some(text);
    }

    /// What has been collected, with `redact` applied to every text.
    pub fn texts(&self, redact: impl Fn(&str) -> String) -> Captured {
        let mut captured = self.lock().clone();
        for (_, value) in &mut captured.request_headers {
            *value = redact(value);
        }
        for line in &mut captured.sent_to_codex {
            *line = redact(line);
        }
        captured.request_body = captured.request_body.as_deref().map(&redact);
        captured.response_body = captured.response_body.as_deref().map(&redact);
        captured
    }

    fn lock(&self) -> MutexGuard<'_, Captured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends as much as there is room for. Returns whether that was all.
fn append(text: &mut String, bytes: &[u8]) -> bool {
    let room = MAX_TEXT.saturating_sub(text.len());
    let new = String::from_utf8_lossy(bytes);
    let end = new.floor_char_boundary(room.min(new.len()));
    text.push_str(&new[..end]);
    end == new.len()
}
