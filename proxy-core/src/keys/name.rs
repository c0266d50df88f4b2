//! The names of keys. They appear in logs, in usage tables and in URLs.

use std::borrow::Cow;

use crate::secret::KeyId;
use crate::secret::redact::redact;

/// The name of the operator's own key.
pub const CONFIGURED: &str = "PROXY_API_KEY";
/// The name of the key that is made at the first start.
pub const DEFAULT: &str = "default";
/// The most characters of a name.
const MOST: usize = 64;

/// Why a text cannot be the name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyName {
    /// The text is empty or too long.
    #[error("a name has 1 to 64 characters")]
    Length,
    /// The text has a character that misleads people, or that is syntax in other programs.
    #[error("a name holds letters, digits, single spaces and the characters . _ - @ + ( )")]
    Character,
    /// The first or last character of the text is easily lost.
    #[error("a name starts and ends with a letter or a digit")]
    Ends,
    /// The text could be an id.
    #[error("a name does not start with `key_`, as ids do")]
    LikeAnId,
    /// The text is the name of something else.
    #[error("that name has a meaning of its own")]
    Reserved,
    /// The text could be a secret.
    #[error("that looks like a key, a password or an e-mail address; names are shown and logged")]
    LikeASecret,
}

/// Whether `name` can be the name of an existing key.
pub(super) fn check(name: &str) -> Result<(), InvalidKeyName> {
    let fit = |c: char| c.is_alphanumeric() || "._-@+() ".contains(c);
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == ')');
    if name.is_empty() || name.chars().count() > MOST {
        return Err(InvalidKeyName::Length);
    }
    if !name.chars().all(fit) || name.contains("  ") {
        return Err(InvalidKeyName::Character);
    }
    if !name.starts_with(char::is_alphanumeric) || !ends(name.chars().next_back()) {
        return Err(InvalidKeyName::Ends);
    }
    if name.to_ascii_lowercase().starts_with(KeyId::PREFIX) {
        return Err(InvalidKeyName::LikeAnId);
    }
    if same(name, CONFIGURED) || same(name, "migrate") {
        return Err(InvalidKeyName::Reserved);
    }
    Ok(())
}

/// Whether `name` can be the name of a new key: names are shown, logged and recorded.
pub(super) fn check_new(name: &str) -> Result<(), InvalidKeyName> {
    check(name)?;
    match redact(name) {
        Cow::Borrowed(_) => Ok(()),
        Cow::Owned(_) => Err(InvalidKeyName::LikeASecret),
    }
}

/// Whether two names look the same to people.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_for_people_are_fit() {
        let long = "x".repeat(MOST);
        for name in
            ["default", "Obsidian (phone)", "laptop-2", "a", "Büro", "手机", "me@home", "v1.2_b", &long]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_misleads_or_breaks_things_is_not() {
        let long = "x".repeat(MOST + 1);
        let cases = [
            "",
            " ",
            " a",
            "a ",
            "a  b",
            "a\n",
            "a\0",
            "a/b",
            "../a",
            "=1+1",
            "-a",
            "@a",
            "a\u{202e}b",
            "a\"b",
            "<b>",
            "key_12",
            "KEY_12",
            "proxy_api_key",
            "PROXY_API_KEY",
            "Migrate",
            "a,b",
            &long,
        ];
        for name in cases {
            assert!(check(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_is_secret_is_no_new_name() {
        let key = format!("cp-{}", "A".repeat(43));
        for name in [&*key, "me@example.com", "sk-proj-0123456789"] {
            // An existing name is kept.
            assert_eq!(check(name), Ok(()), "{name}");
            assert!(check_new(name).is_err(), "{name}");
        }
        assert_eq!(check_new("me@home"), Ok(()));
    }

    proptest! {
        #[test]
        fn a_fit_name_is_one_line_that_shows_what_it_is(name in "\\PC{0,70}|.{0,70}") {
            if check(&name).is_ok() {
                prop_assert!(!name.is_empty() && name.chars().count() <= MOST);
                prop_assert!(!name.chars().any(char::is_control) && name.trim() == name);
                prop_assert!(same(&name, &name.to_uppercase().to_lowercase()) || !name.is_ascii());
            }
            prop_assert!(check_new(&name).is_err() || check(&name).is_ok());
        }
    }
}
