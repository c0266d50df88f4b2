//! A streamed answer as frames.

use std::fmt;
use std::pin::Pin;

use futures_util::stream::{self, SelectAll, Stream, StreamExt as _};
use serde_json::Value;

use super::backend::{Backend, Events};
use super::choice::Choices;
use super::state::Transcript;
use super::streams::StreamPermit;
use protocol::openai::Encoder;
use protocol::openai::frame::{Frame, Frames};
use protocol::turn::{TurnError, TurnEvent};

/// The frames of an answer after the opening ones. Dropping it before its end interrupts the turns.
pub struct FrameStream<E> {
    events: SelectAll<ChoiceEvents>,
    /// The number of choices without a terminal event.
    open: usize,
    encoder: E,
    frames: Frames,
    failure: Option<TurnError>,
    permit: Option<StreamPermit>,
    history: Vec<Value>,
    transcript: Option<Transcript>,
}

/// Frames to be sent together, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The frames; there may be none at the end.
    pub frames: Vec<Frame>,
    /// How the answer ended, with its last frames.
    pub end: Option<End>,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The answer is complete.
    Complete,
    /// A turn failed; the frames contain the error too.
    Failed(TurnError),
}

/// The events of one choice, each with the choice's number.
type ChoiceEvents = Pin<Box<dyn Stream<Item = (usize, TurnEvent)> + Send>>;

impl<E: Encoder> FrameStream<E> {
    /// The frames that open the answer, and the rest of it.
    pub(super) fn open<B: Backend, V: Events>(
        backend: &B,
        choices: Choices<V>,
        mut encoder: E,
        permit: Option<StreamPermit>,
        history: Vec<Value>,
    ) -> (Vec<Frame>, Self) {
        let mut frames = Frames::default();
        encoder.open(&mut frames);
        let opening = frames.take();
        let open = choices.len();
        let events = choices.into_iter().enumerate().map(|(number, choice)| -> ChoiceEvents {
            Box::pin(stream::unfold((choice, backend.clone()), move |(mut choice, backend)| async move {
                let mut event = choice.next().await?;
                if let TurnEvent::Failed(error) = event {
                    event = TurnEvent::Failed(backend.explain(error));
                }
                Some(((number, event), (choice, backend)))
            }))
        });
        let events = events.collect();
        let rest = Self { events, open, encoder, frames, failure: None, permit, history, transcript: None };
        (opening, rest)
    }

    /// The next frames; `None` after the batch with the end. Dropping the future loses no frame.
    ///
    /// The transport must finish the recording before it writes the last batch: a client that has received the end
    /// of an answer can rely on its being counted. The answer's place among the streams is free by then.
    pub async fn next(&mut self) -> Option<Batch> {
        while self.open > 0 {
            match self.events.next().await {
                Some((choice, event)) => self.push(choice, event),
                None => {
                    self.push(0, TurnEvent::Failed(super::without_end()));
                    self.open = 0;
                }
            }
            if self.open == 0 {
                self.encoder.finish(&mut self.frames);
                self.permit = None;
                let end = self.failure.take().map_or(End::Complete, End::Failed);
                let frames = self.frames.take();
                self.transcript = frames.last().and_then(|last| self.told(last));
                return Some(Batch { frames, end: Some(end) });
            }
            let frames = self.frames.take();
            if !frames.is_empty() {
                return Some(Batch { frames, end: None });
            }
        }
        None
    }

    /// What the response and all before it have said, after the batch with the end, if the response completed or
    /// is incomplete.
    pub fn transcript(&mut self) -> Option<Transcript> {
        self.transcript.take()
    }

    fn told(&mut self, last: &Frame) -> Option<Transcript> {
        if !matches!(last.event, Some("response.completed" | "response.incomplete")) {
            return None;
        }
        let mut last: Value = serde_json::from_str(&last.json).ok()?;
        let mut items = std::mem::take(&mut self.history);
        if let Value::Array(output) = last["response"]["output"].take() {
            items.extend(output);
        }
        Some(Transcript { response: last["response"]["id"].as_str()?.to_owned(), items })
    }

    fn push(&mut self, choice: usize, event: TurnEvent) {
        self.encoder.push(choice, &event, &mut self.frames);
        self.open -= usize::from(event.is_terminal());
        if let TurnEvent::Failed(error) = event {
            self.failure = Some(error);
        }
    }
}

impl<E> fmt::Debug for FrameStream<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameStream").field("open", &self.open).finish_non_exhaustive()
    }
}
