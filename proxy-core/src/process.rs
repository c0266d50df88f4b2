//! Starts processes. This is the only place that does it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use crate::open_files;
use crate::secret::redact::redact;

/// The command to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// The binary.
    pub bin: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its working directory.
    pub workdir: PathBuf,
    /// Environment variables in addition to the inherited ones.
    pub env: Vec<(&'static str, OsString)>,
    /// Inherited environment variables that are removed.
    pub hidden_env: Vec<String>,
}

/// Why a process could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The process could not be started.
    #[error("{}", start_message(.bin, .source))]
    Start {
        /// The binary.
        bin: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The process did not end in time.
    #[error("{} did not finish within {} s", .bin.display(), .limit.as_secs())]
    Timeout {
        /// The binary.
        bin: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// The process printed more than the limit, and was ended.
    #[error("{} printed more than {} KiB, which is more than expected, so it was ended", .bin.display(), .most / 1024)]
    TooMuch {
        /// The binary.
        bin: PathBuf,
        /// The most bytes that it may print.
        most: usize,
    },
    /// The process ended with a failure.
    #[error("{} ended with {status}{}", .bin.display(), saying(.stderr))]
    Failed {
        /// The binary.
        bin: PathBuf,
        /// Its exit status.
        status: ExitStatus,
        /// The end of its stderr.
        stderr: String,
    },
}

fn start_message(bin: &std::path::Path, source: &std::io::Error) -> String {
    let bin = bin.display();
    if source.kind() == std::io::ErrorKind::NotFound {
        return format!(
            "the Codex binary '{bin}' (or its working directory) was not found. Install the Codex CLI \
             (`codex-proxy codex install`) or set CODEX_BIN to the path of one."
        );
    }
    if source.kind() == std::io::ErrorKind::PermissionDenied {
        return format!(
            "the Codex binary '{bin}' may not be executed. Check its permissions or set CODEX_BIN to another."
        );
    }
    match open_files::remedy(source) {
        Some(remedy) => format!("'{bin}' could not be started: {remedy}"),
        None => format!("the Codex binary '{bin}' could not be started: {source}"),
    }
}

fn saying(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(", saying: {stderr}") }
}

/// A running process. Dropping it kills the process's whole group.
#[derive(Debug)]
pub struct Process {
    child: Box<dyn Child>,
}

/// The actions on a process: of the system, or of a test that plays the process.
pub trait Child: std::fmt::Debug + Send {
    /// The process's id, until it has been waited for.
    fn id(&self) -> Option<u32>;

    /// Waits until it ends.
    fn wait(&mut self) -> Pin<Box<dyn Future<Output = std::io::Result<ExitStatus>> + Send + '_>>;

    /// Requests its group to end.
    ///
    /// # Errors
    /// The system's error; `Unsupported` where a system has no such request.
    fn ask_to_end(&self) -> std::io::Result<()>;

    /// Kills its group, and does not wait for the end.
    ///
    /// # Errors
    /// The system's error.
    fn start_kill(&mut self) -> std::io::Result<()>;
}

/// A child of this process, as the leader of a group.
#[derive(Debug)]
struct SystemChild(Box<dyn ChildWrapper>);

impl Child for SystemChild {
    fn id(&self) -> Option<u32> {
        self.0.id()
    }

    fn wait(&mut self) -> Pin<Box<dyn Future<Output = std::io::Result<ExitStatus>> + Send + '_>> {
        self.0.wait()
    }

    #[cfg(unix)]
    fn ask_to_end(&self) -> std::io::Result<()> {
        self.0.signal(rustix::process::Signal::TERM.as_raw())
    }

    #[cfg(not(unix))]
    fn ask_to_end(&self) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn start_kill(&mut self) -> std::io::Result<()> {
        self.0.start_kill()
    }
}

/// A process's pipes.
pub struct Pipes {
    /// The child's stdin.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// The child's stdout.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// The child's stderr.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
}

impl std::fmt::Debug for Pipes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipes").finish_non_exhaustive()
    }
}

