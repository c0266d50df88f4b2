//! Imports the sign-in of another Codex home, as a copy.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::files;
use protocol::codex::auth_file::{self, NoSignIn};

/// The size limit of a sign-in, in bytes; a real one is a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Why a sign-in could not be imported. Holds nothing of the file's content.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("'{}' cannot be read: {cause}. Sign in there with `codex login` first, or name another file.", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// The file is not a sign-in.
    #[error("'{}' holds no sign-in of Codex's: {reason}. The file is usually called auth.json.", .file.display())]
    NoSignIn {
        /// The file.
        file: PathBuf,
        /// What the file lacks.
        reason: NoSignIn,
    },
    /// The copy cannot be written.
    #[error("'{}' cannot be written: {cause}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

/// Copies the sign-in in `from` to `to`, in one step and for this user only.
pub(super) fn copy(from: &Path, to: PathBuf) -> Result<(), ImportError> {
    let bytes = read(from).map_err(|cause| ImportError::Read { file: from.to_owned(), cause })?;
    auth_file::check(&bytes).map_err(|reason| ImportError::NoSignIn { file: from.to_owned(), reason })?;
    files::replace(&to, &bytes, files::Target::Own).map_err(|cause| ImportError::Write { file: to, cause })
}

fn read(from: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(from)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Imports `content`. Returns the copy, or why there is none.
    fn import(content: &str) -> (Option<Vec<u8>>, String) {
        let (there, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let from = there.path().join("auth.json");
        std::fs::write(&from, content).unwrap();
        std::fs::write(home.path().join("auth.json.tmp"), "left by an earlier try").unwrap();
        if let Err(error) = copy(&from, home.path().join(auth_file::NAME)) {
            return (None, error.to_string());
        }
        assert_eq!(std::fs::read_to_string(&from).unwrap(), content, "the original stays");
        let to = home.path().join("auth.json");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        }
        (Some(std::fs::read(&to).unwrap()), String::new())
    }

    #[test]
    fn sign_ins_of_both_kinds_are_copied_for_this_user_only() {
        for content in [
            r#"{"OPENAI_API_KEY":"sk-1","tokens":null}"#,
            r#"{"auth_mode":"chatgpt","tokens":{"id_token":"a","access_token":"b","refresh_token":"c"}}"#,
        ] {
            assert_eq!(import(content).0.as_deref(), Some(content.as_bytes()));
        }
    }

    #[test]
    fn other_files_are_refused_without_telling_what_they_hold() {
        for content in ["", "secret", r#"{"secret":1}"#, r#"{"OPENAI_API_KEY":""}"#, r#"{"tokens":{}}"#] {
            let (copy, error) = import(content);
            assert_eq!(copy, None);
            assert!(error.contains("auth.json") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let home = tempfile::tempdir().unwrap();
        let from = home.path().join("absent/auth.json");
        let error = copy(&from, home.path().join(auth_file::NAME)).unwrap_err().to_string();
        assert!(error.contains("absent/auth.json") && error.contains("codex login"), "{error}");
        let error = copy(home.path(), home.path().join(auth_file::NAME)).unwrap_err();
        assert!(matches!(error, ImportError::Read { .. }), "{error}");
    }
}
