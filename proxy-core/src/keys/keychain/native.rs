//! macOS's Keychain and Windows's Credential Manager.

use std::time::Duration;

use keyring_core::Entry;

use super::{KeychainError, Patience, SERVICE, told};

pub(super) fn for_writing(
    account: &str,
    patience: Patience,
    limit: Duration,
) -> Result<Entry, KeychainError> {
    for_reading(account, patience, limit)
}

pub(super) fn for_reading(
    account: &str,
    patience: Patience,
    _limit: Duration,
) -> Result<Entry, KeychainError> {
    allow_prompts(patience)?;
    Ok(keyring::Entry::new(SERVICE, account).map_err(|error| told(&error))?.inner)
}

/// With prompts off, a call that would need one fails instead.
#[cfg(target_os = "macos")]
fn allow_prompts(patience: Patience) -> Result<(), KeychainError> {
    use security_framework::os::macos::keychain::SecKeychain;
    let forbidden = SecKeychain::disable_user_interaction();
    let forbidden = forbidden.map_err(|error| KeychainError::Refused(error.to_string()))?;
    match patience {
        Patience::Person => drop(forbidden),
        // The switch is for the whole process; it stays off until a user requests something.
        Patience::Background => std::mem::forget(forbidden),
    }
    Ok(())
}

/// The Credential Manager never shows prompts.
#[cfg(not(target_os = "macos"))]
#[expect(clippy::unnecessary_wraps, reason = "the platforms share one signature")]
fn allow_prompts(_patience: Patience) -> Result<(), KeychainError> {
    Ok(())
}
