//! The command line. All commands except `run` are clients of the control API, or work on the data directory
//! while no proxy uses it.

mod backup;
mod checks;
mod client;
mod codex;
mod doctor;
mod failure;
mod keys;
mod login;
mod logs;
mod output;
#[cfg(windows)]
mod path;
mod prove;
mod quit;
mod restore;
mod scripts;
mod service;
mod status;
mod store;
mod sync;
mod tree;
mod uninstall;
mod units;
mod usage;
mod window;
mod workers;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Command, FromArgMatches as _};

pub use output::Output;

use crate::Config;
use crate::config::{Flags, Problems, ProcessEnvironment, Strings};
use crate::paths::Dirs;
use failure::{Failure, USAGE};
use tree::{ConfigVerb, Json, Line, Verb};

/// The task of a command line.
#[derive(Debug)]
pub enum Ask {
    /// To run the proxy.
    Serve(Box<Config>),
    /// Another command, which [`Errand::run`] executes.
    Errand(Box<Errand>),
}

/// A command other than `run`.
#[derive(Debug)]
pub struct Errand {
    verb: Verb,
    /// The settings. Only `doctor` and commands that need no settings accept invalid ones.
    config: Result<Config, Problems>,
    flags: Flags,
    dirs: Dirs,
}

/// The data for the commands besides their arguments.
#[derive(Debug)]
struct Context {
    config: Config,
    flags: Flags,
    dirs: Dirs,
}

/// Every command and flag.
pub fn command() -> Command {
    tree::command()
}

/// Parses the command line and reads the settings. If nothing remains to be done, for example after `--help`,
/// the error is the exit code.
///
/// # Errors
/// If help was shown, or if the arguments or the settings are wrong and a message was written.
pub fn read(arguments: impl IntoIterator<Item = OsString>, output: &mut Output) -> Result<Ask, ExitCode> {
    let matches = command().try_get_matches_from(arguments).map_err(|message| shown(&message, output))?;
    ask(&matches).map_err(|failure| failure.tell(output))
}

/// Whether the user has turned colours off: <https://no-color.org>.
pub fn no_colour() -> bool {
    ProcessEnvironment.get("NO_COLOR").is_some_and(|value| !value.is_empty())
        || ProcessEnvironment.get("TERM").is_some_and(|value| value == "dumb")
}

fn ask(matches: &ArgMatches) -> Result<Ask, Failure> {
    let verb = Line::from_arg_matches(matches).map_err(|error| Failure::Usage(error.to_string()))?.verb;
    let verb = verb.unwrap_or(Verb::Run);
    let dirs = Dirs::of_platform().map_err(|error| client::cannot("find the working directory", &error))?;
    let flags = tree::settings(matches);
    let config = Config::load(&flags, &ProcessEnvironment, &dirs);
    match (verb, config) {
        (Verb::Run, Ok(config)) => Ok(Ask::Serve(Box::new(config))),
        // These report wrong settings, or need no settings.
        (verb @ (Verb::Doctor(_) | Verb::Completions(_) | Verb::Man(_)), config) => {
            Ok(Ask::Errand(Box::new(Errand { verb, config, flags, dirs })))
        }
        #[cfg(windows)]
        (verb @ Verb::Path(_), config) => Ok(Ask::Errand(Box::new(Errand { verb, config, flags, dirs }))),
        (_, Err(problems)) => Err(Failure::Usage(problems.to_string())),
        (verb, Ok(config)) => Ok(Ask::Errand(Box::new(Errand { verb, config: Ok(config), flags, dirs }))),
    }
}

/// Writes help to standard output, and an error about the arguments to standard error.
fn shown(message: &clap::Error, output: &mut Output) -> ExitCode {
    if message.use_stderr() {
        output.misuse(&message.render());
        return ExitCode::from(USAGE);
    }
    match message.print().map_err(Failure::from) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(output),
    }
}

