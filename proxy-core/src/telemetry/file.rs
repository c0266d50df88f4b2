//! The log file: only this user can read it, it is rotated by size and age, and a limited number of old files is
//! kept.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::queue::Target;
use crate::files;

/// The name of the current file.
pub(super) const NAME: &str = "codex-proxy.log";

/// The maximum age of the current file.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The maximum number of bytes of a file that are read for its last lines.
const MOST_TAIL: u64 = 8 * 1024 * 1024;

/// The limits of the log files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The size in bytes at which a new file is started.
    pub max_bytes: u64,
    /// The number of files that are kept, including the current one.
    pub files: usize,
}

/// The log file, open for writing.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    limits: Limits,
    json: bool,
    open: Option<Open>,
    /// Writes that failed since the last successful one.
    failed: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
    begun: SystemTime,
}

impl LogFile {
    /// Opens or creates the file in `dir`, and creates the directory if necessary.
    pub(super) fn open(dir: &Path, limits: Limits, json: bool) -> io::Result<Self> {
        files::create_private_dir(dir)?;
        let path = dir.join(NAME);
        let open = Open::at(&path)?;
        Ok(Self { path, limits, json, open: Some(open), failed: 0 })
    }

    fn current(&mut self, more: u64) -> io::Result<&mut Open> {
        let full = self.open.as_ref().is_some_and(|open| open.is_full(more, &self.limits));
        if full {
            self.open = None;
            self.rotate()?;
        }
        match &mut self.open {
            Some(open) => Ok(open),
            none => Ok(none.insert(Open::at(&self.path)?)),
        }
    }

    /// Renames the files: `codex-proxy.log.1` is the previous file.
    fn rotate(&self) -> io::Result<()> {
        let oldest = self.limits.files.max(1) - 1;
        if oldest == 0 {
            return absent_is_fine(fs::remove_file(&self.path));
        }
        for number in (1..oldest).rev() {
            absent_is_fine(fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)))?;
        }
        absent_is_fine(fs::rename(&self.path, numbered(&self.path, 1)))
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        let open = self.current(length)?;
        open.file.write_all(lines)?;
        open.bytes += length;
        Ok(())
    }

    fn note(&self, count: u64, why: &str) -> Vec<u8> {
        let time = jiff::Timestamp::now();
        if self.json {
            let line = serde_json::json!({
                "timestamp": time.to_string(),
                "level": "WARN",
                "target": "proxy_core::telemetry",
                "message": format!("log lines were lost: {why}"),
                "lost": count,
            });
            format!("{line}\n").into_bytes()
        } else {
            format!("{time}  WARN proxy_core::telemetry: log lines were lost: {why} lost={count}\n")
                .into_bytes()
        }
    }
}

impl Target for LogFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let failed = self.failed;
        let result = match failed {
            0 => self.append(lines),
            _ => {
                let note = self.note(failed, "the log file could not be written");
                self.append(&note).and_then(|()| self.append(lines))
            }
        };
        match &result {
            Ok(()) => self.failed = 0,
            Err(error) => {
                self.open = None;
                self.failed += 1;
                if failed == 0 {
                    let path = self.path.display();
                    // If standard error fails too, the error cannot be reported.
                    let _ =
                        writeln!(io::stderr(), "codex-proxy: the log file {path} cannot be written: {error}");
                }
            }
        }
        result
    }

    fn note_dropped(&mut self, count: u64) -> io::Result<()> {
        let note = self.note(count, "they came faster than they could be written");
        self.append(&note)
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = files::private().create(true).append(true).open(path)?;
        close_to_others(&file)?;
        let metadata = file.metadata()?;
        let begun = match metadata.len() {
            0 => SystemTime::now(),
            // Some file systems do not store when a file was created.
            _ => metadata.created().or_else(|_| metadata.modified())?,
        };
        Ok(Self { file, bytes: metadata.len(), begun })
    }

    fn is_full(&self, more: u64, limits: &Limits) -> bool {
        let old = self.begun.elapsed().is_ok_and(|age| age >= MAX_AGE);
        self.bytes > 0 && (old || self.bytes + more > limits.max_bytes)
    }
}

