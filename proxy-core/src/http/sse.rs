//! Formats frames as server-sent events.

use bytes::Bytes;
use protocol::openai::frame::Frame;

/// The bytes after the last frame of an answer.
pub(super) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// The comment that keeps intermediaries from closing a quiet stream.
pub(super) const KEEPALIVE: Bytes = Bytes::from_static(b": keepalive\n\n");

/// One frame as one event.
pub(super) fn render(frame: &Frame) -> Bytes {
    const NAME: &[u8] = b"event: ";
    const LINE: &[u8] = b"\n";
    const DATA: &[u8] = b"data: ";
    const END: &[u8] = b"\n\n";
    let name = frame.event.map(|event| [NAME, event.as_bytes(), LINE]);
    let parts = [DATA, frame.json.as_bytes(), END];
    let parts = name.iter().flatten().chain(&parts);
    // Of the exact size, so that it becomes `Bytes` without another allocation.
    let mut event = Vec::with_capacity(parts.clone().map(|part| part.len()).sum());
    parts.for_each(|part| event.extend_from_slice(part));
    event.into()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use protocol::openai::frame::Frames;

    use super::*;
    use crate::event_stream::Reader;

    #[test]
    fn events_are_exact() {
        let json = r#"{"type":"response.created","text":"a\nb"}"#.to_owned();
        let mut frame = Frame { event: Some("response.created"), json };
        assert_eq!(
            render(&frame),
            "event: response.created\ndata: {\"type\":\"response.created\",\"text\":\"a\\nb\"}\n\n"
        );
        frame.event = None;
        assert_eq!(render(&frame), "data: {\"type\":\"response.created\",\"text\":\"a\\nb\"}\n\n");
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(texts in vec(any::<String>(), 0..6)) {
            let mut frames = Frames::default();
            texts.iter().for_each(|text| frames.event("response.output_text.delta", text));
            let written: Vec<u8> = frames.take().iter().flat_map(|frame| [render(frame), KEEPALIVE].concat()).collect();
            let found = Reader::default().read(&written);
            let found: Vec<String> =
                found.iter().map(|event| serde_json::from_str(&event.data).unwrap()).collect();
            prop_assert_eq!(found, texts);
        }
    }
}
