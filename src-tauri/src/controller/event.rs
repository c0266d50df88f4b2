//! What happens, and what is told of the proxy to those who want to reach it.

use http::StatusCode;
use proxy_core::http::in_process::Refusal;
use proxy_core::removal::Found;
use proxy_core::secret::ApiKey;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::AppState;
use crate::engine::{Failure, Running};
use crate::preferences::Panel;
use crate::shell::Ending;
use crate::tray::Action;

/// What happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody has chosen this in the menu.
    Clicked(Action),
    /// Somebody has started the application again, or clicked on it.
    OpenAsked,
    /// The proxy runs.
    Started(Box<Running>),
    /// It cannot run, for this reason.
    Failed(Failure),
    /// It has ended; with a reason if it was not asked to.
    Ended(Option<String>),
    /// Nothing shows the tray's icon, for this reason.
    NoTray(String),
    /// The window has opened, or closed.
    WindowOpened,
    WindowClosed,
    /// The window asks for something to be put on the clipboard.
    Copy(Text, Reply),
    /// A key is on the clipboard.
    Copied(ApiKey),
    /// The window asks for something to be opened outside.
    OpenOutside(Outside, Reply),
    /// The window asks for what concerns the application itself.
    StateAsked(oneshot::Sender<AppState>),
    /// The user says what the panel looks like.
    PanelChosen(Panel),
    /// The window asks for the proxy to listen on a free port, and is told which.
    AnotherPort(oneshot::Sender<Result<u16, Refusal>>),
    /// The user has been told that closing the window does not end the application.
    FarewellSaid,
    /// The window asks what there is to be removed.
    DataAsked(oneshot::Sender<Result<Found, Refusal>>),
    /// The user wants all of it removed, and the application to end.
    RemovalChosen,
    /// The window asks for the application to be started anew.
    RestartAsked,
    /// The user signs out by another way than the menu.
    SignOutWanted,
    /// Somebody has looked for newer versions: the one there is, or why that is not known.
    UpdatesChecked(Result<Option<String>, String>),
    /// The newer version can be started, and how, or why it cannot.
    UpdateInstalled(Result<Ending, String>),
}

/// How the window is told what became of what it asked for.
pub(crate) type Reply = oneshot::Sender<Result<(), Refusal>>;

/// Something on this machine did not work.
pub(crate) fn failed(message: String) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "not_done", message)
}

/// What is put on the clipboard.
#[derive(Debug)]
pub(crate) enum Text {
    /// A key by its id, or the first that clients may use.
    Key(Option<String>),
    /// Anything that is no secret.
    Plain(String),
}

/// What is opened outside the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outside {
    /// The page on which a person signs in.
    SignIn,
    /// The page that takes a device's code.
    Verification,
    /// The folder of the logs.
    Logs,
    /// The proxy's settings.
    Config,
}

/// The proxy, for those who want to reach it.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// It is on its way.
    Starting,
    /// Here it is.
    Running(Box<Running>),
    /// It cannot run, for this reason.
    Failed(Failure),
    /// It is ending, and the application with it.
    Stopping,
}
