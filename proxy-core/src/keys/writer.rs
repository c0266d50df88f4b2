//! Changes the keys, one change at a time. Each step is on disk before the next one, so that a crash between two
//! steps loses no key and leaves no text behind.

use std::sync::{Arc, MutexGuard};

use super::error::KeyRingError;
use super::index::{Entry, Index, IndexFile, SecretIn};
use super::keychain::{Keychain, KeychainError, Patience};
use super::verifier::{Fingerprint, LastUse};
use super::{KeyRing, Snapshot};
use crate::secret::{ApiKey, KeyId};

/// The right to change the keys.
pub(super) struct KeyWriter<'a> {
    ring: &'a KeyRing,
    file: MutexGuard<'a, IndexFile>,
}

/// Why the text of a key is still in the keychain.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRemoved {
    /// The keychain has not removed it.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
    /// The index could not be changed, or there is no keychain.
    #[error(transparent)]
    Ring(#[from] KeyRingError),
}

/// Where the text of a key has been put, though the index does not say so yet.
pub(super) struct Placed {
    pub(super) secret_in: SecretIn,
    pub(super) secret: String,
}

impl Placed {
    /// Removes the text from the list of texts that may have to be removed.
    pub(super) fn settle(&self, index: &mut Index) {
        index.leftovers.retain(|secret| *secret != self.secret);
    }
}

impl Index {
    /// Marks the text of `entry` for removal from the keychain.
    pub(super) fn leave_over(&mut self, entry: &Entry) {
        if entry.secret_in == SecretIn::Keychain {
            self.leftovers.push(entry.secret.clone());
        }
    }
}

impl<'a> KeyWriter<'a> {
    pub(super) fn new(ring: &'a KeyRing, file: MutexGuard<'a, IndexFile>) -> Self {
        Self { ring, file }
    }

    pub(super) fn index(&self) -> Index {
        self.ring.snapshot().index.clone()
    }

