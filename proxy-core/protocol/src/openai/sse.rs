//! Server-sent events as OpenAI writes them.

use bytes::Bytes;
use serde::Serialize;

/// Frames ready to be written, each with its own write.
#[derive(Debug, Default)]
pub struct Frames(Vec<Bytes>);

impl Frames {
    /// A frame of the Responses API: `event:` equals the data's `type`.
    pub fn event(&mut self, event: &str, data: &impl Serialize) {
        let mut frame = Vec::with_capacity(192);
        frame.extend_from_slice(b"event: ");
        frame.extend_from_slice(event.as_bytes());
        frame.extend_from_slice(b"\ndata: ");
        self.finish(frame, data);
    }

    /// A frame of the Chat Completions API: data only.
    pub fn data(&mut self, data: &impl Serialize) {
        let mut frame = Vec::with_capacity(256);
        frame.extend_from_slice(b"data: ");
        self.finish(frame, data);
    }

    /// The frame that ends a stream.
    pub fn done(&mut self) {
        self.0.push(Bytes::from_static(b"data: [DONE]\n\n"));
    }

    /// The comment that keeps intermediaries from closing a quiet stream.
    pub fn keepalive(&mut self) {
        self.0.push(KEEPALIVE);
    }

    /// Takes all frames out.
    pub fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.0)
    }

    /// Our own data types always serialise; should one not, the frame is left out and the log says so.
    fn finish(&mut self, mut frame: Vec<u8>, data: &impl Serialize) {
        match serde_json::to_writer(&mut frame, data) {
            Ok(()) => {
                frame.extend_from_slice(b"\n\n");
                self.0.push(Bytes::from(frame));
            }
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }
}

/// The comment that keeps intermediaries from closing a quiet stream.
pub const KEEPALIVE: Bytes = Bytes::from_static(b": keepalive\n\n");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frames_are_exact() {
        let mut frames = Frames::default();
        frames.event("response.created", &json!({"type": "response.created", "text": "a\nb"}));
        frames.data(&json!({"x": 1}));
        frames.done();
        let text: Vec<_> =
            frames.take().into_iter().map(|frame| String::from_utf8(frame.to_vec()).unwrap()).collect();
        assert_eq!(
            text,
            [
                "event: response.created\ndata: {\"type\":\"response.created\",\"text\":\"a\\nb\"}\n\n",
                "data: {\"x\":1}\n\n",
                "data: [DONE]\n\n",
            ]
        );
        assert!(frames.take().is_empty());
    }
}
