//! The choices of an answer: each is a turn of its own, on a place of its own.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use super::backend::{Backend, Events, Place, begin};
use super::compact::{self, Compacted};
use super::images::Held;
use crate::recording::Recording;
use crate::threads::ThreadSource;
use protocol::turn::{Finish, ItemId, Turn, TurnError, TurnEvent, TurnOutput, Usage};

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
    /// Whether its transcript is compacted first.
    pub(super) compacts: bool,
}

/// One choice, and the memory share that its request holds until Codex has received the whole request.
pub(super) struct Choice<V> {
    source: Source<V>,
    /// Events that come before those of the source.
    ahead: VecDeque<TurnEvent>,
    /// Tokens that were used before the turn.
    spent: Usage,
    held: Option<Arc<Held>>,
}

/// The source of a choice's events.
enum Source<V> {
    /// A turn.
    Turn(V),
    /// The proxy itself, where no model is needed.
    Said(VecDeque<TurnEvent>),
    /// A turn whose transcript is being compacted.
    Compacting(Pin<Box<dyn Future<Output = Result<Compacted<V>, TurnError>> + Send>>),
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
        if run.compacts {
            let task = compact::task(&run.turn);
            let compaction = begin(backend, run.owner, &task, true, recording).await?;
            let (backend, owner, turn) = (backend.clone(), run.owner.to_owned(), run.turn.clone());
            let turn = compact::go_on(backend, owner, compaction, turn, run.streamed, recording.clone());
            choices.push(Choice::of(Source::Compacting(Box::pin(turn)), Some(held.clone())));
            continue;
        }
        let turn = begin(backend, run.owner, &run.turn, run.streamed, recording).await?;
        choices.push(Choice::of(Source::Turn(turn), Some(held.clone())));
    }
    Ok(choices)
}

impl<V: Events> Choice<V> {
    fn of(source: Source<V>, held: Option<Arc<Held>>) -> Self {
        Self { source, ahead: VecDeque::new(), spent: Usage::default(), held }
    }

    /// Where the thread of its turn comes from; `None` if it needs no turn.
    pub(super) fn thread(&self) -> Option<ThreadSource> {
        match &self.source {
            Source::Turn(turn) => Some(turn.source()),
            Source::Said(_) | Source::Compacting(_) => None,
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
        Self::of(Source::Said(events.into()), None)
    }

    /// A choice that has failed before its turn could begin.
    pub(super) fn failed(error: TurnError) -> Self {
        Self::of(Source::Said([TurnEvent::Failed(error)].into()), None)
    }

    /// An answer without anything, for a request that runs no model.
    pub(super) fn nothing() -> Self {
        let events =
            [TurnEvent::Started, TurnEvent::Usage(Usage::default()), TurnEvent::Finished(Finish::Stop)];
        Self::of(Source::Said(events.into()), None)
    }

    /// The next event. The first one shows that Codex has begun, or that the turn has failed.
    pub(super) async fn next(&mut self) -> Option<TurnEvent> {
        let event = loop {
            if let Some(event) = self.ahead.pop_front() {
                break Some(event);
            }
            match &mut self.source {
                Source::Turn(turn) => break turn.next().await,
                Source::Said(events) => break events.pop_front(),
                Source::Compacting(compacting) => match compacting.await {
                    Ok(Compacted { ahead, turn, spent }) => {
                        (self.source, self.ahead, self.spent) = (Source::Turn(turn), ahead, spent);
                    }
                    Err(error) => {
                        self.source = Source::Said(VecDeque::new());
                        break Some(TurnEvent::Failed(error));
                    }
                },
            }
        };
        self.held = None;
        event.map(|mut event| {
            if let TurnEvent::Usage(usage) = &mut event {
                *usage = usage.and(self.spent);
            }
            event
        })
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
            Source::Said(_) | Source::Compacting(_) => false,
        };
        (output, is_unmet)
    }
}
