//! The backend that runs turns: the workers, and the account behind them.

use std::sync::Arc;

use crate::account::{Account, Limits};
use crate::dispatch::{Admission, Dispatcher, TurnEvents};
use crate::recording::Recording;
use crate::threads::ThreadSource;
use protocol::turn::{Catalogue, Turn, TurnError, TurnErrorKind, TurnEvent};

/// Runs turns. Cheap to clone.
pub trait Backend: Clone + Send + Sync + 'static {
    /// A place for one turn.
    type Place: Place;

    /// The catalogue of models, while a worker is ready.
    fn catalogue(&self) -> Option<Arc<Catalogue>>;

    /// Waits for a place for one turn. Dropping the place gives it back.
    ///
    /// # Errors
    /// When there is none in time.
    fn place(&self) -> impl Future<Output = Result<Self::Place, TurnError>> + Send;

    /// A place for this turn of the key with the id `owner`, where most of its transcript is known already.
    ///
    /// # Errors
    /// When there is none in time.
    fn place_for(
        &self,
        owner: &str,
        turn: &Turn,
    ) -> impl Future<Output = Result<Self::Place, TurnError>> + Send;

    /// Prepares for a turn of this key that is about to come, without waiting for it.
    fn prepare(&self, owner: &str, turn: &Turn);

    /// Refuses a turn that the plan's limits forbid.
    ///
    /// # Errors
    /// `UsageLimitReached`, with the time when it ends.
    fn admit(&self) -> impl Future<Output = Result<(), TurnError>> + Send;

    /// Adds the account's facts to the failure of a turn.
    fn explain(&self, error: TurnError) -> impl Future<Output = TurnError> + Send;

    /// Adds the account's facts to the failure of a turn that has not begun. It may begin a sign-in.
    fn explain_refusal(&self, error: TurnError) -> impl Future<Output = TurnError> + Send;

    /// The last known limits of the plan.
    fn plan(&self) -> Option<Limits>;
}

/// A place for one turn.
pub trait Place: Send {
    /// A turn that was started. Dropping it before its end interrupts it.
    type Events: Events;

    /// The models that are offered here.
    fn catalogue(&self) -> Arc<Catalogue>;

    /// Starts a turn. Its usage is recorded in `recording`.
    ///
    /// # Errors
    /// When the turn cannot run at all.
    fn start(
        self,
        turn: Turn,
        streamed: bool,
        recording: &Recording,
    ) -> impl Future<Output = Result<Self::Events, TurnError>> + Send;
}

/// The events of a turn in the form for the client.
pub trait Events: Send + 'static {
    /// The next event; `None` after the terminal one. Dropping the future loses no event.
    fn next(&mut self) -> impl Future<Output = Option<TurnEvent>> + Send;

    /// Where the thread of the turn comes from.
    fn source(&self) -> ThreadSource;

    /// Whether the answer, which has ended, is not the requested JSON.
    fn is_unmet(&self) -> bool;
}

/// Starts one turn.
///
/// # Errors
/// Why it could not be started.
pub(super) async fn begin<B: Backend>(
    backend: &B,
    owner: &str,
    turn: &Turn,
    streamed: bool,
    recording: &Recording,
) -> Result<<B::Place as Place>::Events, TurnError> {
    let place = backend.place_for(owner, turn).await?;
    match place.start(turn.clone(), streamed, recording).await {
        // The worker ended between its selection and the start: nothing has begun, so another worker can run the turn.
        Err(error) if error.kind == TurnErrorKind::WorkerExited => {
            let place = backend.place_for(owner, turn).await?;
            place.start(turn.clone(), streamed, recording).await
        }
        started => started,
    }
}

/// Codex's workers, and the account that they share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Codex {
    /// Runs turns.
    pub dispatcher: Dispatcher,
    /// The account: its sign-in, and the limits of its plan.
    pub account: Account,
}

impl Codex {
    /// A place, again if a sign-in that was made elsewhere while the workers ran makes one possible.
    async fn or_after_sign_in<F>(&self, place: impl Fn() -> F + Send) -> Result<Admission, TurnError>
    where
        F: Future<Output = Result<Admission, TurnError>> + Send,
    {
        // Each of them may come up with the sign-in from before just when the others have been replaced.
        for _ in 0..self.dispatcher.workers() {
            match place().await {
                Err(error) if error.kind == TurnErrorKind::LoginRequired && self.account.take_up().await => {}
                placed => return placed,
            }
        }
        place().await
    }
}

impl Backend for Codex {
    type Place = Admission;

    fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.dispatcher.catalogue()
    }

    async fn place(&self) -> Result<Admission, TurnError> {
        self.or_after_sign_in(|| self.dispatcher.place()).await
    }

    async fn place_for(&self, owner: &str, turn: &Turn) -> Result<Admission, TurnError> {
        self.or_after_sign_in(|| self.dispatcher.place_for(owner, turn)).await
    }

    fn prepare(&self, owner: &str, turn: &Turn) {
        self.dispatcher.warm(owner, &turn.spec);
    }

    async fn admit(&self) -> Result<(), TurnError> {
        self.account.admit().await
    }

    async fn explain(&self, error: TurnError) -> TurnError {
        self.account.explain(error).await
    }

    async fn explain_refusal(&self, error: TurnError) -> TurnError {
        if error.kind == TurnErrorKind::LoginRequired && error.remedy.is_none() {
            return self.account.login_required(error).await;
        }
        self.account.explain(error).await
    }

    fn plan(&self) -> Option<Limits> {
        self.account.watch().borrow().limits.clone()
    }
}

impl Place for Admission {
    type Events = TurnEvents;

    fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue()
    }

    async fn start(self, turn: Turn, streamed: bool, recording: &Recording) -> Result<TurnEvents, TurnError> {
        self.start(turn, streamed, recording).await
    }
}

impl Events for TurnEvents {
    async fn next(&mut self) -> Option<TurnEvent> {
        self.next().await
    }

    fn source(&self) -> ThreadSource {
        self.source()
    }

    fn is_unmet(&self) -> bool {
        self.is_unmet()
    }
}
