//! The control API: everything that a person can see and change. Its clients are the HTTP routes under
//! `/control`, the command line and the tray.

pub mod account;
pub mod api;
pub mod clients;
pub mod codex;
mod diagnostics;
mod events;
pub mod keys;
pub mod logs;
mod proofs;
pub mod requests;
pub mod settings;
pub mod share;
mod store;
pub mod usage;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::events::Events;

use self::api::{BackendMode, SandboxMode, Status, Worker, WorkerState};
use self::settings::SettingsBook;
use self::share::Sharing;
use crate::account as accounts;
use crate::client_setup::Clients;
use crate::codex_install::{Codex, Job as CodexJob};
use crate::keys::KeyRing;
use crate::limit_history::LimitHistory;
use crate::pause::Pause;
use crate::prove::{self, Prover};
use crate::request_log::RequestLog;
use crate::response_store::ResponseStore;
use crate::telemetry::Logs;
use crate::usage::UsageStore;
use crate::worker::{self, State as LifecycleState, WorkerFacts, WorkerPool};

/// Reads and controls the running proxy. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControlHandle(Arc<Parts>);

/// The parts that a [`ControlHandle`] uses.
#[derive(Debug)]
pub struct Parts {
    /// The workers.
    pub pool: WorkerPool,
    /// The account.
    pub account: accounts::Account,
    /// The API keys.
    pub keys: KeyRing,
    /// The usage store.
    pub usage: UsageStore,
    /// The store of responses.
    pub responses: ResponseStore,
    /// The log of the latest requests.
    pub requests: RequestLog,
    /// The installation of Codex.
    pub codex: Codex,
    /// Makes proofs of what Codex adds to prompts.
    pub prover: Prover,
    /// The programs whose settings can be changed here.
    pub clients: Clients,
    /// The proxy's own settings.
    pub settings: Box<dyn SettingsBook>,
    /// The log of this process.
    pub logs: Logs,
    /// Whether other machines of the network may call the API.
    pub sharing: Sharing,
    /// How the limits of the plan went.
    pub limit_history: LimitHistory,
    /// Facts that do not change.
    pub about: About,
    /// Whether requests are refused because a person has paused the proxy.
    pub pause: Pause,
    /// Cancelled to end the proxy.
    pub shutdown: CancellationToken,
    /// Cancelled when the proxy accepts no more requests.
    pub closing: CancellationToken,
}

/// Facts that do not change while the proxy runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The protocol that is used with Codex.
    pub backend_mode: BackendMode,
    /// What Codex's own tools may access.
    pub sandbox_mode: SandboxMode,
    /// When the proxy was started.
    pub started: SystemTime,
    /// The base URL for clients on this machine.
    pub address: String,
}

/// Waits for changes of the state.
#[derive(Debug)]
pub struct Changes {
    workers: watch::Receiver<Vec<WorkerFacts>>,
    account: watch::Receiver<accounts::State>,
    codex: watch::Receiver<Option<CodexJob>>,
    proof: watch::Receiver<Option<prove::Job>>,
    paused: watch::Receiver<bool>,
}

impl Changes {
    /// Waits for the next change. Returns false once the proxy has ended and no change can follow.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.workers.changed() => changed.is_ok(),
            changed = self.account.changed() => changed.is_ok(),
            changed = self.codex.changed() => changed.is_ok(),
            changed = self.proof.changed() => changed.is_ok(),
            changed = self.paused.changed() => changed.is_ok(),
        }
    }

    /// Marks the current state as seen: only later changes count.
    pub fn mark_seen(&mut self) {
        self.workers.mark_unchanged();
        self.account.mark_unchanged();
        self.codex.mark_unchanged();
        self.proof.mark_unchanged();
        self.paused.mark_unchanged();
    }
}

