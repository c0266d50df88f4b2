//! Signs programs for Windows.

use std::path::Path;

use anyhow::{Result, bail};

use crate::shell::{Cmd, env, quoted};

/// The environment variable with the signing command. `%1` stands for the file, as in Tauri's `signCommand`.
const VARIABLE: &str = "WINDOWS_SIGN_COMMAND";

/// A command that signs a file.
#[derive(Debug)]
pub(super) struct SignCommand {
    words: Vec<String>,
}

impl SignCommand {
    /// The command from the environment, if it is set.
    pub(super) fn of_environment() -> Result<Option<Self>> {
        env(VARIABLE).map(|line| Self::parse(&line.to_string_lossy())).transpose()
    }

    /// A program with two arguments: this file, and the file to sign.
    pub(super) fn of(program: &Path, before: &Path) -> Self {
        let word = |path: &Path| path.display().to_string();
        Self { words: vec![word(program), word(before), "%1".to_owned()] }
    }

    /// Splits at spaces, except inside double quotes.
    fn parse(line: &str) -> Result<Self> {
        let mut words = Vec::new();
        for (n, part) in line.split('"').enumerate() {
            if n % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        if line.matches('"').count() % 2 == 1 || !words.iter().skip(1).any(|word| word.contains("%1")) {
            bail!("{VARIABLE} has to be a command with %1 for the file to sign, such as `signtool sign %1`");
        }
        Ok(Self { words })
    }

    /// Signs a file.
    pub(super) fn run(&self, file: &Path) -> Result<()> {
        let file = file.display().to_string();
        let mut words = self.words.iter().map(|word| word.replace("%1", &file));
        let program = words.next().unwrap_or_default();
        Cmd::new(program).args(words).run()
    }

    /// The command as a line for the system's shell. Other tools insert the file.
    pub(super) fn line(&self) -> String {
        let words = self.words.iter().map(|word| {
            if cfg!(windows) {
                let plain = !word.contains(' ') && !word.contains("%1");
                if plain { word.clone() } else { format!("\"{word}\"") }
            } else {
                quoted(word)
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_it_is_written() {
        let sign = SignCommand::parse(r#"signtool sign /f "my key.pfx"  %1"#).unwrap();
        assert_eq!(sign.words, ["signtool", "sign", "/f", "my key.pfx", "%1"]);
        for wrong in ["", "signtool sign", "%1", r#"signtool "sign %1"#] {
            assert!(SignCommand::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn it_gets_the_file_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("with a space.exe");
        std::fs::write(&file, "MZ").unwrap();
        let sign = SignCommand::parse(r#"sh -c "printf signed >> $0" "%1""#).unwrap();
        SignCommand::parse("cp LICENSE-of-nobody %1").unwrap().run(&file).unwrap_err();
        SignCommand::parse("truncate --size 7 %1").unwrap().run(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap().len(), 7);
        assert_eq!(sign.line(), r#"sh -c 'printf signed >> $0' %1"#);
    }
}
