//! The problems of a configuration, and the search for similar names.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use strsim::osa_distance;

/// The advice for a container.
const CONTAINER: &str = "; in a container whose ports are published on the host's loopback address only, such as \
                         `-p 127.0.0.1:11435:11435`, set PROXY_PUBLISHED_ON_LOOPBACK=true";

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value that is not allowed.
    #[error("{name} is `{}`, but must be {allowed}", shown(value))]
    Value {
        /// Where the value was set.
        name: String,
        /// The value as it was given.
        value: String,
        /// The allowed values.
        allowed: String,
    },
    /// A secret that is not allowed.
    #[error(
        "{name} has a value that is not allowed (it is a secret, so it is not shown); it must be {allowed}"
    )]
    SecretValue {
        /// Where the value was set.
        name: String,
        /// The allowed values.
        allowed: String,
    },
    /// A value that is not text.
    #[error("{name} is not valid UTF-8; it must be {allowed}")]
    NotUtf8 {
        /// Where the value was set.
        name: String,
        /// The allowed values.
        allowed: String,
    },
    /// A flag without a value.
    #[error("{name} is empty; leave it out, or give {allowed}")]
    EmptyFlag {
        /// The flag, with its dashes.
        name: String,
        /// The allowed values.
        allowed: String,
    },
    /// A key in the file that is not a setting.
    #[error("{}: `{key}` is not a setting{hint}", file.display())]
    UnknownKey {
        /// The configuration file.
        file: PathBuf,
        /// The key as it is in the file.
        key: String,
        /// The most similar setting, if there is one.
        hint: Hint,
    },
    /// A file that cannot be read.
    #[error("cannot read the configuration file {}: {reason}", file.display())]
    Unreadable {
        /// The configuration file.
        file: PathBuf,
        /// The message of the system.
        reason: String,
    },
    /// A file that is not TOML.
    #[error("the configuration file {} is not valid TOML: line {line}: {reason}", file.display())]
    NotToml {
        /// The configuration file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The message of the parser.
        reason: String,
    },
    /// Other machines could use the proxy, and the operator has not set a key.
    #[error(
        "PROXY_HOST is {0}, which other machines may reach, but no key of your own is set: set PROXY_API_KEY to a \
         long random value (`openssl rand -hex 32` makes one), or leave PROXY_HOST at 127.0.0.1{CONTAINER}"
    )]
    OpenToOthers(IpAddr),
    /// Other machines could use the proxy with a key that can be guessed.
    #[error(
        "PROXY_HOST is {host}, which other machines may reach, but PROXY_API_KEY {weakness}: set it to a long random \
         value (`openssl rand -hex 32` makes one), or leave PROXY_HOST at 127.0.0.1"
    )]
    WeakKey {
        /// The address to listen on.
        host: IpAddr,
        /// The weakness of the key.
        weakness: &'static str,
    },
    /// Other machines could sign the proxy in.
    #[error(
        "PROXY_LOGIN_HOST is {0}, which other machines may reach, and the sign-in pages ask for no key, so other \
         people could sign this proxy in to their account: leave PROXY_LOGIN_HOST at 127.0.0.1, and sign in from elsewhere \
         with `codex-proxy login --device-code`{CONTAINER}"
    )]
    OpenSignIn(IpAddr),
    /// The platform has no directory for the proxy's files.
    #[error("this user has no home directory for the data; set PROXY_DATA_DIR")]
    NoDataDir,
    /// The platform's directory for the proxy's files is not valid UTF-8.
    #[error("the path {} is not valid UTF-8; set PROXY_DATA_DIR to one that is", .0.display())]
    PathNotUtf8(PathBuf),
}

/// The setting that a wrong name probably means, as an addition to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint(pub Option<&'static str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "; did you mean `{name}`?"),
            None => f.write_str("; `codex-proxy config --help` lists them all"),
        }
    }
}

/// All problems of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration has a problem:\n  {one}"),
            many => {
                write!(f, "the configuration has {} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

/// The one of `names` that `wrong` probably means.
pub(super) fn similar(wrong: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let wrong = plain(wrong);
    names
        // The edit distance: inserted, deleted, replaced or swapped letters.
        .map(|name| (osa_distance(&wrong, &plain(name)), name))
        .filter(|(distance, name)| *distance * 3 <= name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace('-', "_");
    name.strip_prefix("proxy_").unwrap_or(&name).to_owned()
}

/// Makes a foreign value fit for one line of a terminal.
fn shown(value: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = value.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if value.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn similar_names() {
        let names = || ["port", "host", "allowed_hosts", "timeout_ms"].into_iter();
        for (wrong, expected) in [
            ("ports", Some("port")),
            ("prot", Some("port")),
            ("PORT", Some("port")),
            ("PROXY_TIMEOUT_MS", Some("timeout_ms")),
            ("timeout-ms", Some("timeout_ms")),
            ("allowed_host", Some("allowed_hosts")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(similar(wrong, names()), expected, "{wrong}");
        }
    }

    #[test]
    fn values_are_shown_on_one_line_and_not_at_length() {
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), 101);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_name_with_one_slip_is_found_again(
            name in prop::sample::select(vec!["allowed_hosts", "timeout_ms", "max_body_bytes"]),
            at in any::<prop::sample::Index>(),
            letter in "[a-z_]",
        ) {
            let names = || ["allowed_hosts", "timeout_ms", "max_body_bytes"].into_iter();
            let at = at.index(name.len() - 1);
            let (before, after) = name.split_at(at);
            let swapped = format!("{before}{}{}{}", &after[1..2], &after[..1], &after[2..]);
            for wrong in [name.to_owned(), format!("{before}{letter}{after}"), format!("{before}{}", &after[1..]), swapped] {
                prop_assert_eq!(similar(&wrong, names()), Some(name), "{}", wrong);
                prop_assert_eq!(similar(&wrong.to_uppercase().replace('_', "-"), names()), Some(name));
            }
        }

        #[test]
        fn no_name_and_no_value_is_too_strange(text in any::<String>()) {
            similar(&text, ["port", "host", ""].into_iter());
            prop_assert!(!shown(&text).contains(char::is_control));
        }
    }
}
