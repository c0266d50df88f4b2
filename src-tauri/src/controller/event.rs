//! The events of the controller, and the state of the proxy for other modules.

use http::StatusCode;
use proxy_core::http::in_process::Refusal;
use proxy_core::removal::Found;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{AppState, Choice};
use crate::engine::{Failure, Running};
use crate::shell::Ending;
use crate::tray::Action;

/// An event of the controller.
#[derive(Debug)]
pub(crate) enum Event {
    /// The person has clicked on this in the menu.
    Clicked(Action),
    /// The person has started the application again, or clicked on its icon.
    OpenAsked,
    /// The proxy is running.
    Started(Box<Running>),
    /// The proxy cannot run, for this reason.
    Failed(Failure),
    /// The proxy has ended; with a reason if it was not requested.
    Ended(Option<String>),
    /// The desktop shows no tray icons, for this reason.
    NoTray(String),
    /// The window was opened or closed.
    WindowOpened,
    WindowClosed,
    /// The window requests to copy a text to the clipboard.
    Copy(Text, Reply),
    /// The window requests to open something in another program.
    OpenOutside(Outside, Reply),
    /// The window requests the state of the application.
    StateAsked(oneshot::Sender<AppState>),
    /// The person has chosen something for the application in the window.
    Chosen(Choice),
    /// The person has chosen in the window whether the application starts at login.
    LoginChosen(bool, Reply),
    /// The window requests that the proxy uses a free port; the reply contains it.
    AnotherPort(oneshot::Sender<Result<u16, Refusal>>),
    /// The person was informed that closing the window does not end the application.
    FarewellSaid,
    /// The window requests the list of data that would be removed.
    DataAsked(oneshot::Sender<Result<Found, Refusal>>),
    /// The person has chosen to remove all data and end the application.
    RemovalChosen,
    /// The window requests a restart of the application.
    RestartAsked,
    /// The person has signed out in another way than with the menu.
    SignOutWanted,
    /// The person has said yes to signing out.
    SignOutAgreed,
    /// The sign-out is over, done or not.
    SignOutEnded,
    /// The result of a check for updates: the newer version, if there is one, or the error.
    UpdatesChecked(Result<Option<Newer>, String>),
    /// The result of the installation of a newer version: how to start it, or the error.
    UpdateInstalled(Result<Ending, String>),
}

/// A newer version of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newer {
    pub(crate) version: String,
    /// What is new, in Markdown.
    pub(crate) notes: Option<String>,
}

/// The channel for the result of a request of the window.
pub(crate) type Reply = oneshot::Sender<Result<(), Refusal>>;

/// An operation on this machine failed.
pub(crate) fn failed(message: String) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "not_done", message)
}

/// A text for the clipboard.
#[derive(Debug)]
pub(crate) enum Text {
    /// A key by its id, or the first one for clients.
    Key(Option<String>),
    /// A text that is not a secret.
    Plain(String),
}

/// Something to open outside of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outside {
    /// The page to sign in.
    SignIn,
    /// The page for the code of a device.
    Verification,
    /// The folder of the logs.
    Logs,
    /// The proxy's settings.
    Config,
    /// The settings of Obsidian Copilot, in Obsidian.
    ObsidianCopilot,
}

/// The state of the proxy for modules that want to use it.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// The proxy is starting.
    Starting,
    /// The proxy is running.
    Running(Box<Running>),
    /// The proxy cannot run, for this reason.
    Failed(Failure),
    /// The proxy and the application are ending.
    Stopping,
}
