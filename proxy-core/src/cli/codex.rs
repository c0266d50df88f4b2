//! The command `codex-proxy codex`: shows and changes the Codex in use.

use std::path::PathBuf;
use std::sync::Arc;

use http::Method;
use tokio::sync::watch;

use super::client::{Answer, Client, Events};
use super::failure::Failure;
use super::output::{Output, Painter, clean, wrap};
use super::status::codex_words;
use super::tree::{CodexArgs, CodexInstall, CodexVerb};
use super::units::bytes;
use super::{Context, Interruption};
use crate::codex_install::{Action, Codex, CodexError, Job as OwnJob};
use crate::control::api::{CodexStatus, InstallCodex, Job, JobPhase, Proof, Proofs, Verdict};
use crate::instance::InstanceLock;
use crate::prove::Prover;
use protocol::codex::capabilities::{Known, known};

pub(super) async fn run(args: &CodexArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let json = args.json.json;
    let mut backend = Backend::open(context)?;
    let (action, wanted) = match args.verb.as_ref().unwrap_or(&CodexVerb::Status) {
        CodexVerb::Status => {
            let status = backend.status().await?;
            if json {
                return Ok(output.json(status.sent())?);
            }
            let proofs = backend.proofs().await?;
            return Ok(output.text(&render(&status.read()?, &proofs, output.paint()))?);
        }
        CodexVerb::Install(CodexInstall { file: Some(file), .. }) => {
            (Action::Install, Wanted::File(std::path::absolute(file).unwrap_or_else(|_| file.clone())))
        }
        CodexVerb::Install(install) => (Action::Install, Wanted::Version(install.version.as_deref())),
        CodexVerb::Update(update) => (Action::Update, Wanted::Version(update.version.as_deref())),
        CodexVerb::Rollback => (Action::Rollback, Wanted::Version(None)),
    };
    let mut interruption = Interruption::listen();
    let job = backend.begin(action, &wanted).await?;
    let mut teller = Teller { json, output, last: None };
    let interrupted = tokio::select! {
        done = follow(&backend, &job, &mut teller) => done.map(|()| false)?,
        () = interruption.comes() => true,
    };
    if interrupted {
        backend.cancel().await?;
        // The cancellation may be too late, so wait for the end of the job. A second interruption ends the wait.
        tokio::select! {
            done = follow(&backend, &job, &mut teller) => done?,
            () = interruption.comes() => {}
        }
    }
    teller.over(&backend, interrupted).await
}

/// What changes Codex: the running proxy, or this program if none is running.
enum Backend {
    Proxy(Client),
    Here(Here),
}

struct Here {
    codex: Codex,
    prover: Prover,
    data_dir: PathBuf,
    lock: Option<InstanceLock>,
}

