//! What the control API sends and takes: one Rust type for each JSON object, used by the routes, the command line and
//! the tray application. The window's TypeScript types are made of these (`cargo xtask types`).
//!
//! Every type reads what a proxy of another version sends: a field that is missing has its default, and a word that is
//! not known is `Other`. Times are seconds since the epoch unless they say milliseconds. What `control` has in its own
//! rooms is turned into these types in the file of its topic.

#[macro_use]
mod word;
mod account;
mod clients;
mod codex;
mod keys;
mod logs;
mod models;
mod proofs;
mod requests;
mod settings;
mod status;
#[cfg(test)]
mod typescript;
mod usage;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::account::{
    Account, AccountMethod, AccountState, AccountUsage, Credits, ImportLogin, Imported, LimitWindow, Limits,
    LogIn, Login, LoginMethod, SignInWith, UsageDay, UsageSummary,
};
pub use self::clients::{Applied, ClientConfig, Preview, SetUpFor};
pub use self::codex::{
    CodexSource, CodexStatus, InstallCodex, Job, JobAction, JobPhase, Managed, UpdateCodex,
};
pub use self::keys::{
    ChangedKey, CreateKey, DeletedKey, Key, KeyDestination, KeyList, KeyPlace, KeyStore, MigrateKeys,
    RevealedKey, UpdateKey,
};
pub use self::logs::{LogLevel, LogTail, SetLogLevel};
pub use self::models::{Model, ModelList};
pub use self::proofs::{
    Case, CaseKind, Connection, Example, Finding, FindingKind, Proof, ProofJob, ProofPhase, Proofs,
    ProtocolPart, Verdict,
};
pub use self::requests::{
    CaptureState, Captured, Refusal, RefusalReason, RequestDetail, RequestEntry, RequestList, RequestState,
    StartCapture, TryPrompt, WINDOW_KEY,
};
pub use self::settings::{Setting, SettingKind, SettingSource, Settings};
pub use self::status::{BackendMode, Paused, SandboxMode, Status, Worker, WorkerState};
pub use self::usage::{Totals, Usage, UsageBucket, UsageGroup};

/// What `GET /control/events` tells: as a server-sent event, its name is `event` and its text is `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// The state: at the start, after every change, and now and then without one.
    Status(Box<Status>),
    /// A request that has come, or what has become of it.
    Request(Box<RequestEntry>),
}

/// The body of every error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: ErrorObject,
}

/// What is wrong, in the form of OpenAI's errors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ErrorObject {
    /// In sentences for people: what is wrong and what to do.
    pub message: String,
    /// The kind of error, as OpenAI names it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The field that is wrong.
    pub param: Option<String>,
    /// The error's name for programs.
    pub code: Option<String>,
    /// What some errors have beside these.
    #[serde(flatten)]
    #[cfg_attr(test, ts(skip))]
    pub more: Map<String, Value>,
}
