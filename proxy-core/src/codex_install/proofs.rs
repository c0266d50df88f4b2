//! Decides which Codex may be used, from the proofs in the data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::Found;
use super::version::{self, Printed};
use crate::files;
use crate::process::ProcessError;
use protocol::codex::capabilities::{Known, known};
use protocol::codex::isolation;

/// The subject of a proof. For another binary or other switches the proof is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The version that the binary printed; empty if it printed none.
    pub version: String,
    /// The path of the binary.
    pub path: PathBuf,
    /// The binary's size in bytes.
    pub size: u64,
    /// When it was written, in milliseconds since the epoch.
    pub modified: u64,
    /// The switches that it was run with, as a digest.
    pub switches: String,
}

/// The verdict of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Prompts arrive unchanged, and every connection is known.
    Pure,
    /// Something is added, lost or changed, or a connection is unknown.
    Impure,
    /// The proof could not be completed.
    Unproved,
}

/// The part of a stored proof that the decision needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Stored {
    #[serde(flatten)]
    subject: Subject,
    verdict: Verdict,
    reasons: String,
    proved_at: u64,
}

/// Whether a Codex may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// The Codex may be used.
    Runs,
    /// The Codex must be proved first.
    NeedsProof,
    /// The Codex may not be used because of this proof, with a text of what the proof has shown.
    Refused(Verdict, String),
}

/// The time after which an incomplete proof is tried again.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// Decides whether a Codex may be used. `stored` is a proof of this same binary, and its age.
fn decide(printed: &str, stored: Option<(&Stored, Duration)>) -> Approval {
    let known = known(printed);
    let stored = stored.map(|(stored, age)| (stored.verdict, stored.reasons.clone(), age));
    match (known, stored) {
        (Some(Known::KeepsItsOwn), _) | (_, Some((Verdict::Pure, ..))) => Approval::Runs,
        (_, Some((Verdict::Impure, reasons, _))) => Approval::Refused(Verdict::Impure, reasons),
        (Some(Known::Tested), _) => Approval::Runs,
        (None, Some((Verdict::Unproved, reasons, age))) if age < AGAIN => {
            Approval::Refused(Verdict::Unproved, reasons)
        }
        (None, Some((Verdict::Unproved, ..)) | None) => Approval::NeedsProof,
    }
}

impl Subject {
    /// The Codex at `path`, which printed this version.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn of(path: &Path, version: &str) -> std::io::Result<Self> {
        let file = std::fs::metadata(path)?;
        let modified = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            version: version.to_owned(),
            path: path.to_owned(),
            size: file.len(),
            modified: modified.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            switches: switches(),
        })
    }

    /// Whether both are the same Codex with the same switches. The path does not count, because a copy is moved
    /// between its proof and its use.
    pub fn is(&self, other: &Self) -> bool {
        let key = |subject: &Self| {
            (subject.version.clone(), subject.size, subject.modified, subject.switches.clone())
        };
        key(self) == key(other)
    }
}

/// The version of proofs. It is raised when proofs check more than before, so that older ones no longer count.
const FORMAT: u32 = 1;

