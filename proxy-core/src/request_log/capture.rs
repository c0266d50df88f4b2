//! The captured texts of a request: what its client sent, what was written to Codex, and what the client
//! received.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The end of the capture, and the key whose requests are captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// The name of the key; `None` for all keys.
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
