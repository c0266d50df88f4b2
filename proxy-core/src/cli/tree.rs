//! The commands and their arguments, from which the parser, the help, the completions and the manual are made.

mod archive;
mod checks;
mod store;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgGroup, Args, Command, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

pub(super) use archive::{BackupArgs, RestoreArgs};
pub(super) use checks::{ConfigArgs, ConfigVerb, LiveTestArgs, SmokeArgs, SyncArgs, Who};
pub(super) use store::{StoreArgs, StoreVerb};

use crate::config::setting::Meta;
use crate::config::{self, Flags, table};

/// Serves the OpenAI API at http://127.0.0.1:11435/v1 through the Codex CLI
#[derive(Debug, Parser)]
#[command(name = "codex-proxy", bin_name = "codex-proxy", version, after_help = AFTER_HELP)]
pub(super) struct Line {
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

const AFTER_HELP: &str = "Other settings are environment variables. `codex-proxy config --help` explains \
                          them.\nExit codes: 0 done, 1 failed, 64 wrong usage or settings, 69 the \
                          proxy is not running.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Runs the proxy (this is the default without a command)
    Run,
    /// Shows if the proxy is ready, which account is signed in, and how much of the limits is left
    Status(StatusArgs),
    /// Signs in to ChatGPT, or with an OpenAI API key
    Login(LoginArgs),
    /// Signs out
    Logout(Json),
    /// Makes, shows, disables and deletes the API keys that clients must send
    Keys(KeysArgs),
    /// Installs and updates the Codex CLI
    Codex(CodexArgs),
    /// Checks that the model gets only your own words and tools
    Prove(Json),
    /// Shows and replaces the Codex processes
    Workers(WorkersArgs),
    /// Shows how many tokens were used
    Usage(UsageArgs),
    /// Shows, exports and removes stored responses, conversations and chat completions
    Store(StoreArgs),
    /// Shows the proxy's log, or changes what is logged
    Logs(LogsArgs),
    /// Shows every setting and where its value comes from; --help explains them all
    Config(ConfigArgs),
    /// Opens the proxy's window in the browser
    Window(WindowArgs),
    /// Ends the running proxy, or the tray application that runs it; running requests may finish
    Quit(Json),
    /// Looks for problems and says what to do about them
    Doctor(Json),
    /// Saves keys, usage, settings and the sign-in to one file; the proxy may run meanwhile
    Backup(BackupArgs),
    /// Restores a backup; stop the proxy first
    Restore(RestoreArgs),
    /// Checks a deployment from a client's side: health, models, access, both APIs, a tool call
    Smoke(SmokeArgs),
    /// Checks a deployment thoroughly, with a real model
    LiveTest(LiveTestArgs),
    /// Starts the proxy automatically at login, or stops doing so
    Service(ServiceArgs),
    /// Deletes everything that the proxy stores on this machine: settings, keys, sign-in, usage, responses, logs
    UninstallData(UninstallArgs),
    /// Prints a completion script for a shell
    Completions(CompletionsArgs),
    /// Prints the manual page
    Man(ManArgs),
    /// Adds this program's folder to the user's PATH, or removes it; for the setup program
    #[cfg(windows)]
    #[command(hide = true)]
    Path(PathArgs),
}

#[cfg(windows)]
#[derive(Debug, Args)]
pub(super) struct PathArgs {
    #[command(subcommand)]
    pub(super) verb: PathVerb,
}

