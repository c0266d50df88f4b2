//! What every Codex says about the account, in one channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::broadcast;

use protocol::codex::Notice;

/// More than the account's news of any minute. A receiver that falls behind gets an error.
const CAPACITY: usize = 256;

/// Names a session among all of this proxy's life. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub u64);

/// News about the account, and which session's they are: each knows only the sign-in it was started with, and those
/// that were made through it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The session.
    pub session: SessionId,
    /// The news.
    pub notice: Notice,
}

/// Where sessions get their names, and where their news go.
#[derive(Debug, Clone)]
pub(super) struct Notices {
    sender: broadcast::Sender<Told>,
    latest: Arc<AtomicU64>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), latest: Arc::default() }
    }
}

impl Notices {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Told> {
        self.sender.subscribe()
    }

    /// The voice of a session that is about to be started.
    pub(super) fn voice(&self) -> Voice {
        let session = SessionId(self.latest.fetch_add(1, Ordering::Relaxed) + 1);
        Voice { session, sender: self.sender.clone() }
    }

    /// The session that was named last.
    pub(super) fn latest(&self) -> SessionId {
        SessionId(self.latest.load(Ordering::Relaxed))
    }
}

/// One session's way to tell.
#[derive(Debug)]
pub struct Voice {
    /// The session.
    pub session: SessionId,
    sender: broadcast::Sender<Told>,
}

impl Voice {
    pub(super) fn tell(&self, notice: Notice) {
        // Without an account, as in tests of the pool alone, there is no receiver.
        let _ = self.sender.send(Told { session: self.session, notice });
    }
}
