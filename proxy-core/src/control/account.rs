//! Who is signed in, signing in and out, and what is left of the plan.

use std::path::PathBuf;

use serde::Serialize;

use super::ControlHandle;
use crate::account::{self, Phase, State, login};
use crate::secret::ApiKey;
use protocol::codex::calls;
use protocol::codex::notice::{Details, Private, Who};

pub use crate::account::limits::{Limits, Window};
pub use crate::account::{
    AccountError, CallbackRefusal, Listener, Method, NoWorker, SignInError, Unsupported,
};
pub use crate::worker::CallError;

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// `unknown`, `not_needed`, `signed_out`, `signing_in` or `signed_in`.
    pub state: &'static str,
    /// `chatgpt` or `api_key`.
    pub method: Option<String>,
    /// The account's address.
    pub email: Option<Private>,
    /// Its plan, in the vendor's word.
    pub plan: Option<String>,
    /// The workspace in use.
    pub workspace: Option<Private>,
    /// The sign-in that is under way.
    pub login: Option<Login>,
    /// The page where a person signs in, if there is one.
    pub sign_in_url: Option<String>,
    /// Why the last sign-in failed, or why that page cannot be reached.
    pub problem: Option<String>,
}

/// A sign-in that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Login {
    /// Codex's name of it.
    pub id: String,
    /// `browser` or `device_code`.
    pub method: &'static str,
    /// The page for a browser on this machine.
    pub auth_url: Option<Private>,
    /// The page that takes the code.
    pub verification_url: Option<String>,
    /// The code.
    pub user_code: Option<Private>,
    /// When it was begun, in seconds since the epoch.
    pub started_at: u64,
    /// When it is over, done or not.
    pub expires_at: u64,
}

/// What came of taking over a sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The account now.
    pub account: Account,
    /// What the person should know about copies.
    pub note: &'static str,
}

/// How many tokens the account has used, in the vendor's own count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountUsage {
    /// Over all its time.
    pub summary: UsageSummary,
    /// Day by day, where the vendor tells.
    pub daily_usage_buckets: Option<Vec<UsageDay>>,
}

/// The account's use over all its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsageDay {
    /// The day, as `YYYY-MM-DD`.
    pub start_date: String,
    /// Tokens on it.
    pub tokens: u64,
}

impl From<calls::AccountUsage> for AccountUsage {
    fn from(usage: calls::AccountUsage) -> Self {
        let summary = UsageSummary {
            lifetime_tokens: usage.summary.lifetime_tokens,
            peak_daily_tokens: usage.summary.peak_daily_tokens,
            longest_running_turn_sec: usage.summary.longest_running_turn_sec,
            current_streak_days: usage.summary.current_streak_days,
            longest_streak_days: usage.summary.longest_streak_days,
        };
        let day = |day: calls::UsageDay| UsageDay { start_date: day.start_date, tokens: day.tokens };
        let days = usage.daily_usage_buckets.map(|days| days.into_iter().map(day).collect());
        Self { summary, daily_usage_buckets: days }
    }
}

/// Said whenever a sign-in was taken over.
const COPY: &str = "This is a copy of the other sign-in. When either of the two renews its token, the other one can be \
                    signed out; sign in to Codex Proxy by itself to avoid that.";

impl Account {
    pub(super) fn of(state: &State) -> Self {
        let who = state.details.as_ref().and_then(|details: &Details| details.account.clone());
        let (method, email, plan, workspace) = match who {
            Some(Who::ChatGpt { email, plan, workspace }) => {
                (Some("chatgpt".to_owned()), email, plan, workspace)
            }
            Some(Who::ApiKey) => (Some("api_key".to_owned()), None, None, None),
            Some(Who::Other(name)) => (Some(name), None, None, None),
            None => (None, None, None, None),
        };
        let problems = state.problems();
        Self {
            state: match state.phase() {
                Phase::Unknown => "unknown",
                Phase::NotNeeded => "not_needed",
                Phase::SignedOut => "signed_out",
                Phase::SigningIn => "signing_in",
                Phase::SignedIn => "signed_in",
            },
            method,
            email,
            plan,
            workspace,
            login: state.login.as_ref().map(Login::of),
            sign_in_url: state.listener.url.clone(),
            problem: (!problems.is_empty()).then(|| problems.join(" ")),
        }
    }
}

impl Login {
    fn of(login: &account::Login) -> Self {
        let (auth_url, verification_url, user_code) = match &login.kind {
            login::Kind::Browser { auth_url, .. } => (Some(auth_url.clone()), None, None),
            login::Kind::DeviceCode { verification_url, user_code } => {
                (None, Some(verification_url.clone()), Some(user_code.clone()))
            }
        };
        Self {
            id: login.id.clone(),
            method: login.method().as_str(),
            auth_url,
            verification_url,
            user_code,
            started_at: login.started_at,
            expires_at: login.expires_at,
        }
    }
}

impl ControlHandle {
    /// Who is signed in.
    pub fn account(&self) -> Account {
        Account::of(&self.0.account.state())
    }

    /// Begins a sign-in, or tells of the one that is under way.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn log_in(&self, method: Method) -> Result<Login, AccountError> {
        Ok(Login::of(&self.0.account.log_in(method).await?))
    }

    /// Signs in with an API key of the vendor's platform.
    ///
    /// # Errors
    /// Why Codex has not taken it.
    pub async fn log_in_with_key(&self, key: &ApiKey) -> Result<Account, AccountError> {
        self.0.account.log_in_with_key(key).await?;
        Ok(self.account())
    }

    /// Ends the sign-in that is under way.
    pub async fn cancel_login(&self) -> Account {
        self.0.account.cancel().await;
        self.account()
    }

    /// Signs out.
    ///
    /// # Errors
    /// Why Codex has not done so.
    pub async fn log_out(&self) -> Result<Account, AccountError> {
        self.0.account.log_out().await?;
        Ok(self.account())
    }

    /// Takes over the sign-in in an `auth.json`, by default that of the user's own Codex.
    ///
    /// # Errors
    /// What is wrong with the file, or with copying it.
    pub async fn import_login(&self, from: Option<PathBuf>) -> Result<Imported, AccountError> {
        self.0.account.import(from).await?;
        Ok(Imported { account: self.account(), note: COPY })
    }

    /// Passes on what the browser brought back from signing in, and waits for what becomes of it.
    ///
    /// # Errors
    /// Why it is not for the sign-in under way.
    pub async fn login_callback(&self, query: String) -> Result<(), CallbackRefusal> {
        self.0.account.callback(query).await
    }

    /// Says where the page is on which people sign in.
    pub fn set_login_listener(&self, listener: Listener) {
        self.0.account.set_listener(listener);
    }

    /// What is left of the plan, read anew when asked to or when it is old.
    ///
    /// # Errors
    /// Why Codex does not say so.
    pub async fn limits(&self, refresh: bool) -> Result<Limits, AccountError> {
        self.0.account.limits(refresh).await
    }

    /// How many tokens the account has used, in the vendor's own count.
    ///
    /// # Errors
    /// Why Codex does not say so.
    pub async fn account_usage(&self) -> Result<AccountUsage, AccountError> {
        Ok(self.0.account.usage().await?.into())
    }
}
