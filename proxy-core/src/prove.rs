//! Proves that a Codex adds nothing to prompts: it runs on a mirror of the service on this machine, with a sign-in
//! that no service accepts, and everything that it sends is compared with the client's requests.
//!
//! The requests take the same path as every request: [`openai`](protocol::openai) reads them, a worker's driver
//! sends them. So the proof covers the code that runs in service.

mod cases;
mod compare;
mod connections;
mod home;
mod job;
mod mirror;
mod probe;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use cases::Kind;
pub use connections::Connection;
pub use job::{Job, Phase};
pub use report::{CaseReport, Example, Finding, FindingKind, Part, Report};

use crate::codex_install::proofs::{Approval, ProofGate, Proofs, Subject, Verdict};
use crate::codex_install::{self, Finder, Fitness, NotFit};
use crate::process;
use crate::worker::{self, CodexHome, WorkerPool};
use home::Home;
use job::{JobSlot, Running};
use mirror::Mirror;
use protocol::codex::capabilities::{Known, known};
use protocol::codex::isolation;

/// The settings of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory in which the temporary home is made.
    pub data_dir: PathBuf,
    /// The directory in which proofs are stored.
    pub proofs: Proofs,
    /// The workers' settings in service.
    pub worker: worker::Config,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// Another proof is being made.
    #[error("Codex is being proved already; wait until that has ended.")]
    Busy,
    /// The legacy protocol cannot be proved.
    #[error(
        "the legacy `codex proto` is known to add a message and a tool of its own, so there is nothing to prove. Take \
         PROXY_USE_APP_SERVER away and run `codex-proxy codex install`."
    )]
    Legacy,
    /// The additions of this version are already known.
    #[error(
        "Codex {0} is known to add tools of its own, which cannot be switched off, so there is nothing to prove. \
         `codex-proxy codex install` gets one that adds nothing."
    )]
    KeepsItsOwn(String),
    /// There is no Codex, or it does not work.
    #[error("{0}")]
    Codex(String),
    /// The temporary home cannot be made.
    #[error(
        "the temporary home of the proof could not be made: {0}. Make space, or choose another PROXY_DATA_DIR."
    )]
    Home(std::io::Error),
    /// The proof cannot be written to disk.
    #[error("the proof could not be kept: {0}. Make space, or choose another PROXY_DATA_DIR.")]
    NotKept(std::io::Error),
    /// The proof took too long.
    #[error("the proof took longer than {} s. Try again when the machine has less to do.", .0.as_secs())]
    TooLong(Duration),
}

/// Makes proofs, one at a time, and stores them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Prover {
    config: Arc<Config>,
    slot: JobSlot,
}

/// How long a proof may take.
const LIMIT: Duration = Duration::from_secs(120);

/// How long Codex may take to print its version or its catalogue.
const PRINT_TIME: Duration = Duration::from_secs(15);

