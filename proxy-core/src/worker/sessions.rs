//! Access to the sessions of the workers, for requests to Codex outside of turns.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::timeout;

use super::notices::{SessionId, Told};
use super::pool::WorkerPool;
use super::session::Handle;
use super::shared::Runner;
use super::starting::{self, Unavailable};

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// No worker is up.
    #[error("{0}")]
    Down(Unavailable),
    /// The proxy is about to end.
    #[error("Codex Proxy is shutting down.")]
    ShuttingDown,
    /// The legacy protocol has processes only while turns run.
    #[error("the legacy protocol (`codex proto`) cannot do this")]
    Legacy,
}

impl WorkerPool {
    /// Account notices of every session, from now on.
    pub fn notices(&self) -> broadcast::Receiver<Told> {
        self.shared.notices.subscribe()
    }

    /// The number of account notices that sessions have sent.
    pub fn notices_sent(&self) -> u64 {
        self.shared.notices.sent()
    }

    /// A session of a worker that is up. Waits for one for at most `limit`.
    ///
    /// # Errors
    /// When there is none, with the reason.
    pub async fn session(&self, limit: Duration) -> Result<Handle, NoSession> {
        let mut facts = self.watch();
        let found = timeout(limit, async {
            loop {
                facts.borrow_and_update();
                match self.any_seat() {
                    Some(Runner::Session(session)) => return Ok(session),
                    Some(Runner::Legacy(_)) => return Err(NoSession::Legacy),
                    None => {}
                }
                if facts.changed().await.is_err() {
                    return Err(NoSession::ShuttingDown);
                }
            }
        });
        found.await.unwrap_or_else(|_| Err(NoSession::Down(starting::why_down(&self.watch().borrow()))))
    }

    /// The sessions of every worker that is up.
    pub fn sessions(&self) -> Vec<Handle> {
        let queue = self.shared.queue();
        let seats = queue.all().filter_map(|runner| match runner {
            Runner::Session(session) if !session.is_closed() => Some(session.clone()),
            Runner::Session(_) | Runner::Legacy(_) => None,
        });
        seats.collect()
    }

    /// The session that was started last, ready or not.
    pub fn latest_session(&self) -> SessionId {
        self.shared.notices.latest()
    }

    fn any_seat(&self) -> Option<Runner> {
        let mut queue = self.shared.queue();
        queue.sweep(Runner::is_closed);
        queue.least_loaded().cloned()
    }
}
