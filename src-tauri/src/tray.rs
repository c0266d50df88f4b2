//! The content of the tray, as plain data computed from the state.

pub(crate) mod messages;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy_core::control::api::{AccountState, Status, Worker, WorkerState};
use proxy_core::request_log::RequestEntry;

use crate::preferences::{Notification, Notify};
use crate::words;

/// The state, as far as the tray needs it.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// The proxy.
    pub(crate) proxy: Proxy<'a>,
    /// The requests that are being answered, newest first.
    pub(crate) running: &'a [RequestEntry],
    /// Whether a sign-out is under way.
    pub(crate) signing_out: bool,
    /// Whether the window is open.
    pub(crate) window_open: bool,
    /// The kinds of notices that are enabled.
    pub(crate) notify: Notify,
    /// Whether the application starts at login, if the system supports it.
    pub(crate) starts_at_login: Option<bool>,
    /// Newer versions of the application.
    pub(crate) updates: &'a Updates,
    /// The current time, with the time zone for its format.
    pub(crate) now: Timestamp,
    pub(crate) zone: &'a TimeZone,
}

/// The state of the proxy for the tray.
#[derive(Debug)]
pub(crate) enum Proxy<'a> {
    /// It is starting.
    Starting,
    /// It is running.
    Running(&'a Status),
    /// It cannot run, for this reason.
    Failed(&'a str),
    /// It is ending, together with the application.
    Stopping,
}

/// Newer versions of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Updates {
    /// This build has no release channel.
    Off,
    /// No check has been made, or there is no newer version.
    None,
    /// A check is in progress.
    Checking,
    /// This version did not start, so the previous one was restored.
    Failed(String),
    /// This version can be installed.
    Ready(String),
    /// This version is being downloaded and installed.
    Installing(String),
}

/// The state that the icon shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Icon {
    /// No account is signed in.
    SignedOut,
    /// Not ready yet.
    Starting,
    /// The proxy accepts requests.
    Ready,
    /// The proxy is answering requests.
    Busy,
    /// The plan's limit is reached.
    Limited,
    /// The proxy cannot answer requests.
    Broken,
    /// A person has paused the proxy.
    Paused,
}

/// The complete view of the tray.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// The icon.
    pub(crate) icon: Icon,
    /// The tooltip: the state, and a line for each request that is being answered.
    pub(crate) tooltip: String,
    /// The menu.
    pub(crate) menu: Vec<Entry>,
}

/// An entry of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Text that cannot be clicked.
    Text(String),
    /// An action.
    Item { action: Action, label: String, enabled: bool },
    /// An option that is on or off.
    Check { action: Action, label: String, checked: bool },
    /// A submenu.
    Submenu { label: String, entries: Vec<Entry> },
    /// A separator line.
    Separator,
}

/// The action of a click in the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    TryAgain,
    CopyKey,
    CopyBaseUrl,
    RestartWorkers,
    Pause,
    Resume,
    SignIn,
    CancelSignIn,
    SignOut,
    Open,
    SetUpClient,
    Toggle(Notification),
    StartAtLogin,
    CheckForUpdates,
    InstallUpdate,
    Quit,
}

impl Action {
    const ALL: [Self; 19] = [
        Self::TryAgain,
        Self::CopyKey,
        Self::CopyBaseUrl,
        Self::RestartWorkers,
        Self::Pause,
        Self::Resume,
        Self::SignIn,
        Self::CancelSignIn,
        Self::SignOut,
        Self::Open,
        Self::SetUpClient,
        Self::Toggle(Notification::SignedOut),
        Self::Toggle(Notification::Limits),
        Self::Toggle(Notification::Broken),
        Self::Toggle(Notification::Updates),
        Self::StartAtLogin,
        Self::CheckForUpdates,
        Self::InstallUpdate,
        Self::Quit,
    ];

    /// The id of the action in the desktop's menu.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::TryAgain => "try_again",
            Self::CopyKey => "copy_key",
            Self::CopyBaseUrl => "copy_base_url",
            Self::RestartWorkers => "restart_workers",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::SignIn => "sign_in",
            Self::CancelSignIn => "cancel_sign_in",
            Self::SignOut => "sign_out",
            Self::Open => "open",
            Self::SetUpClient => "set_up_client",
            Self::Toggle(Notification::SignedOut) => "notify_signed_out",
            Self::Toggle(Notification::Limits) => "notify_limits",
            Self::Toggle(Notification::Broken) => "notify_broken",
            Self::Toggle(Notification::Updates) => "notify_updates",
            Self::StartAtLogin => "start_at_login",
            Self::CheckForUpdates => "check_for_updates",
            Self::InstallUpdate => "install_update",
            Self::Quit => "quit",
        }
    }

    /// The action with this id.
    pub(crate) fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.id() == id)
    }
}

/// Computes the view from the state.
pub(crate) fn view(facts: &Facts<'_>) -> View {
    let headline = messages::headline(facts);
    View { icon: icon(facts), tooltip: messages::tooltip(facts, &headline), menu: menu(facts, headline) }
}

/// Computes the icon from the state.
pub(crate) fn icon(facts: &Facts<'_>) -> Icon {
    let status = match facts.proxy {
        Proxy::Starting | Proxy::Stopping => return Icon::Starting,
        Proxy::Failed(_) => return Icon::Broken,
        Proxy::Running(status) => status,
    };
    if status.paused {
        return Icon::Paused;
    }
    if trouble(status).is_some() {
        return Icon::Broken;
    }
    if matches!(status.account.state, AccountState::SignedOut | AccountState::SigningIn) {
        return Icon::SignedOut;
    }
    if !status.ready {
        return Icon::Starting;
    }
    if is_limited(status, facts.now) {
        return Icon::Limited;
    }
    if status.workers.iter().any(|worker| worker.turns_running > 0) {
        return Icon::Busy;
    }
    Icon::Ready
}

