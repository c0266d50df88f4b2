//! The errors of the keys.

use std::io;
use std::path::PathBuf;

use super::MOST_KEYS;
use super::key_file::KeyError;
use super::keychain::KeychainError;
use super::name::InvalidKeyName;

/// Why an operation on the keys failed. No message contains a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// No key has this id or name.
    #[error("there is no API key {0}; `codex-proxy keys list` shows those there are")]
    Unknown(String),
    /// The text cannot be a name.
    #[error("this cannot be the name of a key: {0}")]
    InvalidName(InvalidKeyName),
    /// Another key has the name.
    #[error("there is a key `{0}` already; choose another name, or rename or delete that one")]
    NameTaken(String),
    /// The limit of keys is reached.
    #[error("there are {MOST_KEYS} keys already; delete one that is no longer used")]
    TooMany,
    /// The operator's own key can only be changed in the configuration.
    #[error("PROXY_API_KEY is set by the configuration; change it there")]
    Configured,
    /// The name of the first start's key is not used while the operator's own key is set.
    #[error("the key `default` is not accepted while PROXY_API_KEY is set; choose another name")]
    DefaultOverridden,
    /// Other machines can try keys, and can guess this one.
    #[error(
        "other machines may reach PROXY_HOST, and the key `{name}` {weakness}: start once with PROXY_HOST=127.0.0.1 and \
         have it replaced with `codex-proxy keys rotate {name}`"
    )]
    Weak {
        /// The key.
        name: String,
        /// The weakness of the key.
        weakness: &'static str,
    },
    /// The keychain has been turned off.
    #[error("the keychain is turned off; set PROXY_KEYCHAIN=auto to use it")]
    KeychainOff,
    /// The keychain failed.
    #[error("{doing}: {reason}. {remedy}")]
    Keychain {
        /// The operation.
        doing: String,
        /// The keychain's error.
        reason: String,
        /// What to do next.
        remedy: &'static str,
    },
    /// The text of a key is not in its place, or is another text.
    #[error("the text of the key `{name}` is not in {place} any more, so it cannot be shown; rotate the key")]
    Lost {
        /// The key.
        name: String,
        /// The place that was searched.
        place: String,
    },
    /// The index file is invalid.
    #[error(
        "the list of API keys {} cannot be used: {reason}. Put back a copy, or move the file away to start over with \
         new keys",
        file.display()
    )]
    BrokenIndex {
        /// The file.
        file: PathBuf,
        /// The problem with it.
        reason: String,
    },
    /// The file of secrets exists, but the index does not.
    #[error(
        "{} holds keys, but their list {} is gone. Put that back, or move the first away too to start over with new keys",
        secrets.display(),
        index.display()
    )]
    IndexGone {
        /// The file of secrets.
        secrets: PathBuf,
        /// The missing file.
        index: PathBuf,
    },
    /// The file of secrets is invalid.
    #[error("the file of keys {} cannot be used: {reason}. Put back a copy, or rotate the keys that lie in it", file.display())]
    BrokenSecrets {
        /// The file.
        file: PathBuf,
        /// The problem with it.
        reason: String,
    },
    /// Another program has written the index.
    #[error("{} was changed by something else; restart the proxy to have it read", .0.display())]
    ChangedOutside(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}; make it readable for this user", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}; is the disk full, or the directory read-only?", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The key file of an earlier version cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyError),
    /// An internal error of the proxy.
    #[error("handling the API keys failed ({0}); this is a bug")]
    Failed(String),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for a new key")]
    Random(#[source] getrandom::Error),
}

impl KeyRingError {
    /// Wraps the keychain's `error`; `doing` names the operation that a user requested.
    pub(super) fn keychain(doing: impl Into<String>, error: &KeychainError) -> Self {
        let remedy = match error {
            KeychainError::Locked => "Unlock the keychain and try again.",
            KeychainError::Silent(_) | KeychainError::Busy => {
                "Look for a window that asks for the keychain's password, and try again."
            }
            KeychainError::Absent(_) => "Start the desktop's keychain and try again.",
            KeychainError::Missing | KeychainError::Mangled => "Rotate the key.",
            KeychainError::Refused(_) => "Try again, or use `codex-proxy keys migrate --to file`.",
        };
        Self::Keychain { doing: doing.into(), reason: error.to_string(), remedy }
    }
}
