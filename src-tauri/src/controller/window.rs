//! Decides when the window opens by itself, which events it gets, and what it opens outside.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proxy_core::control::api::AccountState;
use proxy_core::http::in_process::Refusal;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Controller, Outside, Reach, failed};
use crate::preferences::Panel;
use crate::shell::{Ending, Place, Shell, WindowEvent};

/// The state of the application itself, not of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct AppState {
    /// Whether the tray icon is shown.
    has_tray: bool,
    /// The colour of the panel that the user has chosen.
    panel: Panel,
    /// Whether the system reports the colour of the panel.
    tells_panel: bool,
    /// Whether the proxy does not run because another program uses its port.
    is_port_taken: bool,
}

/// Whether the user still has to be informed that closing the window does not end the application. Cheap to
/// clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Farewell(Arc<AtomicBool>);

impl Farewell {
    /// Returns true only once, if the message has to be shown.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    pub(super) fn set(&self, due: bool) {
        self.0.store(due, Ordering::Relaxed);
    }
}

impl<S: Shell> Controller<S> {
    pub(super) fn app_state(&self) -> AppState {
        AppState {
            has_tray: !self.no_tray,
            panel: self.preferences.chosen().panel,
            tells_panel: self.shell.tells_panel(),
            is_port_taken: matches!(&*self.reach.borrow(), Reach::Failed(failure) if failure.is_port_taken),
        }
    }

    pub(super) fn choose_panel(&mut self, panel: Panel) {
        self.preferences.change(|chosen| chosen.panel = panel);
        self.shell.set_panel(panel);
        self.shown = None;
        self.show();
    }

    /// Changes the setting to the next free port, and tries again.
    pub(super) fn use_another_port(&mut self) -> Result<u16, Refusal> {
        let port = self.engine.use_another_port().map_err(failed)?;
        // A start in progress uses the old port: it fails, and is repeated.
        self.port_changed = true;
        self.try_again();
        Ok(port)
    }

    /// Opens the window at the first start, so that the person sees the first steps. Returns whether it opens.
    pub(super) fn look_for_the_first_time(&mut self) -> bool {
        if !self.first_look {
            return false;
        }
        if matches!(*self.reach.borrow(), Reach::Failed(_)) {
            self.first_look = false;
            if !self.window_open {
                self.shell.show_window(Place::Anywhere);
            }
            return true;
        }
        let Some(status) = &self.status else { return false };
        let something_to_do = match status.account.state {
            _ if status.codex.path.is_none() && status.codex.problem.is_some() => true,
            AccountState::SignedOut | AccountState::SigningIn => true,
            AccountState::SignedIn | AccountState::NotNeeded => false,
            AccountState::Unknown | AccountState::Other => return false,
        };
        self.first_look = false;
        // A window that is already open keeps its view.
        if something_to_do && !self.window_open {
            self.shell.show_window(Place::Start);
        }
        something_to_do
    }

    pub(super) fn on_no_tray(&mut self, reason: &str) {
        tracing::warn!(
            reason,
            "nothing shows the tray icon; starting the application again opens its window"
        );
        self.no_tray = true;
        self.farewell.set(!self.preferences.chosen().told_of_background);
        if self.by_hand && !self.window_open {
            self.shell.show_window(Place::Anywhere);
        }
    }

    /// Records that the window is open, so that it opens again after a restart.
    pub(super) fn remember_window(&mut self) {
        if self.ending != Ending::Quit && self.window_open {
            self.preferences.change(|chosen| chosen.reopen_window = true);
        }
    }

    pub(super) fn reopen_window(&mut self) {
        if self.preferences.chosen().reopen_window {
            self.preferences.change(|chosen| chosen.reopen_window = false);
            self.shell.show_window(Place::Anywhere);
        }
    }

    pub(super) fn on_window(&mut self, open: bool) {
        self.window_open = open;
        self.telling = None;
        self.tell_window();
    }

    /// Starts to forward events to the window, if it is open and the proxy is running.
    pub(super) fn tell_window(&mut self) {
        let Some(control) = self.control().filter(|_| self.window_open) else { return };
        let (stop, shell) = (CancellationToken::new(), self.shell.clone());
        let stopped = stop.clone();
        tokio::spawn(async move {
            let mut events = control.events();
            let tell = async {
                while let Some(event) = events.next().await {
                    shell.tell_window(&WindowEvent::Proxy(event));
                }
            };
            stopped.run_until_cancelled(tell).await;
        });
        self.telling = Some(stop.drop_guard());
    }

    pub(super) fn open_outside(&self, what: Outside) -> Result<(), Refusal> {
        let nothing = || failed("There is nothing to open now.".to_owned());
        let target = match what {
            Outside::SignIn => {
                let account = self.control().ok_or_else(nothing)?.account();
                let begun = account.login.and_then(|login| login.auth_url).map(|url| url.0);
                begun.or(account.sign_in_url)
            }
            Outside::Verification => {
                let login = self.control().ok_or_else(nothing)?.account().login;
                login.and_then(|login| login.verification_url)
            }
            Outside::Logs => self.running(|running| running.log_dir.display().to_string()),
            Outside::Config => {
                let file = self.running(|running| running.config_file.clone()).flatten();
                let file = file.ok_or_else(nothing)?;
                present(&file)
                    .map_err(|error| failed(format!("{} cannot be written: {error}.", file.display())))?;
                Some(file.display().to_string())
            }
        };
        self.shell.open(&target.ok_or_else(nothing)?).map_err(failed)
    }
}

/// Creates the file if it is missing, because an editor can open only an existing file.
fn present(file: &Path) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    OpenOptions::new().append(true).create(true).open(file).map(drop)
}
