//! Why something about the account could not be done.

use super::import::ImportError;
use crate::worker::NoSession;

/// Why something about the account could not be done. Messages tell a person what to do next.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no Codex to ask.
    #[error("{0}")]
    NoWorker(String),
    /// This Codex cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// Codex has refused it, in its words.
    #[error("Codex refused: {0}")]
    Refused(String),
    /// The sign-in could not be begun.
    #[error("{0}")]
    SignIn(String),
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

impl From<NoSession> for AccountError {
    fn from(error: NoSession) -> Self {
        match error {
            NoSession::Down(sentence) => Self::NoWorker(sentence),
            NoSession::Legacy => Self::Unsupported(
                "The legacy protocol (`codex proto`) has no sign-in. Sign in with `codex login`, in the same \
                 CODEX_HOME, or set PROXY_USE_APP_SERVER=true."
                    .to_owned(),
            ),
        }
    }
}
