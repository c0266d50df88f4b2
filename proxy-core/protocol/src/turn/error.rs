//! Why a turn could not be done.

use std::fmt;
use std::time::Duration;

/// A failed turn: what kind of failure, what the client may read, and what only the log says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TurnError {
    /// What kind of failure it is.
    pub kind: TurnErrorKind,
    /// For the client: what happened and what to do next. Holds no secret.
    pub message: String,
    /// For the log only.
    pub detail: Option<String>,
    /// The request's parameter that is to blame, if one is.
    pub param: Option<String>,
    /// When another try makes sense.
    pub retry_after: Option<Duration>,
    /// What a program can do about it.
    pub remedy: Option<Box<Remedy>>,
}

/// What a program can do about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Let the person sign in.
    SignIn(SignIn),
    /// Wait until this time, in seconds since the epoch.
    WaitUntil(u64),
}

/// Where and how a person signs in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    /// The page to open.
    pub auth_url: Option<String>,
    /// The sign-in that is under way.
    pub login_id: Option<String>,
    /// The page that takes the code, if there is one.
    pub verification_url: Option<String>,
    /// The code.
    pub user_code: Option<String>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("login_id", &self.login_id).finish_non_exhaustive()
    }
}

impl TurnError {
    /// An error of `kind` with a `message` for the client.
    pub fn new(kind: TurnErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: None, param: None, retry_after: None, remedy: None }
    }

    /// Adds what only the log says.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the request's parameter that is to blame.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says what a program can do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(Box::new(remedy));
        self
    }

    /// Says when another try makes sense.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

/// The kinds of failure, each with its own code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnErrorKind {
    /// Nobody is signed in.
    LoginRequired,
    /// The plan's usage limit is reached.
    UsageLimitReached,
    /// Too many requests in a short time.
    RateLimited,
    /// The transcript does not fit the model.
    ContextLengthExceeded,
    /// The upstream does not know the model.
    ModelNotFound,
    /// The request asks for something this backend cannot do.
    Unsupported,
    /// The upstream refused the request as malformed.
    BadRequest,
    /// The upstream refuses whoever asks: this account, country or network.
    Forbidden,
    /// The upstream refused the content.
    ContentFiltered,
    /// The upstream is overloaded.
    Overloaded,
    /// The upstream failed or could not be reached.
    Upstream,
    /// No worker is ready.
    WorkerNotReady,
    /// The worker died during the turn.
    WorkerExited,
    /// The turn took longer than allowed.
    RequestTimeout,
    /// The turn said nothing for longer than allowed.
    IdleTimeout,
    /// The turn was interrupted from this side.
    Cancelled,
    /// A fault of the proxy itself.
    Internal,
}
