//! Incoming requests.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::{Refusal, Transcript};
use crate::budget::Share;
use crate::recording::Recording;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::turn::OutputMode;

/// A request that has arrived and has not been read.
pub trait Incoming: Send {
    /// Why it is refused.
    type Error: From<Refusal>;

    /// Reads the request. Its memory is taken from `share`, and its body is added to `recording`.
    fn read(
        self,
        share: &Arc<Share>,
        recording: &Recording,
    ) -> impl Future<Output = Result<Received, Self::Error>> + Send;
}

/// The content of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The JSON body.
    pub body: Value,
    /// The number of lone surrogates that were replaced in the body so that it could be read.
    pub replaced: usize,
    /// The client's own choice of output mode, if it made one.
    pub output_mode: Option<OutputMode>,
    /// What the client's connection remembers. A request that continues it needs no stored response.
    pub recalled: Option<Arc<Transcript>>,
    /// Whether the connection remembers what this request leads to.
    pub remembers: bool,
    /// Whether the request is only to be ready for another one (`generate: false`): no turn is run.
    pub warm_up: bool,
}

impl Received {
    /// A request on a connection without a memory.
    pub fn new(body: Value) -> Self {
        Self { body, replaced: 0, output_mode: None, recalled: None, remembers: false, warm_up: false }
    }
}

/// A complete body, on a transport without a choice of output mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub Bytes);

impl Incoming for JsonText {
    type Error = Refusal;

    async fn read(self, share: &Arc<Share>, recording: &Recording) -> Result<Received, Refusal> {
        share.take(self.0.len())?;
        recording.body(&self.0);
        Ok(Received::new(json(&self.0)?))
    }
}

/// A body as JSON.
///
/// # Errors
/// If it is not JSON.
pub fn json(text: &[u8]) -> Result<Value, RequestError> {
    serde_json::from_slice(text).map_err(|error| {
        let message = match text.is_empty() {
            true => "The request body is empty; it has to be a JSON object.".to_owned(),
            false => format!("The request body is not valid JSON: {error}."),
        };
        RequestError { kind: RequestErrorKind::InvalidJson, message, param: None }
    })
}
