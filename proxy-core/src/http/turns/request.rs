//! Reads the body and the headers of a request.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::super::body::{self, Sent};
use super::super::error::Error;
use crate::budget::Share;
use crate::exchange::{self, Incoming, Received};
use crate::recording::Recording;
use crate::secret::redact::redact;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::surrogates;
use protocol::turn::OutputMode;

const OUTPUT_MODE: HeaderName = HeaderName::from_static("x-proxy-output-mode");

/// A request with a body that may not have arrived yet.
pub(super) struct Unread<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body,
    /// The largest body that is read, in bytes.
    pub(super) limit: usize,
}

impl Incoming for Unread<'_> {
    type Error = Error;

    async fn read(self, share: &Arc<Share>, recording: &Recording) -> Result<Received, Error> {
        let output_mode = output_mode(self.headers)?;
        check_media_type(self.headers)?;
        let sent = Sent { headers: self.headers.clone(), body: self.body };
        let bytes = body::read(sent, self.limit, Some(share)).await?;
        recording.body(&bytes);
        let (body, replaced) = parse(self.headers, bytes)?;
        Ok(Received { replaced, output_mode, ..Received::new(body) })
    }
}

/// Parses the body as JSON. Also returns how many unpaired surrogates were replaced.
pub(in crate::http) fn parse(headers: &HeaderMap, bytes: Bytes) -> Result<(Value, usize), Error> {
    let parse = |bytes: Bytes| Ok::<_, Error>(exchange::json(&body::utf8(headers, bytes)?)?);
    let error = match parse(bytes.clone()) {
        Ok(body) => return Ok((body, 0)),
        Err(error) => error,
    };
    let mut mended = Vec::from(bytes);
    let replaced = surrogates::mend(&mut mended);
    match parse(mended.into()) {
        Ok(body) => Ok((body, replaced)),
        Err(_) => Err(error),
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(media_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    // In lower case, a key would not be recognized.
    let media_type = redact(&String::from_utf8_lossy(media_type.as_bytes())).to_ascii_lowercase();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType(format!("Content-Type '{essence}' is not supported")))
}

pub(in crate::http) fn output_mode(headers: &HeaderMap) -> Result<Option<OutputMode>, Error> {
    match headers.get(OUTPUT_MODE).map(HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"openai-json") => Ok(Some(OutputMode::OpenaiJson)),
        Some(b"obsidian-xml") => Ok(Some(OutputMode::ObsidianXml)),
        Some(_) => Err(RequestError::new(
            RequestErrorKind::InvalidValue,
            OUTPUT_MODE.as_str(),
            "The header x-proxy-output-mode takes 'openai-json' or 'obsidian-xml'.",
        )
        .into()),
    }
}
