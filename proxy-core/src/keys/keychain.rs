//! The operating system's keychain. It is used so that neither a prompt nor a service without an answer blocks the
//! proxy.

#[cfg(any(windows, target_os = "macos"))]
#[path = "keychain/native.rs"]
mod platform;
#[cfg(all(unix, not(target_os = "macos")))]
#[path = "keychain/secret_service.rs"]
mod platform;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use keyring_core::{Entry, Error};
use secrecy::zeroize::Zeroizing;

use crate::secret::ApiKey;

/// The service name of the proxy's entries in the keychain.
pub const SERVICE: &str = "codex-proxy";

const FAULT: &str = "its library failed; this is a bug";

/// Whether a user can answer a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// No user is present: a locked keychain is not used.
    Background,
    /// A user has requested this, and may be asked to unlock the keychain.
    Person,
}

/// Why an operation of the keychain failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeychainError {
    /// No keychain is available.
    #[error("no keychain answers ({0})")]
    Absent(String),
    /// The keychain is locked, and would have to ask for a password.
    #[error("the keychain is locked")]
    #[cfg_attr(
        all(not(target_os = "linux"), not(test)),
        expect(dead_code, reason = "the other systems unlock theirs at login or ask by themselves")
    )]
    Locked,
    /// The call has not ended within the time limit.
    #[error("the keychain did not answer within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// An earlier call has still not ended.
    #[error("the keychain has still not answered an earlier call")]
    Busy,
    /// The keychain has no such secret.
    #[error("the keychain does not hold it")]
    Missing,
    /// The keychain returned another text than the stored one.
    #[error("the keychain gave back something else than was put in")]
    Mangled,
    /// The keychain refused.
    #[error("the keychain refused ({0})")]
    Refused(String),
}

impl KeychainError {
    /// Whether it is certain that the keychain was not changed.
    pub(super) fn is_untouched(&self) -> bool {
        match self {
            Self::Absent(_) | Self::Locked | Self::Busy => true,
            Self::Silent(_) | Self::Missing | Self::Mangled | Self::Refused(_) => false,
        }
    }
}

/// A keychain. Each secret is stored under an account name.
pub(super) trait Keychain: Send + Sync {
    /// Stores a new secret and reads it back.
    fn put(&self, account: &str, secret: &ApiKey, patience: Patience) -> Result<(), KeychainError>;

    /// Reads a secret.
    fn get(&self, account: &str, patience: Patience) -> Result<ApiKey, KeychainError>;

    /// Removes a secret. A missing one is no error.
    fn remove(&self, account: &str, patience: Patience) -> Result<(), KeychainError>;
}

/// The keychain of the platform.
///
/// Every call has a thread of its own: the stores block, some run an executor that must not run inside another,
/// and a thread without an answer can be left behind.
#[derive(Debug, Default)]
pub(super) struct SystemKeychain {
    /// The number of threads that still wait, although their callers do not.
    abandoned: Arc<AtomicUsize>,
}

impl SystemKeychain {
    /// The time limit of a call in the background.
    const LIMIT: Duration = Duration::from_secs(3);
    /// The time limit for a user to unlock the keychain.
    const PROMPT_LIMIT: Duration = Duration::from_secs(60);
    /// The number of unanswered prompts after which no further call is made.
    const MOST_ABANDONED: usize = 3;

    /// Runs `work` with a time limit. If it succeeds after the limit, it is undone.
    fn call<T: Send + 'static>(
        &self,
        patience: Patience,
        work: impl FnOnce(Duration) -> Result<T, KeychainError> + Send + 'static,
        undo: impl FnOnce() + Send + 'static,
    ) -> Result<T, KeychainError> {
        let (limit, most) = match patience {
            Patience::Background => (Self::LIMIT, 0),
            Patience::Person => (Self::PROMPT_LIMIT, Self::MOST_ABANDONED),
        };
        if self.abandoned.load(Ordering::Acquire) > most {
            return Err(KeychainError::Busy);
        }
        // The channel has no buffer, so that the thread knows whether its result was received.
        let (sender, receiver) = mpsc::sync_channel(0);
        let abandoned = self.abandoned.clone();
        let spawned = thread::Builder::new().name("keychain".to_owned()).spawn(move || {
            let done = catch_unwind(AssertUnwindSafe(|| work(limit)));
            let done = done.unwrap_or_else(|_| Err(KeychainError::Refused(FAULT.to_owned())));
            if let Err(unwanted) = sender.send(done) {
                if unwanted.0.is_ok() {
                    undo();
                }
                abandoned.fetch_sub(1, Ordering::AcqRel);
            }
        });
        spawned.map_err(|error| KeychainError::Refused(format!("no thread for it: {error}")))?;
        match receiver.recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                // Counted before the receiver is dropped, because after the drop the thread subtracts itself.
                self.abandoned.fetch_add(1, Ordering::AcqRel);
                Err(KeychainError::Silent(limit))
            }
            Err(RecvTimeoutError::Disconnected) => Err(KeychainError::Refused(FAULT.to_owned())),
        }
    }
}