/// Starts a process in a group of its own.
///
/// On Linux the kernel kills it when the thread that started it ends, so this must be called from a thread that
/// lasts: a runtime worker, never a blocking one.
///
/// # Errors
/// When the binary is missing or may not be executed; the error says what to do.
pub fn start(program: &Program) -> Result<(Process, Pipes), ProcessError> {
    let mut command = CommandWrap::with_new(&program.bin, |command| {
        command
            .args(&program.arguments)
            .current_dir(&program.workdir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in &program.hidden_env {
            command.env_remove(name);
        }
        command.envs(program.env.iter().map(|(name, value)| (name, value)));
        die_with_parent(command);
    });
    command.wrap(KillOnDrop);
    #[cfg(unix)]
    command.wrap(process_wrap::tokio::ProcessGroup::leader());
    #[cfg(windows)]
    command.wrap(process_wrap::tokio::JobObject);
    let failed = |source| ProcessError::Start { bin: program.bin.clone(), source };
    let mut child = command.spawn().map_err(failed)?;
    let pipes = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(failed(std::io::Error::other("a pipe is missing")));
    };
    let pipes = Pipes { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr) };
    Ok((Process::new(SystemChild(child)), pipes))
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut tokio::process::Command) {
    let parent = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have ended before the death signal was set.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(std::io::Error::other("the parent process is gone"))
        }
    };
    #[expect(unsafe_code, reason = "between fork and exec only two async-signal-safe system calls are made")]
    unsafe {
        command.pre_exec(ask);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut tokio::process::Command) {}

impl Process {
    /// A process for this child.
    pub(crate) fn new(child: impl Child + 'static) -> Self {
        Self { child: Box::new(child) }
    }

