//! The file of secrets, for keys that are in no keychain: one line for each, with its name and its text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use super::MOST_KEYS;
use super::error::KeyRingError;
use super::private;
use crate::secret::ApiKey;

const HEADER: &str = "# The API keys of Codex Proxy that no keychain keeps. Version 1.";
const MOST_BYTES: usize = 2 * MOST_KEYS * (ApiKey::MAX_LEN + 80);

/// The file of secrets. A key's text is ASCII without spaces, so lines are enough as a syntax.
#[derive(Debug, Clone)]
pub(super) struct SecretsFile(PathBuf);

impl SecretsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// The secret of this name.
    pub(super) fn get(&self, name: &str) -> Result<Option<ApiKey>, KeyRingError> {
        Ok(self.read()?.remove(name))
    }

    /// Adds a secret and reads it back.
    pub(super) fn put(&self, name: &str, secret: &ApiKey) -> Result<(), KeyRingError> {
        let mut secrets = self.read()?;
        secrets.insert(name.to_owned(), secret.clone());
        self.write(&secrets)?;
        let back = self.read()?.remove(name);
        if back.is_some_and(|back| secret.matches(back.expose().as_bytes())) {
            return Ok(());
        }
        let source = std::io::Error::other("it does not hold what was written");
        Err(KeyRingError::Write { file: self.0.clone(), source })
    }

    /// Keeps only the secrets with names that `keep` accepts. Removes the file if none is left.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) -> Result<(), KeyRingError> {
        let mut secrets = self.read()?;
        let before = secrets.len();
        secrets.retain(|name, _| keep(name));
        if secrets.is_empty() {
            return match std::fs::remove_file(&self.0) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(KeyRingError::Write { file: self.0.clone(), source: error })
                }
                Ok(()) | Err(_) => Ok(()),
            };
        }
        if secrets.len() == before { Ok(()) } else { self.write(&secrets) }
    }

    /// All secrets by their names.
    pub(super) fn read(&self) -> Result<BTreeMap<String, ApiKey>, KeyRingError> {
        let content = private::read(&self.0, MOST_BYTES);
        let content = content.map_err(|source| KeyRingError::Read { file: self.0.clone(), source })?;
        let Some(content) = content else { return Ok(BTreeMap::new()) };
        parse(&content).map_err(|reason| KeyRingError::BrokenSecrets { file: self.0.clone(), reason })
    }

    fn write(&self, secrets: &BTreeMap<String, ApiKey>) -> Result<(), KeyRingError> {
        let written = private::replace(&self.0, render(secrets).as_bytes());
        written.map_err(|source| KeyRingError::Write { file: self.0.clone(), source })
    }
}

/// The content of a file with these secrets.
pub(super) fn render(secrets: &BTreeMap<String, ApiKey>) -> Zeroizing<String> {
    let length = |(name, secret): (&String, &ApiKey)| name.len() + secret.expose().len() + 2;
    // The buffer has the right size from the start, so that it never grows and leaves no copy behind.
    let size = HEADER.len() + 1 + secrets.iter().map(length).sum::<usize>();
    let mut text = Zeroizing::new(String::with_capacity(size));
    text.push_str(HEADER);
    text.push('\n');
    for (name, secret) in secrets {
        text.extend([name.as_str(), " ", secret.expose(), "\n"]);
    }
    text
}

/// The error names a line, never its content.
fn parse(content: &[u8]) -> Result<BTreeMap<String, ApiKey>, String> {
    let text = str::from_utf8(content).map_err(|_| "it is not text".to_owned())?;
    let Some(lines) = text.strip_prefix(HEADER) else {
        return Err("its first line is not that of such a file".to_owned());
    };
    if !text.ends_with('\n') {
        return Err("its last line is cut off".to_owned());
    }
    let mut secrets = BTreeMap::new();
    for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let broken = |reason: String| format!("line {}: {reason}", number + 1);
        let (name, key) = line.split_once(' ').ok_or_else(|| broken("it is no name and key".to_owned()))?;
        let key = ApiKey::parse(key).map_err(|invalid| broken(invalid.to_string()))?;
        secrets.insert(name.to_owned(), key);
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn secrets_are_kept_until_they_are_let_go_and_the_file_goes_with_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let file = SecretsFile::new(directory.path().join("key-secrets"));
        assert!(file.get("a").unwrap().is_none());
        let (one, two) = (ApiKey::generate().unwrap(), ApiKey::parse(r#"own"key\\#1"#).unwrap());
        file.put("a", &one).unwrap();
        file.put("b", &two).unwrap();
        assert_eq!(file.get("a").unwrap().unwrap().expose(), one.expose());
        assert_eq!(file.get("b").unwrap().unwrap().expose(), two.expose());
        file.retain(|name| name == "b").unwrap();
        assert!(file.get("a").unwrap().is_none());
        file.retain(|_| false).unwrap();
        assert!(!file.exists());
        file.retain(|_| false).unwrap();
    }

    #[test]
    fn what_is_no_such_file_is_an_error_without_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let file = SecretsFile::new(directory.path().join("key-secrets"));
        for (content, expected) in [
            ("".to_owned(), "first line"),
            ("canary-canary\n".to_owned(), "first line"),
            (format!("{HEADER}\na canary-canary\nb"), "cut off"),
            (format!("{HEADER}\ncanary-canary\n"), "line 2: it is no name"),
            (format!("{HEADER}\na canary canary\n"), "line 2: a key holds only printable"),
        ] {
            fs::write(file.path(), &content).unwrap();
            let key = ApiKey::generate().unwrap();
            for error in [file.get("a").err(), file.put("c", &key).err(), file.retain(|_| true).err()] {
                let message = error.unwrap().to_string();
                assert!(message.contains(expected) && !message.contains("canary"), "{message}");
            }
            assert_eq!(fs::read_to_string(file.path()).unwrap(), content, "nothing is lost");
        }
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn whatever_is_read_is_secrets_or_an_error(
                content in prop::collection::vec(any::<u8>(), 0..200),
                lines in "[ a-z\r\n\u{80}-\u{ff}]{0,60}",
            ) {
                let _either = parse(&content);
                let _either = parse(format!("{HEADER}\n{lines}").as_bytes());
            }

            #[test]
            fn secrets_are_read_as_they_were_written_and_a_cut_file_never_as_others(
                texts in prop::collection::btree_map("[a-z0-9]{1,16}", "[!-~]{8,40}", 0..5),
                cut in any::<prop::sample::Index>(),
            ) {
                let key = |text: &String| ApiKey::parse(text).unwrap();
                let secrets: BTreeMap<String, ApiKey> =
                    texts.iter().map(|(name, text)| (name.clone(), key(text))).collect();
                let content = render(&secrets);
                let exposed = |secrets: BTreeMap<String, ApiKey>| -> BTreeMap<String, String> {
                    secrets.into_iter().map(|(name, key)| (name, key.expose().to_owned())).collect()
                };
                prop_assert_eq!(&exposed(parse(content.as_bytes()).unwrap()), &texts);
                let cut = &content.as_bytes()[..cut.index(content.len())];
                if let Ok(rest) = parse(cut) {
                    prop_assert!(exposed(rest).iter().all(|(name, text)| texts.get(name) == Some(text)));
                }
            }
        }
    }
}
