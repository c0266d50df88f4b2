//! The account behind Codex: who is signed in, signing in and out, and what is left of the plan.
//!
//! [`state`], [`login`] and [`limits`] are pure; this file and [`sign_in`] ask Codex and take its news.

pub mod error;
pub mod import;
pub mod limits;
pub mod login;
mod messages;
mod relay;
mod sign_in;
pub mod state;

pub use error::AccountError;
pub use limits::Limits;
pub use login::{CallbackRefusal, Login, Method};
pub use state::{Listener, Phase, State};

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::worker::notice::{Details, Notice, Who};
use crate::worker::{Handle, Told, WorkerPool};
use protocol::turn::{TurnError, TurnErrorKind};
use state::Effect;

/// How long Codex may take to answer about the account; it asks the vendor.
const PATIENCE: Duration = Duration::from_secs(20);

/// When Codex is asked again who is signed in, after it could not say.
const RETRY: Duration = Duration::from_secs(15);

/// How long a request waits for what is only said in its refusal.
const BRIEFLY: Duration = Duration::from_millis(1500);

/// What the operator decides about the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The sign-in that is taken over when none is named: the user's own Codex's.
    pub import_from: Option<PathBuf>,
    /// Whether a refused request begins the sign-in that it tells of.
    pub begin_on_request: bool,
}

