//! The owner's view of a session: its handle, and the turns that were started on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::turns::Attached;
use crate::worker::active_turn::ActiveTurn;
use crate::worker::hold::Holds;
use crate::worker::notices::SessionId;
use crate::worker::stream::{self, Receiver};
use protocol::codex::calls::{self, Call};
use protocol::codex::jsonrpc::RpcError;
use protocol::codex::jsonrpc::UnknownShape;
use protocol::codex::{self, Account, Capabilities, Kept, ThreadId, TurnKey};
use protocol::turn::{Catalogue, ThreadSpec, Turn, TurnError, TurnErrorKind, TurnEvent};

/// A command from an owner to a session.
#[derive(Debug)]
pub(super) enum Command {
    Start(TurnKey, Box<Turn>, Attached),
    /// A turn on a thread that was kept.
    Extend(TurnKey, ThreadId, Box<Turn>, Attached),
    /// Closes a thread that was kept.
    Leave(ThreadId),
    /// Starts a thread ahead of its first turn.
    Warm(Box<ThreadSpec>, oneshot::Sender<ThreadId>),
    Interrupt(TurnKey),
    /// A plain call: its method, its parameters, and the channel for its answer.
    Call(&'static str, Value, oneshot::Sender<Result<String, RpcError>>),
}

/// A session that has done its handshake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: SessionId,
    /// Unbounded, but holds no more than two entries a turn; turns are limited by the pool.
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) worker: usize,
    pub(super) capabilities: Capabilities,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) account: watch::Receiver<Option<Account>>,
    pub(super) next_key: AtomicU64,
    pub(super) heard: Arc<AtomicU64>,
    pub(super) worn: Arc<Notify>,
    pub(super) holds: Holds,
}

impl Handle {
    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// The capabilities of this Codex.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// The models this Codex offers.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue.clone()
    }

    /// The worker's number, from 0.
    pub fn worker(&self) -> usize {
        self.shared.worker
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.commands.is_closed()
    }

    /// Lines that the child has printed so far. A growing number shows that it works.
    pub fn lines_heard(&self) -> u64 {
        self.shared.heard.load(Ordering::Relaxed)
    }

    /// Waits until the process is to be replaced: it does not end a turn, and others still run on it.
    pub async fn worn(&self) {
        self.shared.worn.notified().await;
    }

    /// Waits until the session has ended.
    pub async fn closed(&self) {
        self.shared.commands.closed().await;
    }

    /// The holds that keep the process besides its turns.
    pub fn holds(&self) -> &Holds {
        &self.shared.holds
    }

    /// Whether an account is signed in, once Codex has reported it.
    pub async fn account(&self) -> Option<Account> {
        let mut account = self.shared.account.clone();
        let known = account.wait_for(Option::is_some).await;
        known.ok().and_then(|account| *account)
    }

    /// Waits until Codex reports that no account is signed in, or until it has ended.
    pub async fn signed_out(&self) {
        let mut account = self.shared.account.clone();
        // An error means that the session has ended.
        let _ = account.wait_for(|account| *account == Some(Account::SignedOut)).await;
    }

    /// Starts a turn on `active`.
    ///
    /// # Errors
    /// When this Codex cannot run such a turn, or the session has ended.
    pub fn start(&self, turn: Turn, active: ActiveTurn) -> Result<TurnStream, TurnError> {
        self.run(turn, active, Command::Start)
    }

    fn run(
        &self,
        turn: Turn,
        active: ActiveTurn,
        command: impl FnOnce(TurnKey, Box<Turn>, Attached) -> Command,
    ) -> Result<TurnStream, TurnError> {
        codex::check(&turn, self.capabilities())?;
        let key = TurnKey(self.shared.next_key.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = stream::channel();
        let (keep, kept) = oneshot::channel();
        let attached = Attached { sender, keep: Some(keep), active };
        if self.shared.commands.send(command(key, Box::new(turn), attached)).is_err() {
            return Err(lost());
        }
        Ok(TurnStream { key, receiver, kept, session: self.clone(), ended: false })
    }

    /// Starts a thread ahead of its first turn; `None` if Codex cannot, or the session has ended. Do not drop the future:
    /// the thread would stay.
    pub async fn warm(&self, spec: ThreadSpec) -> Option<KeptThread> {
        let (reply, thread) = oneshot::channel();
        self.shared.commands.send(Command::Warm(Box::new(spec), reply)).ok()?;
        let thread = thread.await.ok()?;
        Some(KeptThread::new(self.clone(), Kept { thread, calls: Vec::new() }))
    }

    /// Makes a plain call.
    ///
    /// # Errors
    /// Codex's refusal, an answer with an unknown form, or the end of the session.
    pub async fn call<C: Call>(&self, params: C::Params) -> Result<C::Response, CallError> {
        // The proxy's own parameters always serialise: their keys are strings.
        let params = serde_json::to_value(params).unwrap_or_default();
        let (reply, answer) = oneshot::channel();
        let command = Command::Call(C::METHOD, params, reply);
        self.shared.commands.send(command).map_err(|_| CallError::Ended)?;
        let answer = answer.await.map_err(|_| CallError::Ended)?;
        Ok(calls::read::<C>(&answer.map_err(CallError::Refused)?)?)
    }
}

