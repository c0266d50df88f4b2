//! `/control/keys`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::ApiKey;

words! {
    /// Where the text of a new key goes.
    KeyStore {
        /// The operating system's keychain.
        Keychain = "keychain",
        /// A file that only its owner can read.
        File = "file",
    }
}

words! {
    /// Where the text of a key lies.
    KeyPlace {
        /// The operating system's keychain.
        Keychain = "keychain",
        /// A file that only its owner can read.
        File = "file",
        /// The operator's configuration.
        Configuration = "configuration",
    }
}

/// The answer of `GET /control/keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct KeyList {
    /// Where the text of a new key goes.
    pub store: KeyStore,
    /// What a person should know about the keys, in sentences: why they are not in the keychain, for instance.
    pub warning: Option<String>,
    /// The keys, the operator's own first, then the oldest.
    pub keys: Vec<Key>,
}

/// An API key, without its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Key {
    /// Its name for programs; it never changes.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is accepted, unless it is overridden.
    pub enabled: bool,
    /// When it was made; the configuration does not tell.
    pub created_at: Option<u64>,
    /// When a request last showed it.
    pub last_used_at: Option<u64>,
    /// Where its text lies.
    pub secret_in: KeyPlace,
    /// Whether it is not accepted because the operator's own key takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overridden: bool,
}

/// A key that was made or changed, and what did not go quite as it should.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ChangedKey {
    /// The key as it is now.
    #[serde(flatten)]
    pub key: Key,
    /// What is left to be done, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// The answer of `DELETE /control/keys/{key}` if not all of the key is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct DeletedKey {
    /// What is left to be done, in a sentence.
    pub warning: Option<String>,
}

/// The answer of `POST /control/keys/{key}/reveal`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RevealedKey {
    /// The key's text.
    #[serde(serialize_with = "expose", deserialize_with = "hide")]
    #[cfg_attr(test, ts(type = "string"))]
    pub secret: ApiKey,
}

/// The body of `POST /control/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// Its name for people.
    pub name: String,
}

/// The body of `PATCH /control/keys/{key}`: what is to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct UpdateKey {
    /// Its new name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is accepted from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// The body of `POST /control/keys/migrate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct MigrateKeys {
    /// Where the texts of all keys go.
    pub to: KeyDestination,
}

/// Where the texts of all keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
pub enum KeyDestination {
    /// The operating system's keychain.
    Keychain,
    /// A file that only its owner can read.
    File,
}

fn expose<S: Serializer>(key: &ApiKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose())
}

fn hide<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ApiKey, D::Error> {
    ApiKey::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}
