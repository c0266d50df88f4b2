//! The only place that spawns a process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop};
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::secret::redact::redact;

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// The binary.
    pub bin: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its working directory.
    pub workdir: PathBuf,
    /// Variables it gets beside the inherited ones.
    pub env: Vec<(&'static str, OsString)>,
    /// Inherited variables it must not see.
    pub hidden_env: Vec<String>,
}

/// Why a process could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("{}", start_message(.bin, .source))]
    Start {
        /// The binary.
        bin: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It did not finish in time.
    #[error("{} did not finish within {} s", .bin.display(), .limit.as_secs())]
    Timeout {
        /// The binary.
        bin: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// It ended with a failure.
    #[error("{} ended with {status}: {stderr}", .bin.display())]
    Failed {
        /// The binary.
        bin: PathBuf,
        /// Its status.
        status: ExitStatus,
        /// The end of what it said on stderr.
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
    format!("the Codex binary '{bin}' could not be started: {source}")
}

/// A running process and its pipes. Dropping it kills the process's whole group.
#[derive(Debug)]
pub struct Process {
    child: Box<dyn ChildWrapper>,
}

/// A process's pipes.
#[derive(Debug)]
pub struct Pipes {
    /// What it reads.
    pub stdin: ChildStdin,
    /// What it says.
    pub stdout: ChildStdout,
    /// What it complains about.
    pub stderr: ChildStderr,
}

/// Starts a process in a group of its own.
///
/// On Linux the kernel kills it when the thread that started it ends, so this has to be called from a thread
/// that lasts: a runtime worker, never a blocking one.
///
/// # Errors
/// Says what to do when the binary is missing or may not be executed.
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
    Ok((Process { child }, Pipes { stdin, stdout, stderr }))
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut tokio::process::Command) {
    let parent = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before the signal was asked for.
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
    /// The process's id, until it has been waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// The system's, if it cannot be waited for.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it: its stdin has been closed by the caller; after `grace` its group is asked to end, after another
    /// `grace` it is killed.
    pub async fn end(mut self, grace: Duration) {
        if timeout(grace, self.child.wait()).await.is_ok() {
            return;
        }
        #[cfg(unix)]
        {
            tracing::debug!(pid = self.id(), "a process did not end with its input; asking it to");
            let asked = self.child.signal(rustix::process::Signal::TERM.as_raw());
            if asked.is_ok() && timeout(grace, self.child.wait()).await.is_ok() {
                return;
            }
        }
        tracing::warn!(pid = self.id(), "a process did not end when asked to; killing it");
        if let Err(error) = Box::into_pin(self.child.kill()).await {
            tracing::error!(%error, "a process could not be killed");
        }
    }
}

/// Runs a short-lived process and returns what it printed.
///
/// # Errors
/// When it cannot be started, takes longer than `limit` or fails.
pub async fn output(program: &Program, limit: Duration) -> Result<String, ProcessError> {
    let (mut process, pipes) = start(program)?;
    let Pipes { stdin, mut stdout, mut stderr } = pipes;
    drop(stdin);
    let collect = async {
        let (mut printed, mut complaints) = (Vec::new(), Vec::new());
        let (read, complained) =
            tokio::join!(stdout.read_to_end(&mut printed), stderr.read_to_end(&mut complaints));
        read.and(complained)?;
        let status = process.wait().await?;
        Ok::<_, std::io::Error>((status, printed, complaints))
    };
    match timeout(limit, collect).await {
        Err(_) => Err(ProcessError::Timeout { bin: program.bin.clone(), limit }),
        Ok(Err(source)) => Err(ProcessError::Start { bin: program.bin.clone(), source }),
        Ok(Ok((status, _, complaints))) if !status.success() => {
            // People are shown it. It is masked before it is cut, as half a key would not be known for one.
            let stderr = tail(&redact(&String::from_utf8_lossy(&complaints)), 500).to_owned();
            Err(ProcessError::Failed { bin: program.bin.clone(), status, stderr })
        }
        Ok(Ok((_, printed, _))) => Ok(String::from_utf8_lossy(&printed).into_owned()),
    }
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