/// How long to wait for what Codex still sends after its last turn.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Prover {
    /// A prover with this configuration. Nothing is run yet.
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), slot: JobSlot::default() }
    }

    /// The last proof, as it changes.
    pub fn progress(&self) -> watch::Receiver<Option<Job>> {
        self.slot.watch()
    }

    /// The stored proofs, the newest first.
    pub fn reports(&self) -> Vec<Report> {
        let texts = self.config.proofs.all();
        let mut reports: Vec<Report> =
            texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        reports.sort_by_key(|report| std::cmp::Reverse(report.proved_at));
        reports
    }

    /// Starts to prove the Codex in use; [`Prover::progress`] shows the progress.
    ///
    /// # Errors
    /// When another proof is being made, or there is no Codex.
    pub fn begin(&self) -> Result<Option<Job>, ProveError> {
        let running = self.slot.begin()?;
        let job = running.job();
        let this = self.clone();
        tokio::spawn(async move {
            // The caller gets the result from the job.
            if let Err(error) = this.in_use(running).await {
                tracing::warn!(%error, "Codex could not be proved");
            }
        });
        Ok(job)
    }

    /// Proves the Codex in use.
    ///
    /// # Errors
    /// When no proof could be made. A proof with findings is not an error.
    pub async fn prove(&self) -> Result<Report, ProveError> {
        self.in_use(self.slot.begin()?).await
    }

    /// Proves each Codex that waits for it, until `ending`; `proved` is called after each.
    pub async fn serve(self, proof_gate: ProofGate, ending: CancellationToken, proved: impl Fn()) {
        let mut waiting = proof_gate.waiting();
        // A worker may have requested a proof before.
        waiting.mark_changed();
        loop {
            let bin = tokio::select! {
                changed = waiting.changed() => match changed {
                    Ok(()) => waiting.borrow_and_update().clone(),
                    Err(_) => return,
                },
                () = ending.cancelled() => return,
            };
            let Some(bin) = bin else { continue };
            tokio::select! {
                checked = self.look(&bin) => match checked {
                    Ok(()) => tracing::info!(bin = %bin.display(), "this Codex is proved to add nothing"),
                    Err(unfit) => {
                        tracing::warn!(bin = %bin.display(), reason = unfit.to_string(), "this Codex is not used");
                    }
                },
                () = ending.cancelled() => return,
            }
            proved();
        }
    }

    async fn look(&self, bin: &Path) -> Result<(), NotFit> {
        let version = codex_install::printed_version(bin, &self.config.worker.hidden_env).await;
        self.check(bin, &version.map_err(NotFit::NoVersion)?).await
    }

    async fn make(&self, bin: &Path) -> Result<Report, ProveError> {
        let running = self.slot.wait().await;
        self.finish(running, bin).await
    }

    async fn in_use(&self, running: Running) -> Result<Report, ProveError> {
        let found = self.config.worker.codex.find().map_err(|error| ProveError::Codex(error.to_string()));
        match found {
            Ok(found) => self.finish(running, &found.path).await,
            Err(error) => {
                running.end(Err(&error));
                Err(error)
            }
        }
    }

    async fn finish(&self, running: Running, bin: &Path) -> Result<Report, ProveError> {
        let made = match tokio::time::timeout(LIMIT, self.run(&running, bin)).await {
            Ok(made) => made,
            Err(_) => Err(ProveError::TooLong(LIMIT)),
        };
        running.end(made.as_ref());
        made
    }

    async fn run(&self, running: &Running, bin: &Path) -> Result<Report, ProveError> {
        if !self.config.worker.use_app_server {
            return Err(ProveError::Legacy);
        }
        let began = Instant::now();
        let version = codex_install::printed_version(bin, &self.config.worker.hidden_env).await;
        let version = version.map_err(|error| ProveError::Codex(error.to_string()))?;
        running.about(&version);
        if known(&version) == Some(Known::KeepsItsOwn) {
            return Err(ProveError::KeepsItsOwn(version));
        }
        let subject = Subject::of(bin, &version).map_err(|error| ProveError::Codex(error.to_string()))?;
        let mut report = self.observe(running, bin, subject).await?;
        report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let kept = serde_json::to_string_pretty(&report).map_err(std::io::Error::from);
        if let Err(error) = kept.and_then(|text| self.config.proofs.keep(&report.subject.version, &text)) {
            return Err(ProveError::NotKept(error));
        }
        Ok(report)
    }

    /// Runs Codex on the mirror and makes all requests.
    async fn observe(&self, running: &Running, bin: &Path, subject: Subject) -> Result<Report, ProveError> {
        let home = Home::make(&self.config.data_dir).map_err(ProveError::Home)?;
        let mut worker = self.worker(bin, &home);
        let bundled = worker::home::program(&worker, bin, isolation::catalogue_arguments(None, true));
        // Older versions print no catalogue, and need none.
        let models = process::output(&bundled, PRINT_TIME, worker::catalogue::MOST_BYTES).await;
        let models = models.unwrap_or_else(|_| r#"{"models":[]}"#.to_owned());
        let mirror = Mirror::start(models).await.map_err(ProveError::Home)?;
        home.point_to(mirror.address()).map_err(ProveError::Home)?;
        worker.env = home::environment(mirror.address());
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        let end = ending.clone().drop_guard();
        let pool = WorkerPool::start(worker, &tasks, ending);
        let asked = probe::run(&pool, |done, all| running.asked(done, all)).await;
        tokio::time::sleep(LAST_WORDS).await;
        drop((pool, end));
        tasks.close();
        tasks.wait().await;
        let asked = asked.map_err(|error| ProveError::Codex(error.to_string()))?;
        Ok(report::report(subject, &asked, &mirror.recording()))
    }

    /// The workers' settings in service, but with one worker, this Codex and this home.
    fn worker(&self, bin: &Path, home: &Home) -> worker::Config {
        let mut hidden_env = self.config.worker.hidden_env.clone();
        hidden_env.extend(home::HIDDEN.iter().map(|name| (*name).to_owned()));
        worker::Config {
            codex: Finder { bin: Some(bin.to_owned()), ..self.config.worker.codex.clone() },
            home: CodexHome::Given(home.codex()),
            workdir: home.work(),
            cache_dir: home.cache(),
            provider: None,
            effort_with_turn: true,
            count: 1,
            max_age: None,
            max_turns: 0,
            hidden_env,
            proof_gate: ProofGate::open(),
            ..self.config.worker.clone()
        }
    }
}

#[async_trait]
impl Fitness for Prover {
    async fn check(&self, bin: &Path, version: &str) -> Result<(), NotFit> {
        let subject = Subject::of(bin, version).map_err(NotFit::NoFile)?;
        match self.config.proofs.admit(&subject) {
            Approval::Runs => Ok(()),
            Approval::Refused(verdict, reasons) => fit(verdict, reasons),
            Approval::NeedsProof => {
                let report = self.make(bin).await.map_err(|error| NotFit::NoProof(error.into()))?;
                fit(report.verdict, report.reasons)
            }
        }
    }
}

fn fit(verdict: Verdict, reasons: String) -> Result<(), NotFit> {
    match verdict {
        Verdict::Pure => Ok(()),
        Verdict::Impure => Err(NotFit::Impure(reasons)),
        Verdict::Unproved => Err(NotFit::Unproved(reasons)),
    }
}
