//! The tray's icons, as they were rendered.

use tauri::image::Image;

use crate::preferences::Panel;
use crate::tray::Icon;

/// The rendered files of a kind, in the order of [`Icon`].
macro_rules! icons {
    ($kind:literal) => {
        [
            include_bytes!(concat!("../../../../icons/tray/signed-out-", $kind, ".png")).as_slice(),
            include_bytes!(concat!("../../../../icons/tray/starting-", $kind, ".png")),
            include_bytes!(concat!("../../../../icons/tray/ready-", $kind, ".png")),
            include_bytes!(concat!("../../../../icons/tray/busy-", $kind, ".png")),
            include_bytes!(concat!("../../../../icons/tray/limited-", $kind, ".png")),
            include_bytes!(concat!("../../../../icons/tray/broken-", $kind, ".png")),
        ]
    };
}

#[cfg(not(target_os = "macos"))]
const FOR_LIGHT_PANELS: [&[u8]; 6] = icons!("light");
#[cfg(not(target_os = "macos"))]
const FOR_DARK_PANELS: [&[u8]; 6] = icons!("dark");
/// macOS colours them itself.
#[cfg(target_os = "macos")]
const TEMPLATES: [&[u8]; 6] = icons!("template");

/// The icon for a panel.
pub(super) fn image(icon: Icon, panel: Panel) -> tauri::Result<Image<'static>> {
    let index = match icon {
        Icon::SignedOut => 0,
        Icon::Starting => 1,
        Icon::Ready => 2,
        Icon::Busy => 3,
        Icon::Limited => 4,
        Icon::Broken => 5,
    };
    Image::from_bytes(set(panel)[index])
}

#[cfg(target_os = "macos")]
fn set(_: Panel) -> [&'static [u8]; 6] {
    TEMPLATES
}

#[cfg(not(target_os = "macos"))]
fn set(panel: Panel) -> [&'static [u8]; 6] {
    let light = match panel {
        Panel::Auto => is_panel_light(),
        Panel::Light => true,
        Panel::Dark => false,
    };
    if light { FOR_LIGHT_PANELS } else { FOR_DARK_PANELS }
}

/// Windows says so; it has had dark taskbars for so long that this is what is taken where it does not.
#[cfg(windows)]
fn is_panel_light() -> bool {
    const THEME: &str = r"Software\Microsoft\Windows\CurrentVersion\Themes\Personalize";
    let theme = windows_registry::CURRENT_USER.open(THEME);
    theme.and_then(|theme| theme.get_u32("SystemUsesLightTheme")).is_ok_and(|light| light != 0)
}

/// No desktop says what its panel looks like; nearly all of them have dark ones.
#[cfg(not(any(windows, target_os = "macos")))]
fn is_panel_light() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_can_be_drawn() {
        let icons = [Icon::SignedOut, Icon::Starting, Icon::Ready, Icon::Busy, Icon::Limited, Icon::Broken];
        for panel in [Panel::Auto, Panel::Light, Panel::Dark] {
            for icon in icons {
                let image = image(icon, panel).unwrap();
                assert!(image.width() >= 22 && image.width() == image.height(), "{icon:?} on {panel:?}");
            }
        }
    }
}
