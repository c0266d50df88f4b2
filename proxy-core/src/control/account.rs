//! The account: its state, signing in and out, and the rest of the plan.

use std::path::PathBuf;

use super::ControlHandle;
use super::api::{
    Account, AccountMethod, AccountState, AccountUsage, Credits, Imported, LimitHistory, LimitReading,
    LimitWindow, Limits, Login, LoginMethod, UsageDay, UsageSummary,
};
use crate::account::limits::{self, Window};
use crate::account::{self, Phase, State, login};
use crate::limit_history;
use crate::secret::ApiKey;
use protocol::codex::calls;
use protocol::codex::notice::{self, Details, Who};

/// Needed for the error answers to clients, which are not part of the control API.
use crate::account::{AccountError, CallbackRefusal, Listener, Method};

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

/// The note for a person after the import of a sign-in.
const COPY: &str = "This is a copy of the other sign-in. When either of the two renews its token, the other one can be \
                    signed out; sign in to Codex Proxy by itself to avoid that.";

impl From<&State> for Account {
    fn from(state: &State) -> Self {
        let who = state.details.as_ref().and_then(|details: &Details| details.account.clone());
        let (method, email, plan, workspace) = match who {
            Some(Who::ChatGpt { email, plan, workspace }) => {
                (Some(AccountMethod::ChatGpt), email, plan, workspace)
            }
            Some(Who::ApiKey) => (Some(AccountMethod::ApiKey), None, None, None),
            Some(Who::Other(name)) => (Some(AccountMethod::Named(name)), None, None, None),
            None => (None, None, None, None),
        };
        let problems = state.problems();
        Self {
            state: state.phase().into(),
            method,
            email,
            plan,
            workspace,
            login: state.login.as_ref().map(Login::from),
            sign_in_url: state.listener.url.clone(),
            problem: (!problems.is_empty()).then(|| problems.join(" ")),
        }
    }
}

impl From<Phase> for AccountState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Unknown => Self::Unknown,
            Phase::NotNeeded => Self::NotNeeded,
            Phase::SignedOut => Self::SignedOut,
            Phase::SigningIn => Self::SigningIn,
            Phase::SignedIn => Self::SignedIn,
        }
    }
}

impl From<&account::Login> for Login {
    fn from(login: &account::Login) -> Self {
        let (auth_url, verification_url, user_code) = match &login.kind {
            login::Kind::Browser { auth_url, .. } => (Some(auth_url.clone()), None, None),
            login::Kind::DeviceCode { verification_url, user_code } => {
                (None, Some(verification_url.clone()), Some(user_code.clone()))
            }
        };
        Self {
            id: login.id.clone(),
            method: match login.method() {
                Method::Browser => LoginMethod::Browser,
                Method::DeviceCode => LoginMethod::DeviceCode,
            },
            auth_url,
            verification_url,
            user_code,
            started_at: login.started_at,
            expires_at: login.expires_at,
        }
    }
}

impl From<limits::Limits> for Limits {
    fn from(limits: limits::Limits) -> Self {
        Self {
            plan: limits.plan,
            ordinary_usage_allowed: limits.ordinary_usage_allowed,
            reached: limits.reached,
            primary: limits.primary.map(LimitWindow::from),
            secondary: limits.secondary.map(LimitWindow::from),
            credits: limits.credits.map(Credits::from),
            read_at: limits.read_at,
        }
    }
}

impl From<Window> for LimitWindow {
    fn from(Window { used_percent, window_minutes, resets_at }: Window) -> Self {
        Self { used_percent, window_minutes, resets_at }
    }
}

impl From<limit_history::Readings> for LimitHistory {
    fn from(limit_history::Readings { primary, secondary }: limit_history::Readings) -> Self {
        let of =
            |reading: limit_history::Reading| LimitReading { at: reading.at, window: reading.window.into() };
        let all = |readings: Vec<limit_history::Reading>| readings.into_iter().map(of).collect();
        Self { primary: all(primary), secondary: all(secondary) }
    }
}

impl From<notice::Credits> for Credits {
    fn from(notice::Credits { has_credits, unlimited, balance }: notice::Credits) -> Self {
        Self { has_credits, unlimited, balance }
    }
}

impl ControlHandle {
    /// The account and its state.
    pub fn account(&self) -> Account {
        Account::from(&self.0.account.state())
    }

    /// Begins a sign-in, or returns the one that is in progress.
    ///
    /// # Errors
    /// If no sign-in could be started.
    pub async fn log_in(&self, method: Method) -> Result<Login, AccountError> {
        Ok(Login::from(&self.0.account.log_in(method).await?))
    }

    /// Signs in with an API key of OpenAI's platform.
    ///
    /// # Errors
    /// If Codex did not accept the key.
    pub async fn log_in_with_key(&self, key: &ApiKey) -> Result<Account, AccountError> {
        self.0.account.log_in_with_key(key).await?;
        Ok(self.account())
    }

    /// Cancels the sign-in that is in progress.
    pub async fn cancel_login(&self) -> Account {
        self.0.account.cancel().await;
        self.account()
    }

    /// Signs out.
    ///
    /// # Errors
    /// If Codex did not do it.
    pub async fn log_out(&self) -> Result<Account, AccountError> {
        self.0.account.log_out().await?;
        Ok(self.account())
    }

    /// Imports the sign-in of an `auth.json`, by default that of the user's own Codex.
    ///
    /// # Errors
    /// If the file is not valid or cannot be copied.
    pub async fn import_login(&self, from: Option<PathBuf>) -> Result<Imported, AccountError> {
        self.0.account.import(from).await?;
        Ok(Imported { account: self.account(), note: COPY.to_owned() })
    }

    /// Passes on the callback of the browser after a sign-in, and waits for the result.
    ///
    /// # Errors
    /// If it does not belong to the sign-in in progress.
    pub async fn login_callback(&self, query: String) -> Result<(), CallbackRefusal> {
        self.0.account.callback(query).await
    }

    /// Sets the address of the sign-in page.
    pub fn set_login_listener(&self, listener: Listener) {
        self.0.account.set_listener(listener);
    }

    /// The rest of the plan. It is read again if `refresh` is set or the last value is old.
    ///
    /// # Errors
    /// If Codex does not report it.
    pub async fn limits(&self, refresh: bool) -> Result<Limits, AccountError> {
        Ok(self.0.account.limits(refresh).await?.into())
    }

    /// How the limits went.
    pub fn limit_history(&self) -> LimitHistory {
        self.0.limit_history.readings().into()
    }

    /// The tokens that the account has used, as OpenAI counts them.
    ///
    /// # Errors
    /// If Codex does not report them.
    pub async fn account_usage(&self) -> Result<AccountUsage, AccountError> {
        Ok(self.0.account.usage().await?.into())
    }
}
