//! The calls of the app-server that are made outside of turns, each as a type: its name, what it takes and what it
//! brings. The forms are those that `codex app-server generate-ts` prints, of 0.77.0 and newer; members and values that
//! are not known here are passed over.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::jsonrpc::{RpcError, UnknownShape};
use super::notice::{Details, Private, RateLimits};

/// A call of the app-server.
pub trait Call {
    /// Its name in the protocol.
    const METHOD: &'static str;
    /// What it takes.
    type Params: Serialize;
    /// What it brings.
    type Response: DeserializeOwned;
}

/// Reads the answer of a call, which is JSON.
///
/// # Errors
/// Where it is of another form than is known, without what it holds.
pub fn read<C: Call>(answer: &str) -> Result<C::Response, UnknownShape> {
    Ok(serde_json::from_str(answer)?)
}

/// Who is signed in.
#[derive(Debug)]
pub struct ReadAccount;

impl Call for ReadAccount {
    const METHOD: &'static str = "account/read";
    type Params = ReadAccountParams;
    type Response = Details;
}

/// How the account is read.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadAccountParams {
    /// Whether the sign-in's token is renewed first, for which the vendor is asked.
    pub refresh_token: bool,
}

/// Begins a sign-in that a person completes in a browser. A second one cancels the first.
#[derive(Debug)]
pub struct StartLogin;

impl Call for StartLogin {
    const METHOD: &'static str = "account/login/start";
    type Params = LoginWay;
    type Response = LoginStarted;
}

impl StartLogin {
    /// Whether this Codex refuses a sign-in because it does not know its way: codes came with 0.118.
    pub fn is_unknown_way(refusal: &RpcError) -> bool {
        refusal.message.contains("unknown variant")
    }
}

/// The way of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum LoginWay {
    /// In a browser on this machine, which comes back to a port of Codex's.
    Chatgpt,
    /// In a browser anywhere, with a code.
    ChatgptDeviceCode,
}

/// A sign-in that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum LoginStarted {
    /// In a browser on this machine.
    Browser {
        /// Codex's name of the sign-in.
        login_id: String,
        /// The page to open.
        auth_url: Private,
    },
    /// In a browser anywhere.
    DeviceCode {
        /// Codex's name of the sign-in.
        login_id: String,
        /// The page to open.
        verification_url: String,
        /// The code to enter there.
        user_code: Private,
    },
}

/// Signs in with an API key of the vendor's platform.
#[derive(Debug)]
pub struct LogInWithKey;

impl Call for LogInWithKey {
    const METHOD: &'static str = StartLogin::METHOD;
    type Params = KeyLogin;
    type Response = IgnoredAny;
}

/// A sign-in with an API key.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "apiKey", rename_all = "camelCase")]
pub struct KeyLogin {
    /// The key.
    pub api_key: Private,
}

/// Ends a sign-in that is under way; Codex then frees its port.
#[derive(Debug)]
pub struct CancelLogin;

impl Call for CancelLogin {
    const METHOD: &'static str = "account/login/cancel";
    type Params = LoginName;
    type Response = IgnoredAny;
}

/// Names a sign-in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginName {
    /// Codex's name of it.
    pub login_id: String,
}

/// Signs out.
#[derive(Debug)]
pub struct LogOut;

impl Call for LogOut {
    const METHOD: &'static str = "account/logout";
    type Params = ();
    type Response = IgnoredAny;
}

/// What is left of the plan. Refused while nobody is signed in.
#[derive(Debug)]
pub struct ReadRateLimits;

impl Call for ReadRateLimits {
    const METHOD: &'static str = "account/rateLimits/read";
    type Params = ();
    type Response = RateLimitsRead;
}

/// A whole reading of the plan's limits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitsRead {
    /// Whether the plan's own use is allowed now; `None` from versions that do not say so.
    pub ordinary_usage_allowed: Option<bool>,
    /// The limits.
    pub rate_limits: RateLimits,
}

/// How many tokens the account has used, in the vendor's own count. Refused while nobody is signed in.
#[derive(Debug)]
pub struct ReadUsage;

impl Call for ReadUsage {
    const METHOD: &'static str = "account/usage/read";
    type Params = Nothing;
    type Response = AccountUsage;
}

/// An object without members.
#[derive(Debug, Serialize)]
pub struct Nothing {}

/// How many tokens the account has used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountUsage {
    /// Over all its time.
    pub summary: UsageSummary,
    /// Day by day, where the vendor tells.
    pub daily_usage_buckets: Option<Vec<UsageDay>>,
}

/// The account's use over all its time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageDay {
    /// The day, as `YYYY-MM-DD`.
    pub start_date: String,
    /// Tokens on it.
    pub tokens: u64,
}

#[cfg(test)]
mod tests;