/// Keeps track of the account and changes it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Account {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: WorkerPool,
    config: Config,
    state: watch::Sender<State>,
    /// The session that waits for the end of the sign-in under way.
    waiting: Mutex<Option<sign_in::Waiting>>,
    /// Held while a sign-in is begun or ended: there is one at a time.
    changing: tokio::sync::Mutex<()>,
    /// Held while the limits are read.
    reading: tokio::sync::Mutex<()>,
    /// How many times the limits have been read.
    readings: AtomicU64,
    /// When a request may begin a sign-in again after one that could not be begun.
    not_before: AtomicU64,
    /// Whether Codex is going to be asked again who is signed in.
    asking: AtomicBool,
    zone: TimeZone,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Account {
    /// The account behind the workers of `pool`, kept track of until `shutdown`. Has to be made before the first
    /// worker is up.
    pub fn start(pool: WorkerPool, config: Config, tasks: &TaskTracker, shutdown: CancellationToken) -> Self {
        let notices = pool.notices();
        let shared = Shared {
            pool,
            config,
            state: watch::Sender::default(),
            waiting: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            readings: AtomicU64::new(0),
            not_before: AtomicU64::new(0),
            asking: AtomicBool::new(false),
            zone: TimeZone::system(),
            tasks: tasks.clone(),
            shutdown,
        };
        let account = Self { shared: Arc::new(shared) };
        tasks.spawn(account.clone().listen(notices));
        account
    }

    /// What is known now.
    pub fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    /// What is known, as it changes.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Says where the page is on which people sign in.
    pub fn set_listener(&self, listener: Listener) {
        self.change(|state| state.listener = listener);
    }

    /// What is left of the plan, read anew when asked to or when it is old.
    ///
    /// # Errors
    /// Why Codex does not say so.
    pub async fn limits(&self, refresh: bool) -> Result<Limits, AccountError> {
        let known = self.shared.state.borrow().limits.clone();
        match known {
            Some(limits) if !refresh && !limits.is_stale(now()) => Ok(limits),
            _ => self.read_limits().await,
        }
    }

    /// How many tokens the account has used, in Codex's own count.
    ///
    /// # Errors
    /// Why Codex does not say so.
    pub async fn usage(&self) -> Result<Value, AccountError> {
        self.ask_any("account/usage/read", json!({})).await
    }

    /// Refuses a turn that the plan's limits forbid. Only the vendor knows when they end, so an old reading is
    /// checked first; one that cannot be checked forbids nothing, as Codex then refuses the turn itself.
    ///
    /// # Errors
    /// `UsageLimitReached`, with the time when it ends.
    pub async fn admit(&self) -> Result<(), TurnError> {
        let forbidden = |state: &State| state.limits.clone().filter(Limits::forbid);
        let Some(mut limits) = forbidden(&self.shared.state.borrow()) else { return Ok(()) };
        if limits.may_have_recovered(now()) {
            let Ok(Ok(_)) = timeout(BRIEFLY, self.read_limits()).await else { return Ok(()) };
            let Some(newer) = forbidden(&self.shared.state.borrow()) else { return Ok(()) };
            limits = newer;
        }
        Err(limits::refusal(&limits, now(), &self.shared.zone))
    }

    /// Adds to a turn's failure what the account knows about it: where to sign in, or when the limit is gone.
    pub fn explain(&self, error: TurnError) -> TurnError {
        if error.remedy.is_some() {
            return error;
        }
        match error.kind {
            TurnErrorKind::LoginRequired => {
                self.change(State::refused);
                messages::sign_in(error, &self.shared.state.borrow(), now())
            }
            TurnErrorKind::UsageLimitReached => {
                self.read_limits_soon();
                let state = self.shared.state.borrow();
                limits::explain(error, state.limits.as_ref(), now(), &self.shared.zone)
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

    async fn listen(self, mut notices: broadcast::Receiver<Told>) {
        let mut changes = self.watch();
        loop {
            let expiry = changes.borrow_and_update().login.as_ref().map(|login| login.expires_at);
            tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => return,
                told = notices.recv() => match told {
                    Ok(told) => self.take(told),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "news about the account were missed; asking again");
                        self.ask_again().await;
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = changes.changed() => {}
                () = at(expiry) => self.change(|state| state.expire(now())),
            }
        }
    }

    fn take(&self, told: Told) {
        let latest = self.shared.pool.latest_session();
        let confirms = matches!(&told.notice, Notice::Details(details) if details.account.is_some());
        let nothing_new = confirms && self.is_as_before(told.session);
        self.follow(|state| match nothing_new && state.confirming == Some(told.session) {
            true => state.unconfirmed(told.session),
            false => state.told(told, latest, now()),
        });
    }

    /// Changes the state, and does what follows from it.
    fn follow(&self, change: impl FnOnce(&mut State) -> Option<Effect>) {
        let mut effect = None;
        self.change(|state| effect = change(state));
        match effect {
            Some(Effect::SignedIn) => {
                tracing::info!("somebody has signed in; the workers are started again");
                self.shared.pool.restart();
                self.read_limits_soon();
            }
            Some(Effect::Confirm(session)) => self.confirm(session),
            Some(Effect::Recover(how)) => self.recover(how),
            Some(Effect::ReadLimits) => self.read_limits_soon(),
            Some(Effect::AskAgain) => self.ask_again_later(),
            None => {}
        }
    }

    /// Asks every session who is signed in.
    async fn ask_again(&self) {
        for session in self.shared.pool.sessions() {
            let notice = self.read_account(&session).await;
            self.take(Told { session: session.id(), notice });
        }
    }

    /// What a session says about who is signed in.
    async fn read_account(&self, session: &Handle) -> Notice {
        let answer = self.ask(session, "account/read", json!({"refreshToken": false})).await;
        let details =
            answer.map_err(|error| error.to_string()).and_then(|answer| Details::read(&answer.to_string()));
        details.map_or_else(Notice::Unreadable, Notice::Details)
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

    /// Reads the limits; who comes while they are being read gets that reading.
    async fn read_limits(&self) -> Result<Limits, AccountError> {
        let has_none = |details: &Details| !matches!(details.account, Some(Who::ChatGpt { .. }));
        if self.shared.state.borrow().details.as_ref().is_some_and(has_none) {
            return Err(AccountError::NoLimits);
        }
        let before = self.shared.readings.load(Ordering::Relaxed);
        let _held = self.shared.reading.lock().await;
        if self.shared.readings.load(Ordering::Relaxed) == before {
            let answer = self.ask_any("account/rateLimits/read", Value::Null).await?;
            let limits = Limits::read(answer, now()).ok_or(AccountError::NoLimits)?;
            self.shared.readings.fetch_add(1, Ordering::Relaxed);
            self.change(|state| state.limits = Some(limits));
        }
        self.shared.state.borrow().limits.clone().ok_or(AccountError::NoLimits)
    }

    /// Asks a worker; one that is just being replaced leaves the question to the next.
    async fn ask_any(&self, method: &str, params: Value) -> Result<Value, AccountError> {
        loop {
            let session = self.shared.pool.session(PATIENCE).await?;
            let answer = self.ask(&session, method, params.clone()).await;
            if answer.is_ok() || !session.is_closed() {
                return answer;
            }
        }
    }

    async fn ask(&self, session: &Handle, method: &str, params: Value) -> Result<Value, AccountError> {
        match timeout(PATIENCE, session.call(method, params)).await {
            Ok(answer) => answer.map_err(|error| AccountError::Refused(error.message)),
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

    /// Runs to its end, whether or not somebody waits for it, unless the proxy ends first.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        let shutdown = self.shared.shutdown.clone();
        self.shared.tasks.spawn(async move { shutdown.run_until_cancelled(work).await })
    }
}

async fn at(time: Option<u64>) {
    match time {
        Some(time) => sleep(Duration::from_secs(time.saturating_sub(now()))).await,
        None => std::future::pending().await,
    }
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
