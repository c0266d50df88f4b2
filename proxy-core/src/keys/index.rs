//! The facts about the keys without the keys themselves: the file `keys.json`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::MOST_KEYS;
use super::configured::{self, ConfiguredKey};
use super::error::KeyRingError;
use super::name;
use super::private;
use super::verifier::Fingerprint;
use crate::secret::{AdmittedKey, KeyId};

/// The newest version of the file format that this program reads and writes.
const VERSION: u32 = 1;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The place of a key's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretIn {
    /// The operating system's keychain.
    Keychain,
    /// A file that only its owner can read.
    File,
    /// The operator's configuration.
    Configuration,
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    version: u32,
    /// Distinguishes the entries of several data directories in one keychain.
    pub(super) installation: String,
    /// Whether the key of the first start has been made. If it is deleted, it is not made again.
    #[serde(default)]
    pub(super) default_made: bool,
    /// Whether a user has chosen the file instead of the keychain.
    #[serde(default)]
    pub(super) prefer_file: bool,
    pub(super) keys: Vec<Entry>,
    /// Names of secrets that must be removed from the keychain, or are being written to it.
    #[serde(default)]
    pub(super) leftovers: Vec<String>,
    /// The ids of the operator's own keys, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) configured: Vec<ConfiguredKey>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: KeyId,
    pub(super) name: String,
    pub(super) created_at: u64,
    #[serde(default)]
    pub(super) last_used_at: Option<u64>,
    pub(super) enabled: bool,
    pub(super) secret_in: SecretIn,
    /// The name of its text in its place; every text has a name of its own.
    pub(super) secret: String,
    pub(super) sha256: Fingerprint,
}

impl Index {
    /// An index without keys.
    pub(super) fn new(installation: String) -> Self {
        Self {
            version: VERSION,
            installation,
            default_made: false,
            prefer_file: false,
            keys: Vec::new(),
            leftovers: Vec::new(),
            configured: Vec::new(),
        }
    }

    /// The keychain's account name for the secret of this name.
    pub(super) fn account(&self, secret: &str) -> String {
        format!("{}/{secret}", self.installation)
    }

    /// The position of the key with this id, or else with this name.
    pub(super) fn position(&self, id_or_name: &str) -> Option<usize> {
        let by_id = self.keys.iter().position(|entry| entry.id.as_str() == id_or_name);
        by_id.or_else(|| self.keys.iter().position(|entry| name::same(&entry.name, id_or_name)))
    }

    fn check(&self) -> Result<(), String> {
        let plain = |text: &String| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if !plain(&self.installation) || !self.leftovers.iter().all(plain) {
            return Err("`installation` or `leftovers` holds what this program never writes".to_owned());
        }
        if self.keys.len() > MOST_KEYS {
            return Err(format!("it lists more than {MOST_KEYS} keys"));
        }
        if self.configured.len() > configured::REMEMBERED {
            return Err("`configured` holds what this program never writes".to_owned());
        }
        let (mut ids, mut names) = (HashSet::new(), HashSet::new());
        // A key in the list must not have the id of another kind of key.
        let taken = self.configured.iter().map(|key| key.id.clone()).chain([AdmittedKey::window().id]);
        if !taken.into_iter().all(|id| ids.insert(id)) {
            return Err("`configured` lists an id more than once".to_owned());
        }
        for entry in &self.keys {
            name::check(&entry.name)
                .map_err(|reason| format!("the name `{}`: {reason}", entry.name.escape_debug()))?;
            if !plain(&entry.secret) || entry.secret_in == SecretIn::Configuration {
                return Err(format!("the key `{}` has an entry that this program never writes", entry.name));
            }
            if !ids.insert(entry.id.clone()) || !names.insert(entry.name.to_lowercase()) {
                return Err(format!("it lists the key `{}` more than once", entry.name));
            }
        }
        Ok(())
    }
}

/// The file, and its content when it was last read or written.
pub(super) struct IndexFile {
    path: PathBuf,
    last: Option<Vec<u8>>,
}