/// Why a call has no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Codex has refused the call, with this message.
    #[error("{}", .0.message)]
    Refused(RpcError),
    /// The session has ended.
    #[error("the Codex worker has ended")]
    Ended,
    /// The answer has an unknown form.
    #[error(transparent)]
    Unreadable(#[from] UnknownShape),
}

fn lost() -> TurnError {
    TurnError::new(TurnErrorKind::WorkerExited, "The Codex worker has just ended. Try again.")
        .retry_after(Duration::from_secs(1))
}

/// A turn's events. Dropping it before the end interrupts the turn.
#[derive(Debug)]
pub struct TurnStream {
    key: TurnKey,
    receiver: Receiver,
    kept: oneshot::Receiver<Kept>,
    session: Handle,
    ended: bool,
}

impl TurnStream {
    /// The next event; `None` after the terminal one.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        let event = self.receiver.recv().await;
        self.ended = event.as_ref().is_none_or(TurnEvent::is_terminal);
        event
    }

    /// The thread, if it is kept for a later turn. It is there when the terminal event is.
    pub fn kept(&mut self) -> Option<KeptThread> {
        let kept = self.kept.try_recv().ok()?;
        Some(KeptThread::new(self.session.clone(), kept))
    }
}

impl Drop for TurnStream {
    fn drop(&mut self) {
        // A thread that nothing has taken is closed.
        self.kept.close();
        drop(self.kept());
        if !self.ended {
            // A session that has ended has no turn to interrupt.
            let _ = self.session.shared.commands.send(Command::Interrupt(self.key));
        }
    }
}

/// A thread of Codex that waits for its next turn. Dropping it closes the thread.
#[derive(Debug)]
pub struct KeptThread {
    session: Handle,
    /// `None` once a turn has it.
    kept: Option<Kept>,
}

impl KeptThread {
    fn new(session: Handle, kept: Kept) -> Self {
        Self { session, kept: Some(kept) }
    }

    /// The session that has the thread.
    pub fn session(&self) -> SessionId {
        self.session.id()
    }

    /// Whether the thread is gone, with its session.
    pub fn is_gone(&self) -> bool {
        self.session.is_closed()
    }

    /// The ids of the calls whose outputs Codex waits for, in their order. Without any, the thread is idle.
    pub fn calls(&self) -> &[String] {
        self.kept.as_ref().map_or(&[], |kept| &kept.calls)
    }

    /// Starts a turn on this thread. Its transcript has only what the thread does not have; with open calls, that is their
    /// outputs, in the order of the calls.
    ///
    /// # Errors
    /// When the session has ended.
    pub fn extend(mut self, turn: Turn, active: ActiveTurn) -> Result<TurnStream, TurnError> {
        let Kept { thread, .. } = self.kept.take().ok_or_else(lost)?;
        self.session.run(turn, active, |key, turn, attached| Command::Extend(key, thread, turn, attached))
    }
}

impl Drop for KeptThread {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            // A session that has ended has no thread to close.
            let _ = self.session.shared.commands.send(Command::Leave(kept.thread));
        }
    }
}
