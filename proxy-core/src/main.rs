//! `codex-proxy`, the headless proxy: arguments → [`Config`] → run.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use proxy_core::config::setting::Meta;
use proxy_core::config::{self, Flags, ProcessEnvironment, table};
use proxy_core::dirs::Dirs;
use proxy_core::{Config, telemetry};
use tokio_util::sync::CancellationToken;

/// `EX_USAGE`: the arguments or the configuration are wrong, and nothing was started.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(message) => {
            let code = if message.use_stderr() { USAGE } else { 0 };
            return finish(message.print().map(|()| ExitCode::from(code)).map_err(Into::into));
        }
    };
    let (name, matches) = matches.subcommand().map_or(("run", &matches), |(name, matches)| (name, matches));
    let config = match load(matches) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    finish(match name {
        "config" => show(&config, matches.get_flag("json")),
        _ => serve(config),
    })
}

fn command() -> Command {
    let run = Command::new("run").about("Runs the proxy, as does no command at all");
    let show = Command::new("config")
        .about("Shows every setting in force and where it came from; --help explains them all")
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Show it as JSON"))
        .after_long_help(config::reference());
    let flags = flags().map(|(meta, flag)| {
        Arg::new(flag)
            .long(flag)
            .value_name("VALUE")
            .value_parser(OsStringValueParser::new())
            .allow_negative_numbers(true)
            .global(true)
            .help(format!("{} [{}]", meta.about.trim_end_matches('.'), meta.env))
    });
    Command::new("codex-proxy")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves the OpenAI API at http://127.0.0.1:11435/v1 by driving the Codex CLI")
        .after_help(
            "Settings without a flag are environment variables: `codex-proxy config --help` explains them.",
        )
        .subcommand(run)
        .subcommand(show)
        .args(flags)
}

/// The settings that have a flag.
fn flags() -> impl Iterator<Item = (&'static Meta, &'static str)> {
    table::ALL.iter().filter_map(|entry| Some((entry.meta(), entry.meta().flag?)))
}

fn load(matches: &ArgMatches) -> anyhow::Result<Config> {
    let dirs = Dirs::of_platform().context("cannot find the working directory")?;
    let given = |flag: &str| matches.get_one::<OsString>(flag).cloned();
    let flags: Flags = flags().filter_map(|(_, flag)| Some((flag.to_owned(), given(flag)?))).collect();
    Ok(Config::load(&flags, &ProcessEnvironment, &dirs)?)
}

fn show(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut text = if as_json {
        serde_json::to_string_pretty(&config.effective.to_json())?
    } else {
        config.effective.to_text()
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut errors = io::stderr().lock();
    for warning in &config.warnings {
        writeln!(errors, "warning: {warning}")?;
    }
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the proxy until the system or the user asks it to end. This is the one place that starts it.
fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let telemetry = telemetry::init(&config.telemetry)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        cancel_on_signal(shutdown.clone())?;
        let proxy = proxy_core::Proxy::start(config, telemetry.logs().clone()).await?;
        proxy.wait(shutdown).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Listens for the system's requests to end from now on, so that none is missed while the proxy starts.
#[cfg(unix)]
fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down");
        shutdown.cancel();
    });
    Ok(())
}

/// Listens for the system's requests to end from now on, so that none is missed while the proxy starts.
#[cfg(windows)]
fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::windows;
    let mut ctrl_c = windows::ctrl_c().context("cannot listen for Ctrl-C")?;
    let mut ctrl_break = windows::ctrl_break().context("cannot listen for Ctrl-Break")?;
    let mut close = windows::ctrl_close().context("cannot listen for the console's end")?;
    let mut system = windows::ctrl_shutdown().context("cannot listen for the system's end")?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = ctrl_c.recv() => "Ctrl-C",
            _ = ctrl_break.recv() => "Ctrl-Break",
            _ = close.recv() => "close",
            _ = system.recv() => "shutdown",
        };
        tracing::info!(signal = name, "shutting down");
        shutdown.cancel();
    });
    Ok(())
}

fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        // Whoever reads our output may stop reading at any time, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn complain(error: &anyhow::Error) {
    let written = writeln!(io::stderr().lock(), "codex-proxy: {error:#}");
    // Without standard error there is nobody left to tell; the exit code still does.
    drop(written);
}
