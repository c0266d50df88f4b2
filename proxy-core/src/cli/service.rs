//! The command `codex-proxy service`: the system starts the proxy without a terminal when the user signs in.

mod launchd;
mod systemd;
mod tasks;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::Context;
use super::client::cannot;
use super::failure::Failure;
use super::output::Output;
use super::tree::{ServiceArgs, ServiceVerb};
use crate::config::{Flags, ProcessEnvironment, Strings as _};
use crate::instance;
use crate::process::{self, ProcessError, Program};

/// The time limit for the tools of the system. Stopping waits for running requests.
const LIMIT: Duration = Duration::from_secs(60);
/// The maximum number of bytes that are read from their output.
const MOST: usize = 1 << 20;

pub(super) async fn run(args: &ServiceArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let manager = Manager::of_platform(context)?;
    let json = args.json.json;
    match args.verb.unwrap_or(ServiceVerb::Status) {
        ServiceVerb::Status => {}
        ServiceVerb::Install => {
            let starts_now = manager.install().await?;
            if !json {
                let now = if starts_now { "runs now and starts" } else { "starts" };
                output.line(&format!("The proxy {now} whenever you sign in to this machine."))?;
                if !starts_now {
                    output.note("A proxy is already running. It keeps running as it is.")?;
                }
                return Ok(output.note(NOTES)?);
            }
        }
        ServiceVerb::Uninstall => {
            manager.uninstall().await?;
            if !json {
                return Ok(output.line("The system no longer starts the proxy.")?);
            }
        }
    }
    let standing = manager.standing().await?;
    if json { Ok(output.json(&standing)?) } else { Ok(output.text(&standing.shown())?) }
}

/// Notes on the differences of a proxy that the system starts.
const NOTES: &str = if cfg!(target_os = "linux") {
    "It reads config.toml and the flags that you gave here, but not the environment variables of your shell.\nSigning in \
     to the desktop unlocks the keychain. Before that, the proxy answers requests, but `codex-proxy keys show` has to \
     wait.\nIf no user signs in to this machine, run `loginctl enable-linger`: then the proxy starts with the system."
} else if cfg!(target_os = "macos") {
    "It reads config.toml and the flags that you gave here, but not the environment variables of your shell.\nThe Keychain \
     may ask once if codex-proxy may use its keys."
} else {
    "It reads config.toml and the flags that you gave here, but not the environment variables of your shell.\nIts console \
     window stays open. The tray application can start at login too, and has no such window."
};

/// The service manager of this platform, and the command that it starts.
pub(super) struct Manager<'a> {
    context: &'a Context,
    /// The program and its arguments.
    command: Vec<String>,
    /// The file of the service; `None` if the manager stores it itself.
    file: Option<PathBuf>,
}

/// The state of the service.
#[derive(Debug, Serialize)]
struct Standing {
    /// The name of the service manager.
    manager: &'static str,
    /// The file of the service.
    file: Option<PathBuf>,
    /// Whether the manager starts the proxy when the user signs in.
    installed: bool,
    /// Whether the proxy that the manager has started is running.
    running: bool,
}

impl Standing {
    fn shown(&self) -> String {
        let running = if self.running { "runs" } else { "does not run now" };
        let mut text = if self.installed {
            format!("{} starts the proxy when you sign in; it {running}.\n", self.manager)
        } else {
            format!(
                "{} does not start the proxy. To change that, run `codex-proxy service install`.\n",
                self.manager
            )
        };
        if let Some(file) = self.file.as_ref().filter(|file| file.exists()) {
            text.push_str(&format!("Its file is {}.\n", file.display()));
        }
        text
    }
}

impl<'a> Manager<'a> {
    pub(super) fn of_platform(context: &'a Context) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| cannot("find this program", &error))?;
        let home = context.dirs.home.as_deref();
        let file = if cfg!(target_os = "macos") {
            home.map(launchd::file)
        } else if cfg!(windows) {
            None
        } else {
            context.dirs.config.as_deref().and_then(Path::parent).map(systemd::file)
        };
        Ok(Self { context, command: command(&program, &context.flags)?, file })
    }

