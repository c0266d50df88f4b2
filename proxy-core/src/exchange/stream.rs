//! A streamed answer as frames.

use std::fmt;
use std::pin::Pin;

use futures_util::stream::{self, SelectAll, Stream, StreamExt as _};
use serde_json::Value;

use super::backend::{Backend, Events};
use super::background::Follower;
use super::batch::{Batch, End};
use super::choice::Choices;
use super::state::{Keeping, Kept, Transcript};
use super::streams::StreamPermit;
use protocol::openai::Encoder;
use protocol::openai::frame::{Frame, Frames};
use protocol::turn::{Finish, TurnError, TurnEvent, TurnOutput};

/// The frames of an answer after the opening ones. Dropping it before its end interrupts the turns, unless the
/// answer runs in the background.
pub struct FrameStream<E> {
    source: Source<E>,
    transcript: Option<Transcript>,
}

enum Source<E> {
    Turns(Box<Turns<E>>),
    Background(Follower),
}

/// The turns of an answer, and what they have said.
pub(super) struct Turns<E> {
    events: SelectAll<ChoiceEvents>,
    /// The number of choices without a terminal event.
    open: usize,
    encoder: E,
    frames: Frames,
    failure: Option<TurnError>,
    permit: Option<StreamPermit>,
    /// What each choice has said, if the answer is kept.
    outputs: Vec<TurnOutput>,
    keeping: Option<Keeping>,
    /// Whether no further item is to begin.
    ends_with_item: bool,
    has_called: bool,
    ending: Option<Ending>,
}

/// The last frames, which wait until the answer is stored.
struct Ending {
    batch: Batch,
    kept: Pin<Box<dyn Future<Output = Kept> + Send>>,
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
        keeping: Option<Keeping>,
    ) -> (Vec<Frame>, Self) {
        let mut frames = Frames::default();
        encoder.open(&mut frames);
        let turns = Turns::new(backend, choices, encoder, permit, keeping);
        (frames.take(), Self { source: Source::Turns(Box::new(turns)), transcript: None })
    }

    /// The frames of an answer that runs in the background.
    pub(super) fn following(follower: Follower) -> Self {
        Self { source: Source::Background(follower), transcript: None }
    }

    /// Whether the answer runs in the background, where its recording is finished too.
    pub fn is_background(&self) -> bool {
        matches!(self.source, Source::Background(_))
    }

    /// The next frames; `None` after the batch with the end. Dropping the future loses no frame.
    ///
    /// The transport must finish the recording before it writes the last batch: a client that has received the end
    /// of an answer can rely on its being counted. By then the answer is stored, and its place among the streams is
    /// free.
    pub async fn next(&mut self) -> Option<Batch> {
        match &mut self.source {
            Source::Turns(turns) => {
                let (batch, transcript) = turns.next().await?;
                self.transcript = transcript;
                Some(batch)
            }
            Source::Background(follower) => follower.next().await,
        }
    }

    /// The frames of an event that the transport adds, with its number among those of the answer.
    pub fn aside(&mut self, kind: &'static str, body: Value) -> Vec<Frame> {
        match &mut self.source {
            Source::Turns(turns) => {
                let mut frames = Frames::default();
                turns.encoder.aside(kind, body, &mut frames);
                frames.take()
            }
            Source::Background(_) => Vec::new(),
        }
    }

    /// Has the answer end with the item that it is at: the client adds to its request. An answer that has called tools
    /// ends by itself.
    pub fn end_with_item(&mut self) {
        if let Source::Turns(turns) = &mut self.source {
            turns.ends_with_item = true;
        }
    }

    /// What a later request on the same connection can continue, after the batch with the end.
    pub fn transcript(&mut self) -> Option<Transcript> {
        self.transcript.take()
    }
}

