//! Secrets: values that can be compared and passed on, but not printed. And the keys that they belong to.

mod admitted;
pub mod redact;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use subtle::ConstantTimeEq as _;

pub use admitted::{AdmittedKey, InvalidKeyId, KeyId, KeyName};

/// The key in the documentation of earlier proxies. It is publicly known, so it protects nothing.
pub const PUBLICLY_KNOWN_KEY: &str = "codex-local-secret";

/// Texts that examples use in place of a key.
const PLACEHOLDERS: [&str; 8] = [
    "changeme",
    "change-me",
    "change_me",
    "replace-me",
    "replace-with",
    "your-api-key",
    "your_api_key",
    "your-key",
];

/// The key that allows a client to use the proxy.
///
/// It has no `Display`, its `Debug` hides the value, its memory is wiped when the last clone is dropped, and
/// [`ApiKey::expose`] is the only way to its text.
#[derive(Clone)]
pub struct ApiKey(Arc<Inner>);

struct Inner {
    text: Arc<SecretString>,
    padded: SecretBox<[u8]>,
}

/// Why a text cannot be an API key. The message does not contain the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidApiKey {
    /// The text is too short, so it is easy to guess.
    #[error("a key has at least {min} characters, and this one has {0}", min = ApiKey::MIN_LEN)]
    TooShort(usize),
    /// The text is longer than the longest that is compared.
    #[error("a key has at most {max} characters, and this one has {0}", max = ApiKey::MAX_LEN)]
    TooLong(usize),
    /// The text has a character that an `Authorization` header cannot carry, or that is easily lost in copying.
    #[error("a key holds only printable ASCII characters and no spaces")]
    Character,
}

impl ApiKey {
    /// The fewest characters.
    pub const MIN_LEN: usize = 8;
    /// The most characters.
    pub const MAX_LEN: usize = 512;

