//! Keeps a worker alive and hands out leases on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session::{self, Ended, Handle, TurnStream};
use super::{Config, catalogue, process};
use crate::codex::{Account, AppServer, Capabilities, Driver, appserver, isolation};
use crate::turn::{Catalogue, Turn, TurnError, TurnErrorKind};

/// The workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    state: watch::Receiver<State>,
    restarts: watch::Receiver<u64>,
    restart: Arc<Notify>,
}

/// What the one worker is doing.
#[derive(Debug, Clone)]
enum State {
    Starting,
    Ready(Handle, SignIn),
    /// It ended or could not be started; the next try comes by itself.
    BackingOff {
        reason: Arc<str>,
        until: Instant,
        usable_before: bool,
    },
    Stopped,
}

/// The sign-in that a worker found at its start: when the file with it was written, if there was one. Codex does
/// not look again.
type SignIn = Option<std::time::SystemTime>;

/// A worker's state, for people and health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerState {
    /// It is on its way to its handshake.
    Starting,
    /// It takes turns.
    Ready {
        /// The version of its Codex.
        version: String,
        /// Turns it is working on.
        active_turns: usize,
    },
    /// It ended or could not be started; the next try comes by itself.
    BackingOff {
        /// Why.
        reason: String,
    },
    /// The proxy is shutting down.
    Stopped,
}

/// The pool as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// The worker's state.
    pub worker: WorkerState,
    /// How many times a worker has been started again.
    pub restarts: u64,
}

/// The shortest and the longest pause before a worker is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

const SHUTDOWN: &str = "the proxy is shutting down";
const RESTART: &str = "a restart was asked for";

/// A worker that lived this long has earned a quick restart.
const STEADY: Duration = Duration::from_secs(30);

impl WorkerPool {
    /// Starts the supervisor on `tasks`; it works until `shutdown`.
    pub fn start(config: Config, tasks: &TaskTracker, shutdown: CancellationToken) -> Self {
        let (state, watched) = watch::channel(State::Starting);
        let (restarts, counted) = watch::channel(0);
        let restart = Arc::new(Notify::new());
        let supervisor =
            Supervisor { config: config.clone(), state, restarts, restart: restart.clone(), shutdown };
        tasks.spawn(supervisor.run());
        Self { shared: Arc::new(Shared { config, state: watched, restarts: counted, restart }) }
    }

    /// A lease on a worker that is ready, waiting for one to become so within the configured time.
    ///
    /// # Errors
    /// `WorkerNotReady`, with the reason, when none is; `LoginRequired` when nobody is signed in.
    pub async fn acquire(&self) -> Result<Lease, TurnError> {
        let (lease, sign_in) = self.ready().await?;
        if lease.session.account().await != Some(Account::SignedOut) {
            return Ok(lease);
        }
        if sign_in == sign_in_of(&self.shared.config) {
            return Err(self.login_required());
        }
        tracing::info!("somebody has signed in; starting Codex again");
        self.shared.restart.notify_one();
        lease.session.closed().await;
        let (lease, _) = self.ready().await?;
        match lease.session.account().await {
            Some(Account::SignedOut) => Err(self.login_required()),
            Some(Account::Usable) | None => Ok(lease),
        }
    }

    fn login_required(&self) -> TurnError {
        let home = self.shared.config.home.path().display();
        TurnError::new(
            TurnErrorKind::LoginRequired,
            format!("Codex is not signed in. Run `CODEX_HOME='{home}' codex login`, then try again."),
        )
    }

    async fn ready(&self) -> Result<(Lease, SignIn), TurnError> {
        let mut state = self.shared.state.clone();
        let usable = state.wait_for(|state| match state {
            State::Ready(session, _) => !session.is_closed(),
            State::BackingOff { usable_before, .. } => !usable_before,
            State::Starting => false,
            State::Stopped => true,
        });
        let now = match timeout(self.shared.config.ready_wait, usable).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) => State::Stopped,
            Err(_) => self.shared.state.borrow().clone(),
        };
        match now {
            State::Ready(session, sign_in) => Ok((Lease { session }, sign_in)),
            State::Starting => Err(not_ready("The Codex worker is still starting.", Duration::from_secs(1))),
            State::BackingOff { reason, until, .. } => Err(not_ready(
                &format!("The Codex worker is not running: {reason}"),
                until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1)),
            )),
            State::Stopped => Err(not_ready("Codex Proxy is shutting down.", Duration::from_secs(5))),
        }
    }

    /// How the pool is doing.
    pub fn status(&self) -> PoolStatus {
        let worker = match &*self.shared.state.borrow() {
            State::Starting => WorkerState::Starting,
            State::Ready(session, _) if session.is_closed() => WorkerState::Starting,
            State::Ready(session, _) => WorkerState::Ready {
                version: session.capabilities().version.clone(),
                active_turns: session.active_turns(),
            },
            State::BackingOff { reason, .. } => WorkerState::BackingOff { reason: reason.to_string() },
            State::Stopped => WorkerState::Stopped,
        };
        PoolStatus { worker, restarts: *self.shared.restarts.borrow() }
    }

    /// The models of the worker that is ready, or of none.
    pub fn catalogue(&self) -> Catalogue {
        match &*self.shared.state.borrow() {
            State::Ready(session, _) => session.catalogue().clone(),
            State::Starting | State::BackingOff { .. } | State::Stopped => Catalogue::default(),
        }
    }
}

