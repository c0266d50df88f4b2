//! `/control/requests`, `/control/capture` and `/control/try`.

use crate::secret::AdmittedKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::request_log::{CaptureState, Captured, RequestEntry};

/// What stands in place of a key's name where a prompt was tried in the window.
pub const WINDOW_KEY: &str = AdmittedKey::WINDOW;

/// The answer of `GET /control/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RequestList {
    /// Whether texts are being captured.
    pub capture: CaptureState,
    /// The requests, newest first.
    pub requests: Vec<RequestEntry>,
}

/// The answer of `GET /control/requests/{id}`: one request with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RequestDetail {
    /// What the list says of it.
    #[serde(flatten)]
    pub entry: RequestEntry,
    /// Its texts, if they were captured.
    pub capture: Option<Captured>,
    /// A line for a shell that sends the same request again, if its body was captured. The key is left to the
    /// variable `CODEX_PROXY_KEY`.
    pub curl: Option<String>,
}

/// The body of `POST /control/capture`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct StartCapture {
    /// The name of the key whose requests are captured; none for all.
    pub key: Option<String>,
    /// For how long.
    pub seconds: u64,
}

/// The body of `POST /control/try`. The answer is the stream of the Responses API; nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct TryPrompt {
    /// The model to ask.
    pub model: String,
    /// What the model is asked.
    pub input: TryInput,
}

/// What a model is asked: a prompt, or a conversation with its answers so far and with images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(untagged)]
pub enum TryInput {
    /// A prompt.
    Text(String),
    /// Items of the Responses API, the last one from the person.
    Items(#[cfg_attr(test, ts(type = "Array<Record<string, unknown>>"))] Vec<Value>),
}

impl TryInput {
    /// Whether there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Items(items) => items.is_empty(),
        }
    }
}
