//! Opens the ring: with the first start's key, and the key file of earlier versions.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::time::UNIX_EPOCH;

use super::error::KeyRingError;
use super::index::{Index, IndexFile};
use super::keychain::Keychain;
use super::name::{CONFIGURED, DEFAULT};
use super::secrets::SecretsFile;
use super::verifier::{Accepted, Fingerprint, LastUse, Verifier};
use super::writer::{KeyWriter, random_name};
use super::{Config, Inner, KeyRing, Snapshot, configured, key_file, now};
use crate::secret::{AdmittedKey, ApiKey, KeyId, KeyName, PUBLICLY_KNOWN_KEY};

pub(super) const INDEX: &str = "keys.json";
pub(super) const SECRETS: &str = "key-secrets";
/// The file in which earlier versions kept their only key.
const ONE_KEY: &str = "api-key";

/// Opens the ring of a data directory with `keychain` as its keychain.
pub(super) fn open(config: &Config, keychain: Option<Box<dyn Keychain>>) -> Result<KeyRing, KeyRingError> {
    let index_path = config.data_dir.join(INDEX);
    let secrets = SecretsFile::new(config.data_dir.join(SECRETS));
    let (file, index) = IndexFile::open(index_path.clone())?;
    let mut index = match index {
        Some(index) => index,
        None if secrets.exists() => {
            return Err(KeyRingError::IndexGone { secrets: secrets.path().to_owned(), index: index_path });
        }
        None => Index::new(random_name()?),
    };
    let known = index.configured.clone();
    let configured = match &config.api_key {
        Some(key) => Some((key.clone(), accepted(key, configured::identify(&mut index.configured, key)?))),
        None => None,
    };
    let news = (index.configured != known).then(|| index.configured.clone());
    let ring = KeyRing(Arc::new(Inner {
        configured,
        keychain,
        trouble: Mutex::new(None),
        secrets,
        file: Mutex::new(file),
        snapshot: RwLock::new(Arc::new(Snapshot { index: index.clone(), uses: Default::default() })),
        verifier: Verifier::default(),
    }));
    ring.publish(index);
    if let Some(news) = news
        && let Err(error) = ring.writer().edit(|index| index.configured = news)
    {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the id of PROXY_API_KEY cannot be written down, so its usage and its daily limit begin again at each start; \
             let this user write keys.json and its folder, and if the file itself is mounted, mount its folder instead"
        );
    }
    if config.api_key.is_none() {
        let mut writer = ring.writer();
        writer.take_over(&config.data_dir.join(ONE_KEY))?;
        writer.make_default()?;
    }
    if config.exposed {
        refuse_known(&ring.writer().index())?;
    }
    Ok(ring)
}

/// Refuses a publicly known key: an imported key may be one.
fn refuse_known(index: &Index) -> Result<(), KeyRingError> {
    let known = Fingerprint::of(PUBLICLY_KNOWN_KEY.as_bytes());
    let weakness = "is the one of public documentation, which anyone knows";
    match index.keys.iter().find(|entry| entry.enabled && entry.sha256 == known) {
        Some(entry) => Err(KeyRingError::Weak { name: entry.name.clone(), weakness }),
        None => Ok(()),
    }
}

fn accepted(key: &ApiKey, id: KeyId) -> Accepted {
    Accepted {
        key: AdmittedKey { id, name: KeyName::new(CONFIGURED) },
        fingerprint: Fingerprint::of(key.expose().as_bytes()),
        last_use: LastUse::default(),
    }
}

impl KeyWriter<'_> {
    /// Makes the key of the first start, once.
    fn make_default(&mut self) -> Result<(), KeyRingError> {
        let index = self.index();
        if index.default_made {
            return Ok(());
        }
        if index.position(DEFAULT).is_none() {
            let key = ApiKey::generate().map_err(KeyRingError::Random)?;
            self.add(DEFAULT, &key, now())?;
            tracing::info!("made the API key `{DEFAULT}`; `codex-proxy keys show {DEFAULT}` prints it");
        }
        self.edit(|index| index.default_made = true)
    }

    /// Makes a named key from the one in `file`, and then deletes the file.
    fn take_over(&mut self, file: &Path) -> Result<(), KeyRingError> {
        let Some(key) = key_file::read(file)? else { return Ok(()) };
        let index = self.index();
        let fingerprint = Fingerprint::of(key.expose().as_bytes());
        if !index.keys.iter().any(|entry| entry.sha256 == fingerprint) {
            let name = free_name(&index);
            self.add(&name, &key, made_at(file))?;
            tracing::info!(file = %file.display(), name, "the API key of this file is now the key of that name");
        }
        // Its text was read back from its new place before the index was written.
        if let Err(error) = fs::remove_file(file) {
            tracing::warn!(
                file = %file.display(),
                %error,
                "the API key of this file is kept elsewhere now, but the file cannot be deleted; delete it"
            );
        }
        self.edit(|index| index.default_made = true)
    }
}

/// The name `default`, or another one where an operator has added a further key file.
fn free_name(index: &Index) -> String {
    let numbered = (2..).map(|number| format!("{ONE_KEY}-{number}"));
    let mut names = [DEFAULT.to_owned(), ONE_KEY.to_owned()].into_iter().chain(numbered);
    names.find(|name| index.position(name).is_none()).unwrap_or_default()
}

fn made_at(file: &Path) -> u64 {
    let modified = fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or_else(now, |since| since.as_secs())
}
