//! `/control/requests`, `/control/capture` and `/control/try`.

use crate::secret::AdmittedKey;
use serde::{Deserialize, Serialize};

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

/// The body of `POST /control/try`. The answer is the stream of the Responses API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct TryPrompt {
    /// The model to ask.
    pub model: String,
    /// The prompt.
    pub input: String,
}
