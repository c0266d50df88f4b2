//! Decides which notices are due. Pure functions from the state to new notices; each is returned only once.

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy_core::control::api::{AccountState, LimitWindow, Status};

use crate::preferences::Notification;
use crate::tray::messages::{capital, clock, timestamp, window_name};
use crate::tray::{Action, Facts, Proxy, is_limited, trouble};
use crate::trial::keep;
use crate::trial::{Back, Plan};
use crate::words;

/// The used percentage from which a time window is nearly used up.
const NEAR: u32 = 80;

/// Below this percentage, a warning can be repeated. It is lower, so that small changes cause no notices.
const FAR: u32 = 70;

/// The used percentage from which a time window counts as the one that is reached.
const FULL: u32 = 95;

/// A notice for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The kind, which the user can switch off; `None` for the answer to a click, which is always shown.
    pub(crate) kind: Option<Notification>,
    /// What happened.
    pub(crate) title: String,
    /// What it means, and what to do.
    pub(crate) body: String,
    /// What can be done right there, where the system has buttons.
    pub(crate) button: Option<Button>,
}

/// A button of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Button {
    SignIn,
    Open,
    TryAgain,
    InstallUpdate,
}

impl Button {
    /// What a click on it does.
    pub(crate) fn action(self) -> Action {
        match self {
            Self::SignIn => Action::SignIn,
            Self::Open => Action::Open,
            Self::TryAgain => Action::TryAgain,
            Self::InstallUpdate => Action::InstallUpdate,
        }
    }

    pub(crate) fn label(self) -> String {
        words::t(match self {
            Self::SignIn => "sign_in",
            Self::Open => "open",
            Self::TryAgain => "try_again",
            Self::InstallUpdate => "restart_to_update",
        })
    }
}

/// The notices that the user has already seen.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    was_signed_in: bool,
    told_signed_out: bool,
    sign_out_wanted: bool,
    /// The title of the failure that was told last, as its key.
    broken: Option<&'static str>,
    /// For each time window, until when a warning about it was shown.
    near: [Option<u64>; 2],
    limited: bool,
}

impl Notice {
    /// A notice as the answer to a click.
    pub(crate) fn answer(title: impl Into<String>, body: impl Into<String>) -> Self {
        Self { kind: None, title: title.into(), body: body.into(), button: None }
    }

    /// A notice that an update can be installed.
    pub(crate) fn update(version: &str) -> Self {
        Self {
            kind: Some(Notification::Updates),
            title: words::with("update_ready", &[("version", &version)]),
            body: words::t("update_ready_body"),
            button: Some(Button::InstallUpdate),
        }
    }

    /// The notice with this button.
    pub(crate) fn with(self, button: Button) -> Self {
        Self { button: Some(button), ..self }
    }
}

impl Notice {
    /// A notice that an update was undone; the files that were kept for it are in `folder`.
    pub(crate) fn taken_back(back: &Back, folder: Option<&Path>) -> Self {
        let Back { plan: Plan { from, to, .. }, not_installed, not_put_back, .. } = back;
        let values: &[(&str, &dyn Display)] = &[("version", to), ("from", from)];
        let Some(reason) = not_put_back else {
            let what = if *not_installed { "update_not_installed_back" } else { "update_failed_back" };
            return Self::answer(words::with(what, values), words::t("back_body"));
        };
        let package = folder.map(|folder| folder.join(keep::PACKAGE)).filter(|package| package.is_file());
        let again = match package {
            Some(package) => {
                let command = format!("sudo dpkg --install '{}'", package.display());
                words::with("again_dpkg", &[("command", &command)])
            }
            None => words::with("again_install", values),
        };
        let body = words::with("back_partly", &[("from", from), ("reason", reason), ("again", &again)]);
        let what = if *not_installed { "update_not_installed" } else { "update_failed" };
        Self::answer(words::with(what, values), body)
    }
}

impl Notices {
    /// The user signs out, so no notice about this is necessary.
    pub(crate) fn sign_out_wanted(&mut self) {
        self.sign_out_wanted = true;
    }

    /// The user tries again after a failure: if it lasts, the notice is repeated.
    pub(crate) fn trying_again(&mut self) {
        self.broken = None;
    }

    /// The notices that are due now.
    pub(crate) fn due(&mut self, facts: &Facts<'_>) -> Vec<Notice> {
        match facts.proxy {
            Proxy::Starting | Proxy::Stopping => vec![],
            Proxy::Failed(sentence) => {
                let notice = self.broken("proxy_not_running", Some(sentence));
                notice.map(|notice| notice.with(Button::TryAgain)).into_iter().collect()
            }
            Proxy::Running(status) => {
                let mut due: Vec<Notice> = self.health(status).into_iter().collect();
                due.extend(self.account(status, facts.window_open));
                due.extend(self.limits(status, facts.now, facts.zone));
                due
            }
        }
    }