#[cfg(windows)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(super) enum PathVerb {
    /// Adds the folder to PATH, unless it is already there
    Add,
    /// Removes the folder from PATH
    Remove,
}

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Json {
    /// Prints JSON, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WindowArgs {
    /// Only prints the address to open
    #[arg(long)]
    pub(super) no_browser: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Shows each change, until Ctrl-C; with --json, one object per line
    #[arg(long, short)]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("how"))]
pub(super) struct LoginArgs {
    /// Shows a code to enter on another device, for a machine without a browser
    #[arg(long, group = "how")]
    pub(super) device_code: bool,
    /// Asks for an OpenAI API key, or reads it from standard input
    #[arg(long, group = "how")]
    pub(super) api_key: bool,
    /// Copies the sign-in of another Codex home; without PATH, the one in ~/.codex
    #[arg(long, group = "how", value_name = "PATH", num_args = 0..=1)]
    pub(super) import: Option<Option<PathBuf>>,
    /// Cancels a waiting sign-in
    #[arg(long, group = "how")]
    pub(super) cancel: bool,
    /// Prints the address instead of opening a browser
    #[arg(long, conflicts_with = "how")]
    pub(super) no_browser: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    pub(super) verb: Option<KeysVerb>,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysVerb {
    /// Lists the keys, but not their texts (the default)
    List,
    /// Makes a key and prints it
    Create(KeyName),
    /// Prints a key
    Show(KeyRef),
    /// Replaces a key by a new one with the same name; the old key no longer works
    Rotate(KeyRef),
    /// Refuses a key until you enable it again
    Disable(KeyRef),
    /// Accepts a disabled key again
    Enable(KeyRef),
    /// Gives a key another name
    Rename(KeyRename),
    /// Deletes a key permanently
    Delete(KeyRef),
    /// Moves the keys between the system's keychain and a file
    Migrate(KeysMigrate),
}

#[derive(Debug, Args)]
pub(super) struct KeyName {
    /// The name of the key, for example the client that will use it
    #[arg(value_name = "NAME")]
    pub(super) name: String,
}

#[derive(Debug, Args)]
pub(super) struct KeyRef {
    /// The key's name or ID
    #[arg(value_name = "KEY")]
    pub(super) key: String,
}

#[derive(Debug, Args)]
pub(super) struct KeyRename {
    /// The key's name or ID
    #[arg(value_name = "KEY")]
    pub(super) key: String,
    /// The new name
    #[arg(value_name = "NAME")]
    pub(super) name: String,
}

#[derive(Debug, Args)]
pub(super) struct KeysMigrate {
    /// Where to store the keys
    #[arg(long, value_name = "STORE")]
    pub(super) to: KeyStore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyStore {
    /// The system's keychain
    Keychain,
    /// A file in the data directory that only your user can read
    File,
}

#[derive(Debug, Args)]
pub(super) struct CodexArgs {
    #[command(subcommand)]
    pub(super) verb: Option<CodexVerb>,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum CodexVerb {
    /// Shows which Codex is used (the default)
    Status,
    /// Installs the tested version of Codex, the given version, or a file on this machine
    Install(CodexInstall),
    /// Installs the newest supported version of Codex, or the given version
    Update(CodexVersion),
    /// Returns to the version before the last update
    Rollback,
}

#[derive(Debug, Args)]
pub(super) struct CodexInstall {
    /// A version, for example 0.169.0
    #[arg(value_name = "VERSION", conflicts_with = "file")]
    pub(super) version: Option<String>,
    /// A file on this machine: the Codex program, npm's package (.tgz) or the .tar.gz of a release. This needs no
    /// registry
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct CodexVersion {
    /// A version, for example 0.169.0
    #[arg(value_name = "VERSION")]
    pub(super) version: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct WorkersArgs {
    #[command(subcommand)]
    pub(super) verb: Option<WorkersVerb>,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkersVerb {
    /// Lists the Codex processes (the default)
    List,
    /// Replaces the processes by new ones; running turns finish on the old ones
    Restart(WorkerId),
}

#[derive(Debug, Args)]
pub(super) struct WorkerId {
    /// Only the worker with this ID
    #[arg(value_name = "ID")]
    pub(super) id: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct UsageArgs {
    /// The start: a date, a time with its UTC offset, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    pub(super) start: Option<String>,
    /// The end, in the same formats
    #[arg(long, value_name = "TIME")]
    pub(super) end: Option<String>,
    /// What each line of the output shows
    #[arg(long, value_name = "GROUP", default_value = "day")]
    pub(super) group: Group,
    /// The time zone for days and hours, for example Europe/Berlin; the default is this machine's
    #[arg(long, value_name = "ZONE")]
    pub(super) tz: Option<String>,
    /// Prints every single request in this format, instead of sums
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    pub(super) export: Option<Export>,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Group {
    /// One line per hour
    Hour,
    /// One line per day
    Day,
    /// One line per model
    Model,
    /// One line per key
    Key,
    /// One line per client
    Client,
}

impl Group {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Model => "model",
            Self::Key => "key",
            Self::Client => "client",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Export {
    /// Comma-separated values, with a header line
    Csv,
    /// JSON
    Json,
}

impl Export {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// How many lines to show
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 50)]
    pub(super) lines: usize,
    /// Keeps showing new lines, until Ctrl-C
    #[arg(long, short)]
    pub(super) follow: bool,
    /// Changes what the running proxy logs, for example `info,proxy_core=debug`; without FILTER, shows the present filter
    #[arg(long, value_name = "FILTER", num_args = 0..=1, conflicts_with_all = ["lines", "follow"])]
    pub(super) level: Option<Option<String>>,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    #[command(subcommand)]
    pub(super) verb: Option<ServiceVerb>,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum ServiceVerb {
    /// Shows if the system starts the proxy (the default)
    Status,
    /// Starts the proxy now and at every login, with the settings that you give as flags
    Install,
    /// Ends the proxy that the system has started, and turns off the automatic start
    Uninstall,
}

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct UninstallArgs {
    /// Does not ask for confirmation
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Only lists what would be deleted
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
    /// Keeps the keys in the system's keychain, for example if you can no longer unlock it
    #[arg(long)]
    pub(super) keep_keychain: bool,
    #[command(flatten)]
    pub(super) json: Json,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Writes one page per command into this directory instead
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

/// Every command, with the settings that have a flag.
pub(super) fn command() -> Command {
    let settings = flags().map(|(meta, flag)| {
        Arg::new(flag)
            .long(flag)
            .value_name("VALUE")
            .value_parser(OsStringValueParser::new())
            .allow_negative_numbers(true)
            .global(true)
            .help_heading("Settings")
            .help(format!("{} [{}]", meta.about.trim_end_matches('.'), meta.env))
    });
    Line::command()
        .max_term_width(100)
        .args(settings)
        .mut_subcommand("config", |config| config.after_long_help(config::reference()))
}

/// The settings that the arguments give.
pub(super) fn settings(matches: &clap::ArgMatches) -> Flags {
    // A global flag is known to the innermost command.
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    let given = |flag: &str| innermost.get_one::<OsString>(flag).cloned();
    flags().filter_map(|(_, flag)| Some((flag.to_owned(), given(flag)?))).collect()
}

/// The settings that have a flag.
fn flags() -> impl Iterator<Item = (&'static Meta, &'static str)> {
    table::ALL.iter().filter_map(|entry| Some((entry.meta(), entry.meta().flag?)))
}

#[cfg(test)]
mod tests;
