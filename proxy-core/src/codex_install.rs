//! The Codex CLI: the one that is used, and the proxy's own managed copies, installed from npm's packages without
//! Node.js.
//!
//! [`Finder`] finds the Codex that a worker starts; [`Codex`] installs, updates and rolls back. It needs no
//! running proxy.

mod client;
mod download;
mod environment;
mod error;
mod find;
mod install;
mod job;
mod local;
mod metadata;
mod platform;
pub mod proofs;
mod registry;
mod store;
mod unpack;
mod version;
pub mod versions;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::watch;
use url::Url;

pub use environment::Environment;
pub use error::CodexError;
pub use find::{Finder, Found, NotFound, Source};
pub use job::{Action, Job, Phase};
#[cfg(any(test, feature = "fuzzing"))]
pub use registry::fuzz as fuzz_npmrc;
pub use store::InUse;
#[cfg(any(test, feature = "fuzzing"))]
pub use unpack::{fuzz as fuzz_archive, scratch as fuzz_scratch};

use crate::process::{ProcessError, Program};
use install::Wanted;
use job::{JobSlot, Running};
use store::Store;
use version::Printed;
use versions::PINNED;

/// The operator's settings for Codex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory of the managed copies.
    pub dir: PathBuf,
    /// The configured Codex, which replaces all others.
    pub bin: Option<PathBuf>,
    /// Whether the legacy protocol is used.
    pub legacy: bool,
    /// The configured npm registry.
    pub registry: Option<Url>,
    /// The environment, for npm's variables and `PATH`.
    pub environment: Environment,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// Environment variables that no child process may get.
    pub hidden_env: Vec<String>,
}

impl Config {
    /// Finds the Codex to run.
    pub fn finder(&self) -> Finder {
        Finder {
            bin: self.bin.clone(),
            dir: self.dir.clone(),
            path: self.environment.path().cloned(),
            legacy: self.legacy,
        }
    }
}

/// The Codex in use, and the state of the managed copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodexStatus {
    /// The source of the choice; `None` if there is no Codex.
    pub source: Option<Source>,
    /// The absolute path of its binary; `None` if there is no Codex.
    pub path: Option<PathBuf>,
    /// Its version, if it has been read.
    pub version: Option<String>,
    /// Whether the proxy can drive it.
    pub supported: bool,
    /// The problem with it, and what to do.
    pub problem: Option<String>,
    /// A note for the user, although nothing is wrong.
    pub note: Option<String>,
    /// The version that is installed unless the caller names another one.
    pub pinned: &'static str,
    /// The proxy's own copies.
    pub managed: Managed,
    /// Codex programs in the usual places of installers, listed if no Codex is found.
    pub elsewhere: Vec<PathBuf>,
    /// The last installation, update or rollback since the program was started.
    pub job: Option<Job>,
}

/// The versions of the proxy's own copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Managed {
    /// The copy that is used unless another Codex is configured.
    pub current: Option<String>,
    /// The copy that a rollback puts into use.
    pub previous: Option<String>,
}

/// Reports and changes the Codex in use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Codex {
    config: Arc<Config>,
    slot: JobSlot,
    switches: Arc<watch::Sender<u64>>,
    known: Arc<Mutex<Option<Known>>>,
    fitness: Option<Arc<dyn Fitness>>,
}

/// The version that a binary has printed; valid as long as the file is the same.
#[derive(Debug, Clone)]
struct Known {
    file: Fingerprint,
    said: Result<Printed, NoVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

/// Decides whether a newly fetched Codex may be put into use.
#[async_trait]
pub trait Fitness: Debug + Send + Sync {
    /// Checks the Codex at `bin`, which has printed this version; this may take some time.
    ///
    /// # Errors
    /// Why it may not.
    async fn check(&self, bin: &Path, version: &str) -> Result<(), NotFit>;
}

/// Why a Codex may not be put into use, as the end of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum NotFit {
    /// It has not said its version.
    #[error("{0}")]
    NoVersion(NoVersion),
    /// Its file cannot be looked at.
    #[error("{0}")]
    NoFile(std::io::Error),
    /// What it adds, loses or reaches for.
    #[error("{0}")]
    Impure(String),
    /// A proof was made, and shows nothing for sure.
    #[error("it could not be proved that it adds nothing to your prompts: {0}")]
    Unproved(String),
    /// No proof could be made.
    #[error("{0}")]
    NoProof(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a Codex has not said its version, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoVersion {
    /// There is no such file.
    #[error(
        "the Codex binary '{}' was not found. Correct CODEX_BIN, or remove it and run `codex-proxy codex install`.",
        .0.display()
    )]
    Missing(PathBuf),
    /// It was asked, and did not answer.
    #[error("{}", version::advised(.0))]
    NoAnswer(Arc<ProcessError>),
}

