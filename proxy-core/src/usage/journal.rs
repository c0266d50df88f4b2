//! The journal: numbered files with events that may not be in the database yet, one JSON object for each line.
//!
//! A line is passed to the operating system before its event counts as recorded, so only a crash of the whole
//! machine can lose it. A line that such a crash cut is skipped at the next start. A file is removed once all of
//! its events are on disk in the database.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::event::{Ids, UsageEvent};
use super::files;

/// The journal file that is open for writing.
#[derive(Debug)]
pub(super) struct Journal {
    file: Arc<File>,
    number: u64,
    length: u64,
    /// The file ends with an incomplete line that could not be removed.
    torn: bool,
}

/// The parts of a file that could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Complete lines that are not events.
    pub(super) lines: u64,
    /// Whether the last line is incomplete; such an event was never acknowledged.
    pub(super) torn_end: bool,
}

/// The maximum length of a line in bytes. No event reaches it, so a longer line is damaged.
const LONGEST_LINE: u64 = 64 * 1024;

impl Journal {
    /// Creates the file with this number, which must not exist yet.
    pub(super) fn create(directory: &Path, number: u64) -> io::Result<Self> {
        files::create_private_dir(directory)?;
        let file = files::create_private(&directory.join(format!("{number:08}.jsonl")))?;
        // Without this, a power loss may lose the whole file and not only its end.
        files::sync_dir(directory)?;
        Ok(Self { file: Arc::new(file), number, length: 0, torn: false })
    }

    /// Appends one line, which ends with a line feed. On an error, the file stays as it was.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write(b"\n")?;
            self.torn = false;
        }
        self.write(line)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match (&*self.file).write_all(bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.torn = self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }

    /// The length of the file in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The number of the file.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The file, so that it can be synced without blocking writers.
    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }
}

/// The journal files in a directory, oldest first.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let stem =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jsonl"));
        if let Some(number) = stem.and_then(|stem| stem.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The number for a new file after these files.
pub(super) fn next_number(files: &[(u64, PathBuf)]) -> u64 {
    /// No store reaches this number; a larger one is from a file that a person has renamed.
    const LAST: u64 = 1 << 48;
    files.iter().map(|(number, _)| *number).rfind(|number| *number < LAST).map_or(1, |number| number + 1)
}

/// Passes every event of a file to `event`, in order.
pub(super) fn read<E: From<io::Error>>(
    path: &Path,
    ids: Ids,
    mut event: impl FnMut(UsageEvent) -> Result<(), E>,
) -> Result<Damage, E> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut line, mut damage) = (Vec::new(), Damage::default());
    loop {
        line.clear();
        if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(damage);
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        let found = parse(&line, ids);
        // If a line has lost its end, the next event follows in the same line.
        let rest =
            if found.is_none() { last_start(&line).and_then(|at| parse(&line[at..], ids)) } else { None };
        match (found, rest) {
            (Some(found), _) => event(found)?,
            (None, Some(rest)) => {
                damage.lines += 1;
                event(rest)?;
            }
            (None, None) if line.is_empty() => {}
            (None, None) if !whole && reader.fill_buf()?.is_empty() => damage.torn_end = true,
            (None, None) => damage.lines += 1,
        }
    }
}

fn parse(line: &[u8], ids: Ids) -> Option<UsageEvent> {
    // Without this check, serde would also accept an array for the structure.
    if !line.starts_with(b"{") {
        return None;
    }
    let mut event = serde_json::from_slice::<UsageEvent>(line).ok().filter(|event| ids.believes(event.id))?;
    // A damaged number must not enter the sums.
    event.normalise();
    Some(event)
}

