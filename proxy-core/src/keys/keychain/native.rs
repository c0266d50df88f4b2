//! macOS's Keychain and Windows's Credential Manager.

use std::time::Duration;

use keyring_core::Entry;

use super::{Patience, SERVICE, VaultError, told};

pub(super) fn for_writing(account: &str, patience: Patience, limit: Duration) -> Result<Entry, VaultError> {
    for_reading(account, patience, limit)
}

pub(super) fn for_reading(account: &str, patience: Patience, _limit: Duration) -> Result<Entry, VaultError> {
    allow_prompts(patience)?;
    Ok(keyring::Entry::new(SERVICE, account).map_err(|error| told(&error))?.inner)
}

/// A prompt that nobody asked for is an error of the call instead.
#[cfg(target_os = "macos")]
fn allow_prompts(patience: Patience) -> Result<(), VaultError> {
    use security_framework::os::macos::keychain::SecKeychain;
    let forbidden = SecKeychain::disable_user_interaction();
    let forbidden = forbidden.map_err(|error| VaultError::Refused(error.to_string()))?;
    match patience {
        Patience::Person => drop(forbidden),
        // The switch is the whole process's; it stays off until a person asks for something.
        Patience::Background => std::mem::forget(forbidden),
    }
    Ok(())
}

/// The Credential Manager never prompts.
#[cfg(not(target_os = "macos"))]
#[expect(clippy::unnecessary_wraps, reason = "the platforms share one signature")]
fn allow_prompts(_patience: Patience) -> Result<(), VaultError> {
    Ok(())
}
