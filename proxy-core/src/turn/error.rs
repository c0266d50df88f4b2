//! Why a turn could not be done.

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
}

impl TurnError {
    /// An error of `kind` with a `message` for the client.
    pub fn new(kind: TurnErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: None, param: None, retry_after: None }
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
