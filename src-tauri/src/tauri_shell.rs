//! The desktop, implemented with Tauri.

mod host;
mod icons;
#[cfg(all(unix, not(target_os = "macos")))]
mod login;
#[cfg(all(unix, not(target_os = "macos")))]
mod memory;
mod menu;
mod notices;
mod panel;
pub(crate) mod updates;
#[cfg(all(unix, not(target_os = "macos")))]
mod webkit;
mod window;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proxy_core::secret::ApiKey;
use tauri::tray::{TrayIcon, TrayIconBuilder};
use tauri::{AppHandle, Emitter as _, Manager as _, Wry};
#[cfg(any(windows, target_os = "macos"))]
use tauri_plugin_autostart::ManagerExt as _;
use tauri_plugin_clipboard_manager::ClipboardExt as _;
use tauri_plugin_dialog::{DialogExt as _, MessageDialogButtons};
use tokio::sync::mpsc;

use crate::controller::Event;
use crate::notices::Notice;
use crate::preferences::{Look, Panel};
use crate::shell::{Ending, Place, Shell, WindowEvent};
use crate::tray::{Action, View};
use crate::words;
use icons::Ground;
use menu::Menu;
use notices::Messenger;

pub(crate) use panel::Desktop;
pub(crate) use window::{LABEL, frame_of};

/// The id of the tray icon, and the name of its image directory.
const TRAY: &str = "main";

/// The maximum time that the end waits until the last notices are shown.
const LAST_NOTICES: Duration = Duration::from_secs(1);

/// The desktop, implemented with Tauri.
pub(crate) struct TauriShell {
    app: AppHandle,
    events: mpsc::Sender<Event>,
    /// Used only on the main thread, because some systems require that.
    tray: Arc<Mutex<Option<Tray>>>,
    messenger: Option<Messenger>,
    panel: Mutex<Panel>,
    look: Mutex<Look>,
    desktop: Desktop,
    has_updates: bool,
    place: updates::Place,
}

struct Tray {
    icon: TrayIcon,
    menu: Menu<Wry>,
    shown: View,
    ground: Ground,
}

impl TauriShell {
    pub(crate) fn new(
        app: AppHandle,
        events: mpsc::Sender<Event>,
        panel: Panel,
        look: Look,
        desktop: Desktop,
        place: updates::Place,
    ) -> Self {
        let messenger = Messenger::start(events.clone())
            .map_err(|error| tracing::warn!(%error, "there will be no notices"))
            .ok();
        let has_updates = updates::has_channel(app.config());
        let (panel, look) = (Mutex::new(panel), Mutex::new(look));
        Self { app, events, tray: Arc::default(), messenger, panel, look, desktop, has_updates, place }
    }

    /// Adds the icon to the tray; call it on the main thread. Without a tray, the application continues to run.
    pub(crate) fn build_tray(&self, view: View, temporary: Option<PathBuf>) {
        // If a library is missing, the builder panics.
        let built = catch_unwind(AssertUnwindSafe(|| self.try_build_tray(view, temporary)));
        let reason = match built {
            Ok(Ok(tray)) => {
                *self.tray.lock().unwrap_or_else(PoisonError::into_inner) = Some(tray);
                host::look_for(self.events.clone());
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the library that shows it is missing (libayatana-appindicator3)".to_owned(),
        };
        send(&self.events, Event::NoTray(reason));
    }

    fn try_build_tray(&self, view: View, temporary: Option<PathBuf>) -> tauri::Result<Tray> {
        let (menu, ground) = (Menu::build(&self.app, &view.menu)?, self.ground());
        let events = self.events.clone();
        let mut builder = TrayIconBuilder::with_id(TRAY)
            .icon(icons::image(view.icon, ground)?)
            .icon_as_template(cfg!(target_os = "macos"))
            .tooltip(&view.tooltip)
            .menu(menu.whole())
            .on_menu_event(move |_, clicked| match Action::of_id(clicked.id.as_ref()) {
                Some(action) => send(&events, Event::Clicked(action)),
                None => tracing::debug!(id = clicked.id.as_ref(), "a menu of somebody else's"),
            });
        if let Some(dir) = temporary {
            builder = builder.temp_dir_path(dir);
        }
        Ok(Tray { icon: builder.build(&self.app)?, menu, shown: view, ground })
    }
}

impl TauriShell {
    fn ground(&self) -> Ground {
        Ground::of(*self.panel.lock().unwrap_or_else(PoisonError::into_inner), &self.desktop)
    }
}

/// Sends an event to the controller without waiting. The queue is long enough that no event is lost.
pub(crate) fn send(events: &mpsc::Sender<Event>, event: Event) {
    if let Err(error) = events.try_send(event) {
        tracing::warn!(%error, "the application does not keep up with what happens");
    }
}

impl Tray {
    fn show(&mut self, app: &AppHandle, view: View, ground: Ground) -> tauri::Result<()> {
        if !self.menu.update(&self.shown.menu, &view.menu)? {
            let menu = Menu::build(app, &view.menu)?;
            self.icon.set_menu(Some(menu.whole().clone()))?;
            self.menu = menu;
        }
        if self.shown.icon != view.icon || self.ground != ground {
            let image = icons::image(view.icon, ground)?;
            self.ground = ground;
            self.icon.set_icon_with_as_template(Some(image), cfg!(target_os = "macos"))?;
        }
        if self.shown.tooltip != view.tooltip {
            self.icon.set_tooltip(Some(&view.tooltip))?;
        }
        self.shown = view;
        Ok(())
    }
}

impl Shell for TauriShell {
    fn set_tray(&self, view: View) {
        let (app, tray, ground) = (self.app.clone(), self.tray.clone(), self.ground());
        let asked = self.app.run_on_main_thread(move || {
            let mut tray = tray.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Err(error)) = tray.as_mut().map(|tray| tray.show(&app, view, ground)) {
                tracing::warn!(%error, "the tray cannot be changed");
            }
        });
        if let Err(error) = asked {
            tracing::warn!(%error, "the tray cannot be changed");
        }
    }

