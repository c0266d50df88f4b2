//! A file with a single key: the control API's token, and the API key of earlier versions.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use super::private;
use crate::secret::{ApiKey, InvalidApiKey};

/// A key, and whether it is new.
#[derive(Debug, Clone)]
pub struct LoadedKey {
    /// The key.
    pub key: ApiKey,
    /// Whether it was made just now.
    pub is_new: bool,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is empty.
    #[error("the key file {} is empty; delete it to have a new one made", .0.display())]
    Empty(PathBuf),
    /// The content of the file is not a key.
    #[error(
        "the key file {} holds no usable key ({reason}); delete it to have a new one made",
        file.display()
    )]
    Broken {
        /// The key file.
        file: PathBuf,
        /// The problem with its content.
        reason: BrokenKey,
    },
    /// The file cannot be read.
    #[error("cannot read the key file {}; make it readable for this user", file.display())]
    Read {
        /// The key file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be created.
    #[error(
        "cannot make the key file {}; make its directory writable, or choose another with \
         PROXY_DATA_DIR",
        file.display()
    )]
    Write {
        /// The key file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for a new key")]
    Random(#[source] getrandom::Error),
}

/// The problem with the content of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenKey {
    /// The content is not text.
    #[error("it is not ASCII text")]
    NotText,
    /// The content is far too long.
    #[error("it is longer than any key")]
    TooLong,
    /// The content is text, but not a key.
    #[error(transparent)]
    Invalid(#[from] InvalidApiKey),
}

/// The key in `file`. The file is created if there is none yet.
///
/// Any number of processes may call this at the same time for the same file: all of them get the same key.
///
/// # Errors
/// When the file holds no key, or can be neither read nor created.
pub fn load_or_make(file: &Path) -> Result<LoadedKey, KeyError> {
    if let Some(key) = read(file)? {
        return Ok(LoadedKey { key, is_new: false });
    }
    let key = ApiKey::generate().map_err(KeyError::Random)?;
    let write_error = |source| KeyError::Write { file: file.to_owned(), source };
    if create(file, &key).map_err(write_error)? {
        return Ok(LoadedKey { key, is_new: true });
    }
    match read(file)? {
        Some(key) => Ok(LoadedKey { key, is_new: false }),
        None => Err(write_error(io::Error::new(io::ErrorKind::NotFound, "it was removed while being read"))),
    }
}

/// `None` if there is no such file.
pub(super) fn read(file: &Path) -> Result<Option<ApiKey>, KeyError> {
    let read_error = |source| KeyError::Read { file: file.to_owned(), source };
    let broken = |reason| KeyError::Broken { file: file.to_owned(), reason };
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(read_error(error)),
    };
    private::tighten(file, &opened).map_err(read_error)?;

    // The buffer never grows, so no copy of the key stays in memory without being wiped.
    const ROOM: usize = ApiKey::MAX_LEN + 16;
    let mut content = Zeroizing::new(Vec::with_capacity(ROOM));
    opened.take(ROOM as u64).read_to_end(&mut content).map_err(read_error)?;
    if content.len() == ROOM {
        return Err(broken(BrokenKey::TooLong));
    }
    let text = str::from_utf8(&content).map_err(|_| broken(BrokenKey::NotText))?.trim();
    if text.is_empty() {
        return Err(KeyError::Empty(file.to_owned()));
    }
    ApiKey::parse(text).map(Some).map_err(|invalid| broken(invalid.into()))
}

/// Puts a complete key file in place, or returns `false` if another process was faster.
fn create(file: &Path, key: &ApiKey) -> io::Result<bool> {
    let line = Zeroizing::new(format!("{}\n", key.expose()));
    private::create(file, line.as_bytes())
}

#[cfg(test)]
mod tests;
