//! Updates of the application.

use tokio::time::{Duration, Instant};

use super::{Controller, Newer, Reach};
use crate::notices::Notice;
use crate::rehearsal;
use crate::shell::{Ending, Shell};
use crate::tray::Updates;
use crate::tray::messages::capital;
use crate::words;

/// The interval of the checks for updates.
const CHECK: Duration = Duration::from_secs(24 * 60 * 60);

impl<S: Shell> Controller<S> {
    /// Shows a notice if the last update was undone, once. Later this version is only offered after a manual check.
    pub(super) fn tell_of_update(&mut self) {
        if let Some(back) = self.trial.back() {
            let version = back.plan.to.clone();
            tracing::error!(version, reason = back.reason, "the update was taken back");
            if let Some(reason) = &back.not_put_back {
                tracing::error!(reason, "this version could not be installed again");
            }
            self.notify(Notice::taken_back(back, self.trial.dir()));
            self.preferences.change(|chosen| chosen.failed_update = Some(version));
        }
        if self.updates == Updates::None {
            self.updates = self.no_update();
        }
    }

    /// Handles that this version serves requests.
    pub(super) fn has_started(&mut self) {
        // The files of the next update must not be removed.
        if !matches!(self.updates, Updates::Installing(_)) && !self.trial.has_started() {
            tracing::warn!("this version has started too late, and is being taken back");
        }
    }

    pub(super) fn check_for_updates(&mut self) {
        self.update_check_at = Instant::now() + rehearsal::unasked().unwrap_or(CHECK);
        if matches!(self.updates, Updates::None | Updates::Failed(_) | Updates::Ready(_)) {
            self.updates = Updates::Checking;
            self.update_problem = None;
            self.show();
            self.shell.check_for_updates();
        }
    }

    pub(super) fn on_updates(&mut self, found: Result<Option<Newer>, String>) {
        // An open window shows what becomes of it.
        let asked = std::mem::take(&mut self.update_asked);
        let tells = asked && !self.window_open;
        let failed = self.preferences.chosen().failed_update.clone();
        // A version that did not start on this machine is only offered after a manual check.
        let found = found.map(|found| found.filter(|newer| asked || failed.as_ref() != Some(&newer.version)));
        (self.update_notes, self.update_problem) = (None, None);
        self.updates = match &found {
            Ok(Some(newer)) => Updates::Ready(newer.version.clone()),
            Ok(None) | Err(_) => self.no_update(),
        };
        match found {
            Ok(Some(Newer { version, notes })) => {
                self.update_notes = notes;
                let told = self.preferences.chosen().told_of_update.as_ref() == Some(&version);
                if tells || !told {
                    self.notify(Notice::update(&version));
                    self.preferences.change(|chosen| chosen.told_of_update = Some(version));
                }
            }
            Ok(None) if tells => self.notify(Notice::answer(words::t("up_to_date"), "")),
            Err(reason) => {
                tracing::warn!(reason, "updates cannot be looked for");
                let reason = format!("{}.", capital(reason.trim_end_matches('.')));
                if tells {
                    let body = words::with("updates_not_checked_body", &[("reason", &reason)]);
                    self.notify(Notice::answer(words::t("updates_not_checked"), body));
                }
                self.update_problem = asked.then_some(reason);
            }
            Ok(None) => {}
        }
        self.show();
        if rehearsal::unasked().is_some() {
            self.install_update();
        }
    }

    /// The state in which no update can be installed.
    fn no_update(&self) -> Updates {
        let failed = self.preferences.chosen().failed_update.clone();
        failed.filter(|version| version != rehearsal::version()).map_or(Updates::None, Updates::Failed)
    }

    pub(super) fn install_update(&mut self) {
        if let Updates::Ready(version) = &self.updates {
            self.updates = Updates::Installing(version.clone());
            self.show();
            self.shell.install_update(matches!(*self.reach.borrow(), Reach::Running(_)));
        }
    }

    pub(super) fn on_installed(&mut self, done: Result<Ending, String>) {
        match done {
            Ok(ending) => self.start_anew(ending),
            Err(reason) => {
                let reason = capital(reason.trim_end_matches('.'));
                tracing::error!(reason, "the update cannot be installed");
                self.update_problem = Some(format!("{reason}."));
                let body = words::with("update_problem_body", &[("reason", &reason)]);
                self.notify(Notice::answer(words::t("update_problem"), body));
                self.updates = self.no_update();
                self.show();
            }
        }
    }
}
