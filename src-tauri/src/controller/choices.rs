//! What a person chooses for the application itself, in the window.

use super::{Controller, Reply, failed};
use crate::notices::Notice;
use crate::preferences::{Notify, Panel};
use crate::shell::Shell;
use crate::tray::messages::capital;
use crate::words::{self, Language};

/// A choice that cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The colour of the panel that shows the icon.
    Panel(Panel),
    /// The kinds of notices.
    Notices(Notify),
    /// The seconds after which a key is removed from the clipboard; 0 never removes it.
    Clipboard(u32),
    /// The language of the texts; `None` for that of the system.
    Language(Option<Language>),
    /// The size of the window's texts in percent.
    Zoom(u32),
}

impl<S: Shell> Controller<S> {
    pub(super) fn choose(&mut self, choice: Choice) {
        match choice {
            Choice::Panel(panel) => {
                self.preferences.change(|chosen| chosen.panel = panel);
                self.shell.set_panel(panel);
                self.shown = None;
            }
            Choice::Notices(notify) => self.preferences.change(|chosen| chosen.notify = notify),
            Choice::Clipboard(seconds) => {
                self.preferences.change(|chosen| chosen.clipboard_seconds = seconds);
            }
            Choice::Language(language) => {
                self.preferences.change(|chosen| chosen.language = language);
                words::choose(language);
            }
            Choice::Zoom(percent) => {
                self.preferences.change(|chosen| chosen.zoom = percent);
                self.shell.set_look(self.preferences.chosen().look());
            }
        }
        self.show();
    }

    /// In the window, the answer says what is wrong.
    pub(super) fn choose_login(&mut self, wanted: bool, reply: Reply) {
        let done = self.set_starts_at_login(wanted).map_err(|reason| failed(format!("{reason}.")));
        // The receiver may have been dropped.
        drop(reply.send(done));
    }

    /// In the menu, only a notice can.
    pub(super) fn toggle_start_at_login(&mut self) {
        let wanted = self.starts_at_login != Some(true);
        if let Err(reason) = self.set_starts_at_login(wanted) {
            self.notify(Notice::answer(words::t("login_not_changed"), reason));
        }
    }

    fn set_starts_at_login(&mut self, wanted: bool) -> Result<(), String> {
        let done = self.shell.set_starts_at_login(wanted).map_err(|reason| capital(&reason));
        self.starts_at_login = self.shell.starts_at_login();
        // A click changes the check mark by itself, so it is set again even if nothing has changed.
        self.shown = None;
        self.show();
        done
    }
}
