//! Creates all parts of the proxy, and drains them in order at the end.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::account::Account;
use crate::budget::Budget;
use crate::client_setup::Clients;
use crate::codex_install::Codex;
use crate::control::api::BackendMode;
use crate::control::keys::known_keys;
use crate::control::share::Sharing;
use crate::control::{About, ControlHandle, Parts};
use crate::dispatch::Dispatcher;
use crate::exchange::{self, Background, Exchanges, Streams};
use crate::files::{NotClosed, ToClose};
use crate::heap;
use crate::http::in_process::ControlApi;
use crate::http::websocket::Sockets;
use crate::http::{self, App};
use crate::image_fetch::ImageFetcher;
use crate::instance::{self, InstanceError, InstanceLock};
use crate::keys::{self, KeyError, KeyRing, KeyRingError};
use crate::limit_history::LimitHistory;
use crate::pause::Pause;
use crate::prove::Prover;
use crate::recording::Recorder;
use crate::request_log::RequestLog;
use crate::response_store::{self, ResponseStore};
use crate::secret::ApiKey;
use crate::telemetry::{Logs, Metrics};
use crate::throttle::Throttle;
use crate::token_count::TokenCounter;
use crate::usage::{self, KnownKey, StoreError, UsageStore};
use crate::worker::WorkerPool;
use crate::worker::orphans::PidFiles;

/// The maximum time for running requests at the end of the proxy.
const DRAIN: Duration = Duration::from_secs(10);

/// The maximum number of bytes of all requests together, as bodies and downloaded images, until they are sent to
/// Codex: eight of the largest bodies, or a whole context window for each of a thousand requests.
const MAX_HELD: usize = 512 << 20;

/// The running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: ControlHandle,
    control_api: ControlApi,
    /// Cancelled when a client of the control API ends the proxy.
    asked: CancellationToken,
    /// Cancelled to stop accepting connections.
    closing: CancellationToken,
    /// Cancelled to stop the workers.
    ending: CancellationToken,
    tasks: TaskTracker,
    usage: UsageStore,
    background: Background,
    responses: ResponseStore,
    server: tokio::task::JoinHandle<bool>,
    /// The lock of the data directory.
    _lock: InstanceLock,
}