impl Backend {
    fn open(context: &Context) -> Result<Self, Failure> {
        let config = &context.config;
        match Client::find(&config.data_dir) {
            Ok(client) => Ok(Self::Proxy(client)),
            Err(Failure::NotRunning(_)) => {
                let prover = Prover::new(config.prove.clone());
                let codex = Codex::new(config.codex_install.clone()).with_fitness(Arc::new(prover.clone()));
                Ok(Self::Here(Here { codex, prover, data_dir: config.data_dir.clone(), lock: None }))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn status(&self) -> Result<Answer<CodexStatus>, Failure> {
        match self {
            Self::Proxy(client) => client.get("/codex").await,
            Self::Here(here) => Answer::of(&here.codex.status().await.into()),
        }
    }

    /// The latest proof of each version.
    async fn proofs(&self) -> Result<Vec<Proof>, Failure> {
        match self {
            Self::Proxy(client) => Ok(client.read::<Proofs>("/proofs").await?.proofs),
            Self::Here(here) => Ok(here.prover.reports().into_iter().map(Proof::from).collect()),
        }
    }

    /// Starts a job. If no proxy is running, this program locks the data directory from here on.
    async fn begin(&mut self, action: Action, wanted: &Wanted<'_>) -> Result<Job, Failure> {
        match self {
            Self::Proxy(client) => {
                let name = match action {
                    Action::Install => "install",
                    Action::Update => "update",
                    Action::Rollback => "rollback",
                };
                client.send(Method::POST, &format!("/codex/{name}"), &wanted.body()).await?.read()
            }
            Self::Here(here) => {
                here.lock = Some(InstanceLock::take(&here.data_dir)?);
                let job = match wanted {
                    Wanted::Version(version) => here.codex.begin(action, *version)?,
                    Wanted::File(file) => here.codex.begin_file(file)?,
                };
                Ok(job.into())
            }
        }
    }

    async fn jobs(&self) -> Result<Jobs, Failure> {
        Ok(match self {
            Self::Proxy(client) => Jobs::Proxy(Box::new(client.events().await?)),
            Self::Here(here) => {
                let mut progress = here.codex.progress();
                progress.mark_changed();
                Jobs::Here(progress)
            }
        })
    }

    async fn cancel(&self) -> Result<(), Failure> {
        match self {
            Self::Proxy(client) => client.call::<()>(Method::DELETE, "/codex/job").await.map(drop),
            Self::Here(here) => {
                here.codex.cancel();
                Ok(())
            }
        }
    }
}

/// The progress of a job.
enum Jobs {
    Proxy(Box<Events>),
    Here(watch::Receiver<Option<OwnJob>>),
}

impl Jobs {
    /// The current job, and then each change of it; `None` once its state was dropped.
    async fn next(&mut self) -> Result<Option<Job>, Failure> {
        match self {
            Self::Proxy(events) => Ok(events.next().await?.read()?.codex.job),
            Self::Here(progress) => match progress.changed().await {
                Ok(()) => Ok(progress.borrow_and_update().clone().map(Job::from)),
                Err(_) => Ok(None),
            },
        }
    }
}

impl From<CodexError> for Failure {
    fn from(error: CodexError) -> Self {
        Self::new(error.to_string())
    }
}

/// The Codex to install.
enum Wanted<'a> {
    Version(Option<&'a str>),
    File(PathBuf),
}

impl Wanted<'_> {
    fn body(&self) -> InstallCodex {
        match self {
            Self::Version(version) => InstallCodex { version: version.map(str::to_owned), file: None },
            Self::File(file) => InstallCodex { version: None, file: Some(file.clone()) },
        }
    }
}

/// Reports the job until it is over.
async fn follow(backend: &Backend, begun: &Job, teller: &mut Teller<'_>) -> Result<(), Failure> {
    if teller.last.is_none() {
        teller.tell(begun)?;
    }
    let mut jobs = backend.jobs().await?;
    loop {
        match jobs.next().await? {
            Some(job) if !teller.tell(&job)? => {}
            Some(_) | None => return Ok(()),
        }
    }
}

/// Reports the progress of a job: for a person one line that changes, for a file one line for each phase, for a
/// program one object for each change.
struct Teller<'a> {
    json: bool,
    output: &'a mut Output,
    last: Option<Job>,
}

impl Teller<'_> {
    /// Reports the current state of the job. Returns whether the job is over.
    fn tell(&mut self, job: &Job) -> Result<bool, Failure> {
        if self.last.as_ref() == Some(job) {
            return Ok(job.is_over());
        }
        let new_phase = self.last.as_ref().is_none_or(|last| last.phase != job.phase);
        if self.json {
            self.output.json_line(job)?;
        } else if !self.output.progress(&progress(job))? && new_phase {
            self.output.note(&progress(job))?;
        }
        self.last = Some(job.clone());
        Ok(job.is_over())
    }

    /// Reports the end of the job.
    async fn over(&mut self, backend: &Backend, interrupted: bool) -> Result<(), Failure> {
        if !self.json && self.output.err_interactive {
            self.output.note("")?;
        }
        let job = self.last.take().unwrap_or_default();
        if interrupted && job.phase != JobPhase::Done {
            return Err(Failure::Interrupted(
                "cancelled; the Codex in use is still the one before".to_owned(),
            ));
        }
        if job.phase == JobPhase::Failed {
            let why = job.error.map_or_else(|| "the proxy's log says why".to_owned(), |error| clean(&error));
            return Err(Failure::with_next(
                format!("{} has failed: {why}", job.action.as_str()),
                "The Codex in use is still the one before.",
            ));
        }
        if !self.json {
            let codex = backend.status().await?.read()?;
            self.output.line(&format!("Codex: {}", codex_words(&codex, self.output.paint())))?;
        }
        Ok(())
    }
}

/// Formats `install 0.169.0: downloading, 12.3 MiB of 45.6 MiB (27 %)`.
fn progress(job: &Job) -> String {
    let version = job.version.as_deref().map(|version| format!(" {}", clean(version))).unwrap_or_default();
    let amount = match (job.bytes, job.total_bytes) {
        (0, _) => String::new(),
        (done, Some(total)) if total > 0 => {
            let percent = u128::from(done) * 100 / u128::from(total);
            format!(", {} of {} ({} %)", bytes(done), bytes(total), percent.min(100))
        }
        (done, _) => format!(", {}", bytes(done)),
    };
    let amount = if job.phase == JobPhase::Downloading { amount } else { String::new() };
    format!("{}{version}: {}{amount}", job.action.as_str(), job.phase.as_str())
}

