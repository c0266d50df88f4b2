//! Detects whether there is a display for a tray icon: on Linux and similar systems, Tauri panics without one.
//! Also detects whether the display still exists: programs end with it.

use proxy_core::config::Strings;

/// Whether this session has a display.
pub(crate) fn is_there(environment: &dyn Strings) -> bool {
    if cfg!(any(windows, target_os = "macos")) {
        return true;
    }
    let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    set("WAYLAND_DISPLAY") || set("DISPLAY")
}

/// Whether the display of this session answers; `true` if that cannot be tested.
#[cfg(target_os = "linux")]
pub(crate) fn answers(environment: &dyn Strings) -> bool {
    use std::net::TcpStream;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixStream};
    use std::path::Path;

    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    if let Some(name) = set("WAYLAND_DISPLAY") {
        let folder = set("XDG_RUNTIME_DIR").unwrap_or_default();
        return UnixStream::connect(Path::new(&folder).join(name)).is_ok();
    }
    // `host:number.screen`, as in X(7).
    let display = set("DISPLAY").and_then(|display| display.into_string().ok());
    let Some((host, rest)) = display.as_deref().and_then(|display| display.rsplit_once(':')) else {
        return true;
    };
    let Ok(number) = rest.split('.').next().unwrap_or_default().parse::<u16>() else { return true };
    if !host.is_empty() && host != "unix" {
        return TcpStream::connect((host, 6000_u16.saturating_add(number))).is_ok();
    }
    let name = format!("/tmp/.X11-unix/X{number}");
    let abstracted = SocketAddr::from_abstract_name(&name).and_then(|name| UnixStream::connect_addr(&name));
    abstracted.is_ok() || UnixStream::connect(name).is_ok()
}

/// Whether the display of this session answers; `true` if that cannot be tested.
#[cfg(not(target_os = "linux"))]
pub(crate) fn answers(_environment: &dyn Strings) -> bool {
    true
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

    #[test]
    fn a_display_that_has_gone_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let check = |variables: &[(&str, &str)]| {
            let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
            answers(&pairs.collect::<BTreeMap<_, _>>())
        };
        let runtime = ("XDG_RUNTIME_DIR", dir.path().to_str().unwrap());
        let wayland = ("WAYLAND_DISPLAY", "wayland-7");
        assert!(!check(&[runtime, wayland]));
        let listener = std::os::unix::net::UnixListener::bind(dir.path().join("wayland-7")).unwrap();
        assert!(check(&[runtime, wayland]));
        drop(listener);
        assert!(!check(&[runtime, wayland, ("DISPLAY", "nonsense")]));
        assert!(!check(&[("DISPLAY", ":60123.0")]));
        assert!(check(&[]) && check(&[("DISPLAY", "nonsense")]));
    }
}