impl IndexFile {
    /// Reads the file if there is one.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Option<Index>), KeyRingError> {
        let content = read(&path)?;
        let index = content.as_deref().map(|content| parse(&path, content)).transpose()?;
        Ok((Self { path, last: content }, index))
    }

    /// Replaces the file by `index`, unless another program has changed the file in the meantime.
    pub(super) fn save(&mut self, index: &Index) -> Result<(), KeyRingError> {
        let found = read(&self.path)?;
        if found.is_some() && found != self.last {
            return Err(KeyRingError::ChangedOutside(self.path.clone()));
        }
        let write_error = |source| KeyRingError::Write { file: self.path.clone(), source };
        let mut content = serde_json::to_vec_pretty(index).map_err(|error| write_error(error.into()))?;
        content.push(b'\n');
        private::replace(&self.path, &content).map_err(write_error)?;
        self.last = Some(content);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, KeyRingError> {
    let content = private::read(path, MOST_BYTES);
    let content = content.map_err(|source| KeyRingError::Read { file: path.to_owned(), source })?;
    Ok(content.map(|content| content.to_vec()))
}

fn parse(path: &Path, content: &[u8]) -> Result<Index, KeyRingError> {
    /// The members that every version of the file has.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let broken = |reason: String| KeyRingError::BrokenIndex { file: path.to_owned(), reason };
    let Versioned { version } = serde_json::from_slice(content).map_err(|error| broken(error.to_string()))?;
    if version != VERSION {
        return Err(broken(format!("it is of version {version}, and this program reads version {VERSION}")));
    }
    let index: Index = serde_json::from_slice(content).map_err(|error| broken(error.to_string()))?;
    index.check().map_err(broken)?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(id: &str, name: &str) -> Entry {
        Entry {
            id: KeyId::parse(id).unwrap(),
            name: name.to_owned(),
            created_at: 1,
            last_used_at: None,
            enabled: true,
            secret_in: SecretIn::File,
            secret: format!("s{id}"),
            sha256: Fingerprint::of(name.as_bytes()),
        }
    }

    #[test]
    fn what_is_saved_is_what_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let (mut file, none) = IndexFile::open(path.clone()).unwrap();
        assert!(none.is_none());
        let mut index = Index::new("abc".to_owned());
        index.keys.push(entry("key_1", "default"));
        file.save(&index).unwrap();
        index.keys.push(entry("key_2", "Büro, Laptop 2".replace(',', "").as_str()));
        file.save(&index).unwrap();
        assert_eq!(IndexFile::open(path).unwrap().1, Some(index));
    }

    #[test]
    fn a_change_from_outside_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let (mut file, _) = IndexFile::open(path.clone()).unwrap();
        let index = Index::new("abc".to_owned());
        file.save(&index).unwrap();
        fs::write(&path, "mine").unwrap();
        let error = file.save(&index).unwrap_err();
        assert!(matches!(error, KeyRingError::ChangedOutside(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
        file.save(&index).unwrap();
    }

    #[test]
    fn what_is_no_index_is_a_precise_error_and_left_alone() {
        let good = |keys: &str| format!(r#"{{"version":1,"installation":"abc","keys":[{keys}]}}"#);
        let key = |id: &str, name: &str| {
            let sha = "0".repeat(64);
            format!(
                r#"{{"id":"{id}","name":"{name}","created_at":1,"enabled":true,"secret_in":"file","secret":"s","sha256":"{sha}"}}"#
            )
        };
        let cases: &[(&str, &str)] = &[
            ("", "EOF while parsing"),
            (r#"{"version":1,"installation":"abc","keys":[{"id":"key_"#, "EOF while parsing"),
            ("[]", "invalid"),
            (r#"{"name":"another program's"}"#, "missing field `version`"),
            (r#"{"version":2,"keys":{}}"#, "it is of version 2, and this program reads version 1"),
            (r#"{"version":1,"installation":"abc","keys":[],"more":1}"#, "unknown field `more`"),
            (r#"{"version":1,"installation":"../x","keys":[]}"#, "`installation`"),
            (&good(&format!("{},{}", key("key_1", "a"), key("key_2", "A"))), "the key `A` more than once"),
            (&good(&key("key_1", "a\\u0007")), "the name"),
            (&good(&key("key_1", "a").replace("0000", "zzzz")), "64 hexadecimal digits"),
            (&good(&key("key_1", "a").replace("\"file\"", "\"configuration\"")), "never writes"),
        ];
        for (content, expected) in cases {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("keys.json");
            fs::write(&path, content).unwrap();
            let message = IndexFile::open(path.clone()).err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("keys.json"), "{message}");
            assert_eq!(fs::read_to_string(&path).unwrap(), *content);
        }
        assert!(parse(Path::new("f"), good(&key("key_1", "a")).as_bytes()).is_ok());
    }

    mod properties {
        use proptest::prelude::*;
        use serde_json::{Value, json};

        use super::*;

        fn any_entry() -> impl Strategy<Value = Entry> {
            let place = prop_oneof![Just(SecretIn::File), Just(SecretIn::Keychain)];
            let ids = ("[a-z0-9]{1,16}", "[a-zA-Z0-9üß手](.{0,20}[a-z0-9)])?", "[a-z0-9_]{1,64}");
            (ids, any::<(u64, Option<u64>, bool, [u8; 8])>(), place).prop_map(
                |((id, name, secret), (created_at, last_used_at, enabled, text), secret_in)| Entry {
                    id: KeyId::parse(&format!("key_{id}")).unwrap(),
                    name,
                    created_at,
                    last_used_at,
                    enabled,
                    secret_in,
                    secret,
                    sha256: Fingerprint::of(&text),
                },
            )
        }

        fn any_configured() -> impl Strategy<Value = Value> {
            ("[a-c0-9]{1,2}", any::<([u8; 16], [u8; 32])>()).prop_map(|(id, (salt, scrypt))| {
                let hex =
                    |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
                json!({"id": format!("key_{id}"), "salt": hex(&salt), "scrypt": hex(&scrypt)})
            })
        }

        fn configured(entries: &[Value]) -> Vec<ConfiguredKey> {
            entries.iter().map(|entry| serde_json::from_value(entry.clone()).unwrap()).collect()
        }

        prop_compose! {
            fn any_index()(
                installation in "[a-z0-9_]{1,64}",
                default_made in any::<bool>(),
                prefer_file in any::<bool>(),
                keys in prop::collection::vec(any_entry(), 0..6),
                leftovers in prop::collection::vec("[a-z0-9_]{1,64}", 0..4),
                entries in prop::collection::vec(any_configured(), 0..=configured::REMEMBERED + 1),
            ) -> Index {
                let configured = configured(&entries);
                Index { default_made, prefer_file, keys, leftovers, configured, ..Index::new(installation) }
            }
        }

        proptest! {
            #[test]
            fn whatever_is_read_is_an_index_or_an_error(content in prop::collection::vec(any::<u8>(), 0..300)) {
                let _either = parse(Path::new("f"), &content);
            }

            #[test]
            fn an_index_is_read_as_it_was_written_or_refused(index in any_index()) {
                let text = serde_json::to_vec_pretty(&index).unwrap();
                match (parse(Path::new("f"), &text), index.check()) {
                    (Ok(read), Ok(())) => prop_assert_eq!(read, index),
                    (Err(_), Err(_)) => {}
                    (read, check) => prop_assert!(false, "{:?} {:?}", read.map(drop), check),
                }
            }

            #[test]
            fn what_was_configured_is_read_back_or_its_damage_is_told(
                entries in prop::collection::vec(any_configured(), 1..=configured::REMEMBERED + 1),
                at in any::<prop::sample::Index>(),
                field in prop::sample::select(vec!["id", "salt", "scrypt"]),
                wrong in prop_oneof![Just(json!(null)), Just(json!([1])), "[a-f0-9]{0,31}[g-z]?".prop_map(Value::from)],
            ) {
                let file = |entries: &[Value]| {
                    json!({"version": VERSION, "installation": "abc", "keys": [], "configured": entries}).to_string()
                };
                let text = file(&entries);
                let ids: HashSet<String> = entries.iter().map(|entry| entry["id"].to_string()).collect();
                let fits = entries.len() <= configured::REMEMBERED && ids.len() == entries.len();
                match parse(Path::new("keys.json"), text.as_bytes()) {
                    Ok(index) => {
                        prop_assert!(fits, "{}", text);
                        prop_assert_eq!(&index.configured, &configured(&entries));
                        let again = serde_json::to_vec_pretty(&index).unwrap();
                        prop_assert_eq!(parse(Path::new("keys.json"), &again).unwrap(), index);
                    }
                    Err(error) => {
                        prop_assert!(!fits, "{}: {}", error, text);
                        prop_assert!(error.to_string().contains("`configured`"), "{}", error);
                    }
                }
                let mut damaged = entries.clone();
                damaged[at.index(entries.len())][field] = wrong;
                let cut = &text[..at.index(text.len())];
                for damaged in [file(&damaged).as_str(), cut] {
                    let error = parse(Path::new("keys.json"), damaged.as_bytes()).err().map(|error| error.to_string());
                    prop_assert!(error.is_some_and(|error| error.contains("keys.json")), "{}", damaged);
                }
            }

            #[test]
            fn an_index_with_a_damaged_place_is_an_index_or_an_error(
                index in any_index(),
                at in any::<prop::sample::Index>(),
                byte in any::<u8>(),
            ) {
                let mut text = serde_json::to_vec(&index).unwrap();
                let at = at.index(text.len());
                text[at] = byte;
                let _either = parse(Path::new("f"), &text);
                let _either = parse(Path::new("f"), &text[..at]);
            }
        }
    }
}
