//! The program `codex-proxy-app`: the proxy with a tray icon and a window.
//!
//! [`app`] creates all parts. [`controller`] is one loop over all events; it uses the desktop through [`shell`]
//! and the proxy through its control API. [`tray`] and [`notices`] are pure functions from the state to what is
//! shown. [`trial`] undoes an update that does not start. The window is `ui/`, and it can use only [`commands`].

#![cfg_attr(windows, windows_subsystem = "windows")]

mod app;
mod commands;
mod controller;
mod display;
mod engine;
#[cfg(test)]
mod fixtures;
mod notices;
mod preferences;
mod rehearsal;
mod shell;
mod tauri_shell;
mod tray;
mod trial;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use proxy_core::cli::{self, Output};
use proxy_core::config::{Flags, ProcessEnvironment};
use proxy_core::paths::Dirs;
use proxy_core::{Config, headless, open_files};

use crate::app::Purpose;

/// Runs Codex Proxy with a tray icon and a window.
///
/// The settings are those of `codex-proxy`, from its file and from the environment.
#[derive(Debug, Parser)]
#[command(name = "codex-proxy-app", version = rehearsal::version())]
struct Arguments {
    /// Opens no window by itself; the system starts it so at login
    #[arg(long)]
    hidden: bool,
    /// Ends the one that runs, once its requests are answered, and starts none; does not wait for that
    #[arg(long, conflicts_with = "hidden")]
    quit: bool,
    /// Sees to it that an update starts: what is left behind by the version before, in this folder.
    #[arg(long, hide = true, exclusive = true, value_name = "FOLDER")]
    watch_update: Option<PathBuf>,
}

impl Arguments {
    fn purpose(&self) -> Purpose {
        match (self.quit, self.hidden) {
            (true, _) => Purpose::Quit,
            (false, true) => Purpose::Hidden,
            (false, false) => Purpose::Shown,
        }
    }
}

fn main() -> ExitCode {
    headless::leave_no_core();
    open_files::allow_all();
    let arguments = Arguments::parse();
    if let Some(folder) = &arguments.watch_update {
        return trial::watch::run(folder);
    }
    let purpose = arguments.purpose();
    let mut output = Output::of_process(cli::no_colour());
    let done = show(purpose).and_then(|ended| match ended {
        Some(code) => Ok(code),
        // Without a display, no other instance can be running.
        None if purpose == Purpose::Quit => Ok(ExitCode::SUCCESS),
        None => {
            output.complain(NO_DISPLAY, Some(HEADLESS));
            serve()
        }
    });
    done.unwrap_or_else(|error| {
        output.complain(&format!("{error:#}"), None);
        ExitCode::FAILURE
    })
}

/// Runs the application; `None` if there is no display.
fn show(purpose: Purpose) -> anyhow::Result<Option<ExitCode>> {
    if display::is_there(&ProcessEnvironment) { app::run(purpose) } else { Ok(None) }
}

const NO_DISPLAY: &str = "there is no display, so the proxy runs without its tray icon and window.";
/// The advice if there is no display.
const HEADLESS: &str = "Use the command `codex-proxy` on a machine without one.";

fn serve() -> anyhow::Result<ExitCode> {
    let config = Config::load(&Flags::new(), &ProcessEnvironment, &Dirs::of_platform()?)?;
    headless::serve(config)?;
    Ok(ExitCode::SUCCESS)
}