    /// Whether the service is installed, as far as this can be checked.
    pub(super) async fn is_installed(&self) -> bool {
        self.file.as_deref().is_some_and(Path::exists)
            || self.standing().await.is_ok_and(|standing| standing.installed)
    }

    /// Installs the service. Returns whether the proxy is started now: not if another one uses the data
    /// directory.
    async fn install(&self) -> Result<bool, Failure> {
        let data_dir = &self.context.config.data_dir;
        let busy = instance::running(data_dir).map_err(|error| {
            cannot(&format!("see whether a proxy runs on {}", data_dir.display()), &error)
        })?;
        let now = busy.is_none();
        if cfg!(windows) {
            self.create_task(now).await?;
        } else if cfg!(target_os = "macos") {
            self.bootstrap(now).await?;
        } else {
            self.enable(now).await?;
        }
        Ok(now)
    }

    pub(super) async fn uninstall(&self) -> Result<(), Failure> {
        if cfg!(windows) {
            for arguments in tasks::REMOVE {
                // Ending a task that is not running fails.
                let done = asked("schtasks", arguments, self.context).await;
                if arguments == tasks::REMOVE.last().copied().unwrap_or_default() {
                    done?;
                }
            }
            return Ok(());
        }
        if cfg!(target_os = "macos") {
            if self.standing().await?.running {
                asked("launchctl", &["bootout", &launchd::target(user_id())], self.context).await?;
            }
            return self.remove_file();
        }
        systemctl(&systemd::DISABLE, self.context).await?;
        self.remove_file()?;
        systemctl(&systemd::RELOAD, self.context).await.map(drop)
    }

    async fn standing(&self) -> Result<Standing, Failure> {
        if cfg!(windows) {
            let found = asked("schtasks", &tasks::QUERY, self.context).await;
            let running = found.as_ref().is_ok_and(|list| tasks::is_running(list));
            return Ok(Standing {
                manager: "The Task Scheduler",
                file: None,
                installed: found.is_ok(),
                running,
            });
        }
        let installed = self.file.as_deref().is_some_and(Path::exists);
        if cfg!(target_os = "macos") {
            let found = asked("launchctl", &["print", &launchd::target(user_id())], self.context).await;
            let running = found.is_ok_and(|text| launchd::is_running(&text));
            return Ok(Standing { manager: "launchd", file: self.file.clone(), installed, running });
        }
        let (enabled, running) = systemd::read(&systemctl(&systemd::SHOW, self.context).await?);
        Ok(Standing { manager: "systemd", file: self.file.clone(), installed: enabled, running })
    }

    async fn enable(&self, now: bool) -> Result<(), Failure> {
        if systemd::is_packaged(&self.command) {
            // The unit of the package starts the same program, and an upgrade keeps it up to date.
            self.remove_file()?;
        } else {
            self.write_file(&systemd::unit(&self.command))?;
        }
        systemctl(&systemd::RELOAD, self.context).await?;
        systemctl(if now { &systemd::ENABLE_NOW } else { &systemd::ENABLE }, self.context).await.map(drop)
    }

    async fn bootstrap(&self, now: bool) -> Result<(), Failure> {
        self.write_file(&launchd::plist(&self.command))?;
        let file = self.file.as_deref().unwrap_or(Path::new("")).display().to_string();
        if now {
            // If the agent is running, it has to be unloaded first, so that launchd reads the new file.
            if self.standing().await?.running {
                asked("launchctl", &["bootout", &launchd::target(user_id())], self.context).await?;
            }
            asked("launchctl", &["bootstrap", &launchd::domain(user_id()), &file], self.context).await?;
        }
        Ok(())
    }

