//! What a desktop has to do for the application, and nothing more.

use proxy_core::control::api;
use proxy_core::secret::ApiKey;
use serde::Serialize;

use crate::notices::Notice;
use crate::preferences::Panel;
use crate::tray::View;

/// The argument with which the system starts the application at login.
pub(crate) const HIDDEN: &str = "--hidden";

/// The argument with which an installer has the application that runs end.
pub(crate) const QUIT: &str = "--quit";

/// What the window is told: an object of `event`, its name, and `data`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum WindowEvent {
    /// Something has happened in the proxy.
    Proxy(api::Event),
    /// Something has happened in the application.
    Application(AppEvent),
}

/// What happens in the application and concerns the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub(crate) enum AppEvent {
    /// The proxy does not run; why, is told when the window asks it something.
    NotRunning(()),
}

/// A desktop. What cannot be done is logged, unless whoever asked has to be told.
pub(crate) trait Shell: Send + Sync + 'static {
    /// Shows this in the tray, if there is one.
    fn set_tray(&self, view: View);

    /// From now on the icon is for this panel, when it is shown again.
    fn set_panel(&self, panel: Panel);

    /// Whether the system tells what its panel looks like.
    fn tells_panel(&self) -> bool;

    /// Shows a notice, if anything here shows notices.
    fn notify(&self, notice: Notice);

    /// Opens an address or a path in the program that the user has for it.
    fn open(&self, target: &str) -> Result<(), String>;

    /// Puts a key on the clipboard, marked as secret where that can be. It may block.
    fn copy_secret(&self, key: &ApiKey) -> Result<(), String>;

    /// Puts text on the clipboard. It may block.
    fn copy_text(&self, text: &str) -> Result<(), String>;

    /// Clears the clipboard if it still holds this key. It may block.
    fn forget_secret(&self, key: &ApiKey);

    /// Opens the window, or brings it to the front, and shows that place.
    fn show_window(&self, place: Place);

    /// Closes the window, if it is open.
    fn close_window(&self);

    /// Tells the window what has happened.
    fn tell_window(&self, event: &WindowEvent);

    /// Whether the application starts at login; `None` where that cannot be chosen.
    fn starts_at_login(&self) -> Option<bool>;

    /// Makes it start at login, or no longer.
    fn set_starts_at_login(&self, wanted: bool) -> Result<(), String>;

    /// Whether there is a release channel to find newer versions in.
    fn has_updates(&self) -> bool;

    /// Looks for a newer version; the answer comes as an event.
    fn check_for_updates(&self);

    /// Fetches and installs the newer version that was found, after this one, which serves or does not, is kept; the
    /// outcome comes as an event.
    fn install_update(&self, serves: bool);

    /// Ends the application, or starts it anew.
    fn exit(&self, ending: Ending);
}

/// Where in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Wherever it is, or the first view.
    Anywhere,
    /// The steps from nothing to the first answer.
    Start,
    /// The guides for clients.
    Clients,
}

impl Place {
    /// Its route in the window's address.
    pub(crate) fn route(self) -> Option<&'static str> {
        match self {
            Self::Anywhere => None,
            Self::Start => Some("/start"),
            Self::Clients => Some("/clients"),
        }
    }
}

/// What comes after the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing.
    Quit,
    /// The application again.
    Restart,
    /// The application in a new version that is on trial.
    Update,
}