fn not_ready(message: &str, retry_after: Duration) -> TurnError {
    TurnError::new(TurnErrorKind::WorkerNotReady, message).retry_after(retry_after)
}

/// A place on a worker.
#[derive(Debug)]
pub struct Lease {
    session: Handle,
}

impl Lease {
    /// What this worker's Codex can do.
    pub fn capabilities(&self) -> &Capabilities {
        self.session.capabilities()
    }

    /// The models of this worker.
    pub fn catalogue(&self) -> &Catalogue {
        self.session.catalogue()
    }

    /// Starts a turn.
    ///
    /// # Errors
    /// When this Codex cannot run such a turn, or the worker has just ended.
    pub fn start(&self, turn: Turn) -> Result<TurnStream, TurnError> {
        self.session.start(turn)
    }
}

struct Supervisor {
    config: Config,
    state: watch::Sender<State>,
    restarts: watch::Sender<u64>,
    restart: Arc<Notify>,
    shutdown: CancellationToken,
}

/// When the file with the sign-in was written, if there is one.
fn sign_in_of(config: &Config) -> SignIn {
    std::fs::metadata(config.home.path().join("auth.json")).and_then(|file| file.modified()).ok()
}

impl Supervisor {
    async fn run(self) {
        let mut pause = BACKOFF.0;
        loop {
            let started = Instant::now();
            self.state.send_replace(State::Starting);
            let (reason, was_ready) = match self.one_life().await {
                Ok(Ended { reason, .. }) if reason == RESTART => {
                    self.restarts.send_modify(|count| *count += 1);
                    continue;
                }
                Ok(Ended { reason, was_ready }) => (format!("Codex stopped: {reason}"), was_ready),
                Err(reason) => (reason, false),
            };
            if self.shutdown.is_cancelled() {
                self.state.send_replace(State::Stopped);
                return;
            }
            if started.elapsed() >= STEADY {
                pause = BACKOFF.0;
            }
            let delay = pause + jitter(pause);
            tracing::warn!(reason, retry_ms = delay.as_millis(), "the codex worker is down");
            self.state.send_replace(State::BackingOff {
                reason: reason.into(),
                until: Instant::now() + delay,
                usable_before: was_ready,
            });
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.shutdown.cancelled() => {}
            }
            pause = (pause * 2).min(BACKOFF.1);
            self.restarts.send_modify(|count| *count += 1);
        }
    }

    /// One worker from its start to its end.
    async fn one_life(&self) -> Result<Ended, String> {
        catalogue::prepare_directories(&self.config)?;
        let catalogues = tokio::select! {
            catalogues = catalogue::prepare(&self.config) => catalogues,
            () = self.shutdown.cancelled() => return Err("shutting down".into()),
        };
        let arguments = isolation::arguments(
            catalogues.as_ref().map(|files| files.plain.as_path()),
            self.config.provider.as_deref(),
            self.config.sandbox.as_str(),
        );
        let program = catalogue::program(&self.config, arguments);
        let (process, pipes) = process::start(&program).map_err(|error| error.to_string())?;
        tracing::debug!(pid = process.id(), "codex started");
        let settings = appserver::Settings {
            workdir: self.config.workdir.clone(),
            sandbox: self.config.sandbox.as_str(),
            search_catalogue: catalogues.map(|files| files.search),
            client_version: env!("CARGO_PKG_VERSION"),
        };
        let (ready, given_out) = oneshot::channel();
        let sign_in = sign_in_of(&self.config);
        let life = session::run(
            process,
            pipes,
            |out| Driver::AppServer(AppServer::new(settings, out)),
            ready,
            self.must_stop(given_out, sign_in),
            self.config.shutdown_grace,
        );
        Ok(life.await)
    }

    /// Waits for a reason to stop the session: no handshake in time, a restart, or the proxy's shutdown.
    async fn must_stop(&self, given_out: oneshot::Receiver<Handle>, sign_in: SignIn) -> &'static str {
        let handshake = timeout(self.config.startup_timeout, given_out);
        tokio::select! {
            () = self.shutdown.cancelled() => return SHUTDOWN,
            result = handshake => match result {
                Err(_) => return "it did not finish its handshake in time (WORKER_STARTUP_TIMEOUT_MS)",
                // The session is over and will say why itself.
                Ok(Err(_)) => return std::future::pending().await,
                Ok(Ok(session)) => {
                    tracing::info!(
                        version = session.capabilities().version,
                        models = session.catalogue().models.len(),
                        "the codex worker is ready"
                    );
                    self.state.send_replace(State::Ready(session, sign_in));
                }
            },
        }
        tokio::select! {
            () = self.shutdown.cancelled() => SHUTDOWN,
            () = self.restart.notified() => RESTART,
        }
    }
}

/// Up to a fifth more, so that proxies that failed together do not return together.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0u8; 1];
    // Without randomness there is no jitter, and nothing else is lost.
    let _ = getrandom::fill(&mut byte);
    pause * u32::from(byte[0]) / 1280
}
