//! The format of an archive: a gzipped tar of regular files.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::error::BackupError;
use super::gather::{Gathered, Source};
use super::manifest::{FileEntry, MOST_MANIFEST, Manifest, NAME, shown};
use super::private::{CHUNK, hex};

/// The maximum number of bytes after the last entry: the zeros at the end of a tar.
const MOST_END: u64 = 64 * 1024;

/// Writes an archive; returns the writer.
pub(super) fn write<W: Write>(gathered: &Gathered, to: W) -> io::Result<W> {
    let mut tar = tar::Builder::new(GzEncoder::new(to, Compression::default()));
    let manifest = serde_json::to_vec_pretty(&gathered.manifest)?;
    tar.append(&header(NAME, manifest.len() as u64)?, manifest.as_slice())?;
    for (file, source) in gathered.manifest.files.iter().zip(&gathered.sources) {
        let header = header(&file.path, file.bytes)?;
        match source {
            Source::Bytes(bytes) => tar.append(&header, bytes.as_slice())?,
            Source::File(path) => tar.append(&header, File::open(path)?.take(file.bytes))?,
        }
    }
    tar.into_inner()?.finish()
}

/// A header with fixed values, so that the same content gives the same archive.
fn header(path: &str, bytes: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

/// Reads an archive of this length to its end, and checks every file against the manifest. `place` chooses the
/// target for the content of a file, if there is one; the targets are valid only if this function succeeds.
pub(super) fn read(
    source: impl Read,
    archive_bytes: u64,
    mut place: impl FnMut(&FileEntry) -> Result<Option<File>, BackupError>,
) -> Result<Manifest, BackupError> {
    let mut unpacked = GzDecoder::new(BufReader::new(source));
    let manifest = {
        let mut tar = tar::Archive::new(&mut unpacked);
        // Raw: entries that describe the next one, such as a long name, are not interpreted and cannot take much
        // memory.
        let mut entries = tar.entries().map_err(|error| unreadable(&error))?.raw(true);
        let mut first = next(&mut entries)?.ok_or_else(|| BackupError::broken("it is empty"))?;
        let bytes = is_plain_file(&first, NAME)?;
        if bytes > MOST_MANIFEST {
            return Err(BackupError::broken("its manifest is too long"));
        }
        let mut text = Vec::new();
        first.read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        let manifest = Manifest::parse(&text, archive_bytes)?;
        for file in &manifest.files {
            let missing = || {
                BackupError::broken(format!("`{}` is missing, so the file was cut off", shown(&file.path)))
            };
            let mut entry = next(&mut entries)?.ok_or_else(missing)?;
            if is_plain_file(&entry, &file.path)? != file.bytes {
                return Err(BackupError::broken(format!("`{}` has the wrong length", shown(&file.path))));
            }
            let mut to = place(file)?;
            if copy(&mut entry, to.as_mut())? != file.sha256 {
                return Err(BackupError::broken(format!(
                    "`{}` is damaged or was changed",
                    shown(&file.path)
                )));
            }
            if let Some(to) = to {
                let written = to.sync_all();
                written.map_err(BackupError::file("write", std::path::Path::new(&file.path)))?;
            }
        }
        if next(&mut entries)?.is_some() {
            return Err(BackupError::broken("it contains more than its manifest lists"));
        }
        manifest
    };
    // Only the end of the gzip stream shows that the archive is complete.
    let rest = io::copy(&mut (&mut unpacked).take(MOST_END + 1), &mut io::sink());
    if rest.map_err(|error| unreadable(&error))? > MOST_END {
        return Err(BackupError::broken("there is data after its last file"));
    }
    let mut source = unpacked.into_inner();
    let at_end = source.fill_buf().map_err(|error| unreadable(&error))?.is_empty();
    if at_end { Ok(manifest) } else { Err(BackupError::broken("there is data after its end")) }
}

fn next<'a, R: Read>(entries: &mut tar::Entries<'a, R>) -> Result<Option<tar::Entry<'a, R>>, BackupError> {
    entries.next().transpose().map_err(|error| unreadable(&error))
}

/// The length of an entry, if it is a regular file with this name.
fn is_plain_file<R: Read>(entry: &tar::Entry<'_, R>, name: &str) -> Result<u64, BackupError> {
    let header = entry.header();
    let found = header.path_bytes();
    if header.entry_type() != EntryType::Regular || &*found != name.as_bytes() {
        let found = shown(&String::from_utf8_lossy(&found));
        return Err(BackupError::broken(format!(
            "it contains `{found}` in the place of the file `{}`",
            shown(name)
        )));
    }
    header.size().map_err(|error| unreadable(&error))
}

/// Copies all bytes and returns their SHA-256.
fn copy(from: &mut impl Read, mut to: Option<&mut File>) -> Result<String, BackupError> {
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        let read = from.read(&mut chunk).map_err(|error| unreadable(&error))?;
        if read == 0 {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(&chunk[..read]);
        if let Some(to) = &mut to {
            let written = to.write_all(&chunk[..read]);
            written.map_err(BackupError::file("write", std::path::Path::new("the staging directory")))?;
        }
    }
}

fn unreadable(error: &io::Error) -> BackupError {
    BackupError::broken(format!("it cannot be read completely ({error})"))
}