/// A version and the verdict of its proof.
fn with_verdict(version: &str, proofs: &[Proof]) -> String {
    let proof = proofs.iter().find(|proof| proof.version == version);
    let words = match proof.map(|proof| (proof.verdict, clean(&proof.reasons))) {
        Some((Verdict::Pure, _)) => "proved pure".to_owned(),
        Some((Verdict::Impure, reasons)) => format!("NOT pure: {reasons}"),
        Some((Verdict::Unproved | Verdict::Other, _)) | None => match (known(version), proof) {
            (Some(Known::Tested), _) => "known to be pure".to_owned(),
            (Some(Known::KeepsItsOwn), _) => "adds some tools of its own".to_owned(),
            (None, Some(_)) => "could not be proved".to_owned(),
            (None, None) => "not proved".to_owned(),
        },
    };
    format!("{version}, {words}")
}

fn render(codex: &CodexStatus, proofs: &[Proof], paint: Painter) -> String {
    let mut text = format!("Codex     {}\n", codex_words(codex, paint));
    let mut line = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            text.push_str(&format!("{name:10}{}\n", wrap(value, 80, 10)));
        }
    };
    line("Path", codex.path.as_ref().map(|path| path.display().to_string()).as_ref());
    line("Problem", codex.problem.as_ref());
    line("Note", codex.note.as_ref());
    line("Tested", Some(&codex.pinned).filter(|pinned| !pinned.is_empty()));
    let proved = |version: &Option<String>| version.as_ref().map(|version| with_verdict(version, proofs));
    if codex.managed.current != codex.version {
        line("Proof", proved(&codex.version).as_ref());
    }
    line("Installed", proved(&codex.managed.current).as_ref());
    line("Before", proved(&codex.managed.previous).as_ref());
    if codex.version.is_none() {
        text.push_str("Install it with `codex-proxy codex install`.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::control::api::JobAction;

    fn job(phase: JobPhase, bytes: u64, total_bytes: Option<u64>) -> Job {
        Job {
            action: JobAction::Install,
            phase,
            version: Some("0.169.0".to_owned()),
            bytes,
            total_bytes,
            error: None,
        }
    }

    #[test]
    fn progress_says_what_is_known() {
        for (job, expected) in [
            (job(JobPhase::Resolving, 0, None), "install 0.169.0: resolving"),
            (job(JobPhase::Downloading, 0, None), "install 0.169.0: downloading"),
            (job(JobPhase::Downloading, 1 << 20, None), "install 0.169.0: downloading, 1.00 MiB"),
            (
                job(JobPhase::Downloading, 1 << 20, Some(4 << 20)),
                "install 0.169.0: downloading, 1.00 MiB of 4.00 MiB (25 %)",
            ),
            (
                job(JobPhase::Downloading, 5 << 20, Some(4 << 20)),
                "install 0.169.0: downloading, 5.00 MiB of 4.00 MiB (100 %)",
            ),
            (job(JobPhase::Unpacking, 4 << 20, Some(4 << 20)), "install 0.169.0: unpacking"),
        ] {
            assert_eq!(progress(&job), expected);
        }
    }

    #[test]
    fn what_is_in_use() {
        let codex: CodexStatus =
            from_value(json!({"source": "managed", "path": "/d/codex/0.169.0/codex", "version": "0.169.0",
            "supported": true, "problem": null, "pinned": "0.169.0",
            "managed": {"current": "0.169.0", "previous": "0.168.0"}, "job": null}))
            .unwrap();
        let expected = "\
Codex     0.169.0, installed by the proxy
Path      /d/codex/0.169.0/codex
Tested    0.169.0
Installed 0.169.0, known to be pure
Before    0.168.0, NOT pure: it adds a tool `x` (9 bytes)
";
        let proofs = [Proof {
            version: "0.168.0".to_owned(),
            verdict: Verdict::Impure,
            reasons: "it adds a tool `x` (9 bytes)".to_owned(),
            ..Proof::default()
        }];
        assert_eq!(render(&codex, &proofs, Painter::PLAIN), expected);
        assert!(render(&CodexStatus::default(), &[], Painter::PLAIN).contains("codex-proxy codex install"));
    }
}
