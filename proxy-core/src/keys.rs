//! The API key: the operator's own, or one that the proxy makes and keeps in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use crate::secret::{ApiKey, InvalidApiKey};

/// What the operator decides about the key.
#[derive(Debug, Clone)]
pub struct Config {
    /// The operator's own key; it goes before the file.
    pub api_key: Option<ApiKey>,
    /// Where a key made by the proxy is kept.
    pub file: PathBuf,
}

/// The key in force and where it came from.
#[derive(Debug, Clone)]
pub struct LoadedKey {
    /// The key.
    pub key: ApiKey,
    /// Where it came from.
    pub origin: KeyOrigin,
}

/// Where a key came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The operator's configuration.
    Configured,
    /// A file of an earlier start.
    File(PathBuf),
    /// A file that was just made.
    NewFile(PathBuf),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file holds nothing.
    #[error("the key file {} is empty; delete it to have a new key made, or set PROXY_API_KEY", .0.display())]
    Empty(PathBuf),
    /// The file holds something that is no key.
    #[error(
        "the key file {} holds no usable key ({reason}); delete it to have a new one made, or set PROXY_API_KEY",
        file.display()
    )]
    Broken {
        /// The key file.
        file: PathBuf,
        /// What is wrong with its content.
        reason: BrokenKey,
    },
    /// The file cannot be read.
    #[error("cannot read the key file {}; make it readable for this user, or set PROXY_API_KEY", file.display())]
    Read {
        /// The key file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be made.
    #[error(
        "cannot make the key file {}; make its directory writable, choose another with PROXY_DATA_DIR, or set \
         PROXY_API_KEY",
        file.display()
    )]
    Write {
        /// The key file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for a new key; set PROXY_API_KEY")]
    Random(#[source] getrandom::Error),
}

/// What is wrong with the content of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenKey {
    /// It is not text.
    #[error("it is not ASCII text")]
    NotText,
    /// It is far too long.
    #[error("it is longer than any key")]
    TooLong,
    /// It is text, but not a key.
    #[error(transparent)]
    Invalid(#[from] InvalidApiKey),
}

/// The configured key, or else the one in the key file, which is made if there is none yet.
///
/// Any number of processes may call this at once for the same file: all of them get the same key.
pub fn load(config: &Config) -> Result<LoadedKey, KeyError> {
    if let Some(key) = &config.api_key {
        return Ok(LoadedKey { key: key.clone(), origin: KeyOrigin::Configured });
    }
    let file = &config.file;
    if let Some(key) = read(file)? {
        return Ok(LoadedKey { key, origin: KeyOrigin::File(file.clone()) });
    }
    let key = ApiKey::generate().map_err(KeyError::Random)?;
    let write_error = |source| KeyError::Write { file: file.clone(), source };
    if create(file, &key).map_err(write_error)? {
        return Ok(LoadedKey { key, origin: KeyOrigin::NewFile(file.clone()) });
    }
    match read(file)? {
        Some(key) => Ok(LoadedKey { key, origin: KeyOrigin::File(file.clone()) }),
        None => Err(write_error(io::Error::new(io::ErrorKind::NotFound, "it was removed while being read"))),
    }
}

/// `None` if there is no such file.
fn read(file: &Path) -> Result<Option<ApiKey>, KeyError> {
    let read_error = |source| KeyError::Read { file: file.to_owned(), source };
    let broken = |reason| KeyError::Broken { file: file.to_owned(), reason };
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(read_error(error)),
    };
    permissions::tighten(file, &opened).map_err(read_error)?;

    // The buffer never grows, so no copy of the key is left behind in memory that nobody wipes.
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

/// Puts a whole key file in place, or returns `false` if another process was faster.
fn create(file: &Path, key: &ApiKey) -> io::Result<bool> {
    let directory = file.parent().unwrap_or(Path::new("."));
    permissions::create_private_dir(directory)?;
    let temporary = Temporary::new(directory)?;
    write_new(&temporary.0, key)?;
    match fs::hard_link(&temporary.0, file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // Some file systems have no hard links; there, making the file itself decides who is first.
        Err(_) => match write_new(file, key) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        },
    }
}

fn write_new(path: &Path, key: &ApiKey) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    permissions::make_private(&mut options);
    let mut file = options.open(path)?;
    let line = Zeroizing::new(format!("{}\n", key.expose()));
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key would stop every later start; that it could not be written is what is reported.
        drop(fs::remove_file(path));
    }
    written
}

/// The name of a file that is removed again, whatever happens.
struct Temporary(PathBuf);

impl Temporary {
    fn new(directory: &Path) -> io::Result<Self> {
        let number = getrandom::u64().map_err(io::Error::other)?;
        Ok(Self(directory.join(format!(".api-key.{number:016x}.tmp"))))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(
                file = %self.0.display(),
                %error,
                "could not remove a temporary file that holds a key; delete it"
            ),
        }
    }
}

#[cfg(unix)]
mod permissions {
    use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
    use std::path::Path;

    const OTHERS: u32 = 0o077;
    const OTHERS_WRITE: u32 = 0o022;

    pub(super) fn create_private_dir(directory: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mode = fs::metadata(directory)?.permissions().mode();
        if mode & OTHERS_WRITE != 0 {
            tracing::warn!(
                directory = %directory.display(),
                "other users may write to the directory of the key file and could replace the key: chmod 700 it"
            );
        }
        Ok(())
    }

    pub(super) fn make_private(options: &mut OpenOptions) {
        options.mode(0o600);
    }

    /// A file that cannot be tightened, such as a read-only mount, is still used: its owner chose it.
    pub(super) fn tighten(path: &Path, file: &File) -> io::Result<()> {
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.permissions().mode() & OTHERS == 0 {
            return Ok(());
        }
        match file.set_permissions(Permissions::from_mode(0o600)) {
            Ok(()) => tracing::warn!(
                file = %path.display(),
                "other users could read the key file; now only its owner can. Delete it to have a new key made"
            ),
            Err(error) => tracing::warn!(
                file = %path.display(),
                %error,
                "other users can read the key file and its permissions cannot be changed: chmod 600 it"
            ),
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod permissions {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    // The user's profile is closed to other users already, and what is made in it inherits that.

    pub(super) fn create_private_dir(directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)
    }

    pub(super) fn make_private(_options: &mut OpenOptions) {}

    pub(super) fn tighten(_path: &Path, _file: &File) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
