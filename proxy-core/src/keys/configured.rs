//! The id of the operator's own key.
//!
//! The text of that key is only in the configuration, and only the text distinguishes such keys. Data about a key
//! is stored by its id, so another text needs another id: a new key must not get the data of the old one. The id
//! is random: an id made from the text would allow everyone who sees it to check a guess. With the id, the file
//! holds a salted scrypt hash of the text, which shows at the next start whether the key is still the same. A
//! plain hash is not enough: operators choose keys that can be guessed, and backups contain this file.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::error::KeyRingError;
use super::hex;
use crate::secret::{ApiKey, KeyId};

/// The number of keys that are remembered, the latest first. The command line may be started with another key than
/// the service, and this must not give the service's key a new id.
pub(super) const REMEMBERED: usize = 4;

/// The cost of a hash: 16 MiB and some 40 ms. Other values would give every configured key a new id.
const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;

/// One key from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfiguredKey {
    pub(super) id: KeyId,
    #[serde(with = "hex")]
    salt: [u8; 16],
    #[serde(with = "hex")]
    scrypt: [u8; 32],
}

impl ConfiguredKey {
    fn new(key: &ApiKey) -> Result<Self, KeyRingError> {
        let id = KeyId::generate().map_err(KeyRingError::Random)?;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(KeyRingError::Random)?;
        Ok(Self { id, salt, scrypt: hash(key, &salt)? })
    }

    fn is(&self, key: &ApiKey) -> Result<bool, KeyRingError> {
        Ok(hash(key, &self.salt)?.ct_eq(&self.scrypt).into())
    }
}

/// The id of `key`: its earlier one, if it is among the `known`, else a new one. Moves it to the front of the
/// `known`.
pub(super) fn identify(known: &mut Vec<ConfiguredKey>, key: &ApiKey) -> Result<KeyId, KeyRingError> {
    let mut found = None;
    for (at, other) in known.iter().enumerate() {
        if other.is(key)? {
            found = Some(at);
            break;
        }
    }
    let configured = match found {
        Some(at) => known.remove(at),
        None => ConfiguredKey::new(key)?,
    };
    let id = configured.id.clone();
    known.insert(0, configured);
    known.truncate(REMEMBERED);
    Ok(id)
}

fn hash(key: &ApiKey, salt: &[u8; 16]) -> Result<[u8; 32], KeyRingError> {
    let failed = |reason: &dyn std::fmt::Display| KeyRingError::Failed(reason.to_string());
    let mut out = [0; 32];
    let params = scrypt::Params::new(LOG_N, R, P, out.len()).map_err(|error| failed(&error))?;
    scrypt::scrypt(key.expose().as_bytes(), salt, &params, &mut out).map_err(|error| failed(&error))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_id_and_another_has_another() {
        let key = |text: &str| ApiKey::parse(text).unwrap();
        let mut known = Vec::new();
        let one = identify(&mut known, &key("operators-key")).unwrap();
        assert_eq!(identify(&mut known, &key("operators-key")).unwrap(), one);
        let two = identify(&mut known, &key("operators-key2")).unwrap();
        assert_ne!(one, two);
        assert_eq!(identify(&mut known, &key("operators-key")).unwrap(), one, "it is remembered");
        assert_eq!(known.len(), 2);

        let text = serde_json::to_string(&known).unwrap();
        assert!(!text.contains("operators"), "{text}");
        assert_eq!(serde_json::from_str::<Vec<ConfiguredKey>>(&text).unwrap(), known);
        for number in 0..REMEMBERED {
            identify(&mut known, &key(&format!("another-key-{number}"))).unwrap();
        }
        assert_eq!(known.len(), REMEMBERED);
        assert_ne!(
            identify(&mut known, &key("operators-key")).unwrap(),
            one,
            "only the latest are remembered"
        );
    }

    #[test]
    fn two_installations_share_neither_id_nor_hash() {
        let key = ApiKey::parse("operators-key").unwrap();
        let (one, other) = (ConfiguredKey::new(&key).unwrap(), ConfiguredKey::new(&key).unwrap());
        assert_ne!((one.id, one.scrypt), (other.id, other.scrypt));
    }
}
