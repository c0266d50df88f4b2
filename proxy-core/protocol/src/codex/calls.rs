//! The calls of the app-server that are made outside of turns. Each is a type with its method, its parameters and
//! its result. The forms are those that `codex app-server generate-ts` prints, of 0.77.0 and newer. Members and
//! values that are not known here are ignored.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::jsonrpc::{RpcError, UnknownShape};
use super::notice::{Details, Private, RateLimits};

/// A call of the app-server.
pub trait Call {
    /// The call's method in the protocol.
    const METHOD: &'static str;
    /// The call's parameters.
    type Params: Serialize;
    /// The call's result.
    type Response: DeserializeOwned;
}

/// Reads the answer of a call, which is JSON.
///
/// # Errors
/// The place where the answer has an unknown form. The error holds nothing of the content.
pub fn read<C: Call>(answer: &str) -> Result<C::Response, UnknownShape> {
    Ok(serde_json::from_str(answer)?)
}

/// Reads which account is signed in.
#[derive(Debug)]
pub struct ReadAccount;

impl Call for ReadAccount {
    const METHOD: &'static str = "account/read";
    type Params = ReadAccountParams;
    type Response = Details;
}

/// The parameters of reading the account.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadAccountParams {
    /// Whether Codex renews the sign-in's token first, with a request to the vendor.
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
    /// Whether this Codex refuses a sign-in because it does not know its method: device codes came with 0.118.
    pub fn is_unknown_way(refusal: &RpcError) -> bool {
        refusal.message.contains("unknown variant")
    }
}

/// The method of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum LoginWay {
    /// In a browser on this machine, which returns to a port of Codex.
    Chatgpt,
    /// In a browser on any machine, with a device code.
    ChatgptDeviceCode,
}

/// A sign-in that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum LoginStarted {
    /// In a browser on this machine.
    Browser {
        /// Codex's id of the sign-in.
        login_id: String,
        /// The page to open.
        auth_url: Private,
    },
    /// In a browser on any machine.
    DeviceCode {
        /// Codex's id of the sign-in.
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

/// Identifies a sign-in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginName {
    /// Codex's id of it.
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

/// Reads what is left of the plan. Codex refuses this while no account is signed in.
#[derive(Debug)]
pub struct ReadRateLimits;

impl Call for ReadRateLimits {
    const METHOD: &'static str = "account/rateLimits/read";
    type Params = ();
    type Response = RateLimitsRead;
}

/// The result of reading the plan's limits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitsRead {
    /// Whether the plan allows its included use now; `None` from versions without this member.
    pub ordinary_usage_allowed: Option<bool>,
    /// The limits.
    pub rate_limits: RateLimits,
}

/// Reads how many tokens the account has used, by the vendor's own count. Codex refuses this while no account is
/// signed in.
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
    /// The sum since the account exists.
    pub summary: UsageSummary,
    /// The use per day, where the vendor reports it.
    pub daily_usage_buckets: Option<Vec<UsageDay>>,
}

/// The account's use since it exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageSummary {
    /// All tokens.
    pub lifetime_tokens: Option<u64>,
    /// Tokens of the day with the most use.
    pub peak_daily_tokens: Option<u64>,
    /// Duration of the longest turn, in seconds.
    pub longest_running_turn_sec: Option<u64>,
    /// Consecutive days with use, up to now.
    pub current_streak_days: Option<u64>,
    /// The most consecutive days with use.
    pub longest_streak_days: Option<u64>,
}

/// The account's use on one day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageDay {
    /// The day, as `YYYY-MM-DD`.
    pub start_date: String,
    /// Tokens used on this day.
    pub tokens: u64,
}

#[cfg(test)]
mod tests;