    /// Writes a changed index to disk, and then uses it.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Index)) -> Result<(), KeyRingError> {
        let snapshot: Arc<Snapshot> = self.ring.snapshot();
        let mut index = snapshot.index.clone();
        for entry in &mut index.keys {
            entry.last_used_at = snapshot.uses.get(&entry.id).and_then(LastUse::get);
        }
        change(&mut index);
        self.file.save(&index)?;
        self.ring.publish(index);
        Ok(())
    }

    /// Adds a key. Returns its id.
    pub(super) fn add(&mut self, name: &str, key: &ApiKey, created_at: u64) -> Result<KeyId, KeyRingError> {
        let id = KeyId::generate().map_err(KeyRingError::Random)?;
        let placed = self.keep(key, Patience::Background)?;
        self.edit(|index| {
            placed.settle(index);
            index.keys.push(Entry {
                id: id.clone(),
                name: name.to_owned(),
                created_at,
                last_used_at: None,
                enabled: true,
                secret_in: placed.secret_in,
                secret: placed.secret.clone(),
                sha256: Fingerprint::of(key.expose().as_bytes()),
            });
        })?;
        Ok(id)
    }

    /// Puts the text of a key into the keychain or, if that fails, into the file.
    pub(super) fn keep(&mut self, key: &ApiKey, patience: Patience) -> Result<Placed, KeyRingError> {
        if let Some(keychain) = self.ring.wanted_keychain() {
            let secret = random_name()?;
            if self.put(keychain, &secret, key, patience)?.is_ok() {
                return Ok(Placed { secret_in: SecretIn::Keychain, secret });
            }
        }
        let secret = random_name()?;
        self.ring.0.secrets.put(&secret, key)?;
        Ok(Placed { secret_in: SecretIn::File, secret })
    }

    /// Puts a text into the keychain. The index first records that it may be there.
    fn put(
        &mut self,
        keychain: &dyn Keychain,
        secret: &str,
        key: &ApiKey,
        patience: Patience,
    ) -> Result<Result<(), KeychainError>, KeyRingError> {
        self.edit(|index| index.leftovers.push(secret.to_owned()))?;
        let result = keychain.put(&self.index().account(secret), key, patience);
        self.ring.note(result.as_ref().err());
        if result.as_ref().is_err_and(KeychainError::is_untouched) {
            self.edit(|index| index.leftovers.retain(|left| left != secret))?;
        }
        Ok(result)
    }

    /// Removes the text of a key that is no longer in the index. Returns what could not be removed.
    pub(super) fn let_go(&mut self, old: &Entry) -> Option<String> {
        let name = &old.name;
        let warning = match old.secret_in {
            SecretIn::Configuration => return None,
            SecretIn::File => {
                let error = self.tidy_secrets().err()?;
                format!(
                    "The old text of the key `{name}`, which is refused from now on, is still in its file: {error}."
                )
            }
            SecretIn::Keychain => {
                let reason = match self.remove_leftover(&old.secret) {
                    Ok(()) => return None,
                    Err(reason) => reason,
                };
                format!(
                    "The old text of the key `{name}`, which is refused from now on, is still in the keychain: \
                     {reason}. It is removed as soon as that works."
                )
            }
        };
        tracing::warn!("{warning}");
        Some(warning)
    }

    /// Keeps only the secrets in the file that a key needs.
    pub(super) fn tidy_secrets(&self) -> Result<(), KeyRingError> {
        let index = self.index();
        let needed = |name: &str| {
            index.keys.iter().any(|entry| entry.secret_in == SecretIn::File && entry.secret == name)
        };
        self.ring.0.secrets.retain(needed)
    }

    /// Removes from the keychain what nothing needs any more.
    pub(super) fn remove_leftover(&mut self, secret: &str) -> Result<(), NotRemoved> {
        let Some(keychain) = &self.ring.0.keychain else { return Err(KeyRingError::KeychainOff.into()) };
        let removed = keychain.remove(&self.index().account(secret), Patience::Background);
        self.ring.note(removed.as_ref().err());
        removed?;
        Ok(self.edit(|index| index.leftovers.retain(|left| left != secret))?)
    }

    /// Moves the text of a key from the file to the keychain. The inner error is the keychain's own.
    pub(super) fn move_to_keychain(
        &mut self,
        keychain: &dyn Keychain,
        entry: &Entry,
        patience: Patience,
    ) -> Result<Result<(), KeychainError>, KeyRingError> {
        let key = self.ring.fetch(&self.index(), entry, patience)?;
        if let Err(error) = self.put(keychain, &entry.secret, &key, patience)? {
            return Ok(Err(error));
        }
        self.edit(|index| {
            index.leftovers.retain(|left| *left != entry.secret);
            if let Some(at) = index.position(entry.id.as_str()) {
                index.keys[at].secret_in = SecretIn::Keychain;
            }
        })?;
        self.tidy_secrets()?;
        tracing::info!(name = entry.name, "moved an API key from the file to the keychain");
        Ok(Ok(()))
    }

    pub(super) fn move_all_to_keychain(&mut self) -> Result<(), KeyRingError> {
        let ring = self.ring;
        let keychain = ring.0.keychain.as_deref().ok_or(KeyRingError::KeychainOff)?;
        self.edit(|index| index.prefer_file = false)?;
        for entry in self.in_place(SecretIn::File) {
            if let Err(error) = self.move_to_keychain(keychain, &entry, Patience::Person)? {
                let doing = format!("cannot move the key `{}` to the keychain", entry.name);
                return Err(KeyRingError::keychain(doing, &error));
            }
        }
        Ok(())
    }

    pub(super) fn move_all_to_file(&mut self) -> Result<(), KeyRingError> {
        self.edit(|index| index.prefer_file = true)?;
        for entry in self.in_place(SecretIn::Keychain) {
            let key = self.ring.fetch(&self.index(), &entry, Patience::Person)?;
            let secret = random_name()?;
            self.ring.0.secrets.put(&secret, &key)?;
            self.edit(|index| {
                index.leave_over(&entry);
                if let Some(at) = index.position(entry.id.as_str()) {
                    (index.keys[at].secret_in, index.keys[at].secret) = (SecretIn::File, secret);
                }
            })?;
            tracing::info!(name = entry.name, "moved an API key from the keychain to the file");
            if let Err(reason) = self.remove_leftover(&entry.secret) {
                tracing::warn!(
                    name = entry.name,
                    reason = reason.to_string(),
                    "an API key that was moved is still in the keychain too"
                );
            }
        }
        Ok(())
    }

    pub(super) fn in_place(&self, place: SecretIn) -> Vec<Entry> {
        self.index().keys.into_iter().filter(|entry| entry.secret_in == place).collect()
    }
}

/// A unique name.
pub(super) fn random_name() -> Result<String, KeyRingError> {
    getrandom::u64().map(|number| format!("{number:016x}")).map_err(KeyRingError::Random)
}
