//! When the window opens by itself, what it hears, and what it opens outside.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use futures_util::StreamExt as _;
use http::Method;
use proxy_core::http::in_process::Refusal;
use tokio_util::sync::CancellationToken;

use super::{Controller, Outside, failed};
use crate::shell::{Place, Shell};

impl<S: Shell> Controller<S> {
    /// A person who starts the application for the first time finds out what to do. Returns whether the window opens.
    pub(super) fn look_for_the_first_time(&mut self) -> bool {
        let Some(status) = self.status.as_ref().filter(|_| self.first_look) else { return false };
        let something_to_do = match status.account.state {
            _ if status.codex.path.is_none() && status.codex.problem.is_some() => true,
            "signed_out" | "signing_in" => true,
            "signed_in" | "not_needed" => false,
            _ => return false,
        };
        self.first_look = false;
        if something_to_do {
            self.shell.show_window(Place::Start);
        }
        something_to_do
    }

    pub(super) fn on_no_tray(&mut self, reason: &str) {
        tracing::warn!(
            reason,
            "nothing shows the tray icon; starting the application again opens its window"
        );
        if self.by_hand && !self.window_open {
            self.shell.show_window(Place::Anywhere);
        }
    }

    /// A window that is open when the application starts anew is to be there again afterwards.
    pub(super) fn remember_window(&mut self) {
        if self.restart && self.window_open {
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

    /// Tells the window of events from now on, if both it and the proxy are there.
    pub(super) fn tell_window(&mut self) {
        let Some(api) = self.running(|running| running.api.clone()).filter(|_| self.window_open) else {
            return;
        };
        let (stop, shell) = (CancellationToken::new(), self.shell.clone());
        let stopped = stop.clone();
        tokio::spawn(async move {
            let tell = async {
                let mut events = api.stream(Method::GET, "/control/events", None).await?;
                while let Some(event) = events.next().await {
                    shell.tell_window(&event);
                }
                Ok::<_, Refusal>(())
            };
            tokio::select! {
                told = tell => if let Err(refusal) = told {
                    tracing::error!(status = refusal.status, "the window is not told of events");
                },
                () = stopped.cancelled() => {}
            }
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

/// An editor can open only a file that is there.
fn present(file: &Path) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    OpenOptions::new().append(true).create(true).open(file).map(drop)
}