    fn health(&mut self, status: &Status) -> Option<Notice> {
        let trouble = trouble(status);
        if trouble.is_none() && !status.ready {
            // A start is in progress, so the result is not known yet.
            return None;
        }
        if status.codex.path.is_none() && trouble.is_some() {
            return self.broken("codex_missing", Some(&words::t("codex_missing_body")));
        }
        self.broken("codex_broken", trouble.as_deref())
    }

    fn broken(&mut self, title: &'static str, trouble: Option<&str>) -> Option<Notice> {
        let Some(trouble) = trouble else {
            self.broken = None;
            return None;
        };
        // The reason of the same problem may change with each attempt.
        if self.broken.replace(title) == Some(title) {
            return None;
        }
        let first_line = trouble.lines().next().unwrap_or_default();
        Some(Notice {
            kind: Some(Notification::Broken),
            title: words::t(title),
            body: capital(first_line),
            button: Some(Button::Open),
        })
    }

    fn account(&mut self, status: &Status, window_open: bool) -> Option<Notice> {
        match status.account.state {
            AccountState::SignedIn => {
                self.was_signed_in = true;
                self.told_signed_out = false;
                None
            }
            AccountState::SignedOut => {
                let was_signed_in = std::mem::take(&mut self.was_signed_in);
                let wanted = std::mem::take(&mut self.sign_out_wanted);
                if std::mem::replace(&mut self.told_signed_out, true) || wanted {
                    return None;
                }
                // Whoever has never signed in sees in the open window that this is the next step.
                if window_open && !was_signed_in {
                    return None;
                }
                let title = if was_signed_in { "was_signed_out" } else { "not_signed_in" };
                Some(Notice {
                    kind: Some(Notification::SignedOut),
                    title: words::t(title),
                    body: words::t("signed_out_body"),
                    button: Some(Button::SignIn),
                })
            }
            AccountState::Unknown
            | AccountState::NotNeeded
            | AccountState::SigningIn
            | AccountState::Other => None,
        }
    }

    fn limits(&mut self, status: &Status, now: Timestamp, zone: &TimeZone) -> Vec<Notice> {
        let Some(limits) = &status.limits else { return Vec::new() };
        let limited = is_limited(status, now);
        let windows = [(limits.primary, "short_limit"), (limits.secondary, "long_limit")];
        let mut due = Vec::new();
        for (told, (window, name)) in self.near.iter_mut().zip(windows) {
            let Some(window) = window else { continue };
            if becomes_near(told, &window, now) && !limited {
                due.push(near(&window, name, now, zone));
            }
        }
        match (std::mem::replace(&mut self.limited, limited), limited) {
            (false, true) => due.push(reached(status, &windows, now, zone)),
            (true, false) => {
                due.push(limit_notice(words::t("limit_over"), words::t("limit_over_body")));
            }
            (false, false) | (true, true) => {}
        }
        due
    }
}

fn becomes_near(told: &mut Option<u64>, window: &LimitWindow, now: Timestamp) -> bool {
    let is_over = |at: u64| timestamp(at).is_some_and(|at| at <= now);
    if window.used_percent < FAR || told.is_some_and(is_over) {
        *told = None;
    }
    let is_near = window.used_percent >= NEAR && !window.resets_at.is_some_and(is_over);
    if !is_near || told.is_some() {
        return false;
    }
    *told = Some(window.resets_at.unwrap_or(u64::MAX));
    true
}

fn near(window: &LimitWindow, name: &str, now: Timestamp, zone: &TimeZone) -> Notice {
    let name = window_name(window, name);
    let body = match window.resets_at.and_then(timestamp) {
        Some(at) => words::with("near_resets", &[("when", &clock(at, now, zone))]),
        None => words::t("near_body"),
    };
    let used = words::with("limit_used", &[("percent", &window.used_percent)]);
    limit_notice(words::with("limit_line", &[("name", &name), ("used", &used)]), body)
}

fn reached(
    status: &Status,
    windows: &[(Option<LimitWindow>, &str)],
    now: Timestamp,
    zone: &TimeZone,
) -> Notice {
    let full = windows.iter().find_map(|(window, name)| {
        window.filter(|window| window.used_percent >= FULL).map(|window| window_name(&window, name))
    });
    let title = match full {
        Some(name) => words::with("limit_reached", &[("name", &name)]),
        None => words::t("plan_limit_reached"),
    };
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let until = status.limits.as_ref().and_then(|limits| limits.resets_at(seconds)).and_then(timestamp);
    let body = match until {
        Some(at) => words::with("refused_until", &[("when", &clock(at, now, zone))]),
        None => words::t("refused_now"),
    };
    limit_notice(title, body)
}

fn limit_notice(title: String, body: String) -> Notice {
    Notice { kind: Some(Notification::Limits), title, body, button: None }
}
