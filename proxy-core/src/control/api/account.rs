//! `/control/account` and `/control/limits`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::Private;

words! {
    /// Whether the account can be used.
    AccountState {
        /// Codex has not said yet.
        Unknown = "unknown",
        /// Codex uses a provider that needs no sign-in.
        NotNeeded = "not_needed",
        /// Nobody is signed in.
        SignedOut = "signed_out",
        /// A sign-in is under way, and nobody is signed in.
        SigningIn = "signing_in",
        /// An account is signed in.
        SignedIn = "signed_in",
    }
}

words! {
    /// How a sign-in that is under way goes.
    LoginMethod {
        /// In a browser on this machine.
        Browser = "browser",
        /// On any device, with a code.
        DeviceCode = "device_code",
    }
}

words! {
    /// How to sign in.
    SignInWith {
        /// In a browser on this machine.
        Browser = "browser",
        /// On any device, with a code.
        DeviceCode = "device_code",
        /// With an API key of the vendor's platform.
        ApiKey = "api_key",
    }
}

/// What an account is signed in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum AccountMethod {
    /// A ChatGPT account.
    #[serde(rename = "chatgpt")]
    ChatGpt,
    /// An API key of the vendor's platform.
    ApiKey,
    /// Another, in Codex's word.
    #[serde(untagged)]
    Named(String),
}

/// The answer of `GET /control/account`, and a part of the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Account {
    /// Whether it can be used.
    pub state: AccountState,
    /// What it is signed in with.
    pub method: Option<AccountMethod>,
    /// The account's address.
    #[cfg_attr(test, ts(type = "string | null"))]
    pub email: Option<Private>,
    /// Its plan, in the vendor's word.
    pub plan: Option<String>,
    /// The workspace in use.
    #[cfg_attr(test, ts(type = "string | null"))]
    pub workspace: Option<Private>,
    /// The sign-in that is under way.
    pub login: Option<Login>,
    /// The proxy's page that starts a sign-in, if there is one.
    pub sign_in_url: Option<String>,
    /// Why the last sign-in failed, or why that page cannot be reached.
    pub problem: Option<String>,
}

/// The one sign-in that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Login {
    /// Codex's name of it.
    pub id: String,
    /// How it goes.
    pub method: LoginMethod,
    /// The page for a browser on this machine.
    #[cfg_attr(test, ts(type = "string | null"))]
    pub auth_url: Option<Private>,
    /// The page that takes the code.
    pub verification_url: Option<String>,
    /// The code.
    #[cfg_attr(test, ts(type = "string | null"))]
    pub user_code: Option<Private>,
    /// When it was begun.
    pub started_at: u64,
    /// When it is over, done or not.
    pub expires_at: u64,
}

/// The body of `POST /control/account/login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct LogIn {
    /// How to sign in.
    pub method: SignInWith,
    /// The key, with the method `api_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<String>", optional))]
    pub api_key: Option<Private>,
}

/// The body of `POST /control/account/import`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ImportLogin {
    /// The `auth.json` to copy, absolute; that of the user's own Codex if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// The answer of `POST /control/account/import`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Imported {
    /// The account now.
    pub account: Account,
    /// What a person should know about copies of a sign-in.
    pub note: String,
}

/// The answer of `GET /control/limits`: what is left of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Limits {
    /// The plan, in the vendor's word.
    pub plan: Option<String>,
    /// Whether the plan's own use is allowed now; `None` when the vendor has not said so.
    pub ordinary_usage_allowed: Option<bool>,
    /// Which limit is reached, in the vendor's word.
    pub reached: Option<String>,
    /// The short window.
    pub primary: Option<LimitWindow>,
    /// The long window.
    pub secondary: Option<LimitWindow>,
    /// Bought credits.
    pub credits: Option<Credits>,
    /// When this was last told.
    pub read_at: u64,
}

/// A window of time over which use is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct LimitWindow {
    /// How much of it is used, in percent.
    #[serde(deserialize_with = "whole")]
    pub used_percent: u32,
    /// How long it is.
    pub window_minutes: Option<u64>,
    /// When it begins anew.
    pub resets_at: Option<u64>,
}

/// The answer of `GET /control/limits/history`: how both windows went, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct LimitHistory {
    /// Of the short window: for each percentage the first and the last reading.
    pub primary: Vec<LimitReading>,
    /// Of the long window.
    pub secondary: Vec<LimitReading>,
}

/// How much of a window was used at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct LimitReading {
    /// The time, in seconds since the epoch.
    pub at: u64,
    /// The window then.
    pub window: LimitWindow,
}

/// Bought credits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Credits {
    /// Whether there are any.
    pub has_credits: bool,
    /// Whether they never end.
    pub unlimited: bool,
    /// How many are left, in the vendor's words.
    pub balance: Option<String>,
}

/// The answer of `GET /control/account/usage`: how many tokens the account has used, in the vendor's own count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct AccountUsage {
    /// Over all its time.
    pub summary: UsageSummary,
    /// Day by day, where the vendor tells.
    pub daily_usage_buckets: Option<Vec<UsageDay>>,
}

/// The account's use over all its time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct UsageSummary {
    /// Tokens in all.
    pub lifetime_tokens: Option<u64>,
    /// Tokens of the busiest day.
    pub peak_daily_tokens: Option<u64>,
    /// Seconds of the longest turn.
    pub longest_running_turn_sec: Option<u64>,
    /// Days in a row, up to now.
    pub current_streak_days: Option<u64>,
    /// Most days in a row.
    pub longest_streak_days: Option<u64>,
}

/// The account's use on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct UsageDay {
    /// The day, as `YYYY-MM-DD`.
    pub start_date: String,
    /// Tokens on it.
    pub tokens: u64,
}

/// From this on, in percent, a window is counted among those that have to begin anew.
const FULL: u32 = 95;

impl Limits {
    /// Whether limits that were reached when they were read still are at `now`, in seconds since the epoch: a window
    /// is full, or the plan's use is forbidden and not all full windows have begun anew.
    pub(super) fn stay_reached(&self, now: u64) -> bool {
        let is_full =
            |window: &LimitWindow| window.used_percent >= 100 && window.resets_at.is_none_or(|at| at > now);
        let is_paid = self.credits.as_ref().is_some_and(|credits| credits.unlimited || credits.has_credits);
        let is_forbidden = self.ordinary_usage_allowed == Some(false) && !is_paid;
        let is_over = self.resets_at(0).is_some_and(|at| at <= now);
        self.windows().any(is_full) || (is_forbidden && !is_over)
    }

    /// When the windows that are full have all begun anew, if that is after `now`; both in seconds since the epoch.
    pub fn resets_at(&self, now: u64) -> Option<u64> {
        let full = self.windows().filter(|window| window.used_percent >= FULL);
        full.filter_map(|window| window.resets_at).filter(|at| *at > now).max()
    }

    fn windows(&self) -> impl Iterator<Item = &LimitWindow> {
        self.primary.iter().chain(&self.secondary)
    }
}

/// A number that others may send with a fraction.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = f64::deserialize(deserializer)?;
    Ok(number.round().clamp(0.0, f64::from(u32::MAX)) as u32)
}
