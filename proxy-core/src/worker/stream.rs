//! The queue between a session and a turn's owner.
//!
//! The session never waits for an owner, so a slow client does not slow down others. A long queue merges
//! neighbouring deltas instead of growing longer; a queue over the size limit ends its turn.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use protocol::turn::{TurnError, TurnErrorKind, TurnEvent};

/// The queue length from which deltas are merged.
const MERGE_FROM: usize = 32;

/// The most bytes of text that may wait for one turn.
const MAX_WAITING: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<TurnEvent>,
    waiting: usize,
    ended: bool,
    abandoned: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's side.
#[derive(Debug)]
pub struct Sender(Arc<Shared>);

/// The owner's side.
#[derive(Debug)]
pub struct Receiver(Arc<Shared>);

/// A queue for one turn.
pub fn channel() -> (Sender, Receiver) {
    let shared = Arc::new(Shared::default());
    (Sender(shared.clone()), Receiver(shared))
}

impl Sender {
    /// Adds an event. After a terminal one nothing more is accepted. `Break` means that the owner has gone, or
    /// reads too slowly.
    pub fn send(&self, event: TurnEvent) -> ControlFlow<()> {
        let mut queue = self.0.lock();
        if queue.abandoned {
            return ControlFlow::Break(());
        }
        if queue.ended {
            return ControlFlow::Continue(());
        }
        queue.waiting += weight(&event);
        if queue.waiting > MAX_WAITING {
            let error = TurnError::new(
                TurnErrorKind::Cancelled,
                "The answer was not read while more than 64 MiB of it piled up.",
            );
            queue.ended = true;
            queue.events.push_back(TurnEvent::Failed(error));
            self.0.changed.notify_one();
            return ControlFlow::Break(());
        }
        queue.ended = event.is_terminal();
        let long = queue.events.len() >= MERGE_FROM;
        match queue.events.back_mut() {
            Some(last) if long => {
                if let Err(event) = merge(last, event) {
                    queue.events.push_back(event);
                }
            }
            _ => queue.events.push_back(event),
        }
        self.0.changed.notify_one();
        ControlFlow::Continue(())
    }
}

impl Drop for Sender {
    /// A session that ends without a terminal event for the turn has lost its worker.
    fn drop(&mut self) {
        let error = TurnError::new(
            TurnErrorKind::WorkerExited,
            "The Codex worker ended before the answer was complete. Try again.",
        )
        .retry_after(Duration::from_secs(1));
        // The session is over whether or not the owner reads this.
        let _ = self.send(TurnEvent::Failed(error));
    }
}

impl Receiver {
    /// The next event; `None` after the terminal one.
    pub async fn recv(&mut self) -> Option<TurnEvent> {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut queue = self.0.lock();
                if let Some(event) = queue.events.pop_front() {
                    queue.waiting = queue.waiting.saturating_sub(weight(&event));
                    return Some(event);
                }
                if queue.ended {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.abandoned = true;
        queue.events.clear();
    }
}

fn weight(event: &TurnEvent) -> usize {
    if let TurnEvent::TextDelta { text, .. }
    | TurnEvent::SummaryDelta { text, .. }
    | TurnEvent::ReasoningTextDelta { text, .. }
    | TurnEvent::ToolCall { input: text, .. } = event
    {
        return text.len();
    }
    0
}

/// Appends a delta to one of the same text, or returns it.
fn merge(last: &mut TurnEvent, event: TurnEvent) -> Result<(), TurnEvent> {
    match (last, event) {
        (TurnEvent::TextDelta { id, text }, TurnEvent::TextDelta { id: next, text: more }) if *id == next => {
            text.push_str(&more);
            Ok(())
        }
        (
            TurnEvent::SummaryDelta { id, index, text },
            TurnEvent::SummaryDelta { id: next, index: part, text: more },
        )
        | (
            TurnEvent::ReasoningTextDelta { id, index, text },
            TurnEvent::ReasoningTextDelta { id: next, index: part, text: more },
        ) if *id == next && *index == part => {
            text.push_str(&more);
            Ok(())
        }
        (_, event) => Err(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::turn::Finish;

    fn delta(text: &str) -> TurnEvent {
        TurnEvent::TextDelta { id: "m".into(), text: text.into() }
    }

    #[tokio::test]
    async fn a_flood_is_merged_and_nothing_is_lost() {
        let (sender, mut receiver) = channel();
        for number in 0..100_000 {
            assert_eq!(sender.send(delta(&format!("{number},"))), ControlFlow::Continue(()));
        }
        assert!(sender.send(TurnEvent::Finished(Finish::Stop)).is_continue());
        let (mut text, mut events) = (String::new(), 0);
        while let Some(event) = receiver.recv().await {
            events += 1;
            if let TurnEvent::TextDelta { text: more, .. } = event {
                text.push_str(&more);
            }
        }
        assert_eq!(text, (0..100_000).map(|number| format!("{number},")).collect::<String>());
        assert_eq!(events, MERGE_FROM + 1);
    }

    #[tokio::test]
    async fn a_lost_session_is_told_once() {
        let (sender, mut receiver) = channel();
        assert!(sender.send(delta("a")).is_continue());
        drop(sender);
        assert_eq!(receiver.recv().await, Some(delta("a")));
        let Some(TurnEvent::Failed(error)) = receiver.recv().await else { panic!("an error is told") };
        assert_eq!(error.kind, TurnErrorKind::WorkerExited);
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn nothing_follows_the_end() {
        let (sender, mut receiver) = channel();
        assert!(sender.send(TurnEvent::Finished(Finish::Stop)).is_continue());
        assert!(sender.send(delta("late")).is_continue());
        drop(sender);
        assert_eq!(receiver.recv().await, Some(TurnEvent::Finished(Finish::Stop)));
        assert_eq!(receiver.recv().await, None);
    }

    #[test]
    fn an_owner_that_is_gone_or_does_not_read_stops_the_turn() {
        let (sender, receiver) = channel();
        drop(receiver);
        assert_eq!(sender.send(delta("a")), ControlFlow::Break(()));
        let (sender, _receiver) = channel();
        let large = "x".repeat(MAX_WAITING / 4);
        let flows: Vec<_> = (0..5).map(|_| sender.send(delta(&large))).collect();
        assert_eq!(
            flows,
            [
                ControlFlow::Continue(()),
                ControlFlow::Continue(()),
                ControlFlow::Continue(()),
                ControlFlow::Continue(()),
                ControlFlow::Break(())
            ]
        );
    }
}
