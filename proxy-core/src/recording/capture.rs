//! Captures the texts of a request: the client's request, the lines written to Codex, and the response.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::request_log::Captured;

/// The most bytes of each text that are kept.
const MAX_TEXT: usize = 1 << 20;

/// Headers with values that are not captured, because they are secret.
const SECRET_HEADERS: &[&str] =
    &["authorization", "cookie", "proxy-authorization", "api-key", "x-api-key", "sec-websocket-protocol"];

/// The replacement for a secret.
const REDACTED: &str = "[redacted]";

/// Captures the texts of one request. Cheap to clone.
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

    /// The captured texts, with `redact` applied to each.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_headers_are_left_out_and_texts_are_redacted() {
        let capture = Capture::default();
        let headers: [(&str, &[u8]); 3] =
            [("Authorization", b"Bearer k"), ("Cookie", b"c"), ("user-agent", b"curl/8 secret")];
        capture.headers(headers.into_iter());
        capture.request(b"{\"input\":\"secret\"}");
        capture.sent("{\"secret\":1}");
        capture.response(b"data: secret");
        capture.response(b"\n\n");
        let texts = capture.texts(|text| text.replace("secret", "***"));
        let header = |index: usize| texts.request_headers[index].1.as_str();
        assert_eq!([header(0), header(1), header(2)], ["[redacted]", "[redacted]", "curl/8 ***"]);
        assert_eq!(texts.request_body.as_deref(), Some("{\"input\":\"***\"}"));
        assert_eq!(texts.sent_to_codex, ["{\"***\":1}"]);
        assert_eq!(texts.response_body.as_deref(), Some("data: ***\n\n"));
        assert!(!texts.truncated);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let capture = Capture::default();
        capture.request("ä".repeat(1 << 20).as_bytes());
        let texts = capture.texts(str::to_owned);
        assert!(texts.truncated);
        assert_eq!(texts.request_body.map(|body| body.len()), Some(1 << 20));
    }
}
