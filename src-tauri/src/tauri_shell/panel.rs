//! Detects the colour of the panel behind the icon, if the system reports it.

#[cfg(not(any(windows, target_os = "macos")))]
use std::fs;
use std::path::PathBuf;

use proxy_core::config::Strings;
use proxy_core::paths::Dirs;

/// The sources of the colour.
#[derive(Debug, Default)]
#[cfg_attr(
    any(windows, target_os = "macos"),
    expect(dead_code, reason = "the system tells it by other means")
)]
pub(crate) struct Desktop {
    /// The names of the desktop, from `XDG_CURRENT_DESKTOP`.
    names: String,
    /// The file with the colours of Plasma.
    plasma: Option<PathBuf>,
}

impl Desktop {
    /// The desktop of this process.
    pub(crate) fn of(environment: &dyn Strings, dirs: Option<&Dirs>) -> Self {
        let names = environment.get("XDG_CURRENT_DESKTOP").unwrap_or_default();
        let config = dirs.and_then(|dirs| dirs.config.as_deref()?.parent());
        Self { names: names.to_string_lossy().into_owned(), plasma: config.map(|dir| dir.join("kdeglobals")) }
    }

    /// Whether the panel is light; `None` if it is unknown.
    #[cfg(not(any(windows, target_os = "macos")))]
    pub(super) fn has_light_panel(&self) -> Option<bool> {
        let is = |name: &str| self.names.split(':').any(|part| part.eq_ignore_ascii_case(name));
        if is("GNOME") || is("Unity") {
            // The top bar of these desktops is dark in all of their own styles.
            return Some(false);
        }
        let colours = self.plasma.as_deref().filter(|_| is("KDE"))?;
        window_colour(&fs::read_to_string(colours).ok()?).map(is_light)
    }

    /// Whether the taskbar is light.
    #[cfg(windows)]
    pub(super) fn has_light_panel(&self) -> Option<bool> {
        const THEME: &str = r"Software\Microsoft\Windows\CurrentVersion\Themes\Personalize";
        let theme = windows_registry::CURRENT_USER.open(THEME).ok()?;
        theme.get_u32("SystemUsesLightTheme").ok().map(|light| light != 0)
    }

    /// The system sets the colour of the icon itself.
    #[cfg(target_os = "macos")]
    pub(super) fn has_light_panel(&self) -> Option<bool> {
        Some(false)
    }
}

/// The `BackgroundNormal` colour of windows, which Plasma's panel uses.
#[cfg(not(any(windows, target_os = "macos")))]
fn window_colour(kdeglobals: &str) -> Option<[u8; 3]> {
    let mut lines = kdeglobals.lines().map(str::trim).skip_while(|line| *line != "[Colors:Window]").skip(1);
    let value = lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("BackgroundNormal=")?.trim().into())?;
    if let Some(hex) = value.strip_prefix('#') {
        let part = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        return Some([part(0)?, part(2)?, part(4)?]);
    }
    let mut parts = value.split(',').map(|part| part.trim().parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// Whether a dark icon is more visible on this colour than a light one.
#[cfg(not(any(windows, target_os = "macos")))]
fn is_light(colour: [u8; 3]) -> bool {
    let [red, green, blue] = colour.map(u32::from);
    299 * red + 587 * green + 114 * blue > 128_000
}

#[cfg(test)]
#[cfg(not(any(windows, target_os = "macos")))]
mod tests {
    use super::*;

    fn on(names: &str, kdeglobals: Option<&str>) -> Option<bool> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kdeglobals");
        if let Some(text) = kdeglobals {
            fs::write(&file, text).unwrap();
        }
        Desktop { names: names.to_owned(), plasma: Some(file) }.has_light_panel()
    }

    #[test]
    fn the_desktop_is_asked_and_nothing_is_guessed() {
        let light =
            "[Colors:View]\nBackgroundNormal=0,0,0\n[Colors:Window]\nA=1\nBackgroundNormal=239,240,241\n";
        let dark = "[Colors:Window]\nBackgroundNormal=#31363b\n";
        for (names, text, expected) in [
            ("ubuntu:GNOME", None, Some(false)),
            ("KDE", Some(light), Some(true)),
            ("KDE", Some(dark), Some(false)),
            ("KDE", Some("[Colors:Window]\n[Other]\nBackgroundNormal=1,2,3\n"), None),
            ("KDE", Some("[Colors:Window]\nBackgroundNormal=1,x,3\n"), None),
            ("KDE", None, None),
            ("XFCE", Some(light), None),
            ("", Some(light), None),
        ] {
            assert_eq!(on(names, text), expected, "{names} {text:?}");
        }
    }
}
