//! The API keys in the control API.

use std::error::Error;
use std::thread;

use tokio::sync::oneshot;

use super::ControlHandle;
use super::api::{ChangedKey, Key, KeyDestination, KeyList, KeyPlace, KeyStore};
use crate::keys::{self, Destination, KeyRing, KeyRingError, SecretIn};
use crate::secret::{AdmittedKey, ApiKey, KeyName};
use crate::usage::KnownKey;

/// Why an operation on the keys failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeysError {
    /// The kind of the error.
    pub kind: KeysErrorKind,
    /// What is wrong and what to do next. It never contains a key.
    pub message: String,
}

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysErrorKind {
    /// There is no such key.
    Unknown,
    /// The name is not valid for a key.
    InvalidName,
    /// The state of the keys does not allow the operation.
    Conflict,
    /// The keychain has failed.
    Keychain,
    /// The key files cannot be read or written.
    Storage,
}

impl ControlHandle {
    /// All keys.
    pub fn list_keys(&self) -> KeyList {
        self.0.keys.list().into()
    }

    /// Creates a key.
    ///
    /// # Errors
    /// If the name is not valid or is taken, or the key cannot be stored.
    pub async fn create_key(&self, name: String) -> Result<ChangedKey, KeysError> {
        self.with_keys(move |keys| keys.create(&name).map(ChangedKey::from)).await
    }

    /// The text of a key. The keychain may ask the person to unlock it.
    ///
    /// # Errors
    /// If there is no such key, or the keychain does not return the text.
    pub async fn reveal_key(&self, id_or_name: String) -> Result<ApiKey, KeysError> {
        self.with_keys(move |keys| keys.reveal(&id_or_name)).await
    }

    /// Replaces the text of a key.
    ///
    /// # Errors
    /// If there is no such key, or the new text cannot be stored.
    pub async fn rotate_key(&self, id_or_name: String) -> Result<ChangedKey, KeysError> {
        self.with_keys(move |keys| keys.rotate(&id_or_name).map(ChangedKey::from)).await
    }

    /// Changes the name of a key, or whether it is accepted.
    ///
    /// # Errors
    /// If there is no such key, or the name is not valid or is taken.
    pub async fn update_key(
        &self,
        id_or_name: String,
        name: Option<String>,
        enabled: Option<bool>,
    ) -> Result<ChangedKey, KeysError> {
        self.with_keys(move |keys| keys.update(&id_or_name, name.as_deref(), enabled).map(ChangedKey::from))
            .await
    }

    /// Removes a key and what is stored for it. If a part of it could not be removed yet, returns a sentence about it.
    ///
    /// # Errors
    /// If there is no such key, or its removal cannot be stored.
    pub async fn delete_key(&self, id_or_name: String) -> Result<Option<String>, KeysError> {
        let before = self.0.keys.list().keys;
        let warning = self.with_keys(move |keys| keys.delete(&id_or_name)).await?;
        let left = self.0.keys.list().keys;
        let mut problem = None;
        for key in before.iter().filter(|key| left.iter().all(|left| left.id != key.id)) {
            if let Err(error) = self.0.responses.forget_key(&key.id).await {
                tracing::warn!(%error, key = %key.id, "the stored responses of a deleted key could not be removed");
                problem = Some(format!("Its stored responses could not be removed: {error}"));
            }
        }
        Ok(warning.or(problem))
    }

    /// Moves the texts of all keys.
    ///
    /// # Errors
    /// If one of them cannot be moved.
    pub async fn migrate_keys(&self, to: KeyDestination) -> Result<KeyList, KeysError> {
        self.with_keys(move |keys| keys.migrate(to.into()).map(KeyList::from)).await
    }

