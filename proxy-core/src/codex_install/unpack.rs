//! Extracts this system's Codex from an npm package. No entry of the package is trusted.
//!
//! Only plain files and directories below `package/` are accepted; any other entry refuses the whole archive. Of
//! the accepted ones, only those for this system are written, with the proxy's own permissions.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::read::GzDecoder;
use tar::{Entry, EntryType};
use tokio_util::sync::CancellationToken;

#[cfg(any(test, feature = "fuzzing"))]
pub use self::fuzz::{fuzz, scratch};
use super::error::CodexError;
use super::platform::Platform;
use crate::files;

/// The most entries of an archive; Codex's own have some dozen.
const MAX_ENTRIES: usize = 20_000;
/// The most bytes of all entries together.
const MAX_BYTES: u64 = 4 << 30;
/// The most bytes between two entries: headers, padding and long names.
const MAX_BETWEEN: u64 = 1 << 20;

/// Unpacks `archive` into the new directory `target`. Returns the binary's path from there.
pub(super) fn unpack(
    archive: &Path,
    target: &Path,
    platform: Platform,
    cancel: &CancellationToken,
) -> Result<String, CodexError> {
    let source = File::open(archive).map_err(CodexError::io(archive))?;
    fs::create_dir_all(target).map_err(CodexError::io(target))?;
    extract(io::BufReader::with_capacity(1 << 18, source), target, platform, cancel)?;
    sync_all_dirs(target).map_err(CodexError::io(target))?;
    let binaries = platform.binaries();
    let binary = binaries.into_iter().find(|binary| target.join(binary).is_file());
    let binary = binary.ok_or(CodexError::NoBinary { triple: platform.triple })?;
    make_executable(&target.join(&binary))?;
    Ok(binary)
}

/// Unpacks npm's package, or the archive of a release, which contains only the program.
pub(super) fn unpack_any(
    archive: &Path,
    target: &Path,
    platform: Platform,
    cancel: &CancellationToken,
) -> Result<String, CodexError> {
    let open = || File::open(archive).map_err(CodexError::unreadable(archive));
    let mut first = tar::Archive::new(GzDecoder::new(open()?.take(MAX_BETWEEN)));
    let entry = first.entries().map_err(CodexError::Corrupt)?.next();
    let entry =
        entry.ok_or_else(|| CodexError::NotCodex(archive.to_owned()))?.map_err(CodexError::Corrupt)?;
    if entry.path_bytes().starts_with(b"package/") {
        return unpack(archive, target, platform, cancel);
    }
    let suffix = if cfg!(windows) { ".exe" } else { "" };
    let names = [format!("codex-{}{suffix}", platform.triple), format!("codex{suffix}")];
    let binary = format!("bin/codex{suffix}");
    let budget = Rc::new(Cell::new(MAX_BETWEEN));
    let source = Metered { source: GzDecoder::new(open()?), budget: budget.clone() };
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries().map_err(CodexError::Corrupt)?.take(MAX_ENTRIES) {
        let mut entry = entry.map_err(CodexError::Corrupt)?;
        if entry.size() > MAX_BYTES {
            return Err(CodexError::TooLarge { what: "what it unpacks to", limit: MAX_BYTES });
        }
        budget.set(entry.size() + MAX_BETWEEN);
        let is_program = entry.header().entry_type() == EntryType::Regular
            && names.iter().any(|name| entry.path_bytes().as_ref() == name.as_bytes());
        if is_program {
            let file = target.join(&binary);
            write(&mut entry, &file, cancel)?;
            sync_all_dirs(target).map_err(CodexError::io(target))?;
            make_executable(&file)?;
            return Ok(binary);
        }
    }
    Err(CodexError::NoBinary { triple: platform.triple })
}

#[cfg(unix)]
pub(super) fn make_executable(path: &Path) -> Result<(), CodexError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(CodexError::io(path))
}

#[cfg(not(unix))]
pub(super) fn make_executable(_path: &Path) -> Result<(), CodexError> {
    Ok(())
}