/// The last `count` lines of the log, oldest first. If the current file is too short, the previous file is read
/// too.
///
/// # Errors
/// If the current file exists and cannot be read.
pub(super) fn tail(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut lines = last_lines(path, count)?;
    if lines.len() < count {
        // The older file may be renamed at this moment; then only the lines of the current one are returned.
        let mut older = last_lines(&numbered(path, 1), count - lines.len()).unwrap_or_default();
        older.append(&mut lines);
        lines = older;
    }
    Ok(lines)
}

fn last_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(MOST_TAIL);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(MOST_TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    if skipped > 0 && !lines.is_empty() {
        // The read began in the middle of a line.
        lines.remove(0);
    }
    let from = lines.len().saturating_sub(count);
    Ok(lines[from..].iter().map(|line| (*line).to_owned()).collect())
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(unix)]
fn close_to_others(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn close_to_others(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_bytes: 10, files: 3 };

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_followed_by_a_new_one_and_few_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path(), LIMITS, false).unwrap();
        for line in ["1111111\n", "2222222\n", "3333333\n", "4444444\n"] {
            log.write(line.as_bytes()).unwrap();
        }
        assert_eq!(names(dir.path()), [NAME, "codex-proxy.log.1", "codex-proxy.log.2"]);
        let path = dir.path().join(NAME);
        assert_eq!(fs::read_to_string(&path).unwrap(), "4444444\n");
        assert_eq!(fs::read_to_string(numbered(&path, 2)).unwrap(), "2222222\n");
        assert_eq!(tail(&path, 5).unwrap(), ["3333333", "4444444"]);
        assert_eq!(tail(&path, 1).unwrap(), ["4444444"]);
    }

    #[test]
    fn one_file_alone_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { max_bytes: 10, files: 1 };
        let mut log = LogFile::open(dir.path(), limits, false).unwrap();
        log.write(b"1111111\n").unwrap();
        log.write(b"a line longer than a file\n").unwrap();
        assert_eq!(names(dir.path()), [NAME]);
        assert_eq!(tail(&dir.path().join(NAME), 9).unwrap(), ["a line longer than a file"]);
    }

    #[test]
    fn a_day_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path(), Limits { max_bytes: 1000, files: 3 }, false).unwrap();
        log.write(b"yesterday\n").unwrap();
        log.open.as_mut().unwrap().begun -= MAX_AGE;
        log.write(b"today\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), "today\n");
    }

    #[test]
    fn a_file_of_an_earlier_start_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        for line in ["one\n", "two\n"] {
            LogFile::open(dir.path(), LIMITS, false).unwrap().write(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), "one\ntwo\n");
    }

    // On other systems, a directory cannot be removed while a file in it is open.
    #[cfg(unix)]
    #[test]
    fn lost_lines_are_told_of_once_writing_works_again() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        let mut log = LogFile::open(&logs, Limits { max_bytes: 1, files: 2 }, true).unwrap();
        log.write(b"first\n").unwrap();
        fs::remove_dir_all(&logs).unwrap();
        fs::write(&logs, "in the way").unwrap();
        assert!(log.write(b"lost\n").is_err());
        assert!(log.write(b"lost too\n").is_err());
        fs::remove_file(&logs).unwrap();
        fs::create_dir(&logs).unwrap();
        log.limits.max_bytes = 1000;
        log.write(b"there again\n").unwrap();
        let lines = tail(&logs.join(NAME), 9).unwrap();
        let note: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((note["lost"].as_u64(), lines[1].as_str()), (Some(2), "there again"));
    }

    #[cfg(unix)]
    #[test]
    fn other_users_cannot_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        drop(LogFile::open(&logs, LIMITS, false).unwrap());
        assert_eq!((mode(&logs), mode(&logs.join(NAME))), (0o700, 0o600));
        fs::set_permissions(logs.join(NAME), fs::Permissions::from_mode(0o644)).unwrap();
        drop(LogFile::open(&logs, LIMITS, false).unwrap());
        assert_eq!(mode(&logs.join(NAME)), 0o600);
    }
}