    /// The process's id, until it has been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// The system's error, if it cannot be waited for.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends the process. The caller has closed its stdin; after `grace` its group gets a request to end, after
    /// another `grace` it is killed.
    pub async fn end(mut self, grace: Duration) {
        if timeout(grace, self.child.wait()).await.is_ok() {
            return;
        }
        tracing::debug!(
            pid = self.id(),
            "a process did not end after its input was closed; asking it to end"
        );
        if self.child.ask_to_end().is_ok() && timeout(grace, self.child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(pid = self.id(), "a process did not end when asked to; killing it");
        let killed = match self.child.start_kill() {
            Ok(()) => self.child.wait().await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = killed {
            tracing::error!(%error, "a process could not be killed");
        }
    }
}

impl Drop for Process {
    /// Kills the group, with the children of launchers too. After a wait for it, another process may have its
    /// number.
    fn drop(&mut self) {
        if self.child.id().is_some()
            && let Err(error) = self.child.start_kill()
        {
            tracing::debug!(%error, "a process group could not be killed");
        }
    }
}

/// The bytes of a process's stderr that are kept: the last ones.
const COMPLAINTS: usize = 16 * 1024;

/// Runs a short-lived process and returns its output, which is at most `most` bytes.
///
/// # Errors
/// When it cannot be started, takes longer than `limit`, prints more or fails. It has been ended then.
pub async fn output(program: &Program, limit: Duration, most: usize) -> Result<String, ProcessError> {
    let bin = || program.bin.clone();
    let (mut process, pipes) = start(program)?;
    let Pipes { stdin, stdout, stderr } = pipes;
    drop(stdin);
    let collect = async {
        let (printed, complaints) = tokio::try_join!(at_most(stdout, most), last_of(stderr, COMPLAINTS))?;
        Ok::<_, Stopped>((process.wait().await?, printed, complaints))
    };
    match timeout(limit, collect).await {
        Err(_) => Err(ProcessError::Timeout { bin: bin(), limit }),
        Ok(Err(Stopped::TooMuch)) => Err(ProcessError::TooMuch { bin: bin(), most }),
        Ok(Err(Stopped::Io(source))) => Err(ProcessError::Start { bin: bin(), source }),
        Ok(Ok((status, _, complaints))) if !status.success() => {
            // The text is shown to people. It is masked before it is cut, because half a key would not be
            // recognised.
            let stderr = tail(&redact(&String::from_utf8_lossy(&complaints)), 500).to_owned();
            Err(ProcessError::Failed { bin: bin(), status, stderr })
        }
        Ok(Ok((_, printed, _))) => Ok(String::from_utf8_lossy(&printed).into_owned()),
    }
}

/// Why a process's output is not read to its end.
#[derive(Debug)]
enum Stopped {
    TooMuch,
    Io(std::io::Error),
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads to the end, unless there is more than `most` bytes.
async fn at_most(source: impl AsyncRead + Unpin, most: usize) -> Result<Vec<u8>, Stopped> {
    let mut bytes = Vec::new();
    source.take(most as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > most { Err(Stopped::TooMuch) } else { Ok(bytes) }
}

/// Reads to the end and returns about the last `most` bytes, from the start of a word, because half a key would
/// not be recognised.
async fn last_of(mut source: impl AsyncRead + Unpin, most: usize) -> Result<Vec<u8>, Stopped> {
    let (mut bytes, mut is_cut) = (Vec::new(), false);
    while source.read_buf(&mut bytes).await? > 0 {
        if bytes.len() > 2 * most {
            bytes.drain(..bytes.len() - most);
            is_cut = true;
        }
    }
    if is_cut {
        let word = bytes.iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len());
        bytes.drain(..word);
    }
    Ok(bytes)
}

/// At most the last `limit` bytes of a text, from the start of a character.
pub fn tail(text: &str, limit: usize) -> &str {
    let text = text.trim_end();
    let mut start = text.len().saturating_sub(limit);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_read_is_bounded() {
        assert_eq!(at_most(&b"abc"[..], 3).await.unwrap(), b"abc");
        assert!(matches!(at_most(&b"abcd"[..], 3).await, Err(Stopped::TooMuch)));
        assert!(matches!(at_most(tokio::io::repeat(b'y'), 1 << 20).await, Err(Stopped::TooMuch)));
        let words = "word ".repeat(10_000);
        let kept = last_of(words.as_bytes(), 1000).await.unwrap();
        assert!(
            kept.len() <= 2000 && kept.starts_with(b" word ") && kept.ends_with(b"word "),
            "{}",
            kept.len()
        );
        let word = vec![b'k'; 5000];
        assert_eq!(
            last_of(&word[..], 1000).await.unwrap(),
            b"",
            "the end of one long word could be that of a key"
        );
        assert_eq!(last_of(&b"all of it"[..], 1000).await.unwrap(), b"all of it");
    }

    #[cfg(unix)]
    fn shell(script: &str) -> Program {
        Program {
            bin: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            workdir: "/".into(),
            env: vec![],
            hidden_env: vec![],
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_process_that_prints_without_end_is_ended_whatever_it_started() {
        for (script, too_much) in [
            ("yes & echo $! >&2; wait", true),
            ("yes >&2", false),
            ("while :; do echo x; done", true),
            ("sleep 1000", false),
        ] {
            let limit = if too_much { Duration::from_secs(60) } else { Duration::from_millis(300) };
            let error = output(&shell(script), limit, 4096).await.unwrap_err();
            match (too_much, &error) {
                (true, ProcessError::TooMuch { most: 4096, .. }) | (false, ProcessError::Timeout { .. }) => {}
                _ => panic!("{script}: {error}"),
            }
        }
        let failed = output(&shell("echo why >&2; exit 3"), Duration::from_secs(60), 4096).await.unwrap_err();
        assert_eq!(failed.to_string(), "/bin/sh ended with exit status: 3, saying: why");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_children_of_a_dropped_process_go_with_it() {
        use tokio::io::{AsyncBufReadExt as _, BufReader};
        let (process, pipes) = start(&shell("sleep 1000 & echo $!; wait")).unwrap();
        let mut line = String::new();
        BufReader::new(pipes.stdout).read_line(&mut line).await.unwrap();
        drop(process);
        let stat = PathBuf::from(format!("/proc/{}/stat", line.trim()));
        let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        let mut poll = tokio::time::interval(Duration::from_millis(5));
        let gone = async {
            while !is_gone() {
                poll.tick().await;
            }
        };
        timeout(Duration::from_secs(30), gone).await.expect("the grandchild is killed too");
    }
}