impl ControlHandle {
    /// Creates a handle from these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The current state.
    pub fn status(&self) -> Status {
        let facts = self.0.pool.watch().borrow().clone();
        let (is_up, paused) = (facts.iter().any(WorkerFacts::is_up), self.is_paused());
        let starting = || "the Codex worker has not done its handshake yet".to_owned();
        let reason = match (paused, is_up) {
            (true, _) => Some("it is paused; resume it in its window or in the tray's menu".to_owned()),
            (false, true) => None,
            (false, false) => Some(worker::starting::reason(&facts).unwrap_or_else(starting)),
        };
        let account = self.0.account.state();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: is_up && !paused,
            reason,
            paused,
            backend_mode: self.0.about.backend_mode,
            sandbox_mode: self.0.about.sandbox_mode,
            uptime_seconds: since(self.0.about.started),
            queue_depth: self.0.pool.queue_depth(),
            workers: facts.iter().map(Worker::from).collect(),
            codex: self.0.codex.known_status().into(),
            proof: self.0.prover.progress().borrow().clone().map(Into::into),
            address: self.0.about.address.clone(),
            account: api::Account::from(&account),
            limited: account
                .limits
                .as_ref()
                .is_some_and(|limits| limits.are_reached(epoch(SystemTime::now()).as_secs())),
            limits: account.limits.map(Into::into),
            today: self.0.usage.today(),
            warnings: self.0.usage.warnings().into_iter().chain(self.0.keys.list().warning).collect(),
        }
    }

    /// A watch on all changes of the state.
    pub fn watch(&self) -> Changes {
        Changes {
            workers: self.0.pool.watch(),
            account: self.0.account.watch(),
            codex: self.0.codex.progress(),
            proof: self.0.prover.progress(),
            paused: self.0.pause.watch(),
        }
    }

    /// Whether a Codex that is running accepts function tools.
    pub fn takes_tools(&self) -> bool {
        self.0.pool.watch().borrow().iter().any(|worker| worker.is_up() && worker.takes_tools)
    }

    /// Refuses requests from now on, or accepts them again. Running requests are completed. The pause ends with
    /// the proxy.
    pub fn pause(&self, paused: bool) {
        if self.0.pause.set(paused) {
            tracing::info!(paused, "somebody has paused or resumed the proxy");
        }
    }

    /// Whether requests are refused because a person has paused the proxy.
    pub fn is_paused(&self) -> bool {
        self.0.pause.is_on()
    }

    /// Replaces every worker: new turns go to the new processes, running turns end on the old ones.
    pub fn restart_workers(&self) {
        tracing::info!("the workers are to be replaced");
        self.0.pool.restart();
    }

    /// Replaces one worker. Returns false if there is no such worker.
    pub fn restart_worker(&self, id: usize) -> bool {
        self.0.pool.restart_one(id)
    }

    /// Waits until the proxy accepts no more requests.
    pub async fn closing(&self) {
        self.0.closing.cancelled().await;
    }

    /// Ends the proxy, as a signal does.
    pub fn shut_down(&self) {
        self.0.shutdown.cancel();
    }
}

impl From<&WorkerFacts> for Worker {
    fn from(facts: &WorkerFacts) -> Self {
        let (last_exit_at, last_exit) = facts.last_exit.clone().unzip();
        let until = |time: SystemTime| time.duration_since(SystemTime::now()).unwrap_or_default();
        Self {
            id: facts.id,
            state: WorkerState::from(&facts.state),
            pid: facts.pid,
            codex_version: facts.version.clone(),
            uptime_seconds: facts.started.map(since),
            restarts: facts.restarts,
            consecutive_failures: facts.failures,
            last_ready_at: facts.got_ready.map(|(time, _)| epoch(time).as_secs()),
            startup_ms: facts.got_ready.map(|(_, took)| took.as_millis().try_into().unwrap_or(u64::MAX)),
            last_exit: last_exit.map(|reason| reason.to_string()),
            last_exit_at: last_exit_at.map(|time| epoch(time).as_secs()),
            retry_in_seconds: facts.next_try.map(|time| until(time).as_secs()),
            retry_in_ms: facts.next_try.map(|time| until(time).as_millis().try_into().unwrap_or(u64::MAX)),
            turns_running: facts.turns_running,
            turns_done: facts.turns_done,
            resident_bytes: facts.resident_bytes,
        }
    }
}

impl From<&LifecycleState> for WorkerState {
    fn from(state: &LifecycleState) -> Self {
        match state {
            LifecycleState::Starting => Self::Starting,
            LifecycleState::Ready => Self::Ready,
            LifecycleState::Draining => Self::Draining,
            LifecycleState::BackingOff => Self::BackingOff,
            LifecycleState::Failed => Self::Failed,
        }
    }
}

impl From<worker::SandboxMode> for SandboxMode {
    fn from(mode: worker::SandboxMode) -> Self {
        match mode {
            worker::SandboxMode::ReadOnly => Self::ReadOnly,
            worker::SandboxMode::WorkspaceWrite => Self::WorkspaceWrite,
            worker::SandboxMode::DangerFullAccess => Self::DangerFullAccess,
        }
    }
}

fn since(time: SystemTime) -> u64 {
    SystemTime::now().duration_since(time).unwrap_or_default().as_secs()
}

fn epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