impl Keychain for SystemKeychain {
    fn put(&self, account: &str, secret: &ApiKey, patience: Patience) -> Result<(), KeychainError> {
        let (account, late) = (account.to_owned(), account.to_owned());
        let secret = secret.clone();
        let work = move |limit| {
            let entry = platform::for_writing(&account, patience, limit)?;
            entry.set_password(secret.expose()).map_err(|error| told(&error))?;
            let back = entry.get_password().map(Zeroizing::new).map_err(|error| told(&error))?;
            if secret.matches(back.as_bytes()) { Ok(()) } else { Err(KeychainError::Mangled) }
        };
        let undo = move || {
            let entry = platform::for_reading(&late, Patience::Background, Self::LIMIT);
            let removed = entry.and_then(|entry| remove(&entry));
            if let Err(error) = removed {
                tracing::warn!(%error, "a secret came into the keychain too late and could not be removed again");
            }
        };
        self.call(patience, work, undo)
    }

    fn get(&self, account: &str, patience: Patience) -> Result<ApiKey, KeychainError> {
        let account = account.to_owned();
        let work = move |limit| {
            let entry = platform::for_reading(&account, patience, limit)?;
            let text = entry.get_password().map(Zeroizing::new).map_err(|error| told(&error))?;
            ApiKey::parse(&text).map_err(|_| KeychainError::Mangled)
        };
        self.call(patience, work, || {})
    }

    fn remove(&self, account: &str, patience: Patience) -> Result<(), KeychainError> {
        let account = account.to_owned();
        let work = move |limit| match platform::for_reading(&account, patience, limit) {
            Ok(entry) => remove(&entry),
            Err(KeychainError::Missing) => Ok(()),
            Err(error) => Err(error),
        };
        self.call(patience, work, || {})
    }
}

fn remove(entry: &Entry) -> Result<(), KeychainError> {
    match entry.delete_credential().map_err(|error| told(&error)) {
        Ok(()) | Err(KeychainError::Missing) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The library's error, without the secret: its `Debug` may contain that, its `Display` does not.
#[expect(clippy::wildcard_enum_match_arm, reason = "most of what a keychain may say is a refusal")]
fn told(error: &Error) -> KeychainError {
    match error {
        Error::NoEntry => KeychainError::Missing,
        Error::BadEncoding(_) | Error::BadDataFormat(..) => KeychainError::Mangled,
        Error::NoDefaultStore => KeychainError::Absent("the platform has none".to_owned()),
        Error::Ambiguous(_) => KeychainError::Refused("it holds more than one of that name".to_owned()),
        other => KeychainError::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_answer_in_time_is_given_on() {
        let keychain = SystemKeychain::default();
        assert_eq!(keychain.call(Patience::Background, |_| Ok(7), || {}), Ok(7));
        let refused = KeychainError::Refused("no".to_owned());
        let expected = refused.clone();
        assert_eq!(keychain.call::<()>(Patience::Background, |_| Err(refused), || {}), Err(expected));
    }

    #[test]
    fn a_panic_in_the_library_is_an_error() {
        let keychain = SystemKeychain::default();
        // Without the message and the backtrace of a panic, which take seconds on a busy machine.
        let fault = |_: Duration| resume_unwind(Box::new("a fault of the library"));
        let result = keychain.call::<()>(Patience::Background, fault, || {});
        assert!(matches!(result, Err(KeychainError::Refused(_))), "{result:?}");
        assert_eq!(keychain.abandoned.load(Ordering::Acquire), 0);
    }

    #[test]
    fn one_silent_call_is_waited_for_once_and_undone_when_it_ends_after_all() {
        let keychain = SystemKeychain::default();
        let (go_on, wait) = channel::<()>();
        let (undone, was_undone) = channel();
        let begin = Instant::now();
        let result = keychain.call(
            Patience::Background,
            move |_| {
                wait.recv().unwrap();
                Ok(())
            },
            move || undone.send(()).unwrap(),
        );
        assert_eq!(result, Err(KeychainError::Silent(SystemKeychain::LIMIT)));
        assert!(begin.elapsed() < SystemKeychain::LIMIT * 2);
        assert_eq!(keychain.call(Patience::Background, |_| Ok(()), || {}), Err(KeychainError::Busy));
        assert_eq!(keychain.call(Patience::Person, |_| Ok(()), || {}), Ok(()), "a person may try again");

        go_on.send(()).unwrap();
        was_undone.recv_timeout(Duration::from_secs(10)).unwrap();
        while keychain.abandoned.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
        assert_eq!(keychain.call(Patience::Background, |_| Ok(()), || {}), Ok(()));
    }
}
