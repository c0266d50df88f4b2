//! Starts a Codex process: the checks and files before the start, and the start itself.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::reason::{NotReady, StartError};
use super::starting::Next;
use super::{Config, catalogue, home};
use crate::codex_install::Found;
use crate::codex_install::proofs::Barred;
use crate::process::{self, Pipes, Process};
use protocol::codex::{appserver, isolation};

/// Called with the Codex that is being started and its next step.
pub(super) type Progress<'a> = dyn Fn(&Path, Next) + Send + Sync + 'a;

/// The source of the supervisors' processes.
#[async_trait]
pub(super) trait Launcher: Debug + Send + Sync {
    /// Starts a process.
    ///
    /// # Errors
    /// Why no process could be started.
    async fn launch(&self, progress: &Progress<'_>) -> Result<Launch, StartError>;
}

/// A process that has been started.
pub(super) struct Launch {
    pub(super) process: Process,
    pub(super) pipes: Pipes,
    /// The settings of its driver.
    pub(super) settings: appserver::Settings,
    /// The Codex that was started; keeps the binary from being removed.
    pub(super) codex: Found,
}

/// Starts the Codex that is installed on the machine.
#[derive(Debug)]
pub(super) struct CodexLauncher {
    config: Config,
    /// Held while the files that all workers share are written.
    preparing: Mutex<()>,
    shutdown: CancellationToken,
}

impl CodexLauncher {
    pub(super) fn new(config: Config, shutdown: CancellationToken) -> Self {
        Self { config, preparing: Mutex::new(()), shutdown }
    }
}

#[async_trait]
impl Launcher for CodexLauncher {
    async fn launch(&self, progress: &Progress<'_>) -> Result<Launch, StartError> {
        let config = &self.config;
        let codex = config.codex.find()?;
        progress(&codex.path, Next::Version);
        config.proof_gate.admit(&codex, &config.hidden_env).await.map_err(|barred| match barred {
            Barred::Ended(how) => never_ready(config, &codex.path, NotReady::Version(how)),
            Barred::Unfit(sentence) => StartError::Barred(sentence),
        })?;
        progress(&codex.path, Next::Models);
        let files = |error: String| StartError::Files(error);
        let catalogues = {
            let _held = self.preparing.lock().await;
            home::prepare(config).map_err(|error| files(error.to_string()))?;
            tokio::select! {
                catalogues = catalogue::prepare(config, &codex.path) => catalogues.map_err(|error| files(error.to_string()))?,
                () = self.shutdown.cancelled() => return Err(StartError::Shutdown),
            }
        };
        progress(&codex.path, Next::Handshake);
        let plain = catalogues.as_ref().ok().map(|derived| derived.plain.as_path());
        let arguments = isolation::arguments(plain, config.provider.as_deref(), config.sandbox.as_str());
        let program = home::program(config, &codex.path, arguments);
        let (process, pipes) =
            process::start(&program).map_err(|error| StartError::Spawn(error.to_string()))?;
        let (no_catalogue, search_catalogue, windows) = match catalogues {
            Ok(derived) => (None, Some(derived.search), derived.windows),
            Err(reason) => (Some(reason.to_string()), None, BTreeMap::new()),
        };
        let settings = appserver::Settings {
            workdir: config.workdir.clone(),
            sandbox: config.sandbox.as_str(),
            no_catalogue,
            search_catalogue,
            windows,
            effort_with_turn: config.effort_with_turn,
            client_version: env!("CARGO_PKG_VERSION"),
        };
        Ok(Launch { process, pipes, settings, codex })
    }
}

/// The error of a process that did not complete its handshake, with its version and home.
pub(super) fn never_ready(config: &Config, bin: &Path, what: NotReady) -> StartError {
    StartError::NeverReady { what, bin: bin.to_owned(), home: config.home.path().to_owned() }
}
