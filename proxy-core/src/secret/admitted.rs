//! The key of an admitted request: its id and its name. Neither is secret.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// The id of an API key. It never changes, even if the key is renamed, and no later key has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyId(Arc<str>);

/// Why a text is not a key's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is `key_` and at most 60 letters, digits and underscores")]
pub struct InvalidKeyId;

impl KeyId {
    /// The prefix of every id. No key's name begins with it.
    pub const PREFIX: &'static str = "key_";
    /// The most bytes.
    const MOST: usize = 64;

    /// Accepts `text` if it has the form of an id.
    ///
    /// # Errors
    /// When it does not have this form.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyId> {
        let rest = text.strip_prefix(Self::PREFIX).filter(|_| text.len() <= Self::MOST);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        match rest {
            Some(rest) if !rest.is_empty() && rest.bytes().all(plain) => Ok(Self(text.into())),
            Some(_) | None => Err(InvalidKeyId),
        }
    }

    /// Makes a new id of 64 random bits.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(|number| Self(format!("{}{number:016x}", Self::PREFIX).into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidKeyId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The name of an API key. A user chooses it and may change it; another key may have it later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyName(Arc<str>);

impl KeyName {
    /// Uses `name` unchanged.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of an admitted request, in the request's extensions.
///
/// Counts, limits and stored data of a key are kept by its id. The name is only shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AdmittedKey {
    /// The key's id.
    pub id: KeyId,
    /// The key's name when the request came.
    pub name: KeyName,
}

impl AdmittedKey {
    /// Replaces a key's name for requests of the window.
    pub const WINDOW: &str = "window";

    /// The key of a test.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self { id: KeyId::parse(&format!("{}{name}", KeyId::PREFIX)).unwrap(), name: KeyName::new(name) }
    }

    /// The identity for requests of the window. The window uses the control token and has no API key.
    pub fn window() -> Self {
        Self { id: KeyId("key_window".into()), name: KeyName::new(Self::WINDOW) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_a_form_that_no_name_has() {
        let long = format!("key_{}", "x".repeat(61));
        for text in ["", "key_", "default", "KEY_1", "key_a-b", "key_a b", "key_ü", &long] {
            assert_eq!(KeyId::parse(text), Err(InvalidKeyId), "{text}");
        }
        let window = AdmittedKey::window().id;
        for id in [KeyId::generate().unwrap(), window, KeyId::parse(&long[..64]).unwrap()] {
            assert_eq!(KeyId::parse(id.as_str()), Ok(id.clone()));
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(text, format!("\"{id}\""));
            assert_eq!(serde_json::from_str::<KeyId>(&text).unwrap(), id);
        }
        assert!(serde_json::from_str::<KeyId>("\"default\"").is_err());
        assert_ne!(KeyId::generate().unwrap(), KeyId::generate().unwrap());
    }
}
