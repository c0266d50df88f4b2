//! The frames of a streamed answer, independent of the transport.

use serde::Serialize;

/// One event of a stream. Server-sent events, a WebSocket and a window each write it in their own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The event's name, which equals the `type` in its JSON; the Chat Completions API has none.
    pub event: Option<&'static str>,
    /// The event itself: a JSON object in one line.
    pub json: String,
}

/// Frames in the order in which the client gets them.
#[derive(Debug, Default)]
pub struct Frames(Vec<Frame>);

impl Frames {
    /// Adds a frame of the Responses API, which names its event.
    pub fn event(&mut self, event: &'static str, data: &impl Serialize) {
        self.add(Some(event), data);
    }

    /// Adds a frame of the Chat Completions API, which has no name.
    pub fn data(&mut self, data: &impl Serialize) {
        self.add(None, data);
    }

    /// Takes all frames out.
    pub fn take(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.0)
    }

    /// The proxy's own data types always serialise. If one does not, the frame is left out and the error is
    /// logged.
    fn add(&mut self, event: Option<&'static str>, data: &impl Serialize) {
        match serde_json::to_string(data) {
            Ok(json) => self.0.push(Frame { event, json }),
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }
}

/// A whole stream as server-sent events, for comparison with golden ones.
#[cfg(test)]
pub(super) fn transcript(frames: &mut Frames) -> String {
    let frame = |Frame { event, json }| match event {
        Some(event) => format!("event: {event}\ndata: {json}\n\n"),
        None => format!("data: {json}\n\n"),
    };
    frames.take().into_iter().map(frame).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_is_one_line_of_json() {
        let mut frames = Frames::default();
        frames.event("response.created", &json!({"type": "response.created", "text": "a\nb"}));
        frames.data(&json!({"x": 1}));
        let frame = |event, json: &str| Frame { event, json: json.to_owned() };
        assert_eq!(
            frames.take(),
            [
                frame(Some("response.created"), r#"{"type":"response.created","text":"a\nb"}"#),
                frame(None, r#"{"x":1}"#),
            ]
        );
        assert!(frames.take().is_empty());
    }
}
