//! Why an operation on the account failed.

use super::import::ImportError;
use super::problem::in_words;
use crate::worker::starting::Unavailable;
use crate::worker::{CallError, NoSession};
use protocol::codex::notice::LoginFailure;

/// Why an operation on the account failed. Messages say what the user has to do next.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No Codex is available.
    #[error(transparent)]
    NoWorker(#[from] NoWorker),
    /// This Codex does not support the operation.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Codex has refused the operation, with its message.
    #[error("Codex refused: {0}")]
    Refused(#[from] CallError),
    /// The sign-in could not be begun.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// Codex has not answered.
    #[error("Codex did not answer in time. Try again; if it happens again, restart the workers.")]
    Slow,
    /// The account has no limits to report.
    #[error("There are no limits to show: they are those of a ChatGPT account, and none is signed in.")]
    NoLimits,
    /// The sign-in could not be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// There is no default sign-in to import.
    #[error("Name the auth.json to take over: this system has no home directory to look in.")]
    NoDefault,
    /// Codex's home belongs to the operator, and the proxy does not write to it.
    #[error(
        "CODEX_HOME is a directory of your own, which the proxy does not write to. Sign in with `codex-proxy login`, or \
         copy the auth.json there yourself."
    )]
    GivenHome,
}

/// Why no Codex is available.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWorker {
    /// No worker is up.
    #[error("{0}")]
    Down(Unavailable),
    /// The proxy is about to end.
    #[error("Codex Proxy is shutting down.")]
    ShuttingDown,
    /// No worker has started with the imported sign-in.
    #[error("The sign-in was copied, but no worker has started with it; the log says why.")]
    NotStarted,
}

/// The operation that this Codex does not support.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The legacy protocol has no accounts.
    #[error(
        "The legacy protocol (`codex proto`) has no sign-in. Sign in with `codex login`, in the same CODEX_HOME, or set \
         PROXY_USE_APP_SERVER=true."
    )]
    Legacy,
    /// This Codex does not support device codes.
    #[error(
        "Signing in with a code needs Codex 0.118 or newer; this is Codex {version}. Update the Codex CLI."
    )]
    DeviceCode {
        /// The version of this Codex.
        version: String,
    },
    /// This Codex reports the account's use in an unknown form.
    #[error("This version of Codex tells the account's use in an unknown way.")]
    Usage,
}

/// Why a sign-in could not be begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Codex's message.
    #[error("{}", in_words(.0))]
    Failed(LoginFailure),
    /// Codex has begun it in an unknown form.
    #[error("Codex began the sign-in in a way this version does not know.")]
    Unknown,
    /// The file with the sign-in could not be copied, because of an internal error, with its text.
    #[error("{0}")]
    NotCopied(String),
}

impl AccountError {
    /// A failure to begin a sign-in: a refusal has Codex's message.
    pub(super) fn of_sign_in(self) -> Self {
        let Self::Refused(refusal) = self else { return self };
        let failed = match &refusal {
            CallError::Unreadable(_) => SignInError::Unknown,
            CallError::Refused(_) | CallError::Ended => {
                SignInError::Failed(LoginFailure::of(&refusal.to_string()))
            }
        };
        failed.into()
    }
}

impl From<NoSession> for AccountError {
    fn from(error: NoSession) -> Self {
        match error {
            NoSession::Down(why) => NoWorker::Down(why).into(),
            NoSession::ShuttingDown => NoWorker::ShuttingDown.into(),
            NoSession::Legacy => Unsupported::Legacy.into(),
        }
    }
}
