//! Why something about the account could not be done.

use super::import::ImportError;
use super::problem::in_words;
use crate::worker::starting::Unavailable;
use crate::worker::{CallError, NoSession};
use protocol::codex::notice::LoginFailure;

/// Why something about the account could not be done. Messages tell a person what to do next.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no Codex to ask.
    #[error(transparent)]
    NoWorker(#[from] NoWorker),
    /// This Codex cannot do it.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Codex has refused it, in its words.
    #[error("Codex refused: {0}")]
    Refused(#[from] CallError),
    /// The sign-in could not be begun.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// Codex has not answered.
    #[error("Codex did not answer in time. Try again; if it happens again, restart the workers.")]
    Slow,
    /// There are no limits to tell.
    #[error("There are no limits to show: they are those of a ChatGPT account, and none is signed in.")]
    NoLimits,
    /// The sign-in could not be taken over.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// There is no sign-in to take over by default.
    #[error("Name the auth.json to take over: this system has no home directory to look in.")]
    NoDefault,
    /// Codex's home is the operator's, and not written to.
    #[error(
        "CODEX_HOME is a directory of your own, which the proxy does not write to. Sign in with `codex-proxy login`, or \
         copy the auth.json there yourself."
    )]
    GivenHome,
}

/// Why there is no Codex to ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWorker {
    /// No worker is up.
    #[error("{0}")]
    Down(Unavailable),
    /// The proxy is about to end.
    #[error("Codex Proxy is shutting down.")]
    ShuttingDown,
    /// No worker has started with the sign-in that was taken over.
    #[error("The sign-in was copied, but no worker has started with it; the log says why.")]
    NotStarted,
}

/// What this Codex cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The legacy protocol has no accounts.
    #[error(
        "The legacy protocol (`codex proto`) has no sign-in. Sign in with `codex login`, in the same CODEX_HOME, or set \
         PROXY_USE_APP_SERVER=true."
    )]
    Legacy,
    /// It knows no codes.
    #[error(
        "Signing in with a code needs Codex 0.118 or newer; this is Codex {version}. Update the Codex CLI."
    )]
    DeviceCode {
        /// Its version.
        version: String,
    },
    /// It tells the account's use in a form that is not known.
    #[error("This version of Codex tells the account's use in an unknown way.")]
    Usage,
}

/// Why a sign-in could not be begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Codex says why.
    #[error("{}", in_words(.0))]
    Failed(LoginFailure),
    /// Codex has begun it in a form that is not known.
    #[error("Codex began the sign-in in a way this version does not know.")]
    Unknown,
    /// The sign-in in a file could not be copied, because of a fault of the program; its words.
    #[error("{0}")]
    NotCopied(String),
}

impl AccountError {
    /// A failure to begin a sign-in: a refusal says why in Codex's words.
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
