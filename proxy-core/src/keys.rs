//! The API keys. Each has a name; each client can have one of its own.
//!
//! The file `keys.json` holds the facts about each key, with the SHA-256 of its text; requests and starts need
//! nothing else. The text itself is in the operating system's keychain, or in the file `key-secrets` where no
//! keychain is available. It is only read when a user asks for it or moves it.

mod configured;
mod error;
mod forget;
mod hex;
mod index;
mod key_file;
mod keychain;
mod name;
mod portable;
mod private;
mod secrets;
mod start;
#[cfg(test)]
mod tests;
mod upkeep;
mod verifier;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::secret::{AdmittedKey, ApiKey, KeyId, KeyName};
use index::{Entry, Index, IndexFile};
use keychain::{Keychain, KeychainError, Patience, SystemKeychain};
use secrets::SecretsFile;
use verifier::{Accepted, Fingerprint, LastUse, Verifier};
use writer::KeyWriter;

pub use error::KeyRingError;
pub use forget::{clear_keychain, in_keychain};
pub use index::SecretIn;
pub use key_file::{BrokenKey, KeyError, LoadedKey, load_or_make};
pub use keychain::SERVICE;
pub use name::{CONFIGURED, DEFAULT, InvalidKeyName};
pub use portable::{Portable, check_files, portable};

/// The most keys: each of them is compared with the key in a request.
const MOST_KEYS: usize = 256;

/// The operator's settings for the keys.
#[derive(Debug, Clone)]
pub struct Config {
    /// The operator's own key; it replaces the one that is made at the first start.
    pub api_key: Option<ApiKey>,
    /// The data directory, with the list of keys and the keys that are in no keychain.
    pub data_dir: PathBuf,
    /// Whether the keychain is used.
    pub keychain: KeychainMode,
    /// Whether other machines can reach the proxy and try keys.
    pub exposed: bool,
}

/// Whether the operating system's keychain is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeychainMode {
    /// Use it where it is available.
    Auto,
    /// Never use it.
    Off,
}

impl KeychainMode {
    /// Every mode.
    pub const ALL: &'static [Self] = &[Self::Auto, Self::Off];

    /// The name of the mode in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
        }
    }
}

/// The public facts about a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// The id, for programs. It never changes, and no later key has it. If the operator's own key gets another
    /// text, it counts as another key.
    pub id: KeyId,
    /// The name, for people.
    pub name: String,
    /// Whether the key is accepted, unless it is overridden.
    pub enabled: bool,
    /// When it was made, in seconds since the epoch; `None` for a key from the configuration.
    pub created_at: Option<u64>,
    /// When a request last used it, in seconds since the epoch.
    pub last_used_at: Option<u64>,
    /// The place of its text.
    pub secret_in: SecretIn,
    /// Whether it is not accepted because the operator's own key replaces it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overridden: bool,
}

/// All keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyList {
    /// The place for the text of a new key: the keychain or a file.
    pub store: SecretIn,
    /// Notes for the user about the keys, in sentences.
    pub warning: Option<String>,
    /// The keys, the operator's own first, then the oldest.
    pub keys: Vec<KeyInfo>,
}

/// A key that was made or changed, and what could not be done completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The key as it is now.
    #[serde(flatten)]
    pub key: KeyInfo,
    /// The step that is still to be done, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// All keys, to read and to change. Cheap to clone.
///
/// The process that opens one holds the data directory's [`crate::instance::InstanceLock`], so that no two
/// processes change the keys at the same time. Every method but those that pass and [`KeyRing::list`] may write
/// files or wait for the keychain, for seconds, and the methods for a user ([`KeyRing::reveal`],
/// [`KeyRing::migrate`]) may make the keychain show a prompt. Do not call these on a thread that serves requests.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

/// What a connection keeps of the key that it was opened with. The text of the key cannot be made of it.
#[derive(Debug, Clone)]
pub struct ShownKey(Fingerprint);

impl ShownKey {
    /// The key with this text.
    pub fn new(shown: &[u8]) -> Self {
        Self(Fingerprint::of(shown))
    }
}

