//! The keys as files that another machine can use, for a backup; and a check of such files.

use std::path::Path;

use secrecy::zeroize::Zeroizing;

use super::error::KeyRingError;
use super::index::{Index, IndexFile, SecretIn};
use super::keychain::{Keychain, Patience, SystemKeychain};
use super::secrets::{SecretsFile, render};
use super::start::{INDEX, SECRETS};
use super::verifier::Fingerprint;
use super::{Config, KeychainMode};

/// The keys, as files.
#[derive(Debug)]
pub struct Portable {
    /// The content of `keys.json`.
    pub index: Vec<u8>,
    /// The content of `key-secrets`, if it contains any key's text.
    pub secrets: Option<Zeroizing<String>>,
    /// The names of the keys whose text stays in the keychain, with the reason.
    pub left_out: Vec<(String, String)>,
}

/// The number of tries to read two files that match: a proxy may be changing keys meanwhile.
const TRIES: usize = 20;

/// Reads the keys of a data directory, which a running proxy may use. `with_keychain` reads the texts from the
/// keychain, which may ask the user to unlock it; texts that it does not return stay there. `None` if there are no
/// keys yet.
///
/// # Errors
/// When the files cannot be read.
pub fn portable(config: &Config, with_keychain: bool) -> Result<Option<Portable>, KeyRingError> {
    let keychain: Option<Box<dyn Keychain>> = match config.keychain {
        KeychainMode::Auto if with_keychain => Some(Box::new(SystemKeychain::default())),
        KeychainMode::Auto | KeychainMode::Off => None,
    };
    read(config, keychain.as_deref())
}

/// Whether the files of keys in a directory can be read by this version.
///
/// # Errors
/// When they cannot be read.
pub fn check_files(directory: &Path) -> Result<(), KeyRingError> {
    IndexFile::open(directory.join(INDEX))?;
    SecretsFile::new(directory.join(SECRETS)).read()?;
    Ok(())
}

fn read(config: &Config, keychain: Option<&dyn Keychain>) -> Result<Option<Portable>, KeyRingError> {
    let path = config.data_dir.join(INDEX);
    let file = SecretsFile::new(config.data_dir.join(SECRETS));
    let Some(mut index) = IndexFile::open(path.clone())?.1 else { return Ok(None) };
    let mut secrets = file.read()?;
    for _ in 0..TRIES {
        let Some(again) = IndexFile::open(path.clone())?.1 else { return Ok(None) };
        if again == index {
            break;
        }
        (index, secrets) = (again, file.read()?);
    }
    let mut left_out = Vec::new();
    for at in 0..index.keys.len() {
        if index.keys[at].secret_in != SecretIn::Keychain {
            continue;
        }
        match text_of(&index, at, keychain) {
            Ok(key) => {
                // The name is kept, so that the text goes back to its place in the keychain if this machine
                // restores the backup.
                secrets.insert(index.keys[at].secret.clone(), key);
                index.keys[at].secret_in = SecretIn::File;
            }
            Err(reason) => left_out.push((index.keys[at].name.clone(), reason)),
        }
    }
    let error = |source: serde_json::Error| KeyRingError::Read { file: path, source: source.into() };
    let mut text = serde_json::to_vec_pretty(&index).map_err(error)?;
    text.push(b'\n');
    let secrets = (!secrets.is_empty()).then(|| render(&secrets));
    Ok(Some(Portable { index: text, secrets, left_out }))
}

fn text_of(
    index: &Index,
    at: usize,
    keychain: Option<&dyn Keychain>,
) -> Result<crate::secret::ApiKey, String> {
    let entry = &index.keys[at];
    let keychain = keychain.ok_or_else(|| "it is in the system's keychain".to_owned())?;
    let key =
        keychain.get(&index.account(&entry.secret), Patience::Person).map_err(|error| error.to_string())?;
    if Fingerprint::of(key.expose().as_bytes()) == entry.sha256 {
        Ok(key)
    } else {
        Err("the keychain holds another text under its name".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::keychain::KeychainError;
    use super::*;
    use crate::keys::KeyRing;
    use crate::secret::ApiKey;

    /// A keychain that holds one text under every name.
    struct One(ApiKey);

    impl Keychain for One {
        fn put(&self, _: &str, _: &ApiKey, _: Patience) -> Result<(), KeychainError> {
            Err(KeychainError::Locked)
        }

        fn get(&self, _: &str, _: Patience) -> Result<ApiKey, KeychainError> {
            Ok(self.0.clone())
        }

        fn remove(&self, _: &str, _: Patience) -> Result<(), KeychainError> {
            Err(KeychainError::Locked)
        }
    }

    #[test]
    fn what_the_keychain_keeps_comes_along_only_from_there() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            api_key: None,
            data_dir: directory.path().to_owned(),
            keychain: KeychainMode::Off,
            exposed: false,
        };
        assert!(read(&config, None).unwrap().is_none());
        let ring = KeyRing::open(&config).unwrap();
        ring.create("second").unwrap();
        let (first, second) = (ring.reveal("default").unwrap(), ring.reveal("second").unwrap());
        drop(ring);
        // As if the keychain held the first one.
        let path = directory.path().join(INDEX);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("\"file\"", "\"keychain\"", 1)).unwrap();

        let without = read(&config, None).unwrap().unwrap();
        assert_eq!(without.left_out, [("default".to_owned(), "it is in the system's keychain".to_owned())]);
        let other = read(&config, Some(&One(second))).unwrap().unwrap();
        assert!(other.left_out[0].1.contains("another text"), "{:?}", other.left_out);
        let with = read(&config, Some(&One(first.clone()))).unwrap().unwrap();
        assert!(with.left_out.is_empty());

        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join(INDEX), &with.index).unwrap();
        fs::write(copy.path().join(SECRETS), with.secrets.unwrap().as_bytes()).unwrap();
        check_files(copy.path()).unwrap();
        let ring = KeyRing::open(&Config { data_dir: copy.path().to_owned(), ..config }).unwrap();
        assert_eq!(ring.reveal("default").unwrap().expose(), first.expose());
        assert!(ring.pass(first.expose().as_bytes()).is_some());
    }
}
