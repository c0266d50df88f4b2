//! Removes the keys' texts from the keychain for good. The texts in files are removed with the data directory.

use super::error::KeyRingError;
use super::index::{IndexFile, SecretIn};
use super::keychain::{Keychain, Patience, SystemKeychain};
use super::start::INDEX;
use super::{Config, KeychainMode};

/// The number of texts that the keychain holds, or may still hold.
///
/// # Errors
/// When the list of keys cannot be read.
pub fn in_keychain(config: &Config) -> Result<usize, KeyRingError> {
    Ok(accounts(config)?.len())
}

/// Removes every text from the keychain, which may ask the user to unlock it. May be repeated.
///
/// # Errors
/// When the keychain is off or does not answer. Some texts may already be removed by then.
pub fn clear_keychain(config: &Config) -> Result<(), KeyRingError> {
    clear(config, &SystemKeychain::default())
}

fn clear(config: &Config, keychain: &dyn Keychain) -> Result<(), KeyRingError> {
    let accounts = accounts(config)?;
    if !accounts.is_empty() && config.keychain == KeychainMode::Off {
        return Err(KeyRingError::KeychainOff);
    }
    for account in accounts {
        keychain
            .remove(&account, Patience::Person)
            .map_err(|error| KeyRingError::keychain("cannot remove a key from the keychain", &error))?;
    }
    Ok(())
}

fn accounts(config: &Config) -> Result<Vec<String>, KeyRingError> {
    let Some(index) = IndexFile::open(config.data_dir.join(INDEX))?.1 else { return Ok(Vec::new()) };
    let kept = index.keys.iter().filter(|entry| entry.secret_in == SecretIn::Keychain);
    let secrets = kept.map(|entry| &entry.secret).chain(&index.leftovers);
    Ok(secrets.map(|secret| index.account(secret)).collect())
}
