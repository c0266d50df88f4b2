//! The account notices of every Codex process, in one channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::broadcast;

use protocol::codex::Notice;

/// More than the account notices of any minute. A reader that falls behind gets an error about it.
const CAPACITY: usize = 256;

/// Identifies a session during the proxy's lifetime. Later sessions have greater ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub u64);

/// An account notice, and its session. Each session knows only the sign-in that it was started with, and those
/// that were made through it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The session that sent it.
    pub session: SessionId,
    /// The notice.
    pub notice: Notice,
}

/// Gives sessions their ids, and receives their notices.
#[derive(Debug, Clone)]
pub(super) struct Notices {
    sender: broadcast::Sender<Told>,
    latest: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), latest: Arc::default(), sent: Arc::default() }
    }
}

impl Notices {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Told> {
        self.sender.subscribe()
    }

    /// The sender of a session that is about to be started.
    pub(super) fn voice(&self) -> Voice {
        let session = SessionId(self.latest.fetch_add(1, Ordering::Relaxed) + 1);
        Voice { session, sender: self.sender.clone(), sent: self.sent.clone() }
    }

    /// The number of notices that have been sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// The id that was given out last.
    pub(super) fn latest(&self) -> SessionId {
        SessionId(self.latest.load(Ordering::Relaxed))
    }
}

/// The sender of one session's notices.
#[derive(Debug)]
pub struct Voice {
    /// The session's id.
    pub session: SessionId,
    sender: broadcast::Sender<Told>,
    sent: Arc<AtomicU64>,
}

impl Voice {
    pub(super) fn tell(&self, notice: Notice) {
        // An error means that there is no receiver, as in a pool without an account.
        if self.sender.send(Told { session: self.session, notice }).is_ok() {
            self.sent.fetch_add(1, Ordering::Release);
        }
    }
}
