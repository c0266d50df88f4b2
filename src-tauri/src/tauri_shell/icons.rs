//! The rendered icons of the tray.

use tauri::image::Image;

use super::panel::Desktop;
use crate::preferences::Panel;
use crate::tray::Icon;

/// The rendered files of a kind, in the order of [`Icon`].
macro_rules! icons {
    ($kind:literal) => {
        [
            include_bytes!(concat!("../../../icons/tray/signed-out-", $kind, ".png")).as_slice(),
            include_bytes!(concat!("../../../icons/tray/starting-", $kind, ".png")),
            include_bytes!(concat!("../../../icons/tray/ready-", $kind, ".png")),
            include_bytes!(concat!("../../../icons/tray/busy-", $kind, ".png")),
            include_bytes!(concat!("../../../icons/tray/limited-", $kind, ".png")),
            include_bytes!(concat!("../../../icons/tray/broken-", $kind, ".png")),
            include_bytes!(concat!("../../../icons/tray/paused-", $kind, ".png")),
        ]
    };
}

#[cfg(not(target_os = "macos"))]
const FOR_LIGHT_PANELS: [&[u8]; 7] = icons!("light");
#[cfg(not(target_os = "macos"))]
const FOR_DARK_PANELS: [&[u8]; 7] = icons!("dark");
/// Icons with a rim, visible on every panel, for an unknown panel colour.
#[cfg(not(target_os = "macos"))]
const FOR_ANY_PANEL: [&[u8]; 7] = icons!("any");
/// macOS sets the colours itself.
#[cfg(target_os = "macos")]
const TEMPLATES: [&[u8]; 7] = icons!("template");

/// The background for which the icon is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    Light,
    Dark,
    Any,
}

impl Ground {
    /// The user's choice, or else the colour that the desktop reports.
    pub(super) fn of(panel: Panel, desktop: &Desktop) -> Self {
        let is_light = match panel {
            Panel::Auto => desktop.has_light_panel(),
            Panel::Light => Some(true),
            Panel::Dark => Some(false),
        };
        match is_light {
            Some(true) => Self::Light,
            Some(false) => Self::Dark,
            None => Self::Any,
        }
    }
}

/// The icon for a panel.
pub(super) fn image(icon: Icon, ground: Ground) -> tauri::Result<Image<'static>> {
    let index = match icon {
        Icon::SignedOut => 0,
        Icon::Starting => 1,
        Icon::Ready => 2,
        Icon::Busy => 3,
        Icon::Limited => 4,
        Icon::Broken => 5,
        Icon::Paused => 6,
    };
    Image::from_bytes(set(ground)[index])
}

#[cfg(target_os = "macos")]
fn set(_: Ground) -> [&'static [u8]; 7] {
    TEMPLATES
}

#[cfg(not(target_os = "macos"))]
fn set(ground: Ground) -> [&'static [u8]; 7] {
    match ground {
        Ground::Light => FOR_LIGHT_PANELS,
        Ground::Dark => FOR_DARK_PANELS,
        Ground::Any => FOR_ANY_PANEL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_can_be_drawn() {
        let icons = [
            Icon::SignedOut,
            Icon::Starting,
            Icon::Ready,
            Icon::Busy,
            Icon::Limited,
            Icon::Broken,
            Icon::Paused,
        ];
        for ground in [Ground::Light, Ground::Dark, Ground::Any] {
            for icon in icons {
                let image = image(icon, ground).unwrap();
                assert!(image.width() >= 22 && image.width() == image.height(), "{icon:?} on {ground:?}");
            }
        }
    }
}
