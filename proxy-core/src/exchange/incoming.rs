//! Requests on their way in.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::Refusal;
use crate::budget::Share;
use crate::recording::Recording;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::turn::OutputMode;

/// A request that has come, but has not been read.
pub trait Incoming: Send {
    /// Why it is not answered.
    type Error: From<Refusal>;

    /// Reads it. What it takes of memory counts as `share`'s, and `recording` is given its body.
    fn read(
        self,
        share: &Arc<Share>,
        recording: &Recording,
    ) -> impl Future<Output = Result<Received, Self::Error>> + Send;
}

/// What a request says.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// Its body.
    pub body: Value,
    /// Halves of characters that were replaced in the body so that it could be read.
    pub replaced: usize,
    /// The client's own choice of output mode, where it has one.
    pub output_mode: Option<OutputMode>,
}

/// A body that is there as a whole, in an end that has no choice of output mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub Bytes);

impl Incoming for JsonText {
    type Error = Refusal;

    async fn read(self, share: &Arc<Share>, recording: &Recording) -> Result<Received, Refusal> {
        share.take(self.0.len())?;
        recording.body(&self.0);
        Ok(Received { body: json(&self.0)?, replaced: 0, output_mode: None })
    }
}

/// A body as JSON.
///
/// # Errors
/// If it is none.
pub fn json(text: &[u8]) -> Result<Value, RequestError> {
    serde_json::from_slice(text).map_err(|error| {
        let message = match text.is_empty() {
            true => "The request body is empty; it has to be a JSON object.".to_owned(),
            false => format!("The request body is not valid JSON: {error}."),
        };
        RequestError { kind: RequestErrorKind::InvalidJson, message, param: None }
    })
}
