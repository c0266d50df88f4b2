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
mod share;
mod status;
mod store;
#[cfg(test)]
mod typescript;
mod usage;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::account::{
    Account, AccountMethod, AccountState, AccountUsage, Credits, ImportLogin, Imported, LimitHistory,
    LimitReading, LimitWindow, Limits, LogIn, Login, LoginMethod, SignInWith, UsageDay, UsageSummary,
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
pub use self::requests::{RequestDetail, RequestList, StartCapture, TryInput, TryPrompt, WINDOW_KEY};
pub use self::settings::{Setting, SettingKind, SettingSource, Settings};
pub use self::share::{Share, StartShare};
pub use self::status::{BackendMode, Paused, SandboxMode, Status, Worker, WorkerState};
pub use self::store::{Store, StoreRemoval, StoreState};
pub use self::usage::{Usage, UsageBucket, UsageGroup};
pub use protocol::codex::notice::Private;

use crate::request_log::RequestEntry;

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_of_another_version_is_read() {
        let status: Status = serde_json::from_value(json!({
            "version": "9.0.0",
            "backend_mode": "a new one",
            "workers": [{"id": 0, "state": "asleep"}],
            "account": {"state": "frozen", "method": "passkey"},
            "codex": {"source": "flatpak", "job": {"action": "pin", "phase": "mirroring"}},
            "proof": {"phase": "thinking", "verdict": "perhaps"},
            "limits": {"primary": {"used_percent": 31.4}},
            "something": {"else": 1},
        }))
        .unwrap();
        assert_eq!((status.version.as_str(), status.ready), ("9.0.0", false));
        assert_eq!(status.backend_mode, BackendMode::Other);
        assert_eq!(status.workers[0].state.as_str(), "unknown");
        assert_eq!(status.account.state, AccountState::Other);
        assert_eq!(status.account.method, Some(AccountMethod::Named("passkey".to_owned())));
        let job = status.codex.job.unwrap();
        assert_eq!(
            (status.codex.source, job.phase, job.is_over()),
            (Some(CodexSource::Other), JobPhase::Other, false)
        );
        assert_eq!(status.proof.unwrap().verdict, Some(Verdict::Other));
        assert_eq!(status.limits.unwrap().primary.unwrap().used_percent, 31);
    }

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for state in [WorkerState::Starting, WorkerState::BackingOff, WorkerState::Failed] {
            let word = serde_json::to_value(state).unwrap();
            assert_eq!(word, state.as_str());
            assert_eq!(serde_json::from_value::<WorkerState>(word).unwrap(), state);
        }
        assert_eq!(serde_json::to_value(AccountMethod::ChatGpt).unwrap(), "chatgpt");
        assert_eq!(serde_json::to_value(AccountMethod::Named("bedrock".to_owned())).unwrap(), "bedrock");
    }

    #[test]
    fn an_event_has_a_name_and_data() {
        let told = serde_json::to_value(Event::Status(Box::default())).unwrap();
        assert_eq!((&told["event"], &told["data"]["ready"]), (&json!("status"), &json!(false)));
        let read: Event = serde_json::from_value(told).unwrap();
        assert_eq!(read, Event::Status(Box::default()));
    }

    #[test]
    fn what_is_asked_for_has_to_be_known() {
        assert!(serde_json::from_value::<MigrateKeys>(json!({"to": "cloud"})).is_err());
        assert!(serde_json::from_value::<CreateKey>(json!({"name": "a", "id": "b"})).is_err());
        let log_in: LogIn = serde_json::from_value(json!({"method": "fax"})).unwrap();
        assert_eq!(log_in.method, SignInWith::Other);
    }
}
