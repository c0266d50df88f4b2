//! The command `codex-proxy logs`: the last lines of the log file, new lines, and the filter.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use memchr::memrchr;
use serde_json::json;

use super::client::{Answer, Client, cannot};
use super::failure::Failure;
use super::output::{Output, clean};
use super::tree::LogsArgs;
use super::{Context, Interruption};
use crate::control::api::{LogLevel, LogTail, SetLogLevel};

/// The interval at which a followed file is read.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn run(args: &LogsArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    if let Some(filter) = &args.level {
        return level(filter.as_deref(), args.json.json, context, output).await;
    }
    let file = find(context).await?;
    let missing = |error: io::Error| {
        Failure::with_next(
            format!("cannot read the log {}: {error}", file.display()),
            "The proxy makes it when it starts; it also logs to standard error.",
        )
    };
    let mut tail = Tail::open(&file, args.lines).map_err(missing)?;
    let lines = tail.lines().map_err(missing)?;
    if args.json.json && !args.follow {
        return Ok(output.json(&LogTail { file: Some(file.display().to_string()), lines })?);
    }
    print(&lines, args, output)?;
    if !args.follow {
        return Ok(());
    }
    let mut interruption = Interruption::listen();
    tokio::select! {
        ended = follow(&mut tail, args, output) => ended,
        () = interruption.comes() => Ok(()),
    }
}

async fn level(
    filter: Option<&str>,
    json: bool,
    context: &Context,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = Client::find(&context.config.data_dir)?;
    let answer: Answer<LogLevel> = match filter {
        None => client.get("/logs/level").await?,
        Some(filter) => {
            client.send(Method::PUT, "/logs/level", &SetLogLevel { filter: filter.to_owned() }).await?
        }
    };
    if json {
        return Ok(output.json(answer.sent())?);
    }
    Ok(output.line(&format!("Logged: {}", clean(&answer.read()?.filter)))?)
}

/// The file that the running proxy writes, or that a proxy with these settings would write.
async fn find(context: &Context) -> Result<PathBuf, Failure> {
    let data_dir = &context.config.data_dir;
    let said = match Client::find(data_dir) {
        Ok(client) => client.read::<LogTail>("/logs?lines=1").await?.file.map(PathBuf::from),
        Err(_) => None,
    };
    Ok(said.unwrap_or_else(|| data_dir.join("logs").join("codex-proxy.log")))
}

async fn follow(tail: &mut Tail, args: &LogsArgs, output: &mut Output) -> Result<(), Failure> {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let lines = tail.lines().map_err(|error| cannot("read the log", &error))?;
        print(&lines, args, output)?;
    }
}

fn print(lines: &[String], args: &LogsArgs, output: &mut Output) -> Result<(), Failure> {
    for line in lines {
        if args.json.json {
            output.json_line(&json!({"line": line}))?;
        } else if output.interactive {
            output.line(&clean(line))?;
        } else {
            output.line(line)?;
        }
    }
    Ok(())
}

/// The end of a file that grows and is sometimes rotated.
struct Tail {
    path: PathBuf,
    file: File,
    pending: Vec<u8>,
}

impl Tail {
    /// Starts `lines` lines before the end.
    fn open(path: &Path, lines: usize) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let start = start_of_last(&mut file, lines)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { path: path.to_owned(), file, pending: Vec::new() })
    }

    /// The complete lines that were added since the last call.
    fn lines(&mut self) -> io::Result<Vec<String>> {
        self.file.read_to_end(&mut self.pending)?;
        // The new file is opened only after the old one has been read to its end.
        if self.replaced()? {
            if !self.pending.is_empty() && !self.pending.ends_with(b"\n") {
                self.pending.push(b'\n');
            }
            self.file = File::open(&self.path)?;
            self.file.read_to_end(&mut self.pending)?;
        }
        let Some(end) = memrchr(b'\n', &self.pending) else { return Ok(Vec::new()) };
        let whole: Vec<u8> = self.pending.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }

    /// Whether the path leads to another file now, or the file has been truncated.
    fn replaced(&mut self) -> io::Result<bool> {
        let now = match std::fs::metadata(&self.path) {
            Ok(now) => now,
            // During a rotation, there is no file for a moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(!same_file(&now, &self.file.metadata()?) || now.len() < self.file.stream_position()?)
    }
}