struct Inner {
    configured: Option<(ApiKey, Accepted)>,
    keychain: Option<Box<dyn Keychain>>,
    /// Why the last use of the keychain failed.
    trouble: Mutex<Option<KeychainError>>,
    secrets: SecretsFile,
    /// The holder of the file may change the keys.
    file: Mutex<IndexFile>,
    snapshot: RwLock<Arc<Snapshot>>,
    verifier: Verifier,
}

/// The facts about the keys at one time.
struct Snapshot {
    index: Index,
    /// The time of the last use of each key, by id.
    uses: HashMap<KeyId, LastUse>,
}

impl KeyRing {
    /// Reads the list of keys; at the first start, makes the key named `default`.
    ///
    /// # Errors
    /// When the list exists and cannot be read, or does not exist and cannot be written. No file is overwritten in
    /// this case.
    pub fn open(config: &Config) -> Result<Self, KeyRingError> {
        let keychain: Option<Box<dyn Keychain>> = match config.keychain {
            KeychainMode::Auto => Some(Box::new(SystemKeychain::default())),
            KeychainMode::Off => None,
        };
        start::open(config, keychain)
    }

    /// The key in a request, if it is accepted. This never waits.
    pub fn pass(&self, shown: &[u8]) -> Option<AdmittedKey> {
        self.0.verifier.pass(shown, now())
    }

    /// The key that was shown earlier, if it is still accepted. This never waits.
    pub fn pass_again(&self, shown: &ShownKey) -> Option<AdmittedKey> {
        self.0.verifier.pass_fingerprint(shown.0, now())
    }

    /// All keys. This never waits.
    pub fn list(&self) -> KeyList {
        let snapshot = self.snapshot();
        let configured = self.0.configured.iter().map(|(_, accepted)| KeyInfo {
            id: accepted.key.id.clone(),
            name: CONFIGURED.to_owned(),
            enabled: true,
            created_at: None,
            last_used_at: accepted.last_use.get(),
            secret_in: SecretIn::Configuration,
            overridden: false,
        });
        let keys: Vec<KeyInfo> =
            configured.chain(snapshot.index.keys.iter().map(|entry| self.info(&snapshot, entry))).collect();
        KeyList { store: self.store(), warning: self.warning(&keys), keys }
    }

    /// Makes a new key.
    ///
    /// # Errors
    /// When the name is invalid or taken, or the key cannot be stored.
    pub fn create(&self, name: &str) -> Result<Changed, KeyRingError> {
        let mut writer = self.writer();
        self.check_name(name, None)?;
        if writer.index().keys.len() >= MOST_KEYS {
            return Err(KeyRingError::TooMany);
        }
        let key = ApiKey::generate().map_err(KeyRingError::Random)?;
        let id = writer.add(name, &key, now())?;
        tracing::info!(name, "made an API key");
        self.changed(&id, None)
    }

    /// The text of a key. The caller is responsible for where it is sent.
    ///
    /// # Errors
    /// When there is no such key, or the keychain does not return it.
    pub fn reveal(&self, id_or_name: &str) -> Result<ApiKey, KeyRingError> {
        if let Some(key) = self.configured(id_or_name) {
            return Ok(key.clone());
        }
        let snapshot = self.snapshot();
        let entry = &snapshot.index.keys[self.find(&snapshot, id_or_name)?];
        self.fetch(&snapshot.index, entry, Patience::Person)
    }

    /// Gives a key a new text; the old one is refused from the next request on.
    ///
    /// # Errors
    /// When there is no such key, or the new text cannot be stored.
    pub fn rotate(&self, id_or_name: &str) -> Result<Changed, KeyRingError> {
        let mut writer = self.writer();
        let old = self.entry(id_or_name)?;
        let key = ApiKey::generate().map_err(KeyRingError::Random)?;
        let placed = writer.keep(&key, Patience::Background)?;
        writer.edit(|index| {
            placed.settle(index);
            let Some(at) = index.position(old.id.as_str()) else { return };
            (index.keys[at].secret_in, index.keys[at].secret) = (placed.secret_in, placed.secret.clone());
            index.keys[at].sha256 = Fingerprint::of(key.expose().as_bytes());
            index.leave_over(&old);
        })?;
        tracing::info!(name = old.name, "rotated an API key");
        let warning = writer.let_go(&old);
        self.changed(&old.id, warning)
    }

