//! Finds the key in a request: the text is compared with every accepted key. Nothing here waits.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::hex;
use crate::secret::AdmittedKey;

/// The SHA-256 of a key. Keys are random, so it needs no salt and reveals nothing.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Fingerprint(#[serde(with = "hex")] [u8; 32]);

impl Fingerprint {
    pub(super) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(***)")
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::read(&text);
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("sha256 is not 64 hexadecimal digits"))
    }
}

/// When a key was last used, in seconds since the epoch; 0 means never.
#[derive(Debug, Clone, Default)]
pub(super) struct LastUse(Arc<AtomicU64>);

impl LastUse {
    pub(super) fn at(time: Option<u64>) -> Self {
        Self(Arc::new(AtomicU64::new(time.unwrap_or(0))))
    }

    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|time| *time > 0)
    }

    fn note(&self, now: u64) {
        self.0.fetch_max(now, Ordering::Relaxed);
    }
}

/// A key that is accepted.
#[derive(Debug, Clone)]
pub(super) struct Accepted {
    pub(super) key: AdmittedKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) last_use: LastUse,
}

/// The accepted keys.
#[derive(Debug, Default)]
pub(super) struct Verifier(RwLock<Arc<[Accepted]>>);

impl Verifier {
    /// Accepts exactly these keys from now on.
    pub(super) fn open_to(&self, accepted: Vec<Accepted>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = accepted.into();
    }

    /// The accepted key with the text `shown`, if there is one. `now` is in seconds since the epoch.
    ///
    /// Every key is compared completely, regardless of the other results, so that the time reveals nothing.
    pub(super) fn pass(&self, shown: &[u8], now: u64) -> Option<AdmittedKey> {
        self.pass_fingerprint(Fingerprint::of(shown), now)
    }

    /// The same for the fingerprint of a text.
    pub(super) fn pass_fingerprint(&self, shown: Fingerprint, now: u64) -> Option<AdmittedKey> {
        let accepted = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        // 0 means no key.
        let mut found = 0_u32;
        for (number, key) in (1_u32..).zip(accepted.iter()) {
            found.conditional_assign(&number, key.fingerprint.0.ct_eq(&shown.0));
        }
        let key = accepted.get(usize::try_from(found).ok()?.checked_sub(1)?)?;
        key.last_use.note(now);
        Some(key.key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{KeyId, KeyName};

    fn accepted(name: &str, key: &str) -> Accepted {
        Accepted {
            key: AdmittedKey { id: KeyId::parse(&format!("key_{name}")).unwrap(), name: KeyName::new(name) },
            fingerprint: Fingerprint::of(key.as_bytes()),
            last_use: LastUse::default(),
        }
    }

    #[test]
    fn each_key_passes_under_its_name_and_nothing_else_does() {
        let verifier = Verifier::default();
        assert!(verifier.pass(b"", 1).is_none(), "nobody passes before there are keys");
        verifier.open_to(vec![
            accepted("one", "key-one-1"),
            accepted("two", "key-two-2"),
            accepted("three", "k3"),
        ]);
        for (shown, expected) in [
            ("key-one-1", Some("one")),
            ("key-two-2", Some("two")),
            ("k3", Some("three")),
            ("", None),
            ("key-one-", None),
            ("key-one-11", None),
            ("KEY-ONE-1", None),
        ] {
            let passed = verifier.pass(shown.as_bytes(), 1);
            let ids =
                (passed.as_ref().map(|key| key.id.to_string()), expected.map(|name| format!("key_{name}")));
            assert_eq!(ids.0, ids.1, "{shown}");
            assert_eq!(passed.as_ref().map(|key| key.name.as_str()), expected, "{shown}");
        }
        verifier.open_to(Vec::new());
        assert!(verifier.pass(b"key-one-1", 1).is_none());
    }

    #[test]
    fn only_the_key_that_was_shown_is_marked_as_used_and_never_earlier() {
        let (verifier, one, two) = (Verifier::default(), accepted("one", "1"), accepted("two", "2"));
        verifier.open_to(vec![one.clone(), two.clone()]);
        verifier.pass(b"2", 50);
        verifier.pass(b"2", 40);
        verifier.pass(b"3", 60);
        assert_eq!((one.last_use.get(), two.last_use.get()), (None, Some(50)));
    }

    #[test]
    fn a_fingerprint_is_written_as_hex_and_read_again() {
        let text = serde_json::to_string(&Fingerprint::of(b"abc")).unwrap();
        assert_eq!(text, "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"");
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), Fingerprint::of(b"abc"));
        assert!(serde_json::from_str::<Fingerprint>("\"ba78\"").is_err());
        assert!(serde_json::from_str::<Fingerprint>(&text.replace('b', "é")).is_err());
    }
}
