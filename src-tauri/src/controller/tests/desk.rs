//! A desktop that records its calls.

use std::sync::atomic::{AtomicBool, Ordering};

use proxy_core::secret::ApiKey;
use tokio::sync::mpsc;

use crate::notices::Notice;
use crate::preferences::{Look, Panel};
use crate::shell::{Ending, Place, Shell, WindowEvent};
use crate::tray::{Entry, Icon, View};

/// A call of the desktop.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Did {
    Tray(Icon, Vec<String>),
    Notified(String, String),
    Opened(String),
    CopiedSecret(String),
    CopiedText(String),
    Forgot(String),
    Shown(Place),
    Closed,
    GaveBack,
    Looks(Look),
    AskedToSignOut(String),
    Told(String),
    Panel(Panel),
    StartsAtLogin(bool),
    CheckedForUpdates,
    Installed(bool),
    Exited(Ending),
}

/// A recording desktop.
pub(super) struct Desk {
    pub(super) did: mpsc::UnboundedSender<Did>,
    pub(super) has_updates: bool,
    /// The error for copying and opening, if they should fail.
    pub(super) trouble: Option<&'static str>,
    pub(super) starts_at_login: AtomicBool,
}

impl Desk {
    fn record(&self, did: Did) {
        self.did.send(did).ok();
    }

    fn allowed(&self) -> Result<(), String> {
        self.trouble.map_or(Ok(()), |trouble| Err(trouble.to_owned()))
    }
}

impl Shell for Desk {
    fn set_tray(&self, view: View) {
        let text = |entry: &Entry| match entry {
            Entry::Text(text) => Some(text.clone()),
            Entry::Item { label, enabled: true, .. } => Some(label.clone()),
            Entry::Check { label, checked: true, .. } => Some(label.clone()),
            Entry::Item { .. } | Entry::Check { .. } | Entry::Submenu { .. } | Entry::Separator => None,
        };
        self.record(Did::Tray(view.icon, view.menu.iter().filter_map(text).collect()));
    }

    fn notify(&self, notice: Notice) {
        self.record(Did::Notified(notice.title, notice.body));
    }

    fn open(&self, target: &str) -> Result<(), String> {
        self.allowed()?;
        self.record(Did::Opened(target.to_owned()));
        Ok(())
    }

    fn copy_secret(&self, key: &ApiKey) -> Result<(), String> {
        self.allowed()?;
        self.record(Did::CopiedSecret(key.expose().to_owned()));
        Ok(())
    }

    fn copy_text(&self, text: &str) -> Result<(), String> {
        self.allowed()?;
        self.record(Did::CopiedText(text.to_owned()));
        Ok(())
    }

    fn forget_secret(&self, key: &ApiKey) {
        self.record(Did::Forgot(key.expose().to_owned()));
    }

    fn show_window(&self, place: Place) {
        self.record(Did::Shown(place));
    }

    fn close_window(&self) {
        self.record(Did::Closed);
    }

    fn give_back(&self) {
        self.record(Did::GaveBack);
    }

    fn set_look(&self, look: Look) {
        self.record(Did::Looks(look));
    }

    fn ask_to_sign_out(&self, who: &str) {
        self.record(Did::AskedToSignOut(who.to_owned()));
    }

    fn set_panel(&self, panel: Panel) {
        self.record(Did::Panel(panel));
    }

    fn tells_panel(&self) -> bool {
        false
    }

    fn tell_window(&self, event: &WindowEvent) {
        let told = serde_json::to_value(event).unwrap();
        self.record(Did::Told(told["event"].as_str().unwrap().to_owned()));
    }

    fn starts_at_login(&self) -> Option<bool> {
        Some(self.starts_at_login.load(Ordering::SeqCst))
    }

    fn set_starts_at_login(&self, wanted: bool) -> Result<(), String> {
        self.allowed()?;
        self.starts_at_login.store(wanted, Ordering::SeqCst);
        self.record(Did::StartsAtLogin(wanted));
        Ok(())
    }

    fn has_updates(&self) -> bool {
        self.has_updates
    }

    fn check_for_updates(&self) {
        self.record(Did::CheckedForUpdates);
    }

    fn install_update(&self, serves: bool) {
        self.record(Did::Installed(serves));
    }

    fn exit(&self, ending: Ending) {
        self.record(Did::Exited(ending));
    }
}
