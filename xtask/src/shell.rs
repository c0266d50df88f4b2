//! Starts programs. No other module of this crate spawns a process or reads the environment.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// When the first command was started.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A program to start. It has no standard input, because no step may wait for an answer.
pub(crate) struct Cmd {
    inner: Command,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the task runner's one place that spawns")]
        let mut inner = Command::new(program);
        inner.stdin(Stdio::null());
        Self { inner }
    }

    /// The cargo that started us, without the variables that it set for this package: a build script that
    /// watches them would run again in every nested build, and its dependents would be built again.
    pub(crate) fn cargo() -> Self {
        let mut cmd = Self::new(env("CARGO").unwrap_or_else(|| "cargo".into()));
        #[expect(
            clippy::disallowed_methods,
            reason = "the task runner's one place that reads the environment"
        )]
        let names = std::env::vars_os().map(|(name, _)| name);
        for name in names.filter(|name| is_about_a_package(&name.to_string_lossy())) {
            cmd.inner.env_remove(name);
        }
        cmd
    }

    /// `npm`, which on Windows is a script that has to be named in full.
    pub(crate) fn npm() -> Self {
        Self::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.inner.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.inner.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.inner.env_remove(name);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Prints the command, lets it write to our terminal, and fails if it fails.
    pub(crate) fn run(mut self) -> Result<()> {
        let line = self.line();
        match START.elapsed().as_secs() {
            0..10 => eprintln!("$ {line}"),
            seconds => eprintln!("$ {line}  # after {seconds} s"),
        }
        let status = self.inner.status().with_context(|| format!("cannot start `{line}`"))?;
        if !status.success() {
            bail!("`{line}` failed ({status})");
        }
        Ok(())
    }

    /// Returns its standard output. If it fails, the error contains both outputs.
    pub(crate) fn capture(mut self) -> Result<String> {
        let line = self.line();
        let output = self.inner.output().with_context(|| format!("cannot start `{line}`"))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("`{line}` failed ({})\n{stdout}{stderr}", output.status);
        }
        Ok(stdout)
    }

    /// Whether the program exists and ends well. Its output is not shown.
    pub(crate) fn succeeds(mut self) -> bool {
        self.inner.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Starts it in a process group of its own, with its standard output piped to us.
    pub(crate) fn spawn_piped(mut self) -> Result<Child> {
        let line = self.line();
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut self.inner, 0);
        self.inner.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))
    }

    fn line(&self) -> String {
        let program = Path::new(self.inner.get_program());
        let words = program.file_name().into_iter().chain(self.inner.get_args());
        words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }
}

/// An environment variable, if it is set and not empty.
pub(crate) fn env(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "the task runner's one place that reads the environment")]
    let value = std::env::var_os(name);
    value.filter(|value| !value.is_empty())
}

/// `text` as one word of a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn is_about_a_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_the_shell() {
        assert_eq!(quoted("target/debug/codex-proxy"), "target/debug/codex-proxy");
        assert_eq!(quoted("My Files"), "'My Files'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_failure_carries_what_the_program_said() {
        let Err(error) = Cmd::cargo().args(["metadata", "--no-such-option"]).capture() else {
            panic!("cargo accepted a made-up option");
        };
        assert!(error.to_string().contains("--no-such-option"), "{error}");
    }
}
