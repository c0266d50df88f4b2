//! The window: created when it is opened and destroyed when it is closed, so that its web view uses no memory
//! while closed.

use std::sync::{Mutex, PoisonError};
use std::thread;

use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Manager as _, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder};
use tokio::sync::mpsc;

use super::send;
use crate::controller::Event;
use crate::shell::Place;

/// The label in the configuration and the capability.
pub(crate) const LABEL: &str = "main";

static OPENING: Mutex<()> = Mutex::new(());

/// Opens the window or brings it to the front. On Windows, a window that the main thread creates hangs, so this
/// uses a thread.
pub(super) fn show(app: &AppHandle, events: mpsc::Sender<Event>, place: Place) {
    let app = app.clone();
    let spawned = thread::Builder::new().name("window".to_owned()).spawn(move || {
        // Two threads at the same time would create two web views, one of which would be invisible.
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = open_or_raise(&app, &events, place) {
            tracing::error!(%error, "the window does not open");
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "the window does not open");
    }
}

fn open_or_raise(app: &AppHandle, events: &mpsc::Sender<Event>, place: Place) -> tauri::Result<()> {
    let Some(window) = app.get_webview_window(LABEL) else { return open(app, events, place) };
    window.unminimize()?;
    window.show()?;
    window.set_focus()?;
    match place.route() {
        Some(route) => go_to(&window, route),
        None => Ok(()),
    }
}

fn open(app: &AppHandle, events: &mpsc::Sender<Event>, place: Place) -> tauri::Result<()> {
    let mut config = app
        .config()
        .app
        .windows
        .iter()
        .find(|window| window.label == LABEL)
        .cloned()
        .ok_or(tauri::Error::WindowNotFound)?;
    if let Some(route) = place.route() {
        config.url = WebviewUrl::App(format!("index.html#{route}").into());
    }
    let builder = WebviewWindowBuilder::from_config(app, &config)?;
    let builder = builder.on_navigation(is_own).on_page_load(|window, loaded| {
        // If it were shown earlier, the window would flash white.
        if loaded.event() == PageLoadEvent::Finished {
            show_now(&window);
        }
    });
    match builder.build() {
        Ok(window) => {
            send(events, Event::WindowOpened);
            #[cfg(all(unix, not(target_os = "macos")))]
            super::webkit::let_go_when_closed(&window)?;
            drop(window);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether the URL belongs to the window's own page. The window shows no other page.
fn is_own(url: &Url) -> bool {
    // Windows has no custom URL schemes.
    let host = if url.scheme() == "tauri" { "localhost" } else { "tauri.localhost" };
    matches!(url.scheme(), "tauri" | "http") && url.host_str() == Some(host) && url.port().is_none()
}

fn show_now(window: &WebviewWindow) {
    if let Err(error) = window.show().and_then(|()| window.set_focus()) {
        tracing::error!(%error, "the window cannot be shown");
    }
}

fn go_to(window: &WebviewWindow, route: &str) -> tauri::Result<()> {
    window.eval(format!("location.hash = {};", serde_json::Value::from(route)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_page_is_its_own() {
        let is_own = |url: &str| is_own(&url.parse().unwrap());
        assert!(is_own("tauri://localhost/index.html#/start"));
        assert!(is_own("http://tauri.localhost/index.html"));
        for other in [
            "http://localhost/",
            "http://127.0.0.1:11435/ui/",
            "http://tauri.localhost:8080/",
            "http://tauri.localhost.example.com/",
            "https://example.com/",
            "tauri://example.com/",
            "data:text/html,x",
            "file:///etc/passwd",
            "about:blank",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