    /// Gives a key another name.
    ///
    /// # Errors
    /// When there is no such key, or the name is invalid or taken.
    pub fn rename(&self, id_or_name: &str, name: &str) -> Result<Changed, KeyRingError> {
        self.update(id_or_name, Some(name), None)
    }

    /// Enables or disables a key, from the next request on.
    ///
    /// # Errors
    /// When there is no such key, or the change cannot be written to disk.
    pub fn set_enabled(&self, id_or_name: &str, enabled: bool) -> Result<Changed, KeyRingError> {
        self.update(id_or_name, None, Some(enabled))
    }

    /// Changes the name of a key, or whether it is accepted, or both in one step.
    ///
    /// # Errors
    /// As [`KeyRing::rename`] and [`KeyRing::set_enabled`]. Nothing is changed in this case.
    pub fn update(
        &self,
        id_or_name: &str,
        name: Option<&str>,
        enabled: Option<bool>,
    ) -> Result<Changed, KeyRingError> {
        let mut writer = self.writer();
        let entry = self.entry(id_or_name)?;
        if let Some(name) = name.filter(|name| *name != entry.name) {
            self.check_name(name, Some(&entry.id))?;
        }
        writer.edit(|index| {
            let Some(at) = index.position(entry.id.as_str()) else { return };
            if let Some(name) = name {
                name.clone_into(&mut index.keys[at].name);
            }
            index.keys[at].enabled = enabled.unwrap_or(entry.enabled);
        })?;
        tracing::info!(name = entry.name, new_name = name, enabled, "changed an API key");
        self.changed(&entry.id, None)
    }

    /// Removes a key; it is refused from the next request on. Returns a sentence about a text that could not be
    /// removed yet.
    ///
    /// # Errors
    /// When there is no such key, or the change cannot be written to disk.
    pub fn delete(&self, id_or_name: &str) -> Result<Option<String>, KeyRingError> {
        let mut writer = self.writer();
        let old = self.entry(id_or_name)?;
        writer.edit(|index| {
            index.keys.retain(|entry| entry.id != old.id);
            index.leave_over(&old);
        })?;
        tracing::info!(name = old.name, "deleted an API key");
        Ok(writer.let_go(&old))
    }

    /// Moves the text of every key to the keychain or to the file, which is then also the place for later keys.
    ///
    /// # Errors
    /// When one of them cannot be moved; those that were moved before stay in the new place.
    pub fn migrate(&self, to: Destination) -> Result<KeyList, KeyRingError> {
        let mut writer = self.writer();
        match to {
            Destination::Keychain => writer.move_all_to_keychain()?,
            Destination::File => writer.move_all_to_file()?,
        }
        drop(writer);
        Ok(self.list())
    }

    fn writer(&self) -> KeyWriter<'_> {
        KeyWriter::new(self, self.0.file.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The writer, unless another change is being made.
    fn free_writer(&self) -> Option<KeyWriter<'_>> {
        let file: MutexGuard<'_, IndexFile> = match self.0.file.try_lock() {
            Ok(file) => file,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(KeyWriter::new(self, file))
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes `index` the present state, so that exactly its keys are accepted.
    fn publish(&self, index: Index) {
        let old = self.snapshot();
        let last_use = |entry: &Entry| {
            let known = old.uses.get(&entry.id).cloned();
            (entry.id.clone(), known.unwrap_or_else(|| LastUse::at(entry.last_used_at)))
        };
        let uses: HashMap<KeyId, LastUse> = index.keys.iter().map(last_use).collect();
        let in_force = index.keys.iter().filter(|entry| entry.enabled && !self.is_overridden(entry));
        let in_force = in_force.map(|entry| Accepted {
            key: AdmittedKey { id: entry.id.clone(), name: KeyName::new(&entry.name) },
            fingerprint: entry.sha256,
            last_use: uses.get(&entry.id).cloned().unwrap_or_default(),
        });
        let configured = self.0.configured.iter().map(|(_, accepted)| accepted.clone());
        self.0.verifier.open_to(configured.chain(in_force).collect());
        *self.0.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Snapshot { index, uses });
    }

