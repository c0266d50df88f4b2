//! Private folders and files for backups, and the checksum of a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tempfile::{Builder, TempDir};

use super::error::BackupError;
use crate::files;

/// The number of bytes that are read at once.
pub(super) const CHUNK: usize = 64 * 1024;

/// A temporary directory in `directory` that only this user can read.
///
/// # Errors
/// If it cannot be created.
pub fn private_folder(directory: &Path) -> Result<TempDir, BackupError> {
    make_folder(directory)?;
    // The proxy treats this prefix as unfinished work.
    Builder::new().prefix(".tmp").tempdir_in(directory).map_err(BackupError::file("write into", directory))
}

pub(super) fn make_folder(directory: &Path) -> Result<(), BackupError> {
    files::create_private_dir(directory).map_err(BackupError::file("make", directory))
}

pub(super) fn private_file(path: &Path) -> Result<File, BackupError> {
    files::private().write(true).create_new(true).open(path).map_err(BackupError::file("write", path))
}

/// The SHA-256 of all bytes of a reader.
pub(super) fn sha256(from: &mut impl Read) -> io::Result<String> {
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(hex(&digest.finalize())),
            read => digest.update(&chunk[..read]),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
