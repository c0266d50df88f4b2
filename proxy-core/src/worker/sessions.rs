//! The sessions behind the places, for requests to Codex that are no turns.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;
use tokio::time::timeout;

use super::notices::{SessionId, Told};
use super::pool::WorkerPool;
use super::session::Handle;
use super::shared::Backend;
use super::{CodexHome, State, starting};

/// Why there is no session to ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    /// No worker is up, in a sentence.
    #[error("{0}")]
    Down(String),
    /// The legacy protocol has processes only while turns run.
    #[error("the legacy protocol (`codex proto`) cannot do this")]
    Legacy,
}

impl WorkerPool {
    /// News about the account from now on, from every session.
    pub fn notices(&self) -> broadcast::Receiver<Told> {
        self.shared.notices.subscribe()
    }

    /// A session of a worker that is up, waiting for one for at most `limit`.
    ///
    /// # Errors
    /// That there is none, and why.
    pub async fn session(&self, limit: Duration) -> Result<Handle, NoSession> {
        let mut facts = self.watch();
        let found = timeout(limit, async {
            loop {
                facts.borrow_and_update();
                match self.any_seat() {
                    Some(Backend::Session(session)) => return Ok(session),
                    Some(Backend::Legacy(_)) => return Err(NoSession::Legacy),
                    None => {}
                }
                if facts.changed().await.is_err() {
                    return Err(NoSession::Down("Codex Proxy is shutting down.".to_owned()));
                }
            }
        });
        found.await.unwrap_or_else(|_| Err(NoSession::Down(starting::why_down(&self.watch().borrow()))))
    }

    /// The sessions of every worker that is up.
    pub fn sessions(&self) -> Vec<Handle> {
        let queue = self.shared.queue();
        let seats = queue.all().filter_map(|backend| match backend {
            Backend::Session(session) if !session.is_closed() => Some(session.clone()),
            Backend::Session(_) | Backend::Legacy(_) => None,
        });
        seats.collect()
    }

    /// Replaces the workers that are just starting: they may have read a sign-in that is no more.
    pub fn restart_unready(&self) {
        for worker in self.watch().borrow().iter().filter(|worker| worker.state != State::Ready) {
            self.restart_one(worker.id);
        }
    }

    /// The session that was started last, ready or not.
    pub fn latest_session(&self) -> SessionId {
        self.shared.notices.latest()
    }

    /// Codex's home, if it is the proxy's own.
    pub fn private_home(&self) -> Option<&Path> {
        match &self.shared.config.home {
            CodexHome::Private(home) => Some(home),
            CodexHome::Given(_) => None,
        }
    }

    /// When the sign-in in Codex's home was written, if there is one.
    pub fn sign_in(&self) -> Option<SystemTime> {
        self.shared.config.sign_in()
    }

    /// How long a worker may take to get ready.
    pub fn startup_timeout(&self) -> Duration {
        self.shared.config.startup_timeout
    }

    fn any_seat(&self) -> Option<Backend> {
        let mut queue = self.shared.queue();
        queue.sweep(Backend::is_closed);
        queue.least_loaded().cloned()
    }
}