/// Why the proxy could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The server cannot listen on the address.
    #[error("{}", bind_message(*.address, .cause))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The error from the system; the message already contains it.
        cause: std::io::Error,
    },
    /// The data directory is in use or cannot be used.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// Other users can access private files.
    #[error(transparent)]
    NotClosed(#[from] NotClosed),
    /// The API keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The token for the control API cannot be created.
    #[error(transparent)]
    ControlToken(#[from] KeyError),
    /// The database cannot be used by this version.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that opened the store of responses panicked.
    #[error("opening the store of responses failed: {0}")]
    Responses(String),
    /// The HTTP server ended unexpectedly.
    #[error("the HTTP server has failed; the log says why")]
    Server,
}

fn bind_message(address: SocketAddr, cause: &std::io::Error) -> String {
    if cause.kind() == std::io::ErrorKind::AddrInUse {
        let who = instance::who_listens(address).unwrap_or_else(|| "another program".to_owned());
        return format!(
            "the address {address} is taken by {who}. Stop it, or choose another port with PORT or --port."
        );
    }
    format!("cannot listen on {address}: {cause}. Choose another address with PROXY_HOST and PORT.")
}

impl Proxy {
    /// Starts all parts and prints the address on standard output. `logs` is the log of this process.
    ///
    /// # Errors
    /// If the address is in use or the keys cannot be used. A missing Codex is not an error here; requests
    /// report it.
    pub async fn start(config: Config, logs: Logs) -> Result<Self, ProxyError> {
        let mut lock = InstanceLock::take(&config.data_dir)?;
        close_to_others(&config.private_files())?;
        let wanted = SocketAddr::new(config.http.host, config.http.port);
        let bind_error = |cause| ProxyError::Bind { address: wanted, cause };
        let listener = TcpListener::bind(wanted).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        if let Err(error) = lock.announce(&address) {
            tracing::warn!(%error, "the address could not be written to the lock file; messages of other programs cannot name it");
        }
        PidFiles::open(config.worker.records_dir.clone()).reap().await;
        let keys = open_keys(config.keys).await?;
        let (tasks, closing, ending) =
            (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let control_token = control_token(&config.data_dir.join("control-token"))?;
        let about = About {
            sandbox_mode: config.worker.sandbox.into(),
            backend_mode: if config.worker.use_app_server {
                BackendMode::AppServer
            } else {
                BackendMode::Proto
            },
            started: SystemTime::now(),
            address: base_url(address),
        };
        let asked = CancellationToken::new();
        let usage = open_usage(config.usage, known_keys(&keys.list())).await?;
        let responses = open_responses(config.response_store, &config.data_dir).await?;
        let (prover, gate) = (Prover::new(config.prove), config.worker.proof_gate.clone());
        let pool = WorkerPool::start(config.worker, &tasks, ending.clone());
        let proved = pool.clone();
        tasks.spawn(prover.clone().serve(gate, ending.clone(), move || proved.restart()));
        let requests = RequestLog::new(config.request_log);
        let codex = Codex::new(config.codex_install).with_fitness(Arc::new(prover.clone()));
        tasks.spawn(follow_codex(codex.clone(), pool.clone(), closing.clone()));
        let account = Account::start(pool.clone(), config.account, &tasks, ending.clone());
        let limit_history = LimitHistory::read(&config.data_dir);
        tasks.spawn(limit_history.clone().follow(account.watch(), ending.clone()));
        let pause = Pause::default();
        let sharing = Sharing::read(&config.data_dir, address.port());
        let control = ControlHandle::new(Parts {
            pool: pool.clone(),
            account: account.clone(),
            keys: keys.clone(),
            usage: usage.clone(),
            responses: responses.clone(),
            requests: requests.clone(),
            codex,
            prover,
            clients: Clients::new(config.client_setup),
            settings: Box::new(config.live_settings),
            logs,
            sharing: sharing.clone(),
            limit_history,
            about,
            pause: pause.clone(),
            shutdown: asked.clone(),
            closing: closing.clone(),
        });
        let recorder = Recorder::new(usage.sink(), requests.clone());
        recall(&recorder, &requests, &usage).await;
        let metrics = if config.http.enable_metrics { Metrics::on() } else { Metrics::default() };
        let dispatcher = Dispatcher::new(pool, config.dispatch).with_metrics(metrics.clone());
        let kept_threads = dispatcher.clone().look_after_threads(ending.clone());
        let background = Background::default();
        let exchanges = Exchanges::new(exchange::Parts {
            backend: exchange::Codex { dispatcher: dispatcher.clone(), account },
            openai: config.openai.clone(),
            throttle: Throttle::new(config.throttle),
            pause,
            streams: Streams::new(config.http.max_streams, config.http.tests.is_some()),
            memory: Budget::new(MAX_HELD),
            images: ImageFetcher::new(config.image_fetch),
            usage: usage.clone(),
            tokens: TokenCounter::default(),
            store: responses.clone(),
            background: background.clone(),
            recorder: recorder.with_metrics(metrics.clone()),
            metrics: metrics.clone(),
            outcome: http::outcome,
        });
        let sockets = Sockets::new(closing.clone());
        let upgraded = sockets.open();
        let app = App {
            config: config.http,
            openai: config.openai,
            dispatcher,
            exchanges,
            keys: keys.clone(),
            control: control.clone(),
            control_token: control_token.clone(),
            sockets,
            metrics,
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        };
        tasks.spawn(http::login::run(control.clone(), config.login, ending.clone()));
        tasks.spawn(keys.look_after(ending.clone()));
        tasks.spawn(kept_threads);
        tasks.spawn(responses.clone().look_after(ending.clone()));
        tasks.spawn(ending.clone().run_until_cancelled_owned(heap::give_back()));
        let app = Arc::new(app);
        let service = http::service(&app, address.port());
        tasks.spawn(http::share::run(app, sharing.doors(), closing.clone()));
        let control_api = ControlApi::new(service.clone(), address.port(), &control_token);
        let server = tokio::spawn(http::server::serve(listener, service, upgraded, closing.clone(), DRAIN));
        announce(address);
        Ok(Self {
            address,
            control,
            control_api,
            asked,
            closing,
            ending,
            tasks,
            usage,
            responses,
            background,
            server,
            _lock: lock,
        })
    }

    /// The address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handle that reads and changes the state of the proxy.
    pub fn control(&self) -> &ControlHandle {
        &self.control
    }

    /// The control API for the program that the proxy runs in.
    pub fn control_api(&self) -> ControlApi {
        self.control_api.clone()
    }

    /// Runs until `shutdown` is cancelled, then drains: no new connections are accepted, running requests may
    /// end within a time limit, then the workers end.
    ///
    /// # Errors
    /// If the HTTP server ends unexpectedly.
    pub async fn wait(mut self, shutdown: CancellationToken) -> Result<(), ProxyError> {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.asked.cancelled() => {}
            _ = &mut self.server => {
                self.end().await;
                return Err(ProxyError::Server);
            }
        }
        self.closing.cancel();
        match (&mut self.server).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!("some requests were still running and were cut off"),
            Err(error) => tracing::error!(%error, "the HTTP server ended with an error"),
        }
        self.background.end(DRAIN).await;
        self.end().await;
        Ok(())
    }

    async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.responses.close().await;
        let usage = self.usage.clone();
        if tokio::task::spawn_blocking(move || usage.close()).await.is_err() {
            tracing::error!("the usage database did not close properly; the journal has the missing events");
        }
    }
}

