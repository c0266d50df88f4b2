//! The preferences of the user for the application itself; the proxy has its own settings.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::words::Language;

/// The name of the file, in the directory of the proxy's `config.toml`.
const FILE: &str = "app.json";

/// The preferences and their file.
#[derive(Debug)]
pub(crate) struct Preferences {
    chosen: Chosen,
    file: Option<PathBuf>,
}

/// The preferences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Chosen {
    /// The kinds of notices that are enabled.
    pub(crate) notify: Notify,
    /// The colour of the panel that shows the icon.
    pub(crate) panel: Panel,
    /// The language of the texts; `None` for that of the system.
    pub(crate) language: Option<Language>,
    /// The version of the last update for which a notice was shown.
    pub(crate) told_of_update: Option<String>,
    /// The version of an update that did not start on this machine; it is only offered after a manual check.
    pub(crate) failed_update: Option<String>,
    /// The seconds after which a key is removed from the clipboard; 0 never removes it.
    pub(crate) clipboard_seconds: u32,
    /// Whether the window was open before a restart of the application.
    pub(crate) reopen_window: bool,
    /// Whether the user was informed that closing the window does not end the application.
    pub(crate) told_of_background: bool,
    /// The size of the window's texts in percent.
    pub(crate) zoom: u32,
    /// Where the window was when it was closed.
    pub(crate) window: Option<Frame>,
}

/// The size and the place of the window, in logical pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Whether it fills the screen; the rest is what it returns to.
    #[serde(default)]
    pub(crate) maximized: bool,
}

/// How the window opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) zoom: u32,
    pub(crate) frame: Option<Frame>,
}

/// The sizes of texts that can be chosen, in percent.
pub(crate) const ZOOMS: std::ops::RangeInclusive<u32> = 50..=300;

/// The kinds of notices that are enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Notify {
    signed_out: bool,
    limits: bool,
    broken: bool,
    updates: bool,
}

/// A kind of notice that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Notification {
    SignedOut,
    Limits,
    Broken,
    Updates,
}

/// The colour of the desktop's panel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Panel {
    /// The colour that the system reports, or the usual one.
    #[default]
    Auto,
    Light,
    Dark,
}

impl Default for Chosen {
    fn default() -> Self {
        Self {
            notify: Notify::default(),
            panel: Panel::default(),
            language: None,
            told_of_update: None,
            failed_update: None,
            clipboard_seconds: 60,
            reopen_window: false,
            told_of_background: false,
            zoom: 100,
            window: None,
        }
    }
}

impl Chosen {
    /// How the window opens.
    pub(crate) fn look(&self) -> Look {
        // The file may have been changed by hand.
        let zoom = self.zoom.clamp(*ZOOMS.start(), *ZOOMS.end());
        Look { zoom, frame: self.window }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self { signed_out: true, limits: true, broken: true, updates: true }
    }
}

impl Notify {
    /// Whether notices of this kind are enabled.
    pub(crate) fn wants(self, kind: Notification) -> bool {
        match kind {
            Notification::SignedOut => self.signed_out,
            Notification::Limits => self.limits,
            Notification::Broken => self.broken,
            Notification::Updates => self.updates,
        }
    }

    /// Turns notices of this kind on or off.
    pub(crate) fn toggle(&mut self, kind: Notification) {
        let wanted = match kind {
            Notification::SignedOut => &mut self.signed_out,
            Notification::Limits => &mut self.limits,
            Notification::Broken => &mut self.broken,
            Notification::Updates => &mut self.updates,
        };
        *wanted = !*wanted;
    }
}

impl Preferences {
    /// Reads the preferences from the directory. If the file cannot be read, this is logged and the defaults are
    /// used.
    pub(crate) fn read(dir: Option<&Path>) -> Self {
        let file = dir.map(|dir| dir.join(FILE));
        let chosen = file.as_deref().map_or_else(|| Ok(Chosen::default()), read).unwrap_or_else(|error| {
            tracing::warn!(%error, "the application's preferences cannot be read, so the usual ones hold");
            Chosen::default()
        });
        Self { chosen, file }
    }

    /// What the user has chosen.
    pub(crate) fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// Changes the preferences and saves them.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Chosen)) {
        change(&mut self.chosen);
        let written = self.file.as_deref().map_or(Ok(()), |file| write(file, &self.chosen));
        if let Err(error) = written {
            tracing::warn!(%error, "the application's preferences cannot be kept; they hold until it ends");
        }
    }
}

fn read(file: &Path) -> io::Result<Chosen> {
    match fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Chosen::default()),
        Err(error) => Err(error),
    }
}

/// Replaced atomically, so that readers always see a complete file.
fn write(file: &Path, chosen: &Chosen) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir)?;
    }
    let temporary = file.with_extension("json.tmp");
    fs::write(&temporary, serde_json::to_vec_pretty(chosen)?)?;
    fs::rename(temporary, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("not/there/yet");
        let mut preferences = Preferences::read(Some(&below));
        assert_eq!(*preferences.chosen(), Chosen::default());
        preferences.change(|chosen| chosen.notify.toggle(Notification::Limits));
        let frame = Frame { x: -5, y: 40, width: 800, height: 600, maximized: true };
        preferences.change(|chosen| chosen.window = Some(frame));
        let read = Preferences::read(Some(&below));
        assert!(!read.chosen().notify.wants(Notification::Limits));
        assert!(read.chosen().notify.wants(Notification::Broken));
        assert_eq!(read.chosen().look(), Look { zoom: 100, frame: Some(frame) });
    }

    #[test]
    fn a_broken_file_is_as_good_as_none_and_a_part_of_one_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(*Preferences::read(Some(dir.path())).chosen(), Chosen::default());
        let part = r#"{"panel":"light","notify":{"broken":false},"later":1,"zoom":9}"#;
        fs::write(dir.path().join(FILE), part).unwrap();
        let read = Preferences::read(Some(dir.path()));
        assert_eq!(read.chosen().panel, Panel::Light);
        assert_eq!(read.chosen().look(), Look { zoom: 50, frame: None });
        assert!(!read.chosen().notify.wants(Notification::Broken));
        assert!(read.chosen().notify.wants(Notification::SignedOut));
    }
}