    fn set_panel(&self, panel: Panel) {
        *self.panel.lock().unwrap_or_else(PoisonError::into_inner) = panel;
    }

    fn set_look(&self, look: Look) {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }

    fn tells_panel(&self) -> bool {
        self.desktop.has_light_panel().is_some()
    }

    fn notify(&self, notice: Notice) {
        match &self.messenger {
            Some(messenger) => messenger.send(notice),
            None => tracing::info!(title = notice.title, "a notice that cannot be shown"),
        }
    }

    fn ask_to_sign_out(&self, who: &str) {
        let (yes, no) = (words::t("sign_out_now"), words::t("cancel"));
        let question = words::with("ask_sign_out", &[("who", &who)]);
        let dialog = self.app.dialog().message(question).title(words::t("ask_sign_out_title"));
        let events = self.events.clone();
        dialog.buttons(MessageDialogButtons::OkCancelCustom(yes, no)).show(move |agreed| {
            if agreed {
                send(&events, Event::SignOutAgreed);
            }
        });
    }

    fn open(&self, target: &str) -> Result<(), String> {
        open::that_detached(target).map_err(|error| {
            // The address is not logged, because it may contain a secret.
            tracing::warn!(%error, "the system opens nothing");
            format!("The system has no program to open this: {error}.")
        })
    }

    fn copy_secret(&self, key: &ApiKey) -> Result<(), String> {
        self.app.clipboard().write_secret(key.expose()).map_err(|error| error.to_string())
    }

    fn copy_text(&self, text: &str) -> Result<(), String> {
        self.app.clipboard().write_text(text).map_err(|error| error.to_string())
    }

    fn forget_secret(&self, key: &ApiKey) {
        let clipboard = self.app.clipboard();
        // If the text cannot be read, it is no longer ours.
        let still_there = clipboard.read_text().is_ok_and(|text| key.matches(text.as_bytes()));
        if still_there && let Err(error) = clipboard.clear() {
            tracing::warn!(%error, "the clipboard still holds a key");
        }
    }

    fn show_window(&self, place: Place) {
        let look = *self.look.lock().unwrap_or_else(PoisonError::into_inner);
        window::show(&self.app, self.events.clone(), place, look);
    }

    fn close_window(&self) {
        if let Some(window) = self.app.get_webview_window(LABEL)
            && let Err(error) = window.close()
        {
            tracing::warn!(%error, "the window does not close");
        }
    }

    fn give_back(&self) {
        #[cfg(all(unix, not(target_os = "macos")))]
        window::give_back(&self.app);
    }

    fn tell_window(&self, event: &WindowEvent) {
        if let Err(error) = self.app.emit_to(LABEL, "control://event", event) {
            tracing::warn!(%error, "the window cannot be told of an event");
        }
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    fn starts_at_login(&self) -> Option<bool> {
        login::is_on().map_err(|error| tracing::debug!(%error, "starting at login cannot be chosen")).ok()
    }

    #[cfg(any(windows, target_os = "macos"))]
    fn starts_at_login(&self) -> Option<bool> {
        let enabled = self.app.autolaunch().is_enabled();
        enabled.map_err(|error| tracing::debug!(%error, "starting at login cannot be chosen")).ok()
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    fn set_starts_at_login(&self, wanted: bool) -> Result<(), String> {
        login::set(wanted, &self.place.program).map_err(|error| error.to_string())
    }

    #[cfg(any(windows, target_os = "macos"))]
    fn set_starts_at_login(&self, wanted: bool) -> Result<(), String> {
        let launch = self.app.autolaunch();
        let done = if wanted { launch.enable() } else { launch.disable() };
        done.map_err(|error| error.to_string())
    }

    fn has_updates(&self) -> bool {
        self.has_updates
    }

    fn check_for_updates(&self) {
        let (app, events) = (self.app.clone(), self.events.clone());
        tauri::async_runtime::spawn(async move {
            let found = updates::find(&app).await.map_err(|error| updates::plain(&error));
            drop(events.send(Event::UpdatesChecked(found)).await);
        });
    }

    fn install_update(&self, serves: bool) {
        let (app, events, place) = (self.app.clone(), self.events.clone(), self.place.clone());
        tauri::async_runtime::spawn(async move {
            let installed = updates::install(&app, place, serves).await;
            drop(events.send(Event::UpdateInstalled(installed)).await);
        });
    }

    fn exit(&self, ending: Ending) {
        if let Some(messenger) = &self.messenger {
            messenger.finish(LAST_NOTICES);
        }
        match ending {
            Ending::Quit => self.app.exit(0),
            Ending::Restart => self.app.request_restart(),
            Ending::Update => self.app.exit(updates::HAND_OVER),
        }
    }
}
