//! The environment at the start, for npm's settings in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

/// A copy of the environment. It may hold tokens, so it cannot be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(Arc<BTreeMap<String, OsString>>);

impl Environment {
    /// An environment with these variables.
    pub fn of(variables: impl IntoIterator<Item = (String, OsString)>) -> Self {
        Self(Arc::new(variables.into_iter().collect()))
    }

    /// The value of `PATH`.
    pub(super) fn path(&self) -> Option<&OsString> {
        self.get("PATH")
    }

    /// The value of a variable. Names are case-insensitive on Windows.
    pub(super) fn get(&self, name: &str) -> Option<&OsString> {
        if cfg!(windows) {
            self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        } else {
            self.0.get(name)
        }
    }

    /// The value of a variable, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    /// Every variable with a value that is text.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str()?)))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}
