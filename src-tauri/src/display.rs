//! Whether there is anything to show a tray icon on: on free desktops, asking for one where there is none is a panic.

use proxy_core::config::Strings;

/// Whether this session has a display.
pub(crate) fn is_there(environment: &dyn Strings) -> bool {
    if cfg!(any(windows, target_os = "macos")) {
        return true;
    }
    let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    set("WAYLAND_DISPLAY") || set("DISPLAY")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn a_display_is_one_that_is_named() {
        let check = |variables: &[(&str, &str)]| {
            let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
            is_there(&pairs.collect::<BTreeMap<_, _>>())
        };
        assert!(check(&[("DISPLAY", ":0")]));
        assert!(check(&[("WAYLAND_DISPLAY", "wayland-0")]));
        assert!(!check(&[]));
        assert!(!check(&[("DISPLAY", ""), ("TERM", "xterm")]));
    }
}
