//! Archives that are encrypted with a passphrase, in the format of <https://age-encryption.org/v1>.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::iter;
use std::path::Path;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::{DecryptError, Decryptor, scrypt};
use secrecy::zeroize::Zeroizing;

use super::archive;
use super::error::BackupError;
use super::gather::Gathered;

/// The minimum length in characters. Shorter passphrases can be guessed.
const SHORTEST: usize = 8;
const LONGEST: u64 = 64 * 1024;
/// The cost of one guess of the passphrase, as a power of two: about half a second and 128 MiB, fixed for all
/// machines.
const WORK: u8 = if cfg!(test) { 10 } else { 17 };
/// The maximum cost that is accepted. A file with a higher cost could be an attack, and is not opened.
const MOST_WORK: u8 = 20;

/// A passphrase, which cannot be printed.
#[derive(Debug, Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Reads the first line of a file.
    ///
    /// # Errors
    /// If the file cannot be read, or the passphrase is too short.
    pub fn read(file: &Path) -> Result<Self, BackupError> {
        let mut text = Zeroizing::new(String::new());
        let opened = File::open(file).map_err(BackupError::file("read", file))?;
        let read = opened.take(LONGEST).read_to_string(&mut text);
        read.map_err(BackupError::file("read", file))?;
        let line = text.lines().next().unwrap_or_default().trim();
        if line.chars().count() < SHORTEST {
            return Err(BackupError::NoPassphrase { path: file.to_owned(), least: SHORTEST });
        }
        Ok(Self(SecretString::from(line.to_owned())))
    }
}

/// The encryption of an archive, detected from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not encrypted.
    Plain,
    /// Encrypted with a passphrase.
    Age,
    /// Another format, such as an OpenPGP message.
    Other,
}

/// Reads the first bytes of a file.
///
/// # Errors
/// If the file cannot be read.
pub fn kind_of(file: &Path) -> Result<Kind, BackupError> {
    const AGE: &[u8] = b"age-encryption.org/";
    let mut first = Vec::new();
    let opened = File::open(file).map_err(BackupError::file("read", file))?;
    opened.take(AGE.len() as u64).read_to_end(&mut first).map_err(BackupError::file("read", file))?;
    Ok(match first.as_slice() {
        AGE => Kind::Age,
        [0x1f, 0x8b, ..] => Kind::Plain,
        _ => Kind::Other,
    })
}

/// Writes an archive into a file.
pub(super) fn write(
    gathered: &Gathered,
    passphrase: Option<&Passphrase>,
    to: &mut File,
) -> std::io::Result<()> {
    match passphrase {
        None => archive::write(gathered, to).map(drop),
        Some(Passphrase(passphrase)) => {
            let mut recipient = scrypt::Recipient::new(passphrase.clone());
            recipient.set_work_factor(WORK);
            let encryptor = age::Encryptor::with_recipients(iter::once(&recipient as _))
                .map_err(|error| std::io::Error::other(error.to_string()))?;
            let sealed = encryptor.wrap_output(to)?;
            archive::write(gathered, sealed)?.finish()?.flush()
        }
    }
}

/// A reader of the content of an archive, decrypted if necessary, and the length of the file.
pub(super) fn open(
    file: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<(Box<dyn Read>, u64), BackupError> {
    let kind = kind_of(file)?;
    let opened = File::open(file).map_err(BackupError::file("read", file))?;
    let length = opened.metadata().map_err(BackupError::file("read", file))?.len();
    let opened = BufReader::new(opened);
    let content: Box<dyn Read> = match (kind, passphrase) {
        (Kind::Plain, _) => Box::new(opened),
        (Kind::Age, None) => return Err(BackupError::NeedsPassphrase),
        (Kind::Age, Some(Passphrase(passphrase))) => {
            let mut identity =
                scrypt::Identity::new(SecretString::from(passphrase.expose_secret().to_owned()));
            identity.set_max_work_factor(MOST_WORK);
            let sealed = Decryptor::new_buffered(opened).map_err(|error| refused(&error))?;
            Box::new(sealed.decrypt(iter::once(&identity as _)).map_err(|error| refused(&error))?)
        }
        (Kind::Other, _) => return Err(BackupError::broken("it does not start like a backup")),
    };
    Ok((content, length))
}

fn refused(error: &DecryptError) -> BackupError {
    let is_other_key = matches!(
        error,
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys
    );
    if is_other_key {
        BackupError::WrongPassphrase
    } else {
        BackupError::broken(format!("it cannot be opened ({error})"))
    }
}