    async fn create_task(&self, now: bool) -> Result<(), Failure> {
        let variable = |name: &str| {
            let value = ProcessEnvironment.get(name).and_then(|value| value.into_string().ok());
            value.ok_or_else(|| Failure::new(format!("the variable {name} says nothing")))
        };
        let user = format!("{}\\{}", variable("USERDOMAIN")?, variable("USERNAME")?);
        let written = tempfile::NamedTempFile::new().and_then(|file| {
            fs::write(file.path(), tasks::utf16(&tasks::task(&self.command, &user)))?;
            Ok(file.into_temp_path())
        });
        let file = written.map_err(|error| cannot("write the task", &error))?;
        asked("schtasks", &tasks::create(&file.display().to_string()), self.context).await?;
        if now {
            asked("schtasks", &tasks::RUN, self.context).await?;
        }
        Ok(())
    }

    fn write_file(&self, text: &str) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Err(Failure::new("this user has no home directory")) };
        crate::files::replace(file, text, crate::files::Target::Settings)
            .map_err(|error| cannot(&format!("write {}", file.display()), &error))
    }

    fn remove_file(&self) -> Result<(), Failure> {
        let Some(file) = &self.file else { return Ok(()) };
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(cannot(&format!("remove {}", file.display()), &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The command of the service: this program, with the settings that were given as flags.
fn command(program: &Path, flags: &Flags) -> Result<Vec<String>, Failure> {
    let mut words = vec![program.as_os_str().to_owned(), OsString::from("run")];
    for (flag, value) in flags {
        words.extend([OsString::from(format!("--{flag}")), value.clone()]);
    }
    let texts = words.into_iter().map(|word| {
        let text = word.into_string().ok().filter(|text| !text.contains(['\n', '\r', '\0']));
        text.ok_or_else(|| Failure::new("a path or a setting cannot be written into the system's file"))
    });
    texts.collect()
}

#[cfg(unix)]
fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(not(unix))]
fn user_id() -> u32 {
    0
}

async fn systemctl(arguments: &[&str], context: &Context) -> Result<String, Failure> {
    asked("systemctl", arguments, context).await
}

/// Runs a program of the system and returns its output.
pub(super) async fn asked(name: &str, arguments: &[&str], context: &Context) -> Result<String, Failure> {
    let program = Program {
        bin: PathBuf::from(name),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        workdir: context.dirs.current.clone(),
        env: Vec::new(),
        hidden_env: context.config.worker.hidden_env.clone(),
    };
    process::output(&program, LIMIT, MOST).await.map_err(|error| refused(name, &error))
}

fn refused(name: &str, error: &ProcessError) -> Failure {
    match error {
        ProcessError::Start { source, .. } => Failure::with_next(
            format!("`{name}` cannot be started: {source}"),
            "Without it, this machine does not start programs for its users. The tray application can start at login.",
        ),
        ProcessError::Failed { stderr, .. } if name == "systemctl" && stderr.contains("connect to bus") => {
            Failure::with_next(
                "this session has no systemd user instance",
                "Sign in to the desktop or by ssh as the user for the proxy, and try again.",
            )
        }
        ProcessError::Failed { .. } | ProcessError::Timeout { .. } | ProcessError::TooMuch { .. } => {
            Failure::new(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_that_were_given_are_the_services_too() {
        let flags = Flags::from([("port".to_owned(), "1".into()), ("data-dir".to_owned(), "/d e".into())]);
        let words = command(Path::new("/usr/bin/codex-proxy"), &flags).unwrap();
        assert_eq!(words, ["/usr/bin/codex-proxy", "run", "--data-dir", "/d e", "--port", "1"]);
        assert!(command(Path::new("/a\nb"), &flags).is_err());
    }

    #[test]
    fn a_standing_is_told_in_a_sentence() {
        let standing =
            |installed, running| Standing { manager: "systemd", file: None, installed, running }.shown();
        assert_eq!(standing(true, true), "systemd starts the proxy when you sign in; it runs.\n");
        assert_eq!(
            standing(true, false),
            "systemd starts the proxy when you sign in; it does not run now.\n"
        );
        assert!(standing(false, false).contains("`codex-proxy service install`"));
    }
}