#[cfg(unix)]
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// On this system, only the creation time distinguishes two files.
#[cfg(not(unix))]
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    one.created().ok() == other.created().ok()
}

/// The offset at which the last `lines` lines of a file begin. An incomplete last line counts. If no lines are
/// requested, it is not divided: it will be shown when it is complete.
fn start_of_last(file: &mut File, lines: usize) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let end = file.seek(SeekFrom::End(0))?;
    let (mut at, mut left) = (end, lines);
    let mut block = Vec::new();
    while at > 0 {
        let start = at.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.by_ref().take(at - start).read_to_end(&mut block)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = start + index as u64 + 1;
            // The line feed at the end of the last line does not begin a new line.
            if after == end && lines > 0 {
                continue;
            }
            if left <= 1 {
                return Ok(after);
            }
            left -= 1;
        }
        at = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn last(text: &str, lines: usize) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, text).unwrap();
        Tail::open(&path, lines).unwrap().lines().unwrap()
    }

    #[test]
    fn the_last_lines_of_a_file() {
        assert_eq!(last("a\nb\nc\n", 2), ["b", "c"]);
        assert_eq!(last("a\nb\nc\n", 3), ["a", "b", "c"]);
        assert_eq!(last("a\nb\nc\n", 9), ["a", "b", "c"]);
        assert_eq!(last("a\nb\nc\n", 1), ["c"]);
        assert_eq!(last("a\nb\nc\n", 0), [""; 0]);
        assert_eq!(last("", 5), [""; 0]);
        assert_eq!(last("a\n\nc\n", 2), ["", "c"]);
        let long: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let found = last(&long, 15_000);
        assert_eq!((found.len(), found[0].as_str()), (15_000, "line 5000"));
    }

    #[test]
    fn what_is_added_is_told_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let mut tail = Tail::open(&path, 1).unwrap();
        assert_eq!(tail.lines().unwrap(), ["old"]);
        let mut log = fs::OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(b"one\nha").unwrap();
        assert_eq!(tail.lines().unwrap(), ["one"]);
        log.write_all(b"lf\n").unwrap();
        assert_eq!(tail.lines().unwrap(), ["half"]);
        assert_eq!(tail.lines().unwrap(), [""; 0]);
    }

    #[test]
    fn nothing_is_lost_when_the_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let mut tail = Tail::open(&path, 1).unwrap();
        tail.lines().unwrap();
        let mut log = fs::OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(b"last words\n").unwrap();
        fs::rename(&path, dir.path().join("log.1")).unwrap();
        assert_eq!(tail.lines().unwrap(), ["last words"]);
        fs::write(&path, "a new file\n").unwrap();
        assert_eq!(tail.lines().unwrap(), ["a new file"]);
        fs::write(&path, "cut\n").unwrap();
        assert_eq!(tail.lines().unwrap(), ["cut"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_last_lines_are_the_last_lines(text in "([a-z]{0,5}\n){0,12}[a-z]{0,5}", lines in 0..15_usize) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            fs::write(&path, &text).unwrap();
            let start = start_of_last(&mut File::open(&path).unwrap(), lines).unwrap();
            let all: Vec<&str> = text.lines().collect();
            let begun = usize::from(!text.is_empty() && !text.ends_with('\n'));
            let last = &all[all.len().saturating_sub(lines.max(begun))..];
            let found: Vec<&str> = text[usize::try_from(start).unwrap()..].lines().collect();
            prop_assert_eq!(found, last);
            let mut tail = Tail::open(&path, lines).unwrap();
            let whole: Vec<String> = tail.lines().unwrap();
            let ended = if text.ends_with('\n') { last.len() } else { last.len().saturating_sub(1) };
            prop_assert_eq!(&whole[..], &last[..ended]);
        }
    }
}