impl Errand {
    /// Runs the command, and reports an error.
    pub fn run(self, output: &mut Output) -> ExitCode {
        match self.carry_out(output) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.tell(output),
        }
    }

    fn carry_out(self, output: &mut Output) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| client::cannot("start the runtime", &error))?;
        let done = runtime.block_on(self.visit(output));
        // A prompt that still waits for a person must not stop the program from ending.
        runtime.shutdown_background();
        done
    }

    async fn visit(self, output: &mut Output) -> Result<(), Failure> {
        match &self.verb {
            Verb::Completions(args) => return scripts::completions(args, output),
            Verb::Man(args) => return scripts::man(args, output),
            Verb::Doctor(args) => return doctor::run(*args, &self, output).await,
            #[cfg(windows)]
            Verb::Path(args) => return path::run(args),
            Verb::Run
            | Verb::Status(_)
            | Verb::Login(_)
            | Verb::Logout(_)
            | Verb::Keys(_)
            | Verb::Codex(_)
            | Verb::Prove(_)
            | Verb::Workers(_)
            | Verb::Usage(_)
            | Verb::Store(_)
            | Verb::Logs(_)
            | Verb::Config(_)
            | Verb::Window(_)
            | Verb::Quit(_)
            | Verb::Backup(_)
            | Verb::Smoke(_)
            | Verb::LiveTest(_)
            | Verb::Restore(_)
            | Verb::Service(_)
            | Verb::UninstallData(_) => {}
        }
        let config = self.config.map_err(|problems| Failure::Usage(problems.to_string()))?;
        let context = Context { config, flags: self.flags, dirs: self.dirs };
        match self.verb {
            Verb::Status(args) => status::run(&args, &context, output).await,
            Verb::Login(args) => login::login(&args, &context, output).await,
            Verb::Logout(args) => login::logout(args, &context, output).await,
            Verb::Keys(args) => keys::run(&args, &context, output).await,
            Verb::Codex(args) => codex::run(&args, &context, output).await,
            Verb::Prove(args) => prove::run(args, &context, output).await,
            Verb::Workers(args) => workers::run(&args, &context, output).await,
            Verb::Usage(args) => usage::run(&args, &context, output).await,
            Verb::Store(args) => store::run(&args, &context, output).await,
            Verb::Logs(args) => logs::run(&args, &context, output).await,
            Verb::Config(args) => match &args.verb {
                None => settings(args.json, &context, output),
                Some(ConfigVerb::Sync(sync)) => sync::run(sync, args.json, &context, output),
            },
            Verb::Window(args) => window::run(&args, &context, output),
            Verb::Quit(args) => quit::run(args, &context, output).await,
            Verb::Smoke(args) => checks::smoke(&args, &context, output).await,
            Verb::LiveTest(args) => checks::live(&args, &context, output).await,
            Verb::Backup(args) => backup::run(&args, &context, output).await,
            Verb::Restore(args) => restore::run(&args, &context, output).await,
            Verb::Service(args) => service::run(&args, &context, output).await,
            Verb::UninstallData(args) => uninstall::run(args, &context, output).await,
            Verb::Run | Verb::Doctor(_) | Verb::Completions(_) | Verb::Man(_) => Ok(()),
            #[cfg(windows)]
            Verb::Path(_) => Ok(()),
        }
    }
}

/// The command `codex-proxy config`.
fn settings(args: Json, context: &Context, output: &mut Output) -> Result<(), Failure> {
    for warning in &context.config.warnings {
        output.note(&format!("warning: {warning}"))?;
    }
    let effective = &context.config.effective;
    let written =
        if args.json { output.json(&effective.to_json()) } else { output.text(&effective.to_text()) };
    Ok(written?)
}

/// A request from the person or the system to end this program. Signals are caught from its creation on.
#[cfg(unix)]
struct Interruption {
    signals: Option<[tokio::signal::unix::Signal; 2]>,
}

#[cfg(unix)]
impl Interruption {
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let [Ok(interrupt), Ok(terminate)] = signals else { return Self { signals: None } };
        Self { signals: Some([interrupt, terminate]) }
    }

    async fn comes(&mut self) {
        match &mut self.signals {
            Some([interrupt, terminate]) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            // Without a handler, the signal ends the program directly.
            None => std::future::pending().await,
        }
    }
}

/// A request from the person to end this program, caught from its creation on.
#[cfg(windows)]
struct Interruption {
    signal: Option<tokio::signal::windows::CtrlC>,
}

#[cfg(windows)]
impl Interruption {
    fn listen() -> Self {
        Self { signal: tokio::signal::windows::ctrl_c().ok() }
    }

    async fn comes(&mut self) {
        match &mut self.signal {
            Some(signal) => drop(signal.recv().await),
            // Without a handler, the signal ends the program directly.
            None => std::future::pending().await,
        }
    }
}
