//! Signing in and out, and the limits of the plan.

use jiff::Timestamp;
use proxy_core::account::Method;

use super::{Controller, Event};
use crate::notices::Notice;
use crate::shell::{Place, Shell};
use crate::tray::messages::{capital, timestamp};
use crate::words;

impl<S: Shell> Controller<S> {
    pub(super) fn sign_in(&self) {
        self.with_control(|control, shell| async move {
            let under_way = control.account().login;
            let login = match under_way {
                Some(login) => Ok(login),
                None => control.log_in(Method::Browser).await,
            };
            match login.map(|login| login.auth_url) {
                Ok(Some(url)) => {
                    if shell.open(&url.0).is_err() {
                        // The window shows the address, so that a person can copy it.
                        shell.show_window(Place::Start);
                    }
                }
                Ok(None) => shell.show_window(Place::Start),
                Err(error) => {
                    shell.notify(Notice::answer(words::t("sign_in_failed"), capital(&error.to_string())));
                }
            }
        });
    }

    /// Asks first, because requests fail until somebody signs in again.
    pub(super) fn ask_to_sign_out(&self) {
        let Some(status) = &self.status else { return };
        let email = status.account.email.as_ref();
        let who = email.map_or_else(|| words::t("this_account"), |email| email.0.clone());
        self.shell.ask_to_sign_out(&who);
    }

    pub(super) fn sign_out(&mut self) {
        self.notices.sign_out_wanted();
        self.signing_out = self.control().is_some();
        self.show();
        let events = self.events.clone();
        self.with_control(|control, shell| async move {
            if let Err(error) = control.log_out().await {
                shell.notify(Notice::answer(words::t("sign_out_failed"), capital(&error.to_string())));
            }
            // The receiver is dropped if the application is ending.
            drop(events.send(Event::SignOutEnded).await);
        });
    }

    pub(super) fn on_signed_out(&mut self) {
        self.signing_out = false;
        self.look();
    }

    /// Reads the limits again once the time of a known limit is over.
    pub(super) fn read_limits_anew(&mut self) {
        let Some(limits) = self.status.as_ref().and_then(|status| status.limits.as_ref()) else { return };
        let now = Timestamp::now();
        let over = |at: &u64| *at > limits.read_at && timestamp(*at).is_some_and(|at| at <= now);
        let windows = [limits.primary, limits.secondary];
        let ended = windows.into_iter().flatten().filter_map(|window| window.resets_at).filter(over).max();
        if ended.is_some() && ended != self.limits_read_for {
            self.limits_read_for = ended;
            self.with_control(|control, _| async move {
                if let Err(error) = control.limits(true).await {
                    tracing::debug!(%error, "the limits cannot be read anew");
                }
            });
        }
    }
}
