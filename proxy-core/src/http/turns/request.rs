//! What a request says in its body and its headers.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::super::body::{self, Sent};
use super::super::error::Error;
use crate::budget::Share;
use crate::recording::Recording;
use crate::secret::redact::redact;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::surrogates;
use protocol::turn::OutputMode;

const OUTPUT_MODE: HeaderName = HeaderName::from_static("x-proxy-output-mode");

/// The body as JSON, and how many halves of characters were replaced in it so that it could be read.
pub(super) async fn read(
    sent: Sent,
    limit: usize,
    share: &Arc<Share>,
    recording: &Recording,
) -> Result<(Value, usize), Error> {
    check_media_type(&sent.headers)?;
    let headers = sent.headers.clone();
    let collected = body::read(sent, limit, Some(share)).await?;
    recording.body(&collected);
    let error = match json(&headers, collected.clone()) {
        Ok(body) => return Ok((body, 0)),
        Err(error) => error,
    };
    let mut mended = Vec::from(collected);
    let replaced = surrogates::mend(&mut mended);
    match json(&headers, mended.into()) {
        Ok(body) => Ok((body, replaced)),
        Err(_) => Err(error),
    }
}

fn json(headers: &HeaderMap, body: Bytes) -> Result<Value, Error> {
    let text = body::utf8(headers, body)?;
    serde_json::from_slice(&text).map_err(|error| {
        let message = match text.is_empty() {
            true => "The request body is empty; it has to be a JSON object.".to_owned(),
            false => format!("The request body is not valid JSON: {error}."),
        };
        Error::Request(RequestError { kind: RequestErrorKind::InvalidJson, message, param: None })
    })
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(media_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    // A key is not known for one in lower case.
    let media_type = redact(&String::from_utf8_lossy(media_type.as_bytes())).to_ascii_lowercase();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType(format!("Content-Type '{essence}' is not supported")))
}

pub(super) fn output_mode(headers: &HeaderMap) -> Result<Option<OutputMode>, Error> {
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
