//! A strict reader of server-sent events, and small helpers for JSON calls.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// An HTTP client that talks to loopback only, without proxies or redirects.
pub fn client() -> Client {
    // Without a provider, reqwest cannot be built. A second installation only reports that there is one.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .build()
        .expect("the client's settings are fixed and valid")
}

/// One frame as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The `event:` field.
    pub event: Option<String>,
    /// The `data:` lines, joined by newlines; `None` for a frame of comments only.
    pub data: Option<String>,
    /// Comment lines without the colon.
    pub comments: Vec<String>,
}

impl Frame {
    /// The data as JSON.
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_else(|| panic!("a frame without data: {self:?}"));
        serde_json::from_str(data).unwrap_or_else(|e| panic!("{e} in the data of {self:?}"))
    }

    /// Whether this is `data: [DONE]`.
    pub fn is_done(&self) -> bool {
        self.data.as_deref() == Some("[DONE]")
    }

    /// Reads one frame from the bytes before its blank line.
    ///
    /// # Errors
    /// With the rule that the frame breaks: unknown fields, a carriage return, invalid UTF-8, no data beside an
    /// event name, or an event name that is not the `type` of the data.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| format!("{e}: {bytes:?}"))?;
        let mut frame = Self { event: None, data: None, comments: Vec::new() };
        for line in text.split('\n') {
            if line.contains('\r') {
                return Err(format!("a carriage return in {line:?}"));
            }
            if let Some(comment) = line.strip_prefix(':') {
                frame.comments.push(comment.trim_start().to_owned());
            } else if let Some(name) = line.strip_prefix("event: ") {
                if frame.event.replace(name.to_owned()).is_some() {
                    return Err(format!("two event names in {text:?}"));
                }
            } else if let Some(data) = line.strip_prefix("data: ") {
                frame.data = Some(match frame.data.take() {
                    Some(before) => format!("{before}\n{data}"),
                    None => data.to_owned(),
                });
            } else {
                return Err(format!("the line {line:?} is neither comment, `event: ` nor `data: `"));
            }
        }
        frame.check_name()?;
        Ok(frame)
    }

    fn check_name(&self) -> Result<(), String> {
        let Some(name) = &self.event else { return Ok(()) };
        let data = self.data.as_deref().ok_or_else(|| format!("the event {name} has no data"))?;
        let value: Value = serde_json::from_str(data).map_err(|e| format!("{e} in {data:?}"))?;
        match value["type"].as_str() {
            Some(kind) if kind == name => Ok(()),
            kind => Err(format!("the event is named {name}, its data's type is {kind:?}")),
        }
    }
}

/// Reads the frames of one response in the order of their arrival.
#[derive(Debug)]
pub struct SseReader {
    response: Response,
    buffer: Vec<u8>,
    /// The chunk number (from 1) in which each frame so far was completed.
    pub arrivals: Vec<usize>,
    chunks: usize,
}

impl SseReader {
    /// A reader for a response, which must be a 200 event stream.
    pub async fn new(response: Response) -> Self {
        let content_type =
            response.headers().get("content-type").map(|v| v.to_str().unwrap_or_default().to_owned());
        if response.status() != StatusCode::OK {
            panic!("an event stream was expected, not {}: {:?}", response.status(), response.text().await);
        }
        let content_type = content_type.unwrap_or_default();
        assert!(content_type.starts_with("text/event-stream"), "content-type is {content_type:?}");
        Self { response, buffer: Vec::new(), arrivals: Vec::new(), chunks: 0 }
    }

    /// The response's headers.
    pub fn headers(&self) -> &reqwest::header::HeaderMap {
        self.response.headers()
    }

    /// The next frame of any kind, or `None` at the regular end of the stream.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let frame = Frame::parse(&self.buffer[..end]).unwrap_or_else(|e| panic!("{e}"));
                self.buffer.drain(..end + 2);
                self.arrivals.push(self.chunks);
                return Some(frame);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk())
                .await
                .unwrap_or_else(|_| panic!("the stream was silent for {PATIENCE:?}"))
                .unwrap_or_else(|e| panic!("the stream broke: {e}"));
            let Some(chunk) = chunk else {
                let rest = String::from_utf8_lossy(&self.buffer);
                assert!(rest.is_empty(), "the stream ended inside a frame: {rest:?}");
                return None;
            };
            self.chunks += 1;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// The next frame that has data.
    pub async fn next_data(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.data.is_some() {
                return Some(frame);
            }
        }
    }

    /// Reads frames with data until one whose JSON has this `type`, and returns it.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next_data().await.unwrap_or_else(|| panic!("the stream ended before {kind}"));
            if !frame.is_done() && frame.json()["type"] == kind {
                return frame.json();
            }
        }
    }

    /// All remaining frames.
    pub async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// All remaining events as JSON; the stream must end with `[DONE]` and have nothing after it.
    pub async fn events(self) -> Vec<Value> {
        let mut frames: Vec<_> = self.rest().await.into_iter().filter(|f| f.data.is_some()).collect();
        let last = frames.pop().expect("a stream has frames");
        assert!(last.is_done(), "the last frame is {last:?}, not [DONE]");
        frames.iter().map(Frame::json).collect()
    }
}

/// Sends a request and reads a JSON answer of any status.
pub async fn json(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap_or_else(|e| panic!("no answer: {e:?}"));
    let status = response.status();
    let text = response.text().await.expect("a readable body");
    let value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{status}: {e} in {text:?}"));
    (status, value)
}

/// The strings at `path` of all events of one `type`, joined.
pub fn joined(events: &[Value], kind: &str, field: &str) -> String {
    events.iter().filter(|e| e["type"] == kind).map(|e| e[field].as_str().unwrap_or_default()).collect()
}

/// The `type`s of the events; repeated ones are combined.
pub fn shape(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<_> = events.iter().map(|e| e["type"].as_str().unwrap_or("(none)")).collect();
    kinds.dedup();
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_frame_is_read_and_bad_ones_say_why() {
        let frame = Frame::parse(b": keepalive\nevent: a\ndata: {\"type\":\"a\"}").unwrap();
        assert_eq!(frame.comments, ["keepalive"]);
        assert_eq!(frame.json()["type"], "a");
        for (bytes, why) in [
            (&b"event: a\ndata: {\"type\":\"b\"}"[..], "named a"),
            (b"event: a", "no data"),
            (b"data:x", "neither"),
            (b"id: 1", "neither"),
            (b"data: x\r", "carriage"),
            (b"event: a\nevent: a\ndata: {\"type\":\"a\"}", "two event names"),
            (b"data: \xff", "utf-8"),
            (b"event: a\ndata: {", "EOF"),
        ] {
            let error = Frame::parse(bytes).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(Frame::parse(b"data: [DONE]").unwrap().is_done());
    }
}
