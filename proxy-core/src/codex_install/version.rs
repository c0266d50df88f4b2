//! Reads the version that a Codex prints, and checks whether it can be used.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::versions::{FLOOR, PINNED};
use crate::process::{self, ProcessError, Program};
use protocol::codex::capabilities::{LEGACY_UNTIL, Version};

/// The output of `codex --version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) text: String,
}

/// The most bytes that a Codex may print with its version.
const VERSION_BYTES: usize = 64 * 1024;

/// Runs `codex --version` with a temporary home, because it would create files in the user's home.
///
/// # Errors
/// Why it did not answer; see [`why`] and [`advised`].
pub(super) async fn ask(hidden_env: &[String], bin: &Path, limit: Duration) -> Result<Printed, ProcessError> {
    let home = tempfile::tempdir().map_err(|source| ProcessError::Start { bin: bin.to_owned(), source })?;
    let program = Program {
        bin: bin.to_owned(),
        arguments: vec!["--version".to_owned()],
        workdir: bin.parent().unwrap_or(bin).to_owned(),
        env: vec![("RUST_BACKTRACE", "0".into()), ("CODEX_HOME", home.path().into())],
        hidden_env: hidden_env.to_owned(),
    };
    Ok(Printed { text: print(&program, limit).await? })
}

/// The output of this program, run with `--version`.
///
/// # Errors
/// Why it did not answer.
pub(super) async fn print(program: &Program, limit: Duration) -> Result<String, ProcessError> {
    let mut pauses = PAUSES.iter();
    loop {
        match process::output(program, limit, VERSION_BYTES).await {
            Ok(text) => return Ok(text),
            Err(error) => match pauses.next() {
                Some(pause) if is_busy(&error) => tokio::time::sleep(*pause).await,
                _ => return Err(error),
            },
        }
    }
}

/// Why a program has not printed its version, as the end of a sentence.
pub(super) fn why(error: &ProcessError) -> String {
    match error {
        ProcessError::Timeout { bin, limit } => {
            format!("'{}' did not print its version within {} s", bin.display(), limit.as_secs())
        }
        ProcessError::TooMuch { bin, most } => {
            format!("'{}' printed more than {} KiB instead of its version", bin.display(), most / 1024)
        }
        ProcessError::Start { .. } | ProcessError::Failed { .. } => error.to_string(),
    }
}

/// The same for the Codex in use, with what to do.
pub(super) fn advised(error: &ProcessError) -> String {
    match error {
        // The error itself already says what to do.
        ProcessError::Start { .. } => error.to_string(),
        ProcessError::Timeout { .. } | ProcessError::TooMuch { .. } | ProcessError::Failed { .. } => format!(
            "{}. Run it with `--version` in a terminal, and check that CODEX_BIN names the Codex CLI itself; \
             `codex-proxy codex install` gets one.",
            why(error)
        ),
    }
}

/// A process that is being started elsewhere in this program holds its inherited files for a moment, and a program
/// that is open for writing cannot be run.
fn is_busy(error: &ProcessError) -> bool {
    matches!(error, ProcessError::Start { source, .. } if source.kind() == ErrorKind::ExecutableFileBusy)
}

const PAUSES: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500)];

impl Printed {
    /// The number as printed, including any suffix of the third part; empty if there is none.
    pub(super) fn number(&self) -> &str {
        self.text.split_whitespace().nth(1).unwrap_or_default()
    }

    /// Its version, if it can be read.
    pub(super) fn version(&self) -> Option<String> {
        Version::from_printed(&self.text).map(|version| version.to_string())
    }

    /// Why a Codex with this version cannot be used; `None` if it can. A local build, without a version, is
    /// accepted.
    pub(super) fn problem(&self, legacy: bool) -> Option<String> {
        let version = Version::from_printed(&self.text)?;
        if legacy {
            return (!version.has_proto()).then(|| {
                format!(
                    "Codex {version} has no `codex proto`, which PROXY_USE_APP_SERVER=false needs. Remove \
                     PROXY_USE_APP_SERVER, or set CODEX_BIN to Codex {LEGACY_UNTIL} or older."
                )
            });
        }
        (!version.has_app_server()).then(|| {
            let own = "Run `codex-proxy codex install` (and remove CODEX_BIN if it is set)";
            let or_legacy =
                if version.has_proto() { ", or set PROXY_USE_APP_SERVER=false to use this one" } else { "" };
            format!("Codex {version} is too old: it must be {FLOOR} or newer. {own}{or_legacy}.")
        })
    }

    /// A note about a Codex that can be used.
    pub(super) fn note(&self) -> Option<String> {
        let newer = Version::from_printed(&self.text).filter(|version| version.is_newer_than(PINNED));
        newer.map(|version| {
            format!("Codex {version} is newer than {PINNED}, the one that this version of the proxy is tested with.")
        })
    }
}

#[cfg(test)]
mod tests {
    use protocol::codex::capabilities::OLDEST;

    use super::*;

    fn printed(text: &str) -> Printed {
        Printed { text: text.to_owned() }
    }

    #[test]
    fn what_is_too_old_or_too_new_says_what_to_do() {
        let problem = |text: &str, legacy| printed(text).problem(legacy).unwrap_or_default();
        assert!(problem("codex-cli 0.76.1\n", false).contains("codex-proxy codex install"));
        assert!(!problem("codex-cli 0.76.1\n", false).contains("PROXY_USE_APP_SERVER"));
        assert!(problem("codex-cli 0.42.0\n", false).contains("PROXY_USE_APP_SERVER=false"));
        assert!(problem("codex-cli 0.169.0\n", true).contains("codex proto"));
        for (fine, legacy) in [
            ("codex-cli 0.77.0", false),
            ("codex-cli 0.200.1", false),
            ("codex-cli 0.0.0", false),
            ("codex-cli 0.44.0", true),
            ("my own", false),
            ("my own", true),
        ] {
            assert_eq!(problem(fine, legacy), "", "{fine}");
        }
    }

    #[test]
    fn only_a_newer_one_is_worth_a_note() {
        assert!(printed("codex-cli 99.0.0").note().unwrap().contains("99.0.0"));
        for text in [format!("codex-cli {PINNED}"), "codex-cli 0.77.0".into(), "x".into()] {
            assert_eq!(printed(&text).note(), None, "{text}");
        }
    }

    #[test]
    fn the_versions_agree() {
        let read = |number: &str| Version::from_number(number).unwrap();
        assert_eq!(read(FLOOR), OLDEST);
        assert!(read(PINNED).has_app_server());
        assert!(read(super::super::versions::LEGACY).has_proto());
    }
}