impl From<ProcessError> for NoVersion {
    fn from(error: ProcessError) -> Self {
        Self::NoAnswer(Arc::new(error))
    }
}

/// The version that the Codex at `bin` prints, unchanged; empty if it prints none.
///
/// # Errors
/// Why it did not answer, and what to do.
pub async fn printed_version(bin: &Path, hidden_env: &[String]) -> Result<String, NoVersion> {
    let printed = version::ask(hidden_env, bin, VERSION_TIME).await?;
    Ok(printed.number().to_owned())
}

/// The whole output of this program, run with `--version`.
///
/// # Errors
/// Why it did not answer, and what to do.
pub async fn print_version(program: &Program) -> Result<String, NoVersion> {
    Ok(version::print(program, VERSION_TIME).await?)
}

/// How long a Codex may take to print its version.
const VERSION_TIME: Duration = Duration::from_secs(15);

impl Codex {
    /// A manager with this configuration. Nothing is read or run yet.
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            slot: JobSlot::default(),
            switches: Arc::new(watch::Sender::new(0)),
            known: Arc::default(),
            fitness: None,
        }
    }

    /// The same, with a check of each Codex before it is put into use.
    #[must_use]
    pub fn with_fitness(mut self, fitness: Arc<dyn Fitness>) -> Self {
        self.fitness = Some(fitness);
        self
    }

    /// Finds the Codex to run.
    pub fn finder(&self) -> Finder {
        self.config.finder()
    }

    /// The state now. Runs a Codex with an unknown version to read it.
    pub async fn status(&self) -> CodexStatus {
        if let Ok(found) = self.finder().find()
            && let Some(file) = Fingerprint::of(&found.path)
            && self.said(&file).is_none()
        {
            let said = version::ask(&self.config.hidden_env, &found.path, VERSION_TIME).await;
            let said = said.map_err(NoVersion::from);
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known { file, said });
        }
        self.known_status()
    }

    /// The known state, without running Codex.
    pub fn known_status(&self) -> CodexStatus {
        let pointer = Store::new(self.config.dir.clone()).pointer();
        let version = |entry: Option<store::Entry>| entry.map(|entry| entry.version);
        let mut status = CodexStatus {
            source: None,
            path: None,
            version: None,
            supported: false,
            problem: None,
            note: None,
            pinned: PINNED,
            managed: Managed { current: version(pointer.current), previous: version(pointer.previous) },
            elsewhere: Vec::new(),
            job: self.progress().borrow().clone(),
        };
        let found = match self.finder().find() {
            Ok(found) => found,
            Err(error) => {
                status.problem = Some(error.to_string());
                status.elsewhere = local::found(&self.config.environment, self.config.home.as_deref());
                return status;
            }
        };
        let said = match Fingerprint::of(&found.path) {
            Some(file) => self.said(&file),
            None => Some(Err(NoVersion::Missing(found.path.clone()))),
        };
        match said {
            Some(Ok(printed)) => {
                status.version = printed.version();
                status.problem = printed.problem(self.config.legacy);
                status.note = printed.note();
                status.supported = status.problem.is_none();
            }
            Some(Err(error)) => status.problem = Some(error.to_string()),
            None => {}
        }
        status.version = status.version.or(found.version);
        (status.source, status.path) = (Some(found.source), Some(found.path));
        status
    }

    /// Installs a version, the pinned one by default, and puts it into use. Dropping the future cancels it.
    ///
    /// # Errors
    /// Why it failed; the error says what to do. Nothing has changed in this case.
    pub async fn install(&self, version: Option<&str>) -> Result<Job, CodexError> {
        self.run(Action::Install, version).await
    }

    /// Makes a copy of the Codex that `file` is or contains, and puts it into use: the program, npm's package or
    /// the archive of a release. Dropping the future cancels it.
    ///
    /// # Errors
    /// When it is not a Codex, or does not work here. Nothing has changed in this case.
    pub async fn install_file(&self, file: &Path) -> Result<Job, CodexError> {
        let running = self.slot.begin(Action::Install, None)?;
        self.finish(running, Action::Install, &Wanted::File(file.to_owned())).await
    }

    /// Puts the newest release, or the version, into use. Dropping the future cancels it.
    ///
    /// # Errors
    /// Why it failed; the error says what to do. Nothing has changed in this case.
    pub async fn update(&self, version: Option<&str>) -> Result<Job, CodexError> {
        self.run(Action::Update, version).await
    }

    /// Puts the previous version into use again.
    ///
    /// # Errors
    /// When there is none, or it does not work.
    pub async fn rollback(&self) -> Result<Job, CodexError> {
        self.run(Action::Rollback, None).await
    }

    /// Runs a job in the background; [`Codex::progress`] shows the progress.
    ///
    /// # Errors
    /// When another job is running, or the version cannot be used.
    pub fn begin(&self, action: Action, version: Option<&str>) -> Result<Job, CodexError> {
        let version = version.map(metadata::wanted).transpose()?;
        self.spawn(action, version.clone(), Wanted::Version(version))
    }

    /// Runs [`Codex::install_file`] in the background.
    ///
    /// # Errors
    /// When another job is running.
    pub fn begin_file(&self, file: &Path) -> Result<Job, CodexError> {
        self.spawn(Action::Install, None, Wanted::File(file.to_owned()))
    }

    fn spawn(&self, action: Action, version: Option<String>, wanted: Wanted) -> Result<Job, CodexError> {
        let running = self.slot.begin(action, version)?;
        let job = running.job();
        let this = self.clone();
        tokio::spawn(async move {
            // The caller gets the error from the job itself; the log is for all others.
            if let Err(error) = this.finish(running, action, &wanted).await {
                tracing::error!(%error, ?action, "Codex could not be changed");
            }
        });
        job.ok_or_else(|| CodexError::Internal("the job is gone".to_owned()))
    }

    /// Requests the running job to stop. Returns whether there is one. A switch that is already done is not
    /// undone.
    pub fn cancel(&self) -> bool {
        self.slot.cancel()
    }

    /// The last job, as it changes.
    pub fn progress(&self) -> watch::Receiver<Option<Job>> {
        self.slot.watch()
    }

    /// Changes whenever this manager has put another copy into use: the workers must then be replaced.
    pub fn switches(&self) -> watch::Receiver<u64> {
        self.switches.subscribe()
    }

    async fn run(&self, action: Action, version: Option<&str>) -> Result<Job, CodexError> {
        let running = self.slot.begin(action, version.map(str::to_owned))?;
        self.finish(running, action, &Wanted::Version(version.map(str::to_owned))).await
    }

    async fn finish(&self, running: Running, action: Action, wanted: &Wanted) -> Result<Job, CodexError> {
        let result = install::run(&self.config, &running, action, wanted, self.fitness.as_deref()).await;
        let result = match result {
            Ok((version, switched)) => {
                if switched {
                    self.switches.send_modify(|count| *count += 1);
                }
                // The version is known before the job ends, so that a caller who waits for the end finds it.
                self.status().await;
                Ok(version)
            }
            Err(error) => Err(error),
        };
        let job = running.end(&result);
        result.and_then(|_| job.ok_or_else(|| CodexError::Internal("the job is gone".to_owned())))
    }

    fn said(&self, file: &Fingerprint) -> Option<Result<Printed, NoVersion>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.file == *file).map(|known| known.said.clone())
    }
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self { path: path.to_owned(), size: file.len(), modified: file.modified().ok() })
    }
}