impl<E: Encoder> Turns<E> {
    /// The turns of an answer whose opening frames are on their way.
    pub(super) fn new<B: Backend, V: Events>(
        backend: &B,
        choices: Choices<V>,
        encoder: E,
        permit: Option<StreamPermit>,
        keeping: Option<Keeping>,
    ) -> Self {
        let open = choices.len();
        let events = choices.into_iter().enumerate().map(|(number, choice)| -> ChoiceEvents {
            Box::pin(stream::unfold((choice, backend.clone()), move |(mut choice, backend)| async move {
                let mut event = choice.next().await?;
                if let TurnEvent::Failed(error) = event {
                    event = TurnEvent::Failed(backend.explain(error).await);
                }
                Some(((number, event), (choice, backend)))
            }))
        });
        let events = events.collect();
        let outputs = keeping.iter().flat_map(|_| (0..open).map(|_| TurnOutput::default())).collect();
        let frames = Frames::default();
        Self {
            events,
            open,
            encoder,
            frames,
            failure: None,
            permit,
            outputs,
            keeping,
            ends_with_item: false,
            has_called: false,
            ending: None,
        }
    }

    /// The next frames, and what can be continued after the last ones.
    pub(super) async fn next(&mut self) -> Option<(Batch, Option<Transcript>)> {
        loop {
            if let Some(ending) = &mut self.ending {
                let kept = (&mut ending.kept).await;
                let mut batch = self.ending.take()?.batch;
                if kept.has_failed {
                    batch.frames.iter_mut().for_each(not_stored);
                }
                return Some((batch, kept.transcript));
            }
            if self.open == 0 {
                return None;
            }
            match self.events.next().await {
                Some((choice, event)) if self.ends_with_item && !self.has_called && event.begins_item() => {
                    self.push(choice, TurnEvent::Finished(Finish::Steered));
                    // Interrupts the turn.
                    self.events.clear();
                    self.open = 0;
                }
                Some((choice, event)) => self.push(choice, event),
                None => {
                    self.push(0, TurnEvent::Failed(super::without_end()));
                    self.open = 0;
                }
            }
            if self.open == 0 {
                self.end();
                continue;
            }
            let frames = self.frames.take();
            if !frames.is_empty() {
                return Some((Batch { frames, end: None }, None));
            }
        }
    }

    /// The object of the answer so far, and the way to keep it.
    pub(super) fn cut(&mut self) -> Option<(Value, Keeping)> {
        let object = self.encoder.stored(&self.outputs);
        self.keeping.take().map(|keeping| (object, keeping))
    }

    fn end(&mut self) {
        self.encoder.finish(&mut self.frames);
        self.permit = None;
        let end = self.failure.take().map_or(End::Complete, End::Failed);
        let batch = Batch { frames: self.frames.take(), end: Some(end) };
        let keeping = self.keeping.take().map(|keeping| (keeping, self.encoder.stored(&self.outputs)));
        let is_complete = batch.end == Some(End::Complete);
        let kept = async move {
            match keeping {
                // Chat Completions has no object for an answer that failed.
                Some((keeping, object)) if is_complete || object["status"].is_string() => {
                    keeping.end(object).await
                }
                Some(_) | None => Kept::default(),
            }
        };
        self.ending = Some(Ending { batch, kept: Box::pin(kept) });
    }

    fn push(&mut self, choice: usize, event: TurnEvent) {
        self.has_called |= matches!(event, TurnEvent::ToolCall { .. });
        self.encoder.push(choice, &event, &mut self.frames);
        self.open -= usize::from(event.is_terminal());
        if let Some(output) = self.outputs.get_mut(choice)
            && output.end.is_none()
        {
            output.push(&event);
        }
        if let TurnEvent::Failed(error) = event {
            self.failure = Some(error);
        }
    }
}

/// Says in a frame with the whole response that it is not stored.
fn not_stored(frame: &mut Frame) {
    let Ok(mut event) = serde_json::from_str::<Value>(&frame.json) else { return };
    if event["response"]["store"] == true {
        event["response"]["store"] = Value::Bool(false);
        frame.json = event.to_string();
    }
}

impl<E> fmt::Debug for FrameStream<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameStream").finish_non_exhaustive()
    }
}
