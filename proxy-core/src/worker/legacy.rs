//! Workers of the legacy protocol: one process for each turn, started with the turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::active_turn::ActiveTurn;
use super::notices::Notices;
use super::orphans::{PidFiles, SharedPidFile};
use super::reason::{EndReason, StartError, StopReason};
use super::session::{Lifetime, Parts, TurnStream};
use super::{Config, home};
use crate::codex_install::{Found, print_version};
use crate::process;
use protocol::codex::proto::{self, Proto};
use protocol::codex::{self, Capabilities, Driver, Fatal, isolation};
use protocol::turn::{Catalogue, Turn, TurnError, TurnErrorKind};

/// A Codex that speaks the legacy protocol, ready to be started for a turn.
#[derive(Debug)]
pub struct Legacy {
    config: Config,
    codex: Found,
    worker: usize,
    version: String,
    capabilities: Capabilities,
    catalogue: Arc<Catalogue>,
    instructions: PathBuf,
    pid_files: PidFiles,
    tasks: TaskTracker,
    /// Ends with the backend, because no process may outlive it.
    ended: CancellationToken,
}

impl Legacy {
    /// Checks whether there is such a Codex, and creates the files that its processes need.
    ///
    /// # Errors
    /// When there is none; the error says what to do.
    pub async fn prepare(
        config: &Config,
        worker: usize,
        tasks: TaskTracker,
        ended: CancellationToken,
    ) -> Result<Self, StartError> {
        home::prepare(config).map_err(|error| StartError::Files(error.to_string()))?;
        let codex = config.codex.find()?;
        let program = home::program(config, &codex.path, vec!["--version".to_owned()]);
        let version = print_version(&program).await;
        let version = version.map_err(|error| StartError::Version(error.to_string()))?;
        let instructions = config.cache_dir.join("proto-instructions.md");
        home::write(&instructions, isolation::PROTO_INSTRUCTIONS.as_bytes()).map_err(|error| {
            StartError::Files(format!("'{}' could not be written: {error}", instructions.display()))
        })?;
        Ok(Self {
            config: config.clone(),
            codex,
            worker,
            capabilities: Capabilities::legacy(&version),
            version,
            catalogue: Arc::default(),
            instructions,
            pid_files: PidFiles::open(config.records_dir.clone()),
            tasks,
            ended,
        })
    }

    /// The capabilities of this Codex.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// No models: the legacy Codex does not list any, and every id is passed on.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.clone()
    }

    /// The worker's number, from 0.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Whether no more turns may be started here.
    pub fn is_closed(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Starts a process for `turn`.
    ///
    /// # Errors
    /// When this Codex cannot run such a turn, or the process does not get ready.
    pub async fn start(&self, turn: Turn, active: ActiveTurn) -> Result<TurnStream, TurnError> {
        codex::check(&turn, &self.capabilities)?;
        let config = &self.config;
        let (provider, sandbox) = (config.provider.as_deref(), config.sandbox.as_str());
        let arguments = isolation::proto_arguments(&turn.spec, &self.instructions, provider, sandbox);
        let program = home::program(config, &self.codex.path, arguments);
        let (process, pipes) = process::start(&program).map_err(|error| not_ready(&error.to_string()))?;
        let pid = process.id();
        let settings =
            proto::Settings { version: self.version.clone(), workdir: config.workdir.clone(), sandbox };
        let (ready, handle) = oneshot::channel();
        let ended = self.ended.clone();
        let session = Parts {
            worker: self.worker,
            voice: Notices::default().voice(),
            process,
            pipes,
            lifetime: Lifetime::OneTurn,
            grace: config.shutdown_grace,
        };
        let stop = async move {
            ended.cancelled().await;
            StopReason::Shutdown
        };
        let life = session.run(|_| Driver::Proto(Proto::new(settings)), ready, stop);
        let codex_home = config.home.path().to_owned();
        let pid_file = SharedPidFile::write(&self.pid_files, pid);
        let life = self.tasks.spawn(async move {
            let ended = life.await;
            pid_file.remove();
            // The whole conversation, which Codex writes unasked.
            if let Some(record) = ended.record.as_ref().filter(|record| record.starts_with(&codex_home))
                && let Err(error) = std::fs::remove_file(record)
            {
                tracing::warn!(%error, "a record of a conversation that Codex wrote could not be removed");
            }
            if ended.reason != EndReason::Fatal(Fatal::Spent) {
                tracing::warn!(reason = %ended.reason, "a codex process ended before its turn");
            }
            ended.reason
        });
        match timeout(config.startup_timeout, handle).await {
            Ok(Ok(handle)) => handle.start(turn, active),
            Ok(Err(_)) => Err(not_ready(&life.await.map(|reason| reason.to_string()).unwrap_or_default())),
            // The receiver of the handle has gone: the session ends by itself.
            Err(_) => Err(not_ready(&format!(
                "it said nothing within {} s (WORKER_STARTUP_TIMEOUT_MS). Check that CODEX_BIN names Codex 0.44 or \
                 older, which has `codex proto`.",
                config.startup_timeout.as_secs()
            ))),
        }
    }
}

fn not_ready(reason: &str) -> TurnError {
    TurnError::new(
        TurnErrorKind::WorkerNotReady,
        format!("Codex could not be started for this turn: {reason}"),
    )
    .retry_after(Duration::from_secs(1))
}
