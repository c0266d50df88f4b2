//! Decides which notices are due. Pure functions from the state to new notices; each is returned only once.

#[cfg(test)]
mod tests;

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy_core::control::api::{AccountState, LimitWindow, Status};

use crate::preferences::Notification;
use crate::tray::messages::{capital, clock, timestamp, window_name};
use crate::tray::{Action, Facts, Proxy, is_limited, trouble};
use crate::trial::keep;
use crate::trial::{Back, Plan};

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

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::SignIn => "Sign in",
            Self::Open => "Open",
            Self::TryAgain => "Try again",
            Self::InstallUpdate => "Restart to update",
        }
    }
}

/// The notices that the user has already seen.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    was_signed_in: bool,
    told_signed_out: bool,
    sign_out_wanted: bool,
    broken: Option<String>,
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
            title: format!("Codex Proxy {version} is ready"),
            body: "Choose Install in the menu when it suits you.".to_owned(),
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
        let what = if *not_installed { "could not be installed" } else { "did not start" };
        let Some(reason) = not_put_back else {
            let title = format!("Version {to} {what}, so {from} is back");
            return Self::answer(title, "The log says why. Choose Check for updates to try it again.");
        };
        let package = folder.map(|folder| folder.join(keep::PACKAGE)).filter(|package| package.is_file());
        let again = match package {
            Some(package) => format!("To do that, run: sudo dpkg --install '{}'", package.display()),
            None => format!("To do that, install the package of version {from}."),
        };
        let body = format!("{from} runs for now, but could not be installed again: {reason}. {again}");
        Self::answer(format!("Version {to} {what}"), body)
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
                let notice = self.broken("Codex Proxy is not running", Some(sentence));
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
            return self.broken("Codex is missing", Some("Choose Open in the menu to install it."));
        }
        self.broken("Codex is not working", trouble)
    }

    fn broken(&mut self, title: &str, trouble: Option<&str>) -> Option<Notice> {
        let Some(trouble) = trouble else {
            self.broken = None;
            return None;
        };
        // The reason of the same problem may change with each attempt.
        if self.broken.replace(title.to_owned()).as_deref() == Some(title) {
            return None;
        }
        let first_line = trouble.lines().next().unwrap_or_default();
        Some(Notice {
            kind: Some(Notification::Broken),
            title: title.to_owned(),
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
                let title =
                    if was_signed_in { "You have been signed out" } else { "Codex Proxy is not signed in" };
                Some(Notice {
                    kind: Some(Notification::SignedOut),
                    title: title.to_owned(),
                    body: "Requests fail until you choose Sign in in the menu.".to_owned(),
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
        let windows = [(limits.primary, "Short"), (limits.secondary, "Long")];
        let mut due = Vec::new();
        for (told, (window, name)) in self.near.iter_mut().zip(windows) {
            let Some(window) = window else { continue };
            if becomes_near(told, &window, now) && !limited {
                due.push(near(&window, name, now, zone));
            }
        }
        match (std::mem::replace(&mut self.limited, limited), limited) {
            (false, true) => due.push(reached(status, &windows, now, zone)),
            (true, false) => due.push(limit_notice(
                "The limit is over".to_owned(),
                "Requests are answered again.".to_owned(),
            )),
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
        Some(at) => format!("It starts again at {}.", clock(at, now, zone)),
        None => "Requests will be refused when all of it is used.".to_owned(),
    };
    limit_notice(format!("{name} limit: {} % used", window.used_percent), body)
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
        Some(name) => format!("The {} limit is reached", name.to_lowercase()),
        None => "The plan's limit is reached".to_owned(),
    };
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let until = status.limits.as_ref().and_then(|limits| limits.resets_at(seconds)).and_then(timestamp);
    let body = match until {
        Some(at) => format!("Requests are refused until {}.", clock(at, now, zone)),
        None => "Requests are refused for now.".to_owned(),
    };
    limit_notice(title, body)
}

fn limit_notice(title: String, body: String) -> Notice {
    Notice { kind: Some(Notification::Limits), title, body, button: None }
}
