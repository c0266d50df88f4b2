//! Codex's news about the account, in notifications and answers: which account is signed in, how a sign-in ended,
//! what is left of the plan.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::jsonrpc::UnknownShape;

/// News about the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The account that is signed in now.
    Details(Details),
    /// The account is not known.
    Unreadable(Unreadable),
    /// A sign-in has ended, with success or not.
    LoginCompleted(LoginCompleted),
    /// Some of the plan's limits, from an answer of the upstream. An absent limit has not changed.
    RateLimits(RateLimits),
}

/// Why the account is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Codex could not find out, with its message: the vendor may not be reachable.
    #[error("{0}")]
    Refused(String),
    /// Codex's answer has an unknown form.
    #[error(transparent)]
    Shape(#[from] UnknownShape),
}

/// Whether an account is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "AccountResponse")]
pub struct Details {
    /// The account, if there is one.
    pub account: Option<Who>,
    /// Whether the model provider needs one.
    pub needed: bool,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A ChatGPT account.
    ChatGpt {
        /// The account's email address.
        email: Option<Private>,
        /// The account's plan, by the vendor's name.
        plan: Option<String>,
        /// The workspace in use.
        workspace: Option<Private>,
    },
    /// An API key of the vendor's platform.
    ApiKey,
    /// Some other kind, by its name in the protocol.
    Other(String),
}

/// How a sign-in ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "LoginCompletedParams")]
pub struct LoginCompleted {
    /// The id of the sign-in; sign-ins that complete at once have none.
    pub login_id: Option<String>,
    /// Whether the sign-in was completed, or why not.
    pub outcome: Result<(), LoginFailure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginCompletedParams {
    login_id: Option<String>,
    success: bool,
    error: Option<String>,
}

impl From<LoginCompletedParams> for LoginCompleted {
    fn from(params: LoginCompletedParams) -> Self {
        let failure = || LoginFailure::of(params.error.as_deref().unwrap_or_default());
        Self { outcome: if params.success { Ok(()) } else { Err(failure()) }, login_id: params.login_id }
    }
}

/// Why a sign-in failed. Codex has a text for it and no code (seen with 0.77.0 to 0.171.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginFailure {
    /// The sign-in was ended through Codex's own page for this, as another program that signs in to Codex does.
    Cancelled,
    /// The sign-in was ended by a call.
    NotCompleted,
    /// The ports on which Codex waits for a browser are taken.
    PortsTaken,
    /// The vendor has refused it, with the vendor's message.
    Refused(String),
    /// Another reason, with Codex's message.
    Other(String),
    /// Codex has given no reason.
    Unsaid,
}

impl LoginFailure {
    /// Reads Codex's message.
    pub fn of(words: &str) -> Self {
        let said = words.strip_prefix("Login server error: ").unwrap_or(words).trim();
        if said == "Login cancelled" {
            return Self::Cancelled;
        }
        if said == "Login was not completed" {
            return Self::NotCompleted;
        }
        if said.contains("is already in use") {
            return Self::PortsTaken;
        }
        if let Some(reason) = said.strip_prefix("Sign-in failed: ") {
            return Self::Refused(reason.trim_end_matches('.').to_owned());
        }
        match said.trim_end_matches('.') {
            "" => Self::Unsaid,
            said => Self::Other(said.to_owned()),
        }
    }
}

/// The plan's limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimits {
    /// The id of what is metered. `codex` is the one that counts turns.
    pub limit_id: Option<String>,
    /// The short window.
    pub primary: Option<RateWindow>,
    /// The long window.
    pub secondary: Option<RateWindow>,
    /// Bought credits.
    pub credits: Option<Credits>,
    /// The plan, by the vendor's name.
    pub plan_type: Option<String>,
    /// The limit that is reached, by the vendor's name.
    pub rate_limit_reached_type: Option<String>,
}

/// The id of the limits that count turns.
const TURNS: &str = "codex";

impl RateLimits {
    /// Whether these are the limits that count turns.
    pub fn are_of_turns(&self) -> bool {
        self.limit_id.as_deref().is_none_or(|id| id == TURNS)
    }
}

/// A window of time over which use is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateWindow {
    /// The used part of the window, in percent.
    #[serde(deserialize_with = "percent")]
    pub used_percent: u32,
    /// The length of the window, in minutes.
    #[serde(default)]
    pub window_duration_mins: Option<u64>,
    /// When the next window begins, in seconds since the epoch.
    #[serde(default)]
    pub resets_at: Option<u64>,
}

/// Bought credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Credits {
    /// Whether the account has any credits.
    pub has_credits: bool,
    /// Whether the credits are unlimited.
    pub unlimited: bool,
    /// The credits that are left, as the vendor writes them.
    pub balance: Option<String>,
}

/// Text about a person, which must not be logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private(pub String);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountResponse {
    account: Option<Value>,
    #[serde(default)]
    requires_openai_auth: bool,
}

impl From<AccountResponse> for Details {
    fn from(response: AccountResponse) -> Self {
        Self { account: response.account.as_ref().map(Who::of), needed: response.requires_openai_auth }
    }
}

impl Details {
    /// Whether turns can run.
    pub fn usable(&self) -> bool {
        self.account.is_some() || !self.needed
    }
}

