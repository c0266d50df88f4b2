//! Decides when the window opens by itself, which events it gets, and what it opens outside.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proxy_core::control::api::AccountState;
use proxy_core::http::in_process::Refusal;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Controller, Outside, REST, Reach, failed};
use crate::preferences::{Frame, Notify, Panel};
use crate::shell::{AppEvent, Ending, Place, Shell, WindowEvent};
use crate::tray::Updates;

/// The state of the application itself, not of the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AppState {
    /// Whether the tray icon is shown.
    has_tray: bool,
    /// The colour of the panel that the user has chosen.
    panel: Panel,
    /// Whether the system reports the colour of the panel.
    tells_panel: bool,
    /// Whether the proxy does not run because another program uses its port.
    is_port_taken: bool,
    /// Whether the application starts at login; `None` if that cannot be set.
    starts_at_login: Option<bool>,
    /// The kinds of notices that are enabled.
    notify: Notify,
    /// The seconds after which a key is removed from the clipboard; 0 never removes it.
    clipboard_seconds: u32,
    /// The size of the window's texts in percent.
    zoom: u32,
    /// Newer versions; `None` if this build has no release channel.
    update: Option<AppUpdate>,
}

/// What is known of newer versions of the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AppUpdate {
    phase: UpdatePhase,
    /// The version that is meant.
    version: Option<String>,
    /// What is new in it, in Markdown.
    notes: Option<String>,
    /// Why the last check or installation did not succeed.
    problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum UpdatePhase {
    None,
    Checking,
    Failed,
    Ready,
    Installing,
}

/// Where the window was last. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastFrame(Arc<Mutex<Option<Frame>>>);

impl LastFrame {
    /// Records where the window is now.
    pub(crate) fn set(&self, frame: Frame) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A window that fills the screen returns to what it was before.
        *last = match *last {
            Some(before) if frame.maximized => Some(Frame { maximized: true, ..before }),
            _ => Some(frame),
        };
    }

    fn get(&self) -> Option<Frame> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            starts_at_login: self.starts_at_login,
            notify: self.preferences.chosen().notify,
            clipboard_seconds: self.preferences.chosen().clipboard_seconds,
            zoom: self.preferences.chosen().look().zoom,
            update: self.app_update(),
        }
    }

    fn app_update(&self) -> Option<AppUpdate> {
        let (phase, version) = match &self.updates {
            Updates::Off => return None,
            Updates::None => (UpdatePhase::None, None),
            Updates::Checking => (UpdatePhase::Checking, None),
            Updates::Failed(version) => (UpdatePhase::Failed, Some(version)),
            Updates::Ready(version) => (UpdatePhase::Ready, Some(version)),
            Updates::Installing(version) => (UpdatePhase::Installing, Some(version)),
        };
        let (version, problem) = (version.cloned(), self.update_problem.clone());
        Some(AppUpdate { phase, version, notes: self.update_notes.clone(), problem })
    }

    /// Tells an open window that the state of the application has changed, so that it reads it again.
    pub(super) fn tell_app_state(&mut self) {
        let state = self.window_open.then(|| self.app_state());
        if state != self.told_state {
            if state.is_some() && self.told_state.is_some() {
                self.shell.tell_window(&WindowEvent::Application(AppEvent::Changed(())));
            }
            self.told_state = state;
        }
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

    /// Keeps where the window is, for the next time it opens.
    pub(super) fn keep_frame(&mut self) {
        let frame = self.frame.get();
        if frame.is_some() && frame != self.preferences.chosen().window {
            self.preferences.change(|chosen| chosen.window = frame);
            self.shell.set_look(self.preferences.chosen().look());
        }
    }

    pub(super) fn on_window(&mut self, open: bool) {
        self.window_open = open;
        self.rest_at = (!open).then(|| Instant::now() + REST);
        if !open {
            self.keep_frame();
        }
        self.tell_app_state();
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
            Outside::ObsidianCopilot => Some("obsidian://show-plugin?id=copilot".to_owned()),
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