fn switches() -> String {
    let arguments = isolation::arguments(None, None, "read-only").join("\n");
    let digest = Sha256::digest(format!("{FORMAT}\n{arguments}"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The proofs on disk, one for each version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proofs {
    dir: PathBuf,
}

impl Proofs {
    /// The proofs in this directory, which need not exist yet.
    pub fn in_dir(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Stores a proof in place of an older one of the same version.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, version: &str, text: &str) -> std::io::Result<()> {
        files::replace(&self.file(version), text, files::Target::Secret)
    }

    /// The texts of all proofs.
    pub fn all(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let files = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"));
        files.filter_map(|file| std::fs::read_to_string(file).ok()).collect()
    }

    /// Whether this Codex may be used.
    pub fn admit(&self, subject: &Subject) -> Approval {
        let text = std::fs::read_to_string(self.file(&subject.version)).ok();
        let stored = text.and_then(|text| serde_json::from_str::<Stored>(&text).ok());
        let stored = stored.as_ref().filter(|stored| stored.subject.is(subject));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let aged = |stored: &Stored| Duration::from_secs(now.saturating_sub(stored.proved_at));
        decide(&subject.version, stored.map(|stored| (stored, aged(stored))))
    }

    fn file(&self, version: &str) -> PathBuf {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
        let usable = version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(plain);
        self.dir.join(format!("{}.json", if usable { version } else { "unknown" }))
    }
}

/// The check before every start of a worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProofGate(Option<Arc<Guarded>>);

#[derive(Debug)]
struct Guarded {
    proofs: Proofs,
    /// The Codex that waits for its proof.
    waiting: watch::Sender<Option<PathBuf>>,
}

impl PartialEq for ProofGate {
    fn eq(&self, other: &Self) -> bool {
        let proofs = |gate: &Self| gate.0.as_ref().map(|guarded| guarded.proofs.clone());
        proofs(self) == proofs(other)
    }
}

impl Eq for ProofGate {}

/// Why a Codex is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barred {
    /// The Codex ended without printing its version. The text is the end of a sentence.
    Ended(String),
    /// The Codex hangs, is another program, is too old or is not proved, with a sentence that says what to do.
    Unfit(String),
}

/// How long a Codex may take to print its version.
const VERSION_TIME: Duration = Duration::from_secs(15);

impl ProofGate {
    /// A check that accepts only a Codex that is known or proved.
    pub fn guarded_by(proofs: Proofs) -> Self {
        Self(Some(Arc::new(Guarded { proofs, waiting: watch::Sender::new(None) })))
    }

    /// A check that accepts every Codex: for the one that is being proved.
    pub fn open() -> Self {
        Self(None)
    }

    /// The Codex that waits for its proof, as it changes.
    pub fn waiting(&self) -> watch::Receiver<Option<PathBuf>> {
        match &self.0 {
            Some(guarded) => guarded.waiting.subscribe(),
            None => watch::Sender::new(None).subscribe(),
        }
    }

    /// Accepts a Codex, or refuses it with the reason. If it must be proved first, this requests the proof.
    ///
    /// # Errors
    /// Why it may not be used, and what to do: it does not print its version, is too old or is not proved.
    pub async fn admit(&self, codex: &Found, hidden_env: &[String]) -> Result<(), Barred> {
        let Some(guarded) = &self.0 else { return Ok(()) };
        let version = match &codex.version {
            Some(version) => version.clone(),
            None => {
                let printed = version::ask(hidden_env, &codex.path, VERSION_TIME).await;
                let printed = printed.map_err(|error| match error {
                    ProcessError::Failed { .. } => Barred::Ended(version::why(&error)),
                    ProcessError::Start { .. }
                    | ProcessError::Timeout { .. }
                    | ProcessError::TooMuch { .. } => Barred::Unfit(version::advised(&error)),
                })?;
                printed.number().to_owned()
            }
        };
        let printed = Printed { text: format!("codex-cli {version}") };
        if let Some(problem) = printed.problem(false) {
            return Err(Barred::Unfit(problem));
        }
        let subject = Subject::of(&codex.path, &version).map_err(|error| {
            let path = codex.path.display();
            Barred::Unfit(format!(
                "'{path}' cannot be read: {error}. `codex-proxy codex install` installs another Codex."
            ))
        })?;
        match guarded.proofs.admit(&subject) {
            Approval::Runs => Ok(()),
            Approval::Refused(verdict, reasons) => {
                Err(Barred::Unfit(refusal(&subject.version, verdict, &reasons)))
            }
            Approval::NeedsProof => {
                guarded.waiting.send_replace(Some(codex.path.clone()));
                let name = if subject.version.is_empty() { "of unknown version" } else { &subject.version };
                Err(Barred::Unfit(format!(
                    "Codex {name} is being tried out: it is used once it is proved that it adds nothing to your \
                     prompts. This takes less than a minute"
                )))
            }
        }
    }
}

/// Why a Codex is not used, and what to do.
fn refusal(version: &str, verdict: Verdict, reasons: &str) -> String {
    let name = if version.is_empty() { "This Codex".to_owned() } else { format!("Codex {version}") };
    let (why, next) = match verdict {
        Verdict::Pure | Verdict::Impure => ("it does not send exactly what you say", "shows all of it"),
        Verdict::Unproved => {
            ("it could not be proved that it adds nothing to your prompts", "tries it again")
        }
    };
    format!(
        "{name} is not used, because {why}: {reasons}. `codex-proxy prove` {next}; `codex-proxy codex install` gets a \
         Codex that is known to be pure"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(verdict: Verdict) -> Stored {
        let subject = Subject {
            version: "0.172.0".into(),
            path: "/c".into(),
            size: 1,
            modified: 2,
            switches: switches(),
        };
        Stored { subject, verdict, reasons: "it adds a tool `x` (9 bytes)".into(), proved_at: 0 }
    }

    #[test]
    fn what_is_known_runs_and_the_rest_is_proved_first() {
        for runs in ["0.169.0", "0.171.0", "0.77.0", "0.42.0", "0.120.0"] {
            assert_eq!(decide(runs, None), Approval::Runs, "{runs}");
        }
        for new in ["0.172.0", "0.170.0", "0.135.0", "0.169.0-alpha.1", "1.0.0", "0.0.0", ""] {
            assert_eq!(decide(new, None), Approval::NeedsProof, "{new}");
        }
    }

    #[test]
    fn a_proof_decides_for_its_own_binary() {
        let (young, old) = (Duration::from_secs(1), AGAIN);
        let on = |printed: &str, verdict, age| decide(printed, Some((&stored(verdict), age)));
        assert_eq!(on("0.172.0", Verdict::Pure, old), Approval::Runs);
        assert_eq!(on("0.172.0", Verdict::Unproved, old), Approval::NeedsProof);
        assert!(matches!(on("0.172.0", Verdict::Unproved, young), Approval::Refused(Verdict::Unproved, _)));
        assert_eq!(on("0.169.0", Verdict::Unproved, young), Approval::Runs, "the suite has proved it");
        assert_eq!(on("0.77.0", Verdict::Impure, young), Approval::Runs, "it keeps what it has");
        for version in ["0.172.0", "0.169.0"] {
            let Approval::Refused(Verdict::Impure, why) = on(version, Verdict::Impure, old) else {
                panic!("{version}")
            };
            let sentence = refusal(version, Verdict::Impure, &why);
            assert!(sentence.contains("tool `x` (9 bytes)") && sentence.contains(version), "{sentence}");
        }
    }

    #[test]
    fn a_proof_of_another_binary_or_of_other_switches_says_nothing() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("codex");
        std::fs::write(&bin, "one").unwrap();
        let subject = Subject::of(&bin, "0.172.0").unwrap();
        let proofs = Proofs::in_dir(root.path().join("proofs"));
        assert_eq!(proofs.admit(&subject), Approval::NeedsProof);
        let proof = |subject: &Subject| {
            let mut proof = serde_json::to_value(subject).unwrap();
            (proof["verdict"], proof["reasons"], proof["proved_at"]) = ("pure".into(), "".into(), 1.into());
            proof.to_string()
        };
        proofs.keep("0.172.0", &proof(&subject)).unwrap();
        assert_eq!(proofs.admit(&subject), Approval::Runs);
        let moved = Subject { path: "/elsewhere".into(), ..subject.clone() };
        assert_eq!(proofs.admit(&moved), Approval::Runs);
        for other in [
            Subject { size: 4, ..subject.clone() },
            Subject { modified: 1, ..subject.clone() },
            Subject { switches: "fewer".into(), ..subject },
        ] {
            assert_eq!(proofs.admit(&other), Approval::NeedsProof, "{other:?}");
        }
        proofs.keep("../../x", "{}").unwrap();
        assert!(root.path().join("proofs/unknown.json").is_file());
    }
}