/// Makes private files inaccessible to other users, and logs what was accessible.
fn close_to_others(private: &ToClose) -> Result<(), NotClosed> {
    let closed = private.close()?;
    let list = |found: &[(PathBuf, u32)]| {
        let shown = found.iter().map(|(path, mode)| format!("{} ({mode:o})", path.display()));
        shown.collect::<Vec<_>>().join(", ")
    };
    if !closed.repaired.is_empty() {
        tracing::warn!(
            "other users of this machine could read or change these; now only you can: {}. If other people may have used \
             this access, make new keys with `codex-proxy keys rotate`, and sign in again",
            list(&closed.repaired)
        );
    }
    if !closed.left.is_empty() {
        tracing::warn!(
            "members of a group that the administrator chose can read or change these: {}",
            list(&closed.left)
        );
    }
    Ok(())
}

/// Replaces the workers whenever another Codex is selected, until the proxy accepts no more requests.
async fn follow_codex(codex: Codex, pool: WorkerPool, closing: CancellationToken) {
    let mut switches = codex.switches();
    // Reads the version now, so that the first status already contains it.
    let known = tokio::select! {
        status = codex.status() => status,
        () = closing.cancelled() => return,
    };
    if let Some(problem) = known.problem {
        tracing::warn!("{problem}");
    }
    loop {
        tokio::select! {
            changed = switches.changed() => match changed {
                Ok(()) => pool.restart(),
                Err(_) => return,
            },
            () = closing.cancelled() => {
                codex.cancel();
                return;
            }
        }
    }
}

/// Opens the API keys on a blocking thread, because the keychain may be slow.
async fn open_keys(config: keys::Config) -> Result<KeyRing, ProxyError> {
    let opened = tokio::task::spawn_blocking(move || KeyRing::open(&config)).await;
    let keys = opened.map_err(|error| KeyRingError::Failed(error.to_string()))??;
    let list = keys.list();
    tracing::info!(keys = list.keys.len(), "clients need an API key: `codex-proxy keys list` lists the keys");
    if let Some(warning) = list.warning {
        tracing::warn!("{warning}");
    }
    Ok(keys)
}

/// The token of the control API. If it cannot be stored, no client knows it, so only the control API does not
/// work.
fn control_token(file: &Path) -> Result<ApiKey, ProxyError> {
    match keys::load_or_make(file) {
        Ok(loaded) => Ok(loaded.key),
        Err(error) => {
            tracing::warn!(%error, "the control API cannot be used");
            ApiKey::generate().map_err(|error| KeyError::Random(error).into())
        }
    }
}

/// The base URL for clients on this machine.
fn base_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    format!("http://{}/v1", SocketAddr::new(ip, address.port()))
}

/// Opens the usage store on a blocking thread, because it reads files.
async fn open_usage(config: usage::Config, keys: Vec<KnownKey>) -> Result<UsageStore, ProxyError> {
    let opened = tokio::task::spawn_blocking(move || UsageStore::open(config, keys)).await;
    let opened = opened.map_err(|panic| StoreError::Panicked(panic.to_string()))?;
    Ok(opened?)
}

/// Opens the store of responses on a blocking thread, because it reads files.
async fn open_responses(
    config: response_store::Config,
    data_dir: &Path,
) -> Result<ResponseStore, ProxyError> {
    let data_dir = data_dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || ResponseStore::open(config, &data_dir)).await;
    opened.map_err(|panic| ProxyError::Responses(panic.to_string()))
}

/// Copies the requests from the usage store into the request log. If that fails, the log starts empty.
async fn recall(recorder: &Recorder, requests: &RequestLog, usage: &UsageStore) {
    let (usage, most) = (usage.clone(), requests.kept());
    match tokio::task::spawn_blocking(move || usage.page(most, None)).await {
        Ok(Ok(page)) => recorder.recall(&page.events),
        Ok(Err(error)) => tracing::warn!(%error, "the requests from before the start cannot be listed"),
        Err(error) => tracing::error!(%error, "the requests from before the start could not be read"),
    }
}

/// Prints a line that scripts which start the proxy wait for.
fn announce(address: SocketAddr) {
    tracing::info!(%address, "listening");
    let line = format!("listening on http://{address}/v1\n");
    // The output may be closed.
    let _ = std::io::stdout().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush());
}