/// The index at which the last event of a line begins, if it is not the beginning of the line. Within the texts
/// of an event, the quotation marks would be escaped.
fn last_start(line: &[u8]) -> Option<usize> {
    const START: &[u8] = br#"{"id":"#;
    (1..line.len()).rev().find(|at| line[*at..].starts_with(START))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64) -> UsageEvent {
        UsageEvent { id, ..UsageEvent::default() }
    }

    fn line(event: &UsageEvent) -> Vec<u8> {
        let mut line = serde_json::to_vec(event).unwrap();
        line.push(b'\n');
        line
    }

    fn ids(path: &Path) -> (Vec<u64>, Damage) {
        let mut ids = Vec::new();
        let damage = read(path, Ids::after(0), |event| {
            ids.push(event.id);
            Ok::<_, io::Error>(())
        });
        (ids, damage.unwrap())
    }

    #[test]
    fn what_was_appended_is_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), 3).unwrap();
        for id in 1..=50 {
            journal.append(&line(&event(id))).unwrap();
        }
        let list = list(dir.path()).unwrap();
        assert_eq!(list, [(3, dir.path().join("00000003.jsonl"))]);
        assert_eq!(ids(&list[0].1), ((1..=50).collect(), Damage::default()));
        assert_eq!(journal.length(), fs::metadata(&list[0].1).unwrap().len());
        assert!(Journal::create(dir.path(), 3).is_err(), "a file is never begun twice");
    }

    #[test]
    fn a_file_cut_at_any_byte_keeps_every_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000001.jsonl");
        let whole: Vec<u8> = (1..=3).flat_map(|id| line(&event(id))).collect();
        let one = whole.len() / 3;
        for end in 0..=whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let (found, damage) = ids(&path);
            // A line that lacks only its line feed is complete.
            let expected = (end + 1) / one;
            assert_eq!(found, (1..=expected as u64).collect::<Vec<_>>(), "{end}");
            assert_eq!(damage.lines, 0);
            assert_eq!(damage.torn_end, end % one != 0 && end % one != one - 1, "{end}");
        }
    }

    #[test]
    fn zeros_and_noise_between_lines_are_counted_and_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000001.jsonl");
        let mut bytes = line(&event(1));
        bytes.extend(vec![0; 4096]);
        bytes.push(b'\n');
        bytes.extend(b"{\"id\":0}\n\n[1]\n");
        bytes.extend(line(&event(2)));
        fs::write(&path, &bytes).unwrap();
        assert_eq!(ids(&path), (vec![1, 2], Damage { lines: 3, torn_end: false }));
        bytes.extend(vec![b'x'; 200_000]);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(ids(&path).0, [1, 2]);
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;
        use crate::secret::KeyId;
        use crate::threads::ThreadSource;

        fn any_event() -> impl Strategy<Value = UsageEvent> {
            let texts = prop::collection::vec(".{0,20}", 9);
            let optional = (any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>());
            let numbers = any::<[u64; 10]>();
            let rest = (any::<i64>(), any::<u16>(), any::<(bool, bool, bool)>(), any::<Option<u64>>());
            let key_id = prop::option::of("key_[a-z0-9]{1,16}");
            (texts, optional, numbers, rest, key_id).prop_map(|(texts, optional, numbers, rest, key_id)| {
                UsageEvent {
                    id: numbers[0] % (1 << 40) + 1,
                    ts_ms: rest.0,
                    route: texts[0].clone(),
                    method: texts[1].clone(),
                    surface: texts[2].clone(),
                    request_id: texts[3].clone(),
                    key: texts[4].clone(),
                    client: texts[5].clone(),
                    user_agent: texts[6].clone(),
                    requested_model: texts[7].clone(),
                    effective_model: texts[8].clone(),
                    effort: optional.0,
                    stream: rest.2.0,
                    status: rest.1,
                    error_code: optional.1,
                    input_tokens: numbers[1],
                    cached_tokens: numbers[2],
                    cache_write_tokens: numbers[3],
                    output_tokens: numbers[4],
                    reasoning_tokens: numbers[5],
                    estimated: rest.2.1,
                    tool_calls: numbers[6],
                    ttft_ms: rest.3,
                    duration_ms: numbers[7],
                    worker: rest.3,
                    thread: if rest.2.2 { ThreadSource::Fresh } else { ThreadSource::Parked },
                    request_bytes: numbers[8],
                    response_bytes: numbers[9],
                    service_tier: optional.2,
                    key_id: key_id.map(|id| KeyId::parse(&id).unwrap()),
                }
            })
        }

        proptest! {
            #[test]
            fn whatever_a_line_is_it_is_an_event_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
                let _either = parse(&bytes, Ids::after(0));
                let _either = last_start(&bytes);
            }

            #[test]
            fn an_event_is_read_as_it_was_recorded(mut event in any_event()) {
                event.normalise();
                let line = line(&event);
                prop_assert_eq!(parse(&line[..line.len() - 1], Ids::after(0)), Some(event));
            }

            #[test]
            fn a_line_of_an_earlier_version_lacks_the_id_of_the_key_only(mut event in any_event()) {
                event.normalise();
                let mut line = serde_json::to_value(&event).unwrap();
                line.as_object_mut().unwrap().remove("key_id");
                let expected = UsageEvent { key_id: None, ..event };
                prop_assert_eq!(parse(line.to_string().as_bytes(), Ids::after(0)), Some(expected));
            }

            #[test]
            fn a_damaged_line_is_an_event_or_none(
                event in any_event(),
                at in any::<prop::sample::Index>(),
                byte in any::<u8>(),
            ) {
                let mut line = line(&event);
                let at = at.index(line.len());
                line[at] = byte;
                let _either = parse(&line, Ids::after(0));
                let _either = parse(&line[..at], Ids::after(0));
            }
        }
    }
}
