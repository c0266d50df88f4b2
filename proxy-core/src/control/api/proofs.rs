//! `/control/proofs` and `/control/prove`: what Codex adds to a prompt.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

words! {
    /// How far a proof is.
    ProofPhase {
        /// Codex is being started.
        Starting = "starting",
        /// Requests are being made.
        Asking = "asking",
        /// There is a proof.
        Done = "done",
        /// There is none.
        Failed = "failed",
    }
}

words! {
    /// The result of a proof.
    Verdict {
        /// Nothing is added, lost or changed, and no connection is unknown.
        Pure = "pure",
        /// Something is.
        Impure = "impure",
        /// It could not be found out.
        Unproved = "unproved",
    }
}

words! {
    /// What kind of wrong a finding is.
    FindingKind {
        /// The client did not say it.
        Added = "added",
        /// The client said it, and it did not arrive.
        Lost = "lost",
        /// It arrived otherwise than the client said it.
        Changed = "changed",
        /// A connection that is not known.
        Connection = "connection",
        /// A request that was not answered.
        Failed = "failed",
    }
}

words! {
    /// What a request of a proof is about.
    CaseKind {
        /// A line of text.
        Plain = "plain",
        /// A conversation with tools.
        Tools = "tools",
        /// Another effort than the model's own.
        Effort = "effort",
        /// An answer of a given form.
        Schema = "schema",
        /// A picture.
        Image = "image",
    }
}

/// A proof of what Codex adds to a prompt, running or ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ProofJob {
    /// How far it is.
    pub phase: ProofPhase,
    /// The version it is about, once that is known.
    pub version: Option<String>,
    /// Requests that have been answered.
    pub done: usize,
    /// Requests there are.
    pub all: usize,
    /// The result.
    pub verdict: Option<Verdict>,
    /// Why there is none.
    pub error: Option<String>,
}

/// The answer of `GET /control/proofs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Proofs {
    /// The last one since the proxy was started, as it goes on.
    pub job: Option<ProofJob>,
    /// One for each version, the newest first.
    pub proofs: Vec<Proof>,
}

/// What was proved of one Codex.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Proof {
    /// The version that the binary printed; empty if it printed none.
    pub version: String,
    /// The binary.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in milliseconds since the epoch.
    pub modified: u64,
    /// The switches that it was run with, as a digest.
    pub switches: String,
    /// When it was proved.
    pub proved_at: u64,
    /// How long that took.
    pub took_ms: u64,
    /// The result.
    pub verdict: Verdict,
    /// What is wrong, in a few words; empty if nothing is.
    pub reasons: String,
    /// What is wrong, each once.
    pub findings: Vec<Finding>,
    /// Models that were asked.
    pub models: u64,
    /// Bytes of the client's own words that reached a model.
    pub word_bytes: u64,
    /// Bytes of the client's own tools that reached a model.
    pub tool_bytes: u64,
    /// Bytes that are not the client's.
    pub foreign_bytes: u64,
    /// The parts of the protocol around the words, which are no part of a prompt.
    pub protocol: Vec<ProtocolPart>,
    /// What Codex has connected to.
    pub connections: Vec<Connection>,
    /// One request in full.
    pub example: Option<Example>,
    /// Every request.
    pub cases: Vec<Case>,
}

/// Something that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Finding {
    /// What kind of wrong.
    pub kind: FindingKind,
    /// What it is, in words.
    pub what: String,
    /// Its length, where it is met first.
    pub bytes: u64,
    /// In how many requests.
    pub requests: u64,
    /// The piece itself, or what was said; long ones are cut.
    pub example: String,
}

/// A part of the protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ProtocolPart {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub reason: String,
    /// Bytes of it in all requests.
    pub bytes: u64,
}

/// What Codex has connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Connection {
    /// `GET`, `POST`, …; `CONNECT` for another host.
    pub method: String,
    /// The path at the service, or another host.
    pub target: String,
    /// How many times.
    pub times: u64,
    /// Bytes that were sent, those of requests to the model on a WebSocket not included.
    pub bytes: u64,
    /// What it is for; `None` if it is none of those that are known.
    pub reason: Option<String>,
}

/// One request in full.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Example {
    /// What the client said.
    #[cfg_attr(test, ts(type = "unknown"))]
    pub said: Value,
    /// What arrived.
    #[cfg_attr(test, ts(type = "unknown"))]
    pub arrived: Value,
}

/// One request of a proof.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Case {
    /// The model it asked for.
    pub model: String,
    /// What it was about.
    pub kind: CaseKind,
    /// Bytes of the client's own words.
    pub word_bytes: u64,
    /// Bytes of the client's own tools.
    pub tool_bytes: u64,
    /// Bytes that are not the client's.
    pub foreign_bytes: u64,
}

impl ProofJob {
    /// Whether nothing more will happen.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, ProofPhase::Done | ProofPhase::Failed)
    }
}
