//! The Codex CLI: which one is run, and the proxy's own managed copies, installed from npm's packages without Node.js.
//!
//! [`Finder`] says which Codex a worker starts; [`Codex`] installs, updates and rolls back. It needs no running proxy.

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

/// What the operator decides about Codex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory of the managed copies.
    pub dir: PathBuf,
    /// The Codex that was set, instead of all others.
    pub bin: Option<PathBuf>,
    /// Whether the legacy protocol is spoken.
    pub legacy: bool,
    /// The npm registry that was set.
    pub registry: Option<Url>,
    /// The environment, for what npm and `PATH` say.
    pub environment: Environment,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// Environment variables that no child may see.
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

/// Which Codex is used, and what is going on with the managed copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CodexStatus {
    /// Who decided on it; `None` if there is none.
    pub source: Option<Source>,
    /// The absolute path of its binary; `None` if there is none.
    pub path: Option<PathBuf>,
    /// Its version, as far as it has said so.
    pub version: Option<String>,
    /// Whether the proxy can drive it.
    pub supported: bool,
    /// What is wrong with it, and what to do.
    pub problem: Option<String>,
    /// What is worth knowing though nothing is wrong.
    pub note: Option<String>,
    /// The version that is installed unless another is asked for.
    pub pinned: &'static str,
    /// The proxy's own copies.
    pub managed: Managed,
    /// Programs that could be used, where there is none to use: they lie where installers put Codex.
    pub elsewhere: Vec<PathBuf>,
    /// The last installation, update or rollback since the program was started.
    pub job: Option<Job>,
}

/// The versions of the proxy's own copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Managed {
    /// The one that is used unless another is set.
    pub current: Option<String>,
    /// The one that a rollback puts into use.
    pub previous: Option<String>,
}

/// Knows and changes which Codex is used. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Codex {
    config: Arc<Config>,
    slot: JobSlot,
    switches: Arc<watch::Sender<u64>>,
    known: Arc<Mutex<Option<Known>>>,
    fitness: Option<Arc<dyn Fitness>>,
}

/// What a binary has said of itself, as long as it is the same file.
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

/// Whether a Codex that has just been fetched may be put into use.
#[async_trait]
pub trait Fitness: Debug + Send + Sync {
    /// Looks at the Codex at `bin`, which has printed this version; this may take a while.
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

/// The version that the Codex at `bin` prints, as it stands there; empty if it prints none.
///
/// # Errors
/// Why it did not answer, and what to do.
pub async fn printed_version(bin: &Path, hidden_env: &[String]) -> Result<String, NoVersion> {
    let printed = version::ask(hidden_env, bin, VERSION_TIME).await?;
    Ok(printed.number().to_owned())
}

/// All that this program prints, which prints its version.
///
/// # Errors
/// Why it did not answer, and what to do.
pub async fn print_version(program: &Program) -> Result<String, NoVersion> {
    Ok(version::print(program, VERSION_TIME).await?)
}

/// How long a Codex may take to say its version.
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

    /// The same, which puts only a Codex into use that is fit for it.
    #[must_use]
    pub fn with_fitness(mut self, fitness: Arc<dyn Fitness>) -> Self {
        self.fitness = Some(fitness);
        self
    }

    /// Finds the Codex to run.
    pub fn finder(&self) -> Finder {
        self.config.finder()
    }

    /// The state now. A Codex that is not known yet is asked for its version.
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

    /// The state as far as it is known without asking Codex.
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
    /// Says what to do. Nothing has changed then.
    pub async fn install(&self, version: Option<&str>) -> Result<Job, CodexError> {
        self.run(Action::Install, version).await
    }

    /// Makes a copy of the Codex that `file` is or holds, and puts it into use: the program, npm's package or the
    /// archive of a release. Dropping the future cancels it.
    ///
    /// # Errors
    /// When it is none, or does not work here. Nothing has changed then.
    pub async fn install_file(&self, file: &Path) -> Result<Job, CodexError> {
        let running = self.slot.begin(Action::Install, None)?;
        self.finish(running, Action::Install, &Wanted::File(file.to_owned())).await
    }

    /// Puts the newest release, or the version, into use. Dropping the future cancels it.
    ///
    /// # Errors
    /// Says what to do. Nothing has changed then.
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

    /// Does it in the background; [`Codex::progress`] tells how it goes.
    ///
    /// # Errors
    /// When another job is running, or the version is of no use.
    pub fn begin(&self, action: Action, version: Option<&str>) -> Result<Job, CodexError> {
        let version = version.map(metadata::wanted).transpose()?;
        self.spawn(action, version.clone(), Wanted::Version(version))
    }

    /// Does [`Codex::install_file`] in the background.
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
            // Whoever asked is told by the job itself; the log is for the others.
            if let Err(error) = this.finish(running, action, &wanted).await {
                tracing::error!(%error, ?action, "Codex could not be changed");
            }
        });
        job.ok_or_else(|| CodexError::Internal("the job is gone".to_owned()))
    }

    /// Asks the running job to stop. Returns whether there is one. What it has switched stays switched.
    pub fn cancel(&self) -> bool {
        self.slot.cancel()
    }

    /// The last job, as it changes.
    pub fn progress(&self) -> watch::Receiver<Option<Job>> {
        self.slot.watch()
    }

    /// Changes whenever this manager has put another copy into use: workers are to be replaced then.
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
                // Whoever looks after the end of the job is to find the version known.
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
