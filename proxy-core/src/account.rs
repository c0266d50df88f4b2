//! The account behind Codex: its sign-in, signing in and out, and the limits of its plan.
//!
//! [`state`], [`login`], [`limits`] and [`problem`] are pure; this file and [`sign_in`] send calls to Codex and
//! handle its notices.

mod clock;
pub mod error;
pub mod import;
pub mod limits;
pub mod login;
mod messages;
pub mod problem;
mod relay;
mod sign_in;
pub mod state;

pub use error::{AccountError, NoWorker, SignInError, Unsupported};
pub use limits::Limits;
pub use login::{CallbackRefusal, Login, Method};
pub use problem::Problem;
pub use state::{Listener, Phase, State};

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::worker::{CallError, CodexHome, Handle, Told, Which, WorkerPool};
use clock::Clock;
use protocol::codex::calls::{
    AccountUsage, Call, Nothing, ReadAccount, ReadAccountParams, ReadRateLimits, ReadUsage,
};
use protocol::codex::notice::{Details, Notice, Who};
use protocol::turn::{TurnError, TurnErrorKind};
use state::Effect;

/// How long Codex may take to answer about the account, because it sends a request to the vendor.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause before Codex is asked for the account again, after it could not report it.
const RETRY: Duration = Duration::from_secs(15);

/// How long a request waits for information that is only used in its refusal.
const BRIEFLY: Duration = Duration::from_millis(1500);

/// The operator's settings for the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Codex's home, which contains the sign-in.
    pub home: CodexHome,
    /// How long a worker may take from its start to its handshake.
    pub startup_timeout: Duration,
    /// The sign-in that is imported when none is named: that of the user's own Codex.
    pub import_from: Option<PathBuf>,
    /// Whether a refused request begins a sign-in and names it in its answer.
    pub begin_on_request: bool,
}

