//! The backup files in a folder: their names, their checksums, and the removal of old ones.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::{Builder, NamedTempFile};

use super::error::BackupError;
use super::gather::{Gathered, TAG};
use super::private::sha256;
use super::seal::{self, Passphrase};

const BEGINNING: &str = "codex-proxy-backup-";
const ENDING: &str = ".tar.gz";
const CHECK_SUM: &str = ".sha256";
/// `20261128-191530`.
const STAMP: usize = 15;

/// A finished backup in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The path of the file.
    pub file: PathBuf,
    /// The length in bytes.
    pub bytes: u64,
    /// The SHA-256 of the whole file, which is also in the checksum file.
    pub sha256: String,
}

/// An empty private file in the folder, which is removed unless it is kept.
///
/// # Errors
/// If it cannot be created.
pub fn draft(folder: &Path) -> Result<NamedTempFile, BackupError> {
    let made =
        fs::create_dir_all(folder).and_then(|()| Builder::new().prefix(".codex-proxy-").tempfile_in(folder));
    made.map_err(BackupError::file("write into", folder))
}

/// Writes an archive into a file.
///
/// # Errors
/// If it cannot be written.
pub fn make(
    gathered: &Gathered,
    passphrase: Option<&Passphrase>,
    file: &mut File,
) -> Result<(), BackupError> {
    let written = seal::write(gathered, passphrase, file).and_then(|()| file.sync_all());
    written.map_err(BackupError::file("write", Path::new("the backup")))
}

