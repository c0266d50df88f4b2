//! A pool with sessions that have no processes: the test sends what Codex would.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::handle::{Command, Handle, Shared};
use crate::codex_install::Finder;
use crate::codex_install::proofs::ProofGate;
use crate::worker::admission_queue::Generation;
use crate::worker::hold::Holds;
use crate::worker::lifecycle::State;
use crate::worker::notices::{SessionId, Voice};
use crate::worker::pool::WorkerPool;
use crate::worker::shared::Runner;
use crate::worker::{CodexHome, Config, SandboxMode};
use protocol::codex::jsonrpc::RpcError;
use protocol::codex::{Account, Capabilities, Notice};
use protocol::turn::Catalogue;

/// How long a worker of this pool may take to start.
pub(crate) const STARTUP_TIMEOUT: Duration = Duration::from_secs(30);

/// A pool of two workers, which start when the test starts them.
pub(crate) fn pool(home: &Path) -> WorkerPool {
    let config = Config {
        codex: Finder { bin: None, dir: home.join("codex"), path: None, legacy: false },
        home: CodexHome::Private(home.to_owned()),
        workdir: home.join("work"),
        cache_dir: home.join("cache"),
        records_dir: home.join("records"),
        provider: None,
        sandbox: SandboxMode::ReadOnly,
        count: 2,
        startup_timeout: STARTUP_TIMEOUT,
        shutdown_grace: Duration::from_secs(5),
        ready_wait: Duration::from_secs(10),
        max_concurrency: 8,
        max_total: 16,
        queue_limit: 8,
        queue_timeout: Duration::from_secs(60),
        drain_timeout: Duration::from_secs(300),
        look_interval: Duration::from_secs(15),
        ping_timeout: Duration::from_secs(15),
        max_age: None,
        max_turns: 0,
        max_resident_bytes: 0,
        hidden_env: Vec::new(),
        env: Vec::new(),
        effort_with_turn: false,
        proof_gate: ProofGate::open(),
        use_app_server: true,
    };
    WorkerPool::idle(config, CancellationToken::new())
}

impl WorkerPool {
    /// Whether a replacement of this worker was requested since the last call.
    pub(crate) fn is_restart_asked(&self, worker: usize) -> bool {
        self.shared.restart_asked(worker).now_or_never().is_some()
    }
}

/// A session, as its actor would serve it.
#[derive(Debug)]
pub(crate) struct FakeSession {
    pub(crate) handle: Handle,
    pool: WorkerPool,
    generation: Generation,
    voice: Voice,
    account: watch::Sender<Option<Account>>,
    commands: mpsc::UnboundedReceiver<Command>,
}

/// A call that was made, and the channel for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    reply: oneshot::Sender<Result<String, RpcError>>,
}

impl FakeSession {
    /// A worker's new session, ready for turns; its process has read the sign-in that is in the home.
    pub(crate) fn start(pool: &WorkerPool, worker: usize) -> Self {
        let (sender, commands) = mpsc::unbounded_channel();
        let account = watch::Sender::new(None);
        let voice = pool.shared.notices.voice();
        let shared = Shared {
            id: voice.session,
            commands: sender,
            worker,
            capabilities: Capabilities::of("codex-proxy/0.110.0 (Debian)"),
            catalogue: Arc::new(Catalogue::default()),
            account: account.subscribe(),
            next_key: AtomicU64::new(1),
            heard: Arc::default(),
            worn: Arc::default(),
            holds: Holds::default(),
        };
        let handle = Handle { shared: Arc::new(shared) };
        let sign_in: Option<SystemTime> = pool.shared.config.home.sign_in();
        pool.shared.note(worker, |facts| {
            facts.state = State::Ready;
            facts.sign_in = sign_in;
        });
        let generation = pool.shared.open(Runner::Session(handle.clone()));
        Self { handle, pool: pool.clone(), generation, voice, account, commands }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.voice.session
    }

    /// Another session has taken over; this one continues until it is dropped.
    pub(crate) fn retire(&self) {
        self.pool.shared.close(self.generation);
    }

    /// Sends a notice.
    pub(crate) fn tell(&self, notice: Notice) {
        self.voice.tell(notice);
    }

    /// Reports whether turns can run.
    pub(crate) fn set_account(&self, account: Account) {
        self.account.send_replace(Some(account));
    }

    /// The next call that is made.
    pub(crate) async fn asked(&mut self) -> Asked {
        let Some(Command::Call(method, params, reply)) = self.commands.recv().await else {
            panic!("a call was expected");
        };
        Asked { method, params, reply }
    }

    /// Whether no call waits.
    pub(crate) fn is_left_alone(&mut self) -> bool {
        self.commands.is_empty()
    }
}

impl Asked {
    pub(crate) fn answer(self, answer: &Value) {
        // The caller may have gone.
        let _ = self.reply.send(Ok(answer.to_string()));
    }

    pub(crate) fn refuse(self, message: &str) {
        let _ = self.reply.send(Err(RpcError { code: -32600, message: message.to_owned() }));
    }
}
