//! Why a turn has failed.

use std::fmt;
use std::time::Duration;

/// A failed turn: the kind of failure, the message for the client, and the details for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TurnError {
    /// What kind of failure it is.
    pub kind: TurnErrorKind,
    /// The message for the client: what happened and what to do next. Holds no secret.
    pub message: String,
    /// The details, for the log only.
    pub detail: Option<String>,
    /// The request's parameter that caused the failure, if one did.
    pub param: Option<String>,
    /// When another try makes sense.
    pub retry_after: Option<Duration>,
    /// The action that a program can take.
    pub remedy: Option<Box<Remedy>>,
}

/// The action that a program can take after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Ask the user to sign in.
    SignIn(SignIn),
    /// Wait until this time, in seconds since the epoch.
    WaitUntil(u64),
}

/// Where and how a user signs in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    /// The page to open.
    pub auth_url: Option<String>,
    /// The id of the sign-in that is under way.
    pub login_id: Option<String>,
    /// The page where the user enters the code, if there is one.
    pub verification_url: Option<String>,
    /// The code to enter there.
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

    /// Adds the details for the log.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the request's parameter that caused the failure.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds the action that a program can take.
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(Box::new(remedy));
        self
    }

    /// Adds the delay after which another try makes sense.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

/// The kinds of failure, each with its own code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnErrorKind {
    /// No account is signed in.
    LoginRequired,
    /// The plan's usage limit is reached.
    UsageLimitReached,
    /// Too many requests in a short time.
    RateLimited,
    /// The transcript does not fit the model.
    ContextLengthExceeded,
    /// The upstream does not know the model.
    ModelNotFound,
    /// The request needs something that this backend cannot do.
    Unsupported,
    /// The upstream refused the request as malformed.
    BadRequest,
    /// The upstream refuses the caller: this account, country or network.
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
    /// The turn gave no output for longer than allowed.
    IdleTimeout,
    /// The turn was interrupted from the proxy's side.
    Cancelled,
    /// A fault of the proxy itself.
    Internal,
}