    /// Runs `work` on a new thread. It may wait for a person, and the proxy must be able to end during this.
    async fn with_keys<T: Send + 'static>(
        &self,
        work: impl FnOnce(&KeyRing) -> Result<T, KeyRingError> + Send + 'static,
    ) -> Result<T, KeysError> {
        let (sender, receiver) = oneshot::channel();
        let (keys, usage) = (self.0.keys.clone(), self.0.usage.clone());
        let spawned = thread::Builder::new().name("keys".to_owned()).spawn(move || {
            let done = work(&keys);
            usage.set_keys(|| known_keys(&keys.list()));
            // The caller may have been dropped; the operation is complete anyway.
            drop(sender.send(done));
        });
        let failed = |reason: String| KeysError::from(KeyRingError::Failed(reason));
        spawned.map_err(|error| failed(error.to_string()))?;
        let done = receiver.await.map_err(|error| failed(error.to_string()))?;
        done.map_err(|error| {
            if matches!(KeysErrorKind::of(&error), KeysErrorKind::Storage) {
                tracing::error!(error = &error as &dyn Error, "the API keys cannot be handled");
            }
            error.into()
        })
    }
}

/// The keys in the form that the usage store needs.
pub fn known_keys(list: &keys::KeyList) -> Vec<KnownKey> {
    let known = |key: &keys::KeyInfo| KnownKey {
        id: key.id.clone(),
        name: KeyName::new(&key.name),
        created_at: key.created_at,
    };
    // The window is not a key, but its usage is counted like that of a key that has always existed.
    let window = AdmittedKey::window();
    let window = KnownKey { id: window.id, name: window.name, created_at: Some(0) };
    list.keys.iter().map(known).chain([window]).collect()
}

impl From<keys::KeyList> for KeyList {
    fn from(keys::KeyList { store, warning, keys }: keys::KeyList) -> Self {
        Self { store: store.into(), warning, keys: keys.into_iter().map(Key::from).collect() }
    }
}

impl From<keys::KeyInfo> for Key {
    fn from(key: keys::KeyInfo) -> Self {
        let keys::KeyInfo { id, name, enabled, created_at, last_used_at, secret_in, overridden } = key;
        Self {
            id: id.to_string(),
            name,
            enabled,
            created_at,
            last_used_at,
            secret_in: secret_in.into(),
            overridden,
        }
    }
}

impl From<keys::Changed> for ChangedKey {
    fn from(keys::Changed { key, warning }: keys::Changed) -> Self {
        Self { key: key.into(), warning }
    }
}

impl From<KeyDestination> for Destination {
    fn from(to: KeyDestination) -> Self {
        match to {
            KeyDestination::Keychain => Self::Keychain,
            KeyDestination::File => Self::File,
        }
    }
}

impl From<SecretIn> for KeyPlace {
    fn from(place: SecretIn) -> Self {
        match place {
            SecretIn::Keychain => Self::Keychain,
            SecretIn::File => Self::File,
            SecretIn::Configuration => Self::Configuration,
        }
    }
}

/// New keys are never stored in the configuration.
impl From<SecretIn> for KeyStore {
    fn from(place: SecretIn) -> Self {
        match place {
            SecretIn::Keychain => Self::Keychain,
            SecretIn::File => Self::File,
            SecretIn::Configuration => Self::Other,
        }
    }
}

impl From<KeyRingError> for KeysError {
    fn from(error: KeyRingError) -> Self {
        let kind = KeysErrorKind::of(&error);
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            message.push_str(&format!(": {source}"));
            cause = source.source();
        }
        Self { kind, message }
    }
}

impl KeysErrorKind {
    fn of(error: &KeyRingError) -> Self {
        match error {
            KeyRingError::Unknown(_) => Self::Unknown,
            KeyRingError::InvalidName(_) => Self::InvalidName,
            KeyRingError::NameTaken(_)
            | KeyRingError::TooMany
            | KeyRingError::Configured
            | KeyRingError::DefaultOverridden
            | KeyRingError::KeychainOff
            | KeyRingError::Lost { .. } => Self::Conflict,
            KeyRingError::Keychain { .. } => Self::Keychain,
            KeyRingError::BrokenIndex { .. }
            | KeyRingError::IndexGone { .. }
            | KeyRingError::BrokenSecrets { .. }
            | KeyRingError::ChangedOutside(_)
            | KeyRingError::Read { .. }
            | KeyRingError::Write { .. }
            | KeyRingError::KeyFile(_)
            | KeyRingError::Weak { .. }
            | KeyRingError::Failed(_)
            | KeyRingError::Random(_) => Self::Storage,
        }
    }
}
