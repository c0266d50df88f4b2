//! The turns of one session, each in one state from its start until Codex has ended it.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::worker::active_turn::ActiveTurn;
use crate::worker::stream::Sender;
use protocol::codex::{Kept, TurnKey};
use protocol::turn::TurnEvent;

/// How long a process may take to end a turn that is over for its owner, if it ends no other turn meanwhile.
const STUCK: Duration = Duration::from_secs(10);

/// What the session has of a turn whose owner waits for its events.
#[derive(Debug)]
pub(super) struct Attached {
    /// Where its events go.
    pub(super) sender: Sender,
    /// Where its thread goes, if that is kept.
    pub(super) keep: Option<oneshot::Sender<Kept>>,
    /// Its place on the worker.
    pub(super) active: ActiveTurn,
}

/// A turn that Codex has not ended.
#[derive(Debug)]
enum TurnState {
    /// Its owner waits for its events.
    Attached(Attached),
    /// It has been over for its owner since this time; Codex still has to end it.
    Leaving { since: Instant, active: ActiveTurn },
}

impl TurnState {
    fn active(&self) -> &ActiveTurn {
        match self {
            Self::Attached(Attached { active, .. }) | Self::Leaving { active, .. } => active,
        }
    }

    fn active_mut(&mut self) -> &mut ActiveTurn {
        match self {
            Self::Attached(Attached { active, .. }) | Self::Leaving { active, .. } => active,
        }
    }

    fn leaving_since(&self) -> Option<Instant> {
        match self {
            Self::Attached(_) => None,
            Self::Leaving { since, .. } => Some(*since),
        }
    }
}

/// Every turn that Codex has not ended.
#[derive(Debug)]
pub(super) struct Turns {
    turns: HashMap<TurnKey, TurnState>,
    /// The turns that are over for their owners, oldest first; some may have ended since. The oldest is looked up
    /// for every line from Codex.
    leaving: VecDeque<TurnKey>,
    /// When a turn was last ended, or the process was last given up for one that was not.
    last_ended: Instant,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { turns: HashMap::new(), leaving: VecDeque::new(), last_ended: Instant::now() }
    }

    /// A turn begins. Its events are sent to `sender`.
    pub(super) fn begin(&mut self, key: TurnKey, turn: Attached) {
        self.turns.insert(key, TurnState::Attached(turn));
    }

    /// Gives the owner of a turn its thread, which is kept.
    ///
    /// # Errors
    /// Gives the thread back if the owner is gone.
    pub(super) fn keep(&mut self, key: TurnKey, kept: Kept) -> Result<(), Kept> {
        match self.turns.get_mut(&key) {
            Some(TurnState::Attached(Attached { keep, .. })) => match keep.take() {
                Some(keep) => keep.send(kept),
                None => Err(kept),
            },
            Some(TurnState::Leaving { .. }) | None => Err(kept),
        }
    }

    /// A line about a turn is sent to Codex.
    pub(super) fn sent(&self, key: TurnKey, line: &str) {
        if let Some(turn) = self.turns.get(&key) {
            turn.active().sent(line);
        }
    }

    /// An event of a turn. `Break` means that its owner has gone, or reads too slowly.
    pub(super) fn tell(&mut self, key: TurnKey, event: TurnEvent) -> ControlFlow<()> {
        let Some(turn) = self.turns.get_mut(&key) else { return ControlFlow::Continue(()) };
        if let TurnEvent::Usage(usage) = &event {
            turn.active().used(*usage);
        }
        if let TurnEvent::Started = &event {
            turn.active_mut().started();
        }
        match turn {
            TurnState::Attached(turn) => turn.sender.send(event),
            TurnState::Leaving { .. } => ControlFlow::Continue(()),
        }
    }

    /// A turn is over for its owner; Codex still has to end it.
    pub(super) fn leave(&mut self, key: TurnKey) {
        let Some(turn) = self.turns.remove(&key) else { return };
        let left = match turn {
            TurnState::Attached(Attached { active, .. }) => {
                self.leaving.push_back(key);
                TurnState::Leaving { since: Instant::now(), active }
            }
            TurnState::Leaving { since, active } => TurnState::Leaving { since, active },
        };
        self.turns.insert(key, left);
    }

    /// Codex has ended a turn: its place is free.
    pub(super) fn end(&mut self, key: TurnKey) {
        self.turns.remove(&key);
        self.last_ended = Instant::now();
    }

    /// Whether the owner of any turn waits for events.
    pub(super) fn any_attached(&self) -> bool {
        self.turns.values().any(|turn| turn.leaving_since().is_none())
    }

    /// When the process has taken too long to end a turn; `None` while there is none to end.
    pub(super) fn stuck_at(&mut self) -> Option<Instant> {
        while let Some(key) = self.leaving.front() {
            if let Some(since) = self.turns.get(key).and_then(TurnState::leaving_since) {
                return Some(self.last_ended.max(since) + STUCK);
            }
            self.leaving.pop_front();
        }
        None
    }

    /// The process was given up because of a turn that it does not end. It gets the same time again for the
    /// others.
    pub(super) fn forgive(&mut self) {
        self.last_ended = Instant::now();
    }
}
