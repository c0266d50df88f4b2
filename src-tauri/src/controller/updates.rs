//! Newer versions of the application.

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::{Controller, Life, Reach};
use crate::notices::Notice;
use crate::shell::Shell;
use crate::tray::Updates;
use crate::tray::words::capital;

/// How often newer versions are looked for.
const CHECK: Duration = Duration::from_secs(24 * 60 * 60);

impl<S: Shell> Controller<S> {
    pub(super) fn check_for_updates(&mut self) {
        self.update_check_at = Instant::now() + CHECK;
        if matches!(self.updates, Updates::None | Updates::Ready(_)) {
            self.updates = Updates::Checking;
            self.show();
            self.shell.check_for_updates();
        }
    }

    pub(super) fn on_updates(&mut self, found: Result<Option<String>, String>) {
        let asked = std::mem::take(&mut self.update_asked);
        self.updates = match &found {
            Ok(Some(version)) => Updates::Ready(version.clone()),
            Ok(None) | Err(_) => Updates::None,
        };
        match found {
            Ok(Some(version)) => {
                let told = self.preferences.chosen().told_of_update.as_ref() == Some(&version);
                if asked || !told {
                    self.notify(Notice::update(&version));
                    self.preferences.change(|chosen| chosen.told_of_update = Some(version));
                }
            }
            Ok(None) if asked => self.notify(Notice::answer("Codex Proxy is up to date", "")),
            Err(reason) if asked => {
                let body = format!(
                    "{}. Choose Check for updates to try again.",
                    capital(reason.trim_end_matches('.'))
                );
                self.notify(Notice::answer("Updates cannot be looked for", body));
            }
            Err(reason) => tracing::warn!(reason, "updates cannot be looked for"),
            Ok(None) => {}
        }
        self.show();
    }

    pub(super) fn install_update(&mut self) {
        if let Updates::Ready(version) = &self.updates {
            self.updates = Updates::Installing(version.clone());
            self.show();
            self.shell.install_update();
        }
    }

    /// Drains the proxy, and says so.
    pub(super) fn make_way(&mut self, done: oneshot::Sender<()>) {
        let Some(Life { shutdown, task }) = self.life.take() else { return };
        self.reach.send_replace(Reach::Stopping);
        self.look();
        shutdown.cancel();
        tokio::spawn(async move {
            if let Err(error) = task.await {
                tracing::error!(%error, "the proxy did not end well");
            }
            if done.send(()).is_err() {
                tracing::debug!("the installer has not waited for the last requests");
            }
        });
    }

    pub(super) fn on_installed(&mut self, done: Result<(), String>) {
        match done {
            Ok(()) => {
                self.start_anew();
            }
            Err(reason) => {
                let reason = capital(reason.trim_end_matches('.'));
                let body = format!("{reason}. This version goes on; choose Check for updates to try again.");
                self.notify(Notice::answer("The update cannot be installed", body));
                self.updates = Updates::None;
                if self.life.is_none() {
                    self.start();
                }
                self.show();
            }
        }
    }
}
