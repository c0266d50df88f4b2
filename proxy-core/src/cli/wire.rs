//! What the commands read of the control API's answers. `--json` prints those as they are.
//!
//! Only what is shown is read, and a part that is missing counts as unknown: the running proxy may be older or newer
//! than this program.

use serde::Deserialize;

/// `GET /control/status`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) ready: bool,
    pub(super) reason: Option<String>,
    pub(super) uptime_seconds: u64,
    pub(super) queue_depth: usize,
    pub(super) workers: Vec<Worker>,
    pub(super) address: Option<String>,
    pub(super) account: Option<Account>,
    pub(super) limits: Option<Limits>,
    pub(super) codex: Option<Codex>,
    pub(super) today: Option<Totals>,
    pub(super) warnings: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Worker {
    pub(super) id: usize,
    pub(super) state: String,
    pub(super) pid: Option<u32>,
    pub(super) codex_version: Option<String>,
    pub(super) uptime_seconds: Option<u64>,
    pub(super) restarts: u64,
    pub(super) last_exit: Option<String>,
    pub(super) retry_in_seconds: Option<u64>,
    pub(super) turns_running: usize,
    pub(super) turns_done: u64,
    pub(super) resident_bytes: Option<u64>,
}

/// `GET /control/account`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) state: String,
    pub(super) method: Option<String>,
    pub(super) email: Option<String>,
    pub(super) plan: Option<String>,
    pub(super) workspace: Option<String>,
    pub(super) login: Option<Login>,
    pub(super) sign_in_url: Option<String>,
    pub(super) problem: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Login {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) auth_url: Option<String>,
    pub(super) verification_url: Option<String>,
    pub(super) user_code: Option<String>,
    pub(super) expires_at: Option<u64>,
}

/// `GET /control/limits`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Limits {
    pub(super) reached: Option<String>,
    pub(super) primary: Option<Window>,
    pub(super) secondary: Option<Window>,
    pub(super) credits: Option<Credits>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Window {
    pub(super) used_percent: f64,
    pub(super) window_minutes: Option<u64>,
    pub(super) resets_at: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Credits {
    pub(super) has_credits: bool,
    pub(super) unlimited: bool,
    pub(super) balance: Option<String>,
}

/// `GET /control/codex`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Codex {
    pub(super) source: Option<String>,
    pub(super) path: Option<String>,
    pub(super) version: Option<String>,
    pub(super) supported: bool,
    pub(super) problem: Option<String>,
    pub(super) note: Option<String>,
    pub(super) pinned: Option<String>,
    pub(super) managed: Managed,
    pub(super) job: Option<Job>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Managed {
    pub(super) current: Option<String>,
    pub(super) previous: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Job {
    pub(super) action: String,
    pub(super) phase: String,
    pub(super) version: Option<String>,
    pub(super) bytes: u64,
    pub(super) total_bytes: Option<u64>,
    pub(super) error: Option<String>,
}

/// A part of `GET /control/proofs`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Proof {
    pub(super) version: String,
    pub(super) verdict: String,
    pub(super) reasons: String,
}

/// `GET /control/keys`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Keys {
    pub(super) store: String,
    pub(super) warning: Option<String>,
    pub(super) keys: Vec<Key>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) overridden: bool,
    pub(super) created_at: Option<u64>,
    pub(super) last_used_at: Option<u64>,
    pub(super) secret_in: String,
}

/// `GET /control/usage`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    pub(super) group: String,
    pub(super) tz: Option<String>,
    pub(super) totals: Totals,
    pub(super) data: Vec<Bucket>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bucket {
    pub(super) bucket: String,
    #[serde(flatten)]
    pub(super) totals: Totals,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) cancelled: u64,
    pub(super) input_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) total_tokens: u64,
}
