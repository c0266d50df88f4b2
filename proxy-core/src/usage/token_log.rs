//! The usage log file: one line for each request in a file that the operator chooses, with the field names that
//! such files have always had.
//!
//! Lines are read from the database ordered by number, and each contains its number. So after a crash, the end
//! of the file shows where to continue.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::event::{Ids, UsageEvent};
use super::files;

/// One line of the file.
#[derive(Debug, Serialize)]
pub(super) struct LogLine<'a> {
    ts: i64,
    route: &'a str,
    method: &'a str,
    requested_model: &'a str,
    effective_model: &'a str,
    stream: bool,
    prompt_tokens_est: u64,
    completion_tokens_est: u64,
    total_tokens_est: u64,
    duration_ms: u64,
    status: u16,
    user_agent: &'a str,
    id: u64,
}

impl<'a> From<&'a UsageEvent> for LogLine<'a> {
    fn from(event: &'a UsageEvent) -> Self {
        Self {
            ts: event.ts_ms,
            route: &event.route,
            method: &event.method,
            requested_model: &event.requested_model,
            effective_model: &event.effective_model,
            stream: event.stream,
            prompt_tokens_est: event.input_tokens,
            completion_tokens_est: event.output_tokens,
            total_tokens_est: event.total_tokens(),
            duration_ms: event.duration_ms,
            status: event.status,
            user_agent: &event.user_agent,
            id: event.id,
        }
    }
}

/// The file and the position in it.
#[derive(Debug)]
pub(super) struct TokenLog {
    path: PathBuf,
    /// The largest number in the file.
    last_id: u64,
    failed: bool,
}

/// The number of bytes at the end of the file in which the number of the last line is searched.
const TAIL: u64 = 256 * 1024;
/// The beginning of each line.
const START: &[u8] = br#"{"ts":"#;

impl TokenLog {
    /// Opens the log in this file. It has every event up to `last_id`, or more if its last line shows so.
    pub(super) fn open(path: PathBuf, last_id: u64) -> Self {
        let mut log = Self { path, last_id, failed: false };
        match last_in(&log.path, Ids::after(last_id)) {
            Ok(last) => log.last_id = last_id.max(last),
            Err(error) => log.complain(&error),
        }
        log
    }

    pub(super) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Appends events, which follow the last event in the file. Returns whether they were written; if not, the
    /// caller has to append them again later.
    pub(super) fn append(&mut self, events: &[UsageEvent]) -> bool {
        let Some(last) = events.last() else { return true };
        match self.try_append(events) {
            Ok(()) => {
                self.last_id = last.id;
                if self.failed {
                    tracing::info!(file = %self.path.display(), "the usage log file is written again");
                }
                self.failed = false;
                true
            }
            Err(error) => {
                self.complain(&error);
                false
            }
        }
    }

    fn try_append(&self, events: &[UsageEvent]) -> io::Result<()> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, &LogLine::from(event))?;
            lines.push(b'\n');
        }
        // The file is opened each time, so that log rotation works without a signal to the proxy.
        let mut file = open(&self.path)?;
        let length = file.metadata()?.len();
        file.write_all(&lines).inspect_err(|_| {
            // If the incomplete line cannot be removed now, the next start removes it.
            let _cut = file.set_len(length);
        })
    }

    fn complain(&mut self, error: &io::Error) {
        if !self.failed {
            tracing::warn!(
                file = %self.path.display(),
                %error,
                "the usage log file cannot be written; choose another with TOKEN_LOG_PATH or mend this one. Events \
                 are added to it as soon as it can be written"
            );
        }
        self.failed = true;
    }
}

fn open(path: &Path) -> io::Result<File> {
    let opened = files::append_private(path);
    match path.parent() {
        Some(directory) if matches!(&opened, Err(error) if error.kind() == io::ErrorKind::NotFound) => {
            files::create_private_dir(directory)?;
            files::append_private(path)
        }
        _ => opened,
    }
}

/// The number of the last line of the file, or 0. An incomplete line is removed if it is one of ours; otherwise
/// it gets a line feed.
fn last_in(path: &Path, ids: Ids) -> io::Result<u64> {
    #[derive(Deserialize)]
    struct Line {
        id: u64,
    }
    let mut file = open(path)?;
    // A pipe or a terminal has no end that could be read.
    if !file.metadata()?.is_file() {
        return Ok(0);
    }
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    (&mut file).take(TAIL).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let rest = &tail[whole..];
    if START.starts_with(rest) || rest.starts_with(START) {
        file.set_len(length - rest.len() as u64)?;
    } else {
        file.write_all(b"\n")?;
    }
    let lines = tail[..whole].rsplit(|byte| *byte == b'\n');
    let id = |line: &[u8]| serde_json::from_slice::<Line>(line).ok().map(|line| line.id);
    Ok(lines.filter_map(id).find(|id| ids.believes(*id)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn events(ids: std::ops::RangeInclusive<u64>) -> Vec<UsageEvent> {
        ids.map(|id| UsageEvent { id, ts_ms: 5, input_tokens: 3, output_tokens: 4, ..UsageEvent::default() })
            .collect()
    }

    #[test]
    fn lines_have_the_old_names_and_go_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/usage.ndjson");
        let mut log = TokenLog::open(path.clone(), 0);
        assert!(log.append(&events(1..=3)));
        let text = fs::read_to_string(&path).unwrap();
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let names: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            names.join(" "),
            "ts route method requested_model effective_model stream prompt_tokens_est completion_tokens_est \
             total_tokens_est duration_ms status user_agent id"
        );
        assert_eq!((&first["ts"], &first["total_tokens_est"]), (&5.into(), &7.into()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(TokenLog::open(path.clone(), 1).last_id(), 3);
        assert_eq!(TokenLog::open(path, 9).last_id(), 9, "the file was rotated");
    }

    #[test]
    fn a_torn_line_is_taken_off_and_a_foreign_one_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("usage.ndjson");
        assert!(TokenLog::open(path.clone(), 0).append(&events(1..=2)));
        let whole = fs::read(&path).unwrap();
        let one = whole.len() / 2;
        for end in one + 1..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(TokenLog::open(path.clone(), 0).last_id(), 1, "{end}");
            assert_eq!(fs::read(&path).unwrap(), whole[..one], "{end}");
        }
        fs::write(&path, "a note").unwrap();
        assert_eq!(TokenLog::open(path.clone(), 0).last_id(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a note\n");
    }

    #[test]
    fn what_could_not_be_written_is_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("usage.ndjson");
        fs::create_dir(&path).unwrap();
        let mut log = TokenLog::open(path.clone(), 0);
        assert!(!log.append(&events(1..=1)));
        assert_eq!(log.last_id(), 0);
        fs::remove_dir(&path).unwrap();
        assert!(log.append(&events(1..=1)));
        assert_eq!(log.last_id(), 1);
    }
}
