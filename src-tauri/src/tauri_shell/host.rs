//! Detects whether the desktop shows tray icons. Some desktops of Linux do not; other systems always do.

use tokio::sync::mpsc;

use crate::controller::Event;

/// Sends an event if the desktop shows no tray icons. If support starts later, the icon appears then.
#[cfg(all(unix, not(target_os = "macos")))]
pub(super) fn look_for(events: mpsc::Sender<Event>) {
    use super::send;

    let looked = std::thread::Builder::new().name("tray-host".to_owned()).spawn(move || match is_there() {
        Ok(true) => {}
        Ok(false) => send(&events, Event::NoTray("this desktop shows no tray icons".to_owned())),
        Err(error) => send(&events, Event::NoTray(format!("the session bus cannot be asked: {error}"))),
    });
    if let Err(error) = looked {
        tracing::warn!(%error, "nobody looks for what shows tray icons");
    }
}

/// This system always shows tray icons.
#[cfg(any(windows, target_os = "macos"))]
pub(super) fn look_for(_: mpsc::Sender<Event>) {}

#[cfg(all(unix, not(target_os = "macos")))]
fn is_there() -> zbus::Result<bool> {
    let bus = zbus::blocking::Connection::session()?;
    let names = zbus::blocking::fdo::DBusProxy::new(&bus)?;
    Ok(names.name_has_owner("org.kde.StatusNotifierWatcher".try_into()?)?)
}