fn extract(
    source: impl Read,
    target: &Path,
    platform: Platform,
    cancel: &CancellationToken,
) -> Result<(), CodexError> {
    let budget = Rc::new(Cell::new(0));
    let mut archive = tar::Archive::new(Metered { source: GzDecoder::new(source), budget: budget.clone() });
    let (mut entries, mut bytes) = (0, 0_u64);
    budget.set(MAX_BETWEEN);
    for entry in archive.entries().map_err(CodexError::Corrupt)? {
        let mut entry = entry.map_err(CodexError::Corrupt)?;
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        if entries > MAX_ENTRIES || bytes > MAX_BYTES {
            return Err(CodexError::TooLarge { what: "what it unpacks to", limit: MAX_BYTES });
        }
        budget.set(entry.size() + MAX_BETWEEN);
        let Some((path, is_file)) = safe(&entry)? else { continue };
        if is_file && is_wanted(&path, platform) {
            write(&mut entry, &target.join(&path), cancel)?;
        }
    }
    // The checksum at the end of the archive covers everything before it.
    budget.set(MAX_BETWEEN);
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(CodexError::Corrupt)?;
    Ok(())
}

/// The entry's path below `package/`, and whether it is a file; `None` for an entry that only holds metadata.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a kind that is yet to be invented is refused like a device"
)]
fn safe(entry: &Entry<'_, impl Read>) -> Result<Option<(PathBuf, bool)>, CodexError> {
    let raw = entry.path_bytes();
    let shown = String::from_utf8_lossy(&raw).escape_default().take(200).collect();
    let refuse = |why| Err(CodexError::UnsafeEntry { entry: shown, why });
    let is_file = match entry.header().entry_type() {
        EntryType::XGlobalHeader => return Ok(None),
        EntryType::Regular | EntryType::Continuous => true,
        EntryType::Directory => false,
        EntryType::Link | EntryType::Symlink => return refuse("is a link"),
        _ => return refuse("is neither a file nor a directory"),
    };
    let Ok(path) = std::str::from_utf8(&raw) else { return refuse("has a name that is not valid text") };
    if path.starts_with('/') {
        return refuse("has an absolute path");
    }
    let mut parts = path.trim_end_matches('/').split('/').filter(|part| !matches!(*part, "" | "."));
    if parts.next() != Some("package") {
        return refuse("is not below `package/`");
    }
    let mut inside = PathBuf::new();
    for part in parts {
        if part == ".." {
            return refuse("leads out of its directory");
        }
        // On Windows these characters would name a drive, a stream or another file.
        if part.contains(['\\', ':', '\0'])
            || part.chars().any(char::is_control)
            || part.ends_with(['.', ' '])
        {
            return refuse("has a name that is not allowed on every system");
        }
        inside.push(part);
    }
    Ok(Some((inside, is_file)))
}

fn is_wanted(path: &Path, platform: Platform) -> bool {
    path.starts_with(Path::new("vendor").join(platform.triple))
}

fn write(
    entry: &mut Entry<'_, impl Read>,
    path: &Path,
    cancel: &CancellationToken,
) -> Result<(), CodexError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(CodexError::io(parent))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if executable { 0o755 } else { 0o644 });
    }
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let entry = path.display().to_string();
            return Err(CodexError::UnsafeEntry { entry, why: "is there twice" });
        }
        opened => opened.map_err(CodexError::io(path))?,
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        if cancel.is_cancelled() {
            return Err(CodexError::Cancelled);
        }
        match entry.read(&mut buffer).map_err(CodexError::Corrupt)? {
            0 => break,
            length => file.write_all(&buffer[..length]).map_err(CodexError::io(path))?,
        }
    }
    file.sync_all().map_err(CodexError::io(path))
}

fn sync_all_dirs(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all_dirs(&entry.path())?;
        }
    }
    files::sync_dir(dir)
}

/// Reads no more than the budget, so that a small archive cannot fill the memory with the data between its
/// entries.
struct Metered<R> {
    source: R,
    budget: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("it contains too many entries that are not files"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.source.read(&mut buffer[..most])?;
        self.budget.set(left - length as u64);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