    /// Accepts `text` as a key if it is printable ASCII without spaces and of a valid length.
    pub fn parse(text: &str) -> Result<Self, InvalidApiKey> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidApiKey::Character);
        }
        if text.len() < Self::MIN_LEN {
            return Err(InvalidApiKey::TooShort(text.len()));
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidApiKey::TooLong(text.len()));
        }
        Ok(Self::from_valid(text))
    }

    /// Makes a new key of 256 random bits from the operating system.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut_slice())?;
        let text = Zeroizing::new(format!("cp-{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())));
        Ok(Self::from_valid(&text))
    }

    /// Whether `candidate` is this key. The time of the comparison reveals nothing about the key, not even its
    /// length.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let length = candidate.len().min(Self::MAX_LEN);
        let mut padded = [0_u8; Self::MAX_LEN];
        padded[..length].copy_from_slice(&candidate[..length]);
        let same_bytes = padded.as_slice().ct_eq(self.0.padded.expose_secret());
        let same_length = candidate.len().ct_eq(&self.0.text.expose_secret().len());
        (same_bytes & same_length).into()
    }

    /// Whether this is [`PUBLICLY_KNOWN_KEY`].
    pub fn is_publicly_known(&self) -> bool {
        self.matches(PUBLICLY_KNOWN_KEY.as_bytes())
    }

    /// Why this key does not protect the proxy, as a text that follows the key's name; `None` if it does.
    ///
    /// If only loopback can reach the proxy, a key that is easy to remember is enough.
    pub fn weakness(&self) -> Option<&'static str> {
        let text = self.expose();
        let low = text.to_ascii_lowercase();
        let kinds = text.bytes().collect::<std::collections::BTreeSet<_>>().len();
        let is_placeholder = PLACEHOLDERS.iter().any(|placeholder| low.contains(placeholder));
        let is_counted = text.as_bytes().windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) <= 1);
        if low.contains(PUBLICLY_KNOWN_KEY) {
            Some("is the key of public documentation, which anyone knows")
        } else if is_placeholder {
            Some("is a placeholder, which anyone can guess")
        } else if text.len() < Self::LEAST_EXPOSED {
            Some("is shorter than 16 characters, which can be guessed")
        } else if kinds < 6 || is_counted {
            Some("repeats itself or counts, which can be guessed")
        } else {
            None
        }
    }

    /// The fewest characters of a key that other machines can try.
    const LEAST_EXPOSED: usize = 16;

    /// The text of the key. The caller is responsible for where it is sent.
    pub fn expose(&self) -> &str {
        self.0.text.expose_secret()
    }

    fn from_valid(text: &str) -> Self {
        let mut padded = vec![0; Self::MAX_LEN].into_boxed_slice();
        padded[..text.len()].copy_from_slice(text.as_bytes());
        let text = Arc::new(SecretString::from(text));
        redact::register(&text);
        Self(Arc::new(Inner { text, padded: SecretBox::new(padded) }))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_matches() {
        let key = ApiKey::parse("correct-horse").unwrap();
        let long = "x".repeat(ApiKey::MAX_LEN + 1);
        let cases: &[(&[u8], bool)] = &[
            (b"correct-horse", true),
            (b"", false),
            (b"correct-hors", false),
            (b"correct-horse\0", false),
            (b"correct-horse ", false),
            (b"Correct-horse", false),
            (b"correct-horsecorrect-horse", false),
            (long.as_bytes(), false),
        ];
        for (candidate, expected) in cases {
            assert_eq!(key.matches(candidate), *expected, "{}", candidate.escape_ascii());
        }
    }

    #[test]
    fn a_key_of_the_greatest_length_is_compared_to_its_last_byte() {
        let text = "k".repeat(ApiKey::MAX_LEN);
        let key = ApiKey::parse(&text).unwrap();
        assert!(key.matches(text.as_bytes()));
        assert!(!key.matches(format!("{text}k").as_bytes()));
        assert!(!key.matches(format!("{}j", &text[1..]).as_bytes()));
    }

    #[test]
    fn unfit_texts_are_refused() {
        let long = "x".repeat(ApiKey::MAX_LEN + 1);
        let cases = [
            ("", InvalidApiKey::TooShort(0)),
            ("1234567", InvalidApiKey::TooShort(7)),
            ("has a space", InvalidApiKey::Character),
            ("ends-with-newline\n", InvalidApiKey::Character),
            ("schlüssel-schlüssel", InvalidApiKey::Character),
            (&long, InvalidApiKey::TooLong(513)),
        ];
        for (text, expected) in cases {
            assert_eq!(ApiKey::parse(text).map(|_| ()), Err(expected), "{text:?}");
        }
        assert!(ApiKey::parse("12345678").is_ok());
    }

    #[test]
    fn debug_hides_the_key() {
        let key = ApiKey::parse("do-not-print-me").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(***)");
        assert_eq!(format!("{:#?}", Some(&key)), "Some(\n    ApiKey(***),\n)");
    }

    #[test]
    fn generated_keys_are_long_valid_and_different() {
        let (one, two) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        assert!(one.expose().starts_with("cp-"));
        assert_eq!(one.expose().len(), 3 + 43);
        assert!(ApiKey::parse(one.expose()).is_ok());
        assert!(!one.matches(two.expose().as_bytes()));
    }

    #[test]
    fn a_key_that_can_be_guessed_is_weak() {
        for (key, part) in [
            ("codex-local-secret", "documentation"),
            ("Codex-Local-Secret-2", "documentation"),
            ("please-changeme-now-1234", "placeholder"),
            ("YOUR-API-KEY-HERE-0123", "placeholder"),
            ("correct-horse15", "16 characters"),
            ("abcabcabcabcabcabc", "repeats"),
            ("0123456789:;<=>?@A", "counts"),
        ] {
            let weakness = ApiKey::parse(key).unwrap().weakness();
            assert!(weakness.is_some_and(|weakness| weakness.contains(part)), "{key}: {weakness:?}");
        }
        for key in ["correct-horse-16", "5f2b8c1d9e0a7f63b4"] {
            assert_eq!(ApiKey::parse(key).unwrap().weakness(), None, "{key}");
        }
        assert_eq!(ApiKey::generate().unwrap().weakness(), None);
    }

    #[test]
    fn the_publicly_known_key_is_recognised() {
        assert!(ApiKey::parse(PUBLICLY_KNOWN_KEY).unwrap().is_publicly_known());
        assert!(!ApiKey::parse("codex-local-secret2").unwrap().is_publicly_known());
    }
}