    fn is_overridden(&self, entry: &Entry) -> bool {
        self.0.configured.is_some() && name::same(&entry.name, DEFAULT)
    }

    /// The text of the operator's own key, if this is its id or name.
    fn configured(&self, id_or_name: &str) -> Option<&ApiKey> {
        let (key, accepted) = self.0.configured.as_ref()?;
        let is_it = name::same(id_or_name, CONFIGURED) || accepted.key.id.as_str() == id_or_name;
        is_it.then_some(key)
    }

    fn find(&self, snapshot: &Snapshot, id_or_name: &str) -> Result<usize, KeyRingError> {
        if self.configured(id_or_name).is_some() {
            return Err(KeyRingError::Configured);
        }
        snapshot.index.position(id_or_name).ok_or_else(|| {
            // A text that is not a valid name may be a key that was entered by mistake, so it is not repeated.
            let is_shown = id_or_name.starts_with(KeyId::PREFIX) || name::check_new(id_or_name).is_ok();
            KeyRingError::Unknown(if is_shown {
                format!("`{id_or_name}`")
            } else {
                "of that name".to_owned()
            })
        })
    }

    fn entry(&self, id_or_name: &str) -> Result<Entry, KeyRingError> {
        let snapshot = self.snapshot();
        Ok(snapshot.index.keys[self.find(&snapshot, id_or_name)?].clone())
    }

    /// Whether a key may have this name; `own` is the id of the key that already has it.
    fn check_name(&self, name: &str, own: Option<&KeyId>) -> Result<(), KeyRingError> {
        name::check_new(name).map_err(KeyRingError::InvalidName)?;
        if self.0.configured.is_some() && name::same(name, DEFAULT) {
            return Err(KeyRingError::DefaultOverridden);
        }
        let snapshot = self.snapshot();
        let taken =
            snapshot.index.keys.iter().any(|entry| name::same(&entry.name, name) && own != Some(&entry.id));
        if taken { Err(KeyRingError::NameTaken(name.to_owned())) } else { Ok(()) }
    }

    /// The text of a key, from its place.
    fn fetch(&self, index: &Index, entry: &Entry, patience: Patience) -> Result<ApiKey, KeyRingError> {
        let lost = |place: String| KeyRingError::Lost { name: entry.name.clone(), place };
        let (key, place) = match entry.secret_in {
            SecretIn::Configuration => return Err(KeyRingError::Configured),
            SecretIn::File => {
                (self.0.secrets.get(&entry.secret)?, self.0.secrets.path().display().to_string())
            }
            SecretIn::Keychain => {
                let keychain = self.0.keychain.as_ref().ok_or(KeyRingError::KeychainOff)?;
                let key = match keychain.get(&index.account(&entry.secret), patience) {
                    Ok(key) => Some(key),
                    Err(KeychainError::Missing) => None,
                    Err(error) => {
                        let doing = format!("cannot get the key `{}` from the keychain", entry.name);
                        return Err(KeyRingError::keychain(doing, &error));
                    }
                };
                (key, "the keychain".to_owned())
            }
        };
        let is_it = |key: &ApiKey| Fingerprint::of(key.expose().as_bytes()) == entry.sha256;
        key.filter(is_it).ok_or_else(|| lost(place))
    }

    fn info(&self, snapshot: &Snapshot, entry: &Entry) -> KeyInfo {
        KeyInfo {
            id: entry.id.clone(),
            name: entry.name.clone(),
            enabled: entry.enabled,
            created_at: Some(entry.created_at),
            last_used_at: snapshot.uses.get(&entry.id).and_then(LastUse::get),
            secret_in: entry.secret_in,
            overridden: self.is_overridden(entry),
        }
    }

    fn changed(&self, id: &KeyId, warning: Option<String>) -> Result<Changed, KeyRingError> {
        let snapshot = self.snapshot();
        let entry = &snapshot.index.keys[self.find(&snapshot, id.as_str())?];
        Ok(Changed { key: self.info(&snapshot, entry), warning })
    }
}

/// The target of [`KeyRing::migrate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The operating system's keychain.
    Keychain,
    /// A file that only its owner can read.
    File,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").finish_non_exhaustive()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
