//! The functions of the desktop that the application needs.

use proxy_core::control::api;
use proxy_core::secret::ApiKey;
use serde::Serialize;

use crate::notices::Notice;
use crate::preferences::{Look, Panel};
use crate::tray::View;

/// The argument with which the system starts the application at login.
pub(crate) const HIDDEN: &str = "--hidden";

/// The argument with which an installer ends the running application.
pub(crate) const QUIT: &str = "--quit";

/// An event for the window: an object with `event`, its name, and `data`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum WindowEvent {
    /// An event of the proxy.
    Proxy(api::Event),
    /// An event of the application.
    Application(AppEvent),
}

/// An event of the application that concerns the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub(crate) enum AppEvent {
    /// The proxy is not running; the window gets the reason with its next request.
    NotRunning(()),
    /// The state of the application is another one.
    Changed(()),
}

/// A desktop. Failures are logged, except where the method returns them.
pub(crate) trait Shell: Send + Sync + 'static {
    /// Shows this view in the tray, if there is one.
    fn set_tray(&self, view: View);

    /// Sets the panel for which the icon is drawn the next time.
    fn set_panel(&self, panel: Panel);

    /// Whether the system reports the colour of its panel.
    fn tells_panel(&self) -> bool;

    /// Sets how the window opens the next time.
    fn set_look(&self, look: Look);

    /// Shows a notice, if the desktop supports notices. A click on its button is sent as an event.
    fn notify(&self, notice: Notice);

    /// Asks whether this account is to be signed out. Only a yes is sent as an event.
    fn ask_to_sign_out(&self, who: &str);

    /// Opens an address or a path in the user's default program.
    fn open(&self, target: &str) -> Result<(), String>;

    /// Copies a key to the clipboard, marked as a secret if the system supports this. It may block.
    fn copy_secret(&self, key: &ApiKey) -> Result<(), String>;

    /// Copies text to the clipboard. It may block.
    fn copy_text(&self, text: &str) -> Result<(), String>;

    /// Clears the clipboard if it still holds this key. It may block.
    fn forget_secret(&self, key: &ApiKey);

    /// Opens the window or brings it to the front, and shows this place.
    fn show_window(&self, place: Place);

    /// Closes the window, if it is open.
    fn close_window(&self);

    /// Gives back what a closed window has left in memory.
    fn give_back(&self);

    /// Sends an event to the window.
    fn tell_window(&self, event: &WindowEvent);

    /// Whether the application starts at login; `None` if that cannot be set.
    fn starts_at_login(&self) -> Option<bool>;

    /// Sets whether the application starts at login.
    fn set_starts_at_login(&self, wanted: bool) -> Result<(), String>;

    /// Whether there is a release channel for updates.
    fn has_updates(&self) -> bool;

    /// Checks for updates; the result is sent as an event.
    fn check_for_updates(&self);

    /// Downloads and installs the newer version, after a copy of this version was kept. `serves` is whether this
    /// version serves requests. The result is sent as an event.
    fn install_update(&self, serves: bool);

    /// Ends the application, or restarts it.
    fn exit(&self, ending: Ending);
}

/// A place in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The current view, or the first one.
    Anywhere,
    /// The steps from nothing to the first answer.
    Start,
    /// The guides for clients.
    Clients,
}

impl Place {
    /// The route in the window's address.
    pub(crate) fn route(self) -> Option<&'static str> {
        match self {
            Self::Anywhere => None,
            Self::Start => Some("/start"),
            Self::Clients => Some("/clients"),
        }
    }
}

/// What happens after the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing more.
    Quit,
    /// A restart of the application.
    Restart,
    /// The start of a new version on trial.
    Update,
}