/// Gives a verified backup its final name, and writes its checksum file. `ending` follows `.tar.gz`.
///
/// # Errors
/// If it cannot be written.
pub fn keep(draft: NamedTempFile, folder: &Path, tag: &str, ending: &str) -> Result<Made, BackupError> {
    let failed = |what| BackupError::file(what, folder);
    let mut draft = draft;
    // Another program may have replaced the file at this path, so it is opened again.
    let mut content = File::open(draft.path()).map_err(failed("read what is in"))?;
    let bytes = content.metadata().map_err(failed("read what is in"))?.len();
    let sha256 = sha256(&mut content).map_err(failed("read what is in"))?;
    let stamp = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    let mut number = 1;
    let file = loop {
        let file = folder.join(format!("{}{ending}", named(&stamp, tag, number)));
        match draft.persist_noclobber(&file) {
            Ok(_) => break file,
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => draft = error.file,
            Err(error) => return Err(failed("write into")(error.error)),
        }
        number += 1;
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut sum = self::draft(folder)?;
    let written = writeln!(sum, "{sha256}  {name}").and_then(|()| sum.as_file().sync_all());
    written.map_err(failed("write into"))?;
    sum.persist(beside(&file)).map_err(|error| failed("write into")(error.error))?;
    Ok(Made { file, bytes, sha256 })
}

/// Removes the oldest backups of this tag except the newest `keep`, with their checksum files; never `new`.
/// Returns the removed ones.
///
/// # Errors
/// If the folder cannot be read, or a file cannot be removed.
pub fn prune(folder: &Path, tag: &str, keep: usize, new: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = fs::read_dir(folder).map_err(BackupError::file("read", folder))?;
    let mut found: Vec<((String, u32), PathBuf)> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| Some((age_of(entry.file_name().to_str()?, tag)?, entry.path())))
        .collect();
    found.retain(|(_, path)| path != new);
    found.sort();
    // The new backup is kept too, so one less of the others stays.
    found.truncate((found.len() + 1).saturating_sub(keep.max(1)));
    for (_, path) in &found {
        fs::remove_file(path).map_err(BackupError::file("remove", path))?;
        match fs::remove_file(beside(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(BackupError::file("remove", &beside(path))(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The SHA-256 in the checksum file of a backup, if there is one.
pub(super) fn told_sum(file: &Path) -> Option<String> {
    let text = fs::read_to_string(beside(file)).ok()?;
    text.split_whitespace().next().map(str::to_lowercase)
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(CHECK_SUM);
    name.into()
}

fn named(stamp: &str, tag: &str, number: u32) -> String {
    let number = if number == 1 { String::new() } else { format!("-{number}") };
    format!("{BEGINNING}{stamp}-{tag}{number}{ENDING}")
}

/// The creation time in the name of a file, if it is a backup of this tag.
fn age_of(name: &str, tag: &str) -> Option<(String, u32)> {
    let rest = name.strip_prefix(BEGINNING)?;
    let (middle, ending) = rest.split_once(ENDING)?;
    let (stamp, rest) = (middle.get(..STAMP)?, middle.get(STAMP..)?);
    let is_stamp = stamp
        .bytes()
        .enumerate()
        .all(|(at, byte)| if at == 8 { byte == b'-' } else { byte.is_ascii_digit() });
    let rest = rest.strip_prefix('-')?.strip_prefix(tag)?;
    let number = match rest.strip_prefix('-') {
        None if rest.is_empty() => 1,
        number => number?.parse().ok()?,
    };
    (is_stamp && tag.len() == TAG && ["", ".age", ".gpg"].contains(&ending))
        .then(|| (stamp.to_owned(), number))
}

/// Whether a folder is on a separate file system: neither that of the system nor that of the data directory. For
/// a folder that does not exist, its nearest parent counts. `None` if the platform does not tell.
///
/// # Errors
/// If the folder cannot be examined.
pub fn has_a_file_system_of_its_own(folder: &Path, data_dir: &Path) -> std::io::Result<Option<bool>> {
    let Some(device) = device_of(folder)? else { return Ok(None) };
    let others = [device_of(Path::new("/"))?, device_of(data_dir)?];
    Ok(Some(!others.contains(&Some(device))))
}

#[cfg(unix)]
fn device_of(path: &Path) -> std::io::Result<Option<u64>> {
    use std::os::unix::fs::MetadataExt as _;
    let path = std::path::absolute(path)?;
    for place in path.ancestors() {
        match fs::metadata(place) {
            Ok(about) => return Ok(Some(about.dev())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the platforms share one signature")]
fn device_of(_path: &Path) -> std::io::Result<Option<u64>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_names_of_this_tag_are_backups() {
        let tag = "0123abcd";
        for number in [1, 2, 17] {
            for ending in ["", ".age", ".gpg"] {
                let name = format!("{}{ending}", named("20261128-191530", tag, number));
                assert_eq!(age_of(&name, tag), Some(("20261128-191530".to_owned(), number)), "{name}");
                assert_eq!(age_of(&name, "ffffffff"), None);
            }
        }
        for name in [
            "codex-proxy-backup-20261128-191530-0123abcd.tar.gz.sha256",
            "codex-proxy-backup-20261128-191530-0123abcde.tar.gz",
            "codex-proxy-backup-2026112x-191530-0123abcd.tar.gz",
            "my-codex-proxy-backup-20261128-191530-0123abcd.tar.gz",
            "codex-proxy-backup-20261128-191530-0123abcd.tar",
            "codex-proxy-backup-",
        ] {
            assert_eq!(age_of(name, tag), None, "{name}");
        }
    }

    #[test]
    fn the_newest_stay_and_others_files_too() {
        let folder = tempfile::tempdir().unwrap();
        let tag = "0123abcd";
        let other = "codex-proxy-backup-20200101-000000-ffffffff.tar.gz";
        let name = |day: u32, number| named(&format!("202601{day:02}-000000"), tag, number);
        let names = [name(1, 1), name(2, 1), name(2, 2), name(2, 10), name(3, 1)];
        for name in names.iter().map(String::as_str).chain([other, "letter.txt"]) {
            fs::write(folder.path().join(name), "").unwrap();
            fs::write(folder.path().join(format!("{name}.sha256")), "").unwrap();
        }
        let new = folder.path().join(&names[4]);
        let gone = prune(folder.path(), tag, 2, &new).unwrap();
        let expected: Vec<PathBuf> = names[..3].iter().map(|name| folder.path().join(name)).collect();
        assert_eq!(gone, expected);
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 8, "two backups, another's and a letter, each with its check sum");
        // If the clock was set back, or two backups were made within a second, the new one stays.
        let oldest = folder.path().join(&names[3]);
        assert_eq!(prune(folder.path(), tag, 1, &oldest).unwrap(), [new]);
        assert!(oldest.exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_name_tells_what_it_was_made_of(stamp in "[0-9]{8}-[0-9]{6}", tag in "[0-9a-f]{8}", number in 1..u32::MAX, other in any::<String>()) {
            let name = named(&stamp, &tag, number);
            prop_assert_eq!(age_of(&name, &tag), Some((stamp.clone(), number)));
            prop_assert!(age_of(&name, "0000000g").is_none());
            age_of(&other, &tag);
            age_of(&format!("{BEGINNING}{other}{ENDING}"), &other);
            // The names of two successive backups are in the order of their creation.
            prop_assert!(age_of(&named(&stamp, &tag, 1), &tag) <= age_of(&name, &tag));
        }
    }
}
