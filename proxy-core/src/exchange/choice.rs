//! The choices of an answer: each is a turn of its own, on a place of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use super::backend::{Backend, Events, Place};
use super::images::Held;
use crate::recording::Recording;
use crate::threads::ThreadSource;
use protocol::turn::{Finish, ItemId, Turn, TurnError, TurnErrorKind, TurnEvent, TurnOutput, Usage};

/// The choices of one answer, in their order.
pub(super) type Choices<V> = Vec<Choice<V>>;

/// The turn to run for each choice.
pub(super) struct Run<'a> {
    /// The id of the key.
    pub(super) owner: &'a str,
    pub(super) turn: Turn,
    /// The number of choices.
    pub(super) choices: usize,
    pub(super) streamed: bool,
}

/// One choice, and the memory share that its request holds until Codex has received the whole request.
pub(super) struct Choice<V> {
    source: Source<V>,
    held: Option<Arc<Held>>,
}

/// The source of a choice's events.
enum Source<V> {
    /// A turn.
    Turn(V),
    /// The proxy itself, where no model is needed.
    Said(VecDeque<TurnEvent>),
}

/// Starts a turn for each choice.
///
/// # Errors
/// Why one could not be started; the others are then interrupted.
pub(super) async fn start<B: Backend>(
    backend: &B,
    run: Run<'_>,
    held: Held,
    recording: &Recording,
) -> Result<Choices<<B::Place as Place>::Events>, TurnError> {
    let held = Arc::new(held);
    let mut choices = Vec::with_capacity(run.choices);
    for _ in 0..run.choices {
        let place = backend.place_for(run.owner, &run.turn).await?;
        let turn = match place.start(run.turn.clone(), run.streamed, recording).await {
            // The worker ended between its selection and the start: nothing has begun, so another worker can run
            // the turn.
            Err(error) if error.kind == TurnErrorKind::WorkerExited => {
                let place = backend.place_for(run.owner, &run.turn).await?;
                place.start(run.turn.clone(), run.streamed, recording).await?
            }
            started => started?,
        };
        choices.push(Choice { source: Source::Turn(turn), held: Some(held.clone()) });
    }
    Ok(choices)
}

impl<V: Events> Choice<V> {
    /// Where the thread of its turn comes from; `None` if it needs no turn.
    pub(super) fn thread(&self) -> Option<ThreadSource> {
        match &self.source {
            Source::Turn(turn) => Some(turn.source()),
            Source::Said(_) => None,
        }
    }

    /// A message of the proxy's own.
    pub(super) fn said(text: &str) -> Self {
        let id: ItemId = format!("msg_{}", uuid::Uuid::new_v4().simple()).into();
        let events = [
            TurnEvent::Started,
            TurnEvent::MessageStarted { id: id.clone() },
            TurnEvent::TextDelta { id: id.clone(), text: text.to_owned() },
            TurnEvent::MessageDone { id, phase: None },
            TurnEvent::Usage(Usage::default()),
            TurnEvent::Finished(Finish::Stop),
        ];
        Self { source: Source::Said(events.into()), held: None }
    }

    /// A choice that has failed before its turn could begin.
    pub(super) fn failed(error: TurnError) -> Self {
        Self { source: Source::Said([TurnEvent::Failed(error)].into()), held: None }
    }

    /// An answer without anything, for a request that runs no model.
    pub(super) fn nothing() -> Self {
        let events =
            [TurnEvent::Started, TurnEvent::Usage(Usage::default()), TurnEvent::Finished(Finish::Stop)];
        Self { source: Source::Said(events.into()), held: None }
    }

    /// The next event. The first one shows that Codex has begun, or that the turn has failed.
    pub(super) async fn next(&mut self) -> Option<TurnEvent> {
        let event = match &mut self.source {
            Source::Turn(turn) => turn.next().await,
            Source::Said(events) => events.pop_front(),
        };
        self.held = None;
        event
    }

    /// All events folded, and whether the answer is not the requested JSON.
    pub(super) async fn fold(mut self) -> (TurnOutput, bool) {
        let mut output = TurnOutput::default();
        while let Some(event) = self.next().await {
            if let TurnEvent::Withdrawn { id } = &event {
                output.withdraw(id);
            }
            output.push(&event);
        }
        let is_unmet = match &self.source {
            Source::Turn(turn) => turn.is_unmet(),
            Source::Said(_) => false,
        };
        (output, is_unmet)
    }
}
