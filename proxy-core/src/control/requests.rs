//! The request log in the control API.

use std::time::Duration;

use super::ControlHandle;
use super::api::{RequestDetail, RequestList};
use super::keys::KeysError;
use crate::keys::KeyRingError;
use crate::request_log::CaptureState;

impl ControlHandle {
    /// The newest `limit` requests that are older than the request with the id `before`.
    pub fn requests(&self, limit: usize, before: Option<&str>) -> RequestList {
        RequestList {
            capture: self.0.requests.capture_state(),
            requests: self.0.requests.list(limit, before),
        }
    }

    /// One request, if the log still has it.
    pub fn request(&self, id: &str) -> Option<RequestDetail> {
        let (entry, capture) = self.0.requests.get(id)?;
        let body = capture.as_ref().filter(|captured| !captured.truncated);
        let curl = body.and_then(|captured| captured.request_body.as_deref()).map(|body| {
            curl(&format!("{}{}", self.0.about.address.trim_end_matches("/v1"), entry.route), body)
        });
        Some(RequestDetail { entry, capture, curl })
    }

    /// Captures the texts of requests for the time `length`, with the key of this id or name, or of all
    /// requests.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn capture(&self, key: Option<String>, length: Duration) -> Result<CaptureState, KeysError> {
        let key = match key {
            Some(asked) => {
                let known = self.list_keys().keys.into_iter();
                let mut named = known.filter(|known| known.name == asked || known.id.as_str() == asked);
                Some(named.next().ok_or_else(|| KeyRingError::Unknown(asked.clone()))?.name)
            }
            None => None,
        };
        tracing::info!(seconds = length.as_secs(), "the texts of requests are kept for a while");
        Ok(self.0.requests.capture(key, length))
    }

    /// Stops the capture.
    pub fn stop_capture(&self) -> CaptureState {
        self.0.requests.stop_capture()
    }
}

fn curl(url: &str, body: &str) -> String {
    format!(
        "curl -sN {} -H \"Authorization: Bearer $CODEX_PROXY_KEY\" -H 'Content-Type: application/json' --data-raw {}",
        quoted(url),
        quoted(body)
    )
}

/// Quotes a text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_stays_one_word_whatever_it_holds() {
        let line = curl("http://127.0.0.1:1/v1/responses", r#"{"input":"it's $HOME `x` \\ \n"}"#);
        assert_eq!(
            line,
            "curl -sN 'http://127.0.0.1:1/v1/responses' -H \"Authorization: Bearer $CODEX_PROXY_KEY\" \
             -H 'Content-Type: application/json' --data-raw '{\"input\":\"it'\\''s $HOME `x` \\\\ \\n\"}'"
        );
    }
}
