//! The values that a test can change in a debug build of the application, because it cannot build another
//! version: the version, the release channel, the time limit of an update's start, and who asks for an update. A
//! release build contains none of this.

use std::time::Duration;

use proxy_core::config::{ProcessEnvironment, Strings as _};
use serde_json::Value;

/// A test writes another version after this text, in the bytes of the program.
static VERSION: &str = "__CODEX_PROXY_APP_VERSION:                ";
/// The index at which the version begins.
const AT: usize = 26;

/// The variable with the release channel, as the updater's configuration in JSON.
const CHANNEL: &str = "CODEX_PROXY_TEST_CHANNEL";
/// The variable with the time limit in seconds.
const PATIENCE: &str = "CODEX_PROXY_TEST_TRIAL_SECONDS";

/// The variable with the interval of the checks for updates in seconds. What they find is installed, because a test
/// under Wine has no menu.
const UNASKED: &str = "CODEX_PROXY_TEST_UPDATE_SECONDS";

/// The version of this program.
pub(crate) fn version() -> &'static str {
    let given = if cfg!(debug_assertions) { std::hint::black_box(VERSION).get(AT..) } else { None };
    given.map(str::trim).filter(|given| !given.is_empty()).unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// The release channel of a test, if it is set.
pub(crate) fn channel() -> Option<Value> {
    serde_json::from_str(&setting(CHANNEL)?).ok()
}

/// The time limit for the start of an update, if a test sets it.
pub(crate) fn patience() -> Option<Duration> {
    setting(PATIENCE)?.parse().ok().map(Duration::from_secs)
}

/// The interval of the checks for updates, if they also install what they find.
pub(crate) fn unasked() -> Option<Duration> {
    setting(UNASKED)?.parse().ok().map(Duration::from_secs)
}

fn setting(name: &str) -> Option<String> {
    let value = if cfg!(debug_assertions) { ProcessEnvironment.get(name) } else { None };
    value?.into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_not_changed_is_the_version_it_was_built_as() {
        assert_eq!(version(), env!("CARGO_PKG_VERSION"));
        assert!(VERSION[..AT].ends_with(':') && VERSION[AT..].trim().is_empty());
    }
}