impl Who {
    fn of(account: &Value) -> Self {
        let text = |member: &str| account[member].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        match account["type"].as_str().unwrap_or_default() {
            "chatgpt" => Self::ChatGpt {
                email: text("email").map(Private),
                plan: text("planType"),
                workspace: text("workspaceName").map(Private),
            },
            "apiKey" => Self::ApiKey,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// The notice in a notification, if it is one about the account.
pub(super) fn of(method: &str, params: &str) -> Option<Notice> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Updated {
        rate_limits: RateLimits,
    }
    let notice = match method {
        "account/login/completed" => serde_json::from_str(params).map(Notice::LoginCompleted),
        "account/rateLimits/updated" => {
            serde_json::from_str(params).map(|updated: Updated| Notice::RateLimits(updated.rate_limits))
        }
        _ => return None,
    };
    // The error's own text could hold a part of the message.
    notice
        .inspect_err(|error| {
            tracing::debug!(method, column = error.column(), "codex sent a notification of an unknown shape");
        })
        .ok()
}

/// A percentage: some versions send it with a fraction, others without.
fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = f64::deserialize(deserializer)?;
    Ok(value.clamp(0.0, f64::from(u32::MAX)).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_every_kind_are_read() {
        let chatgpt = Who::ChatGpt {
            email: Some(Private("a@b.example".into())),
            plan: Some("plus".into()),
            workspace: None,
        };
        let cases = [
            (r#"{"account":null,"requiresOpenaiAuth":true}"#, None, true, false),
            (r#"{"account":null,"requiresOpenaiAuth":false}"#, None, false, true),
            (r#"{"account":{"type":"apiKey"},"requiresOpenaiAuth":true}"#, Some(Who::ApiKey), true, true),
            (
                r#"{"account":{"type":"chatgpt","email":"a@b.example","planType":"plus","workspaceName":null},"requiresOpenaiAuth":true}"#,
                Some(chatgpt),
                true,
                true,
            ),
            (
                r#"{"account":{"type":"gcp"},"requiresOpenaiAuth":true}"#,
                Some(Who::Other("gcp".into())),
                true,
                true,
            ),
        ];
        for (answer, account, needed, usable) in cases {
            let details: Details = serde_json::from_str(answer).unwrap();
            assert_eq!(details.usable(), usable, "{answer}");
            assert_eq!(details, Details { account, needed }, "{answer}");
        }
    }

    #[test]
    fn notifications_are_read() {
        let ended = r#"{"loginId":"l","success":false,"error":"no","onboardingEntrypoint":null}"#;
        let expected =
            LoginCompleted { login_id: Some("l".into()), outcome: Err(LoginFailure::Other("no".into())) };
        assert_eq!(of("account/login/completed", ended), Some(Notice::LoginCompleted(expected)));
        let limits = r#"{"rateLimits":{"limitId":"codex","primary":{"usedPercent":12.6,"windowDurationMins":300,
            "resetsAt":7},"secondary":null,"credits":{"hasCredits":true,"unlimited":false,"balance":"3"}}}"#;
        let Some(Notice::RateLimits(limits)) = of("account/rateLimits/updated", limits) else { panic!() };
        let window = RateWindow { used_percent: 13, window_duration_mins: Some(300), resets_at: Some(7) };
        assert_eq!((limits.primary, limits.secondary), (Some(window), None));
        assert_eq!(limits.credits.unwrap().balance.as_deref(), Some("3"));
        assert_eq!(of("account/rateLimits/updated", "{}"), None);
        assert_eq!(of("turn/started", "{}"), None);
    }

    #[test]
    fn the_words_of_a_failure_are_read() {
        use LoginFailure::{Cancelled, NotCompleted, Other, PortsTaken, Refused, Unsaid};
        let cases = [
            ("Login server error: Login cancelled", Cancelled),
            ("Login cancelled", Cancelled),
            ("Login server error: Login was not completed", NotCompleted),
            ("failed to start login server: Port 127.0.0.1:1457 is already in use", PortsTaken),
            ("Login server error: Sign-in failed: The user said no.", Refused("The user said no".into())),
            ("Login server error: token exchange failed.", Other("token exchange failed".into())),
            ("", Unsaid),
        ];
        for (words, expected) in cases {
            assert_eq!(LoginFailure::of(words), expected, "{words}");
        }
        let untold = of("account/login/completed", r#"{"success":false}"#);
        let expected = LoginCompleted { login_id: None, outcome: Err(Unsaid) };
        assert_eq!(untold, Some(Notice::LoginCompleted(expected)));
        let well = of("account/login/completed", r#"{"loginId":"l","success":true,"error":"left over"}"#);
        let expected = LoginCompleted { login_id: Some("l".into()), outcome: Ok(()) };
        assert_eq!(well, Some(Notice::LoginCompleted(expected)));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            failure_persistence: None,
            ..proptest::prelude::ProptestConfig::with_cases(256)
        })]

        #[test]
        fn no_notification_is_too_strange_to_be_read(params in ".{0,60}", words in ".{0,60}", percent: f64) {
            for method in ["account/login/completed", "account/rateLimits/updated", "account/updated", "x"] {
                of(method, &params);
            }
            let told = serde_json::json!({"success": false, "error": words});
            let Some(Notice::LoginCompleted(told)) = of("account/login/completed", &told.to_string()) else {
                panic!("it is one");
            };
            proptest::prop_assert_eq!(told.outcome, Err(LoginFailure::of(&words)));
            let window = serde_json::json!({"rateLimits": {"primary": {"usedPercent": percent}}});
            let Some(Notice::RateLimits(limits)) = of("account/rateLimits/updated", &window.to_string()) else {
                panic!("it is one: {window}");
            };
            let used = limits.primary.unwrap().used_percent;
            proptest::prop_assert!((f64::from(used) - percent.clamp(0.0, f64::from(u32::MAX))).abs() <= 0.5);
        }
    }

    #[test]
    fn the_log_does_not_hold_who_it_is() {
        let who = Who::ChatGpt { email: Some(Private("a@b.example".into())), plan: None, workspace: None };
        assert!(!format!("{who:?}").contains('@'));
    }
}