/// Why the proxy cannot answer requests. `None` if it only needs some time or a sign-in.
pub(crate) fn trouble(status: &Status) -> Option<Cow<'_, str>> {
    if status.ready {
        return None;
    }
    if status.codex.path.is_none() && status.codex.problem.is_some() {
        return status.codex.problem.as_deref().map(Cow::Borrowed);
    }
    let failed = |worker: &&Worker| worker.state == WorkerState::Failed;
    let worker = status.workers.iter().find(failed)?;
    Some(match worker.last_exit.as_deref() {
        Some(reason) => Cow::Borrowed(reason),
        None => Cow::Owned(words::t("worker_does_not_start")),
    })
}

/// Whether the limit of the plan is reached, so that turns are refused.
pub(crate) fn is_limited(status: &Status, now: Timestamp) -> bool {
    status.is_limited(u64::try_from(now.as_second()).unwrap_or_default())
}

fn menu(facts: &Facts<'_>, headline: String) -> Vec<Entry> {
    let status = match facts.proxy {
        Proxy::Running(status) => Some(status),
        Proxy::Starting | Proxy::Failed(_) | Proxy::Stopping => None,
    };
    let stopping = matches!(facts.proxy, Proxy::Stopping);
    let mut menu = vec![Entry::Text(headline)];
    menu.extend(messages::details(facts).into_iter().map(Entry::Text));
    if matches!(facts.proxy, Proxy::Failed(_)) {
        menu.push(item(Action::TryAgain, words::t("try_again"), true));
    }
    menu.push(Entry::Separator);
    menu.push(item(Action::Open, words::t("open"), !stopping));
    menu.push(item(Action::SetUpClient, words::t("set_up_client"), !stopping));
    menu.push(Entry::Separator);
    menu.push(item(Action::CopyKey, words::t("copy_key"), status.is_some()));
    menu.push(item(Action::CopyBaseUrl, words::t("copy_base_url"), status.is_some()));
    menu.push(Entry::Separator);
    menu.push(item(Action::RestartWorkers, words::t("restart_workers"), status.is_some()));
    let (action, label) = match status {
        Some(status) if status.paused => (Action::Resume, words::t("resume")),
        _ => (Action::Pause, words::t("pause")),
    };
    menu.push(item(action, label, status.is_some()));
    menu.extend(signing(status, facts.signing_out));
    menu.push(Entry::Separator);
    menu.push(notifications(facts));
    if let Some(checked) = facts.starts_at_login {
        menu.push(Entry::Check { action: Action::StartAtLogin, label: words::t("start_at_login"), checked });
    }
    menu.extend(update(facts.updates));
    menu.push(Entry::Separator);
    menu.push(item(Action::Quit, words::t("quit"), true));
    menu
}

fn item(action: Action, label: String, enabled: bool) -> Entry {
    Entry::Item { action, label, enabled }
}

fn signing(status: Option<&Status>, signing_out: bool) -> Vec<Entry> {
    let Some(status) = status else { return vec![item(Action::SignIn, words::t("sign_in"), false)] };
    match status.account.state {
        AccountState::SignedIn if signing_out => vec![item(Action::SignOut, words::t("signing_out"), false)],
        AccountState::SignedIn => vec![item(Action::SignOut, words::t("sign_out"), true)],
        AccountState::SigningIn => vec![
            item(Action::SignIn, words::t("go_on_signing_in"), true),
            item(Action::CancelSignIn, words::t("cancel_sign_in"), true),
        ],
        AccountState::NotNeeded => vec![],
        AccountState::Unknown | AccountState::SignedOut | AccountState::Other => {
            vec![item(Action::SignIn, words::t("sign_in"), status.ready)]
        }
    }
}

fn notifications(facts: &Facts<'_>) -> Entry {
    let check = |kind: Notification, label: String| Entry::Check {
        action: Action::Toggle(kind),
        label,
        checked: facts.notify.wants(kind),
    };
    let mut entries = vec![
        check(Notification::SignedOut, words::t("notify_signed_out")),
        check(Notification::Limits, words::t("notify_limits")),
        check(Notification::Broken, words::t("notify_broken")),
    ];
    if *facts.updates != Updates::Off {
        entries.push(check(Notification::Updates, words::t("notify_updates")));
    }
    Entry::Submenu { label: words::t("notifications"), entries }
}

fn update(updates: &Updates) -> Vec<Entry> {
    let check = || item(Action::CheckForUpdates, words::t("check_for_updates"), true);
    let entry = match updates {
        Updates::Off => return vec![],
        Updates::None => check(),
        Updates::Failed(version) => {
            return vec![Entry::Text(words::with("update_failed", &[("version", version)])), check()];
        }
        Updates::Checking => item(Action::CheckForUpdates, words::t("checking_for_updates"), false),
        Updates::Ready(version) => {
            item(Action::InstallUpdate, words::with("install_update", &[("version", version)]), true)
        }
        Updates::Installing(version) => {
            item(Action::InstallUpdate, words::with("installing_update", &[("version", version)]), false)
        }
    };
    vec![entry]
}
