//! The window: created when it is opened and destroyed when it is closed, so that its web view uses no memory
//! while closed.

use std::sync::{Mutex, PoisonError};
use std::thread;

use tauri::utils::config::WindowConfig;
use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Manager as _, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder};
use tokio::sync::mpsc;

use super::send;
use crate::controller::Event;
use crate::preferences::{Frame, Look};
use crate::shell::Place;

/// The label in the configuration and the capability.
pub(crate) const LABEL: &str = "main";

static OPENING: Mutex<()> = Mutex::new(());

/// Opens the window or brings it to the front. On Windows, a window that the main thread creates hangs, so this
/// uses a thread.
pub(super) fn show(app: &AppHandle, events: mpsc::Sender<Event>, place: Place, look: Look) {
    let app = app.clone();
    let spawned = thread::Builder::new().name("window".to_owned()).spawn(move || {
        // Two threads at the same time would create two web views, one of which would be invisible.
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = open_or_raise(&app, &events, place, look) {
            tracing::error!(%error, "the window does not open");
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "the window does not open");
    }
}

fn open_or_raise(
    app: &AppHandle,
    events: &mpsc::Sender<Event>,
    place: Place,
    look: Look,
) -> tauri::Result<()> {
    let Some(window) = app.get_webview_window(LABEL) else { return open(app, events, place, look) };
    window.unminimize()?;
    window.show()?;
    window.set_focus()?;
    match place.route() {
        Some(route) => go_to(&window, route),
        None => Ok(()),
    }
}

fn open(app: &AppHandle, events: &mpsc::Sender<Event>, place: Place, look: Look) -> tauri::Result<()> {
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
    if let Some(frame) = look.frame {
        fit(app, &mut config, frame)?;
    }
    let builder = WebviewWindowBuilder::from_config(app, &config)?;
    let builder = builder.on_navigation(is_own).on_page_load(move |window, loaded| {
        // If it were shown earlier, the window would flash white.
        if loaded.event() == PageLoadEvent::Finished {
            show_now(&window, look.zoom);
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

/// Lets the window open where it was, if a screen is still there.
fn fit(app: &AppHandle, config: &mut WindowConfig, frame: Frame) -> tauri::Result<()> {
    let Frame { x, y, width, height, maximized } = frame;
    (config.width, config.height, config.maximized) = (width.into(), height.into(), maximized);
    let screens = app.available_monitors()?;
    let areas = screens.iter().map(|screen| {
        let place = screen.position().to_logical::<i32>(screen.scale_factor());
        let size = screen.size().to_logical::<u32>(screen.scale_factor());
        Frame { x: place.x, y: place.y, width: size.width, height: size.height, maximized: false }
    });
    if areas.into_iter().any(|area| can_be_reached(&frame, &area)) {
        (config.x, config.y) = (Some(x.into()), Some(y.into()));
    }
    Ok(())
}

/// Whether enough of the top of the window is on this screen to move it with the mouse.
fn can_be_reached(window: &Frame, screen: &Frame) -> bool {
    const ENOUGH: i64 = 64;
    let end = |start: i32, length: u32| i64::from(start) + i64::from(length);
    let left = i64::from(window.x.max(screen.x));
    let right = end(window.x, window.width).min(end(screen.x, screen.width));
    let top = i64::from(window.y);
    right - left >= ENOUGH && (i64::from(screen.y)..=end(screen.y, screen.height) - ENOUGH).contains(&top)
}

/// Where the window is now; `None` while it is not on the screen.
pub(crate) fn frame_of(window: &tauri::Window) -> Option<Frame> {
    let seen = || -> tauri::Result<Option<Frame>> {
        if !window.is_visible()? || window.is_minimized()? {
            return Ok(None);
        }
        let scale = window.scale_factor()?;
        let place = window.outer_position()?.to_logical::<i32>(scale);
        let size = window.inner_size()?.to_logical::<u32>(scale);
        let maximized = window.is_maximized()?;
        Ok(Some(Frame { x: place.x, y: place.y, width: size.width, height: size.height, maximized }))
    };
    seen().map_err(|error| tracing::debug!(%error, "nobody knows where the window is")).ok().flatten()
}

/// Gives back what the closed window has left in memory, unless there is another one by now.
#[cfg(all(unix, not(target_os = "macos")))]
pub(super) fn give_back(app: &AppHandle) {
    let app = app.clone();
    let spawned = thread::Builder::new().name("window".to_owned()).spawn(move || {
        let _none_opens_now = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        if app.get_webview_window(LABEL).is_none() {
            super::memory::give_back();
        }
    });
    if let Err(error) = spawned {
        tracing::debug!(%error, "the memory of the window is not given back");
    }
}

fn show_now(window: &WebviewWindow, zoom: u32) {
    if zoom != 100
        && let Err(error) = window.set_zoom(f64::from(zoom) / 100.0)
    {
        tracing::warn!(%error, "the size of the texts cannot be changed");
    }
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
    fn a_window_opens_only_where_a_person_can_get_hold_of_it() {
        let at = |x, y, width, height| Frame { x, y, width, height, maximized: false };
        let screen = at(1920, 0, 1280, 1024);
        for (window, expected) in [
            (at(2000, 100, 980, 720), true),
            // Partly beyond an edge, but its title is there.
            (at(3100, 900, 980, 720), true),
            (at(1000, 0, 1000, 720), true),
            // Another screen, or nearly.
            (at(100, 100, 980, 720), false),
            (at(950, 100, 980, 720), false),
            (at(3190, 100, 980, 720), false),
            (at(2000, -40, 980, 720), false),
            (at(2000, 1000, 980, 720), false),
            (at(i32::MAX, i32::MIN, u32::MAX, u32::MAX), false),
        ] {
            assert_eq!(can_be_reached(&window, &screen).then_some(window), expected.then_some(window));
        }
    }

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