/// Tracks the account and changes it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Account {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: WorkerPool,
    config: Config,
    state: watch::Sender<State>,
    /// The session that waits for the end of the present sign-in.
    waiting: Mutex<Option<sign_in::Waiting>>,
    /// Held while a sign-in is begun or ended: there is one at a time.
    changing: tokio::sync::Mutex<()>,
    /// Held while the limits are read.
    reading: tokio::sync::Mutex<()>,
    /// The number of times that the limits have been read.
    readings: AtomicU64,
    /// The number of notices that have been handled.
    handled: watch::Sender<u64>,
    /// When a request may begin a sign-in again, after an attempt that failed.
    not_before: AtomicU64,
    /// Whether another call for the account is scheduled.
    asking: AtomicBool,
    zone: TimeZone,
    clock: Clock,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Account {
    /// The account behind the workers of `pool`, tracked until `shutdown`. It must be created before the first
    /// worker is up.
    pub fn start(pool: WorkerPool, config: Config, tasks: &TaskTracker, shutdown: CancellationToken) -> Self {
        Self::start_by(Clock::System, pool, config, tasks, shutdown)
    }

    /// The same with this clock.
    fn start_by(
        clock: Clock,
        pool: WorkerPool,
        config: Config,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let notices = pool.notices();
        let shared = Shared {
            pool,
            config,
            state: watch::Sender::default(),
            waiting: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            readings: AtomicU64::new(0),
            handled: watch::Sender::default(),
            not_before: AtomicU64::new(0),
            asking: AtomicBool::new(false),
            zone: TimeZone::system(),
            clock,
            tasks: tasks.clone(),
            shutdown,
        };
        let account = Self { shared: Arc::new(shared) };
        tasks.spawn(account.clone().listen(notices));
        account
    }

    /// The present state.
    pub fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    /// The state, as it changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Sets the address of the sign-in page.
    pub fn set_listener(&self, listener: Listener) {
        self.change(|state| state.listener = listener);
    }

    /// The limits of the plan. They are read again if the caller requires it or if they are old.
    ///
    /// # Errors
    /// Why Codex does not report them.
    pub async fn limits(&self, refresh: bool) -> Result<Limits, AccountError> {
        let known = self.shared.state.borrow().limits.clone();
        match known {
            Some(limits) if !refresh && !limits.is_stale(self.now()) => Ok(limits),
            _ => self.read_limits().await,
        }
    }

    /// How many tokens the account has used, by the vendor's own count.
    ///
    /// # Errors
    /// Why Codex does not report it.
    pub async fn usage(&self) -> Result<AccountUsage, AccountError> {
        match self.ask_any::<ReadUsage>(|| Nothing {}).await {
            Err(AccountError::Refused(CallError::Unreadable(_))) => Err(Unsupported::Usage.into()),
            answer => answer,
        }
    }

    /// Refuses a turn that the plan's limits forbid. Only the vendor knows when they end, so an old reading is
    /// renewed first. If that fails, the turn is allowed, because Codex then refuses it itself.
    ///
    /// # Errors
    /// `UsageLimitReached`, with the time when it ends.
    pub async fn admit(&self) -> Result<(), TurnError> {
        let forbidden = |state: &State| state.limits.clone().filter(Limits::forbid);
        let Some(mut limits) = forbidden(&self.shared.state.borrow()) else { return Ok(()) };
        if limits.may_have_recovered(self.now()) {
            let Ok(Ok(_)) = timeout(BRIEFLY, self.read_limits()).await else { return Ok(()) };
            let Some(newer) = forbidden(&self.shared.state.borrow()) else { return Ok(()) };
            limits = newer;
        }
        Err(limits::refusal(&limits, self.now(), &self.shared.zone))
    }

    /// Adds the account's facts to a turn's failure: where to sign in, or when the limit ends. Notices that came before
    /// the failure count.
    pub async fn explain(&self, error: TurnError) -> TurnError {
        if error.remedy.is_some() {
            return error;
        }
        match error.kind {
            TurnErrorKind::LoginRequired => {
                self.change(State::refused);
                messages::sign_in(error, &self.shared.state.borrow(), self.now())
            }
            TurnErrorKind::UsageLimitReached => {
                self.catch_up().await;
                self.read_limits_soon();
                let state = self.shared.state.borrow();
                limits::explain(error, state.limits.as_ref(), self.now(), &self.shared.zone)
            }
            TurnErrorKind::RateLimited
            | TurnErrorKind::ContextLengthExceeded
            | TurnErrorKind::ModelNotFound
            | TurnErrorKind::Unsupported
            | TurnErrorKind::BadRequest
            | TurnErrorKind::Forbidden
            | TurnErrorKind::ContentFiltered
            | TurnErrorKind::Overloaded
            | TurnErrorKind::Upstream
            | TurnErrorKind::WorkerNotReady
            | TurnErrorKind::WorkerExited
            | TurnErrorKind::RequestTimeout
            | TurnErrorKind::IdleTimeout
            | TurnErrorKind::Cancelled
            | TurnErrorKind::Internal => error,
        }
    }

    /// Applies a sign-in that another program has put into Codex's home. A process reads it only at its start, so
    /// the processes with another sign-in are replaced. Returns after that, with whether there is a sign-in: a
    /// refused turn may then be tried again, also if another request caused the replacement meanwhile.
    pub async fn take_up(&self) -> bool {
        let Some(written) = self.shared.config.home.sign_in() else { return false };
        let outdated = self.shared.pool.replace(Which::StartedWithout(written));
        if !outdated.is_empty() {
            tracing::info!("somebody has signed in; starting Codex again");
            outdated.with_other_sign_in().await;
        }
        true
    }

    /// Waits until every notice that has been sent is handled.
    async fn catch_up(&self) {
        let sent = self.shared.pool.notices_sent();
        let mut handled = self.shared.handled.subscribe();
        let caught_up = handled.wait_for(|handled| *handled >= sent);
        // While the proxy ends, nobody handles notices any more.
        self.shared.shutdown.run_until_cancelled(caught_up).await;
    }

    fn count(&self, notices: u64) {
        self.shared.handled.send_modify(|handled| *handled += notices);
    }

    async fn listen(self, mut notices: broadcast::Receiver<Told>) {
        let mut changes = self.watch();
        loop {
            let expiry = changes.borrow_and_update().login.as_ref().map(|login| login.expires_at);
            tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => return,
                told = notices.recv() => match told {
                    Ok(told) => {
                        self.take(told);
                        self.count(1);
                    }
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "news about the account were missed; asking again");
                        self.count(missed);
                        self.ask_again().await;
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = changes.changed() => {}
                () = self.at(expiry) => self.change(|state| state.expire(self.now())),
            }
        }
    }

    fn take(&self, told: Told) {
        let latest = self.shared.pool.latest_session();
        let confirms = matches!(&told.notice, Notice::Details(details) if details.account.is_some());
        let nothing_new = confirms && self.is_as_before(told.session);
        self.follow(|state| match nothing_new && state.confirming == Some(told.session) {
            true => state.unconfirmed(told.session),
            false => state.told(told, latest, self.now()),
        });
    }

    /// Changes the state, and performs the actions that follow from it.
    fn follow(&self, change: impl FnOnce(&mut State) -> Option<Effect>) {
        let mut effect = None;
        self.change(|state| effect = change(state));
        match effect {
            Some(Effect::SignedIn) => {
                tracing::info!("somebody has signed in; the workers are started again");
                self.shared.pool.replace(Which::All);
                self.read_limits_soon();
            }
            Some(Effect::Confirm(session)) => self.confirm(session),
            Some(Effect::Recover(how)) => self.recover(how),
            Some(Effect::ReadLimits) => self.read_limits_soon(),
            Some(Effect::AskAgain) => self.ask_again_later(),
            None => {}
        }
    }

    /// Asks every session which account is signed in.
    async fn ask_again(&self) {
        for session in self.shared.pool.sessions() {
            let said = self.read_account(&session).await;
            self.take_said(&session, said);
        }
    }

    /// Handles a session's report of the account.
    async fn read_account(&self, session: &Handle) -> Result<Details, AccountError> {
        self.ask::<ReadAccount>(session, ReadAccountParams::default()).await
    }

    fn take_said(&self, session: &Handle, said: Result<Details, AccountError>) {
        let reason = match said {
            Ok(details) => {
                return self.take(Told { session: session.id(), notice: Notice::Details(details) });
            }
            Err(AccountError::Refused(CallError::Unreadable(shape))) => shape.to_string(),
            Err(error) => error.to_string(),
        };
        self.follow(|state| state.unreadable(session.id(), reason));
    }

    fn ask_again_later(&self) {
        if self.shared.asking.swap(true, Ordering::Relaxed) {
            return;
        }
        let account = self.clone();
        self.spawn(async move {
            sleep(RETRY).await;
            account.shared.asking.store(false, Ordering::Relaxed);
            account.ask_again().await;
        });
    }

    fn read_limits_soon(&self) {
        let account = self.clone();
        self.spawn(async move {
            if let Err(error) = account.read_limits().await {
                tracing::debug!(%error, "the account's limits could not be read");
            }
        });
    }

    /// Reads the limits. Concurrent callers share one reading.
    async fn read_limits(&self) -> Result<Limits, AccountError> {
        let has_none = |details: &Details| !matches!(details.account, Some(Who::ChatGpt { .. }));
        if self.shared.state.borrow().details.as_ref().is_some_and(has_none) {
            return Err(AccountError::NoLimits);
        }
        let before = self.shared.readings.load(Ordering::Relaxed);
        let _held = self.shared.reading.lock().await;
        if self.shared.readings.load(Ordering::Relaxed) == before {
            let known = self.shared.state.borrow().limits.clone();
            let read = match self.ask_any::<ReadRateLimits>(|| ()).await {
                Err(AccountError::Refused(CallError::Unreadable(_))) => return Err(AccountError::NoLimits),
                answer => answer?,
            };
            let limits = Limits::of(read, self.now());
            self.shared.readings.fetch_add(1, Ordering::Relaxed);
            self.change(|state| {
                state.limits = Some(limits.after_updates(known.as_ref(), state.limits.as_ref()));
            });
        }
        self.shared.state.borrow().limits.clone().ok_or(AccountError::NoLimits)
    }

    /// Sends a call to a worker. If that worker is just being replaced, the next one gets the call.
    async fn ask_any<C: Call>(&self, params: impl Fn() -> C::Params) -> Result<C::Response, AccountError> {
        loop {
            let session = self.shared.pool.session(PATIENCE).await?;
            let answer = self.ask::<C>(&session, params()).await;
            if answer.is_ok() || !session.is_closed() {
                return answer;
            }
        }
    }

    async fn ask<C: Call>(&self, session: &Handle, params: C::Params) -> Result<C::Response, AccountError> {
        match timeout(PATIENCE, session.call::<C>(params)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(AccountError::Slow),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.shared.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    /// Runs to its end, even if the caller stops waiting, unless the proxy ends first.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        let shutdown = self.shared.shutdown.clone();
        self.shared.tasks.spawn(async move { shutdown.run_until_cancelled(work).await })
    }

    /// Seconds since the epoch.
    fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    async fn at(&self, time: Option<u64>) {
        match time {
            Some(time) => sleep(Duration::from_secs(time.saturating_sub(self.now()))).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
