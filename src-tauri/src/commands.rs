//! The commands of the window. Each one only passes its call on to another module.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use proxy_core::event_stream::ServerEvent;
use proxy_core::http::in_process::Refusal;
use proxy_core::removal::Found;
use serde_json::Value;
use tauri::ipc::Channel;
use tauri::{Runtime, State, WebviewWindow};
use tauri_plugin_dialog::DialogExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::controller::{AppState, Choice, Event, Outside, Reach, Reply, Text, failed};
use crate::engine::Running;
use crate::preferences::{Notify, Panel, ZOOMS};
use crate::tray::Action;
use crate::words::Language;

/// The parts of the application that the window can use.
#[derive(Debug)]
pub(crate) struct Link {
    proxy: watch::Receiver<Reach>,
    events: mpsc::Sender<Event>,
    /// The streams that the window reads, by the names that it chose.
    streams: Mutex<HashMap<String, CancellationToken>>,
}

#[tauri::command]
pub(crate) async fn app_state(link: State<'_, Link>) -> Result<AppState, Refusal> {
    let (reply, answer) = oneshot::channel();
    link.send(Event::StateAsked(reply)).await?;
    answer.await.map_err(|_| not_running("it is ending"))
}

#[tauri::command]
pub(crate) async fn choose_panel(link: State<'_, Link>, panel: Panel) -> Result<(), Refusal> {
    link.send(Event::Chosen(Choice::Panel(panel))).await
}

#[tauri::command]
pub(crate) async fn choose_language(
    link: State<'_, Link>,
    language: Option<Language>,
) -> Result<(), Refusal> {
    link.send(Event::Chosen(Choice::Language(language))).await
}

#[tauri::command]
pub(crate) async fn choose_notices(link: State<'_, Link>, notify: Notify) -> Result<(), Refusal> {
    link.send(Event::Chosen(Choice::Notices(notify))).await
}

#[tauri::command]
pub(crate) async fn choose_clipboard(link: State<'_, Link>, seconds: u32) -> Result<(), Refusal> {
    link.send(Event::Chosen(Choice::Clipboard(seconds))).await
}

#[tauri::command]
pub(crate) async fn start_at_login(link: State<'_, Link>, wanted: bool) -> Result<(), Refusal> {
    link.ask(|reply| Event::LoginChosen(wanted, reply)).await
}

#[tauri::command]
pub(crate) async fn set_zoom<R: Runtime>(
    window: WebviewWindow<R>,
    link: State<'_, Link>,
    percent: u32,
) -> Result<u32, Refusal> {
    let percent = percent.clamp(*ZOOMS.start(), *ZOOMS.end());
    window
        .set_zoom(f64::from(percent) / 100.0)
        .map_err(|error| failed(format!("The size of the texts cannot be changed: {error}.")))?;
    link.send(Event::Chosen(Choice::Zoom(percent))).await?;
    Ok(percent)
}

#[tauri::command]
pub(crate) async fn check_for_updates(link: State<'_, Link>) -> Result<(), Refusal> {
    link.send(Event::Clicked(Action::CheckForUpdates)).await
}

#[tauri::command]
pub(crate) async fn install_update(link: State<'_, Link>) -> Result<(), Refusal> {
    link.send(Event::Clicked(Action::InstallUpdate)).await
}

#[tauri::command]
pub(crate) async fn choose_file<R: Runtime>(window: WebviewWindow<R>) -> Result<Option<String>, Refusal> {
    let (reply, chosen) = oneshot::channel();
    let dialog = window.dialog().file().set_parent(&window);
    dialog.pick_file(move |file| drop(reply.send(file)));
    let Some(file) = chosen.await.ok().flatten() else { return Ok(None) };
    let file = file.into_path().map_err(|error| failed(format!("This is no file: {error}.")))?;
    Ok(Some(file.display().to_string()))
}

#[tauri::command]
pub(crate) async fn quit_app(link: State<'_, Link>) -> Result<(), Refusal> {
    link.send(Event::Clicked(Action::Quit)).await
}

#[tauri::command]
pub(crate) async fn try_again(link: State<'_, Link>) -> Result<(), Refusal> {
    link.send(Event::Clicked(Action::TryAgain)).await
}

#[tauri::command]
pub(crate) async fn use_another_port(link: State<'_, Link>) -> Result<u16, Refusal> {
    let (reply, answer) = oneshot::channel();
    link.send(Event::AnotherPort(reply)).await?;
    answer.await.unwrap_or_else(|_| Err(not_running("it is ending")))
}

#[tauri::command]
pub(crate) async fn find_data(link: State<'_, Link>) -> Result<Found, Refusal> {
    let (reply, answer) = oneshot::channel();
    link.send(Event::DataAsked(reply)).await?;
    answer.await.unwrap_or_else(|_| Err(not_running("it is ending")))
}

#[tauri::command]
pub(crate) async fn remove_data(link: State<'_, Link>) -> Result<(), Refusal> {
    link.send(Event::RemovalChosen).await
}

#[tauri::command]
pub(crate) async fn control(
    link: State<'_, Link>,
    method: String,
    path: String,
    body: Option<Value>,
) -> Result<Option<Value>, Refusal> {
    link.call(&method, &path, body.as_ref()).await
}

#[tauri::command]
pub(crate) async fn control_stream(
    link: State<'_, Link>,
    id: String,
    method: String,
    path: String,
    body: Option<Value>,
    channel: Channel<ServerEvent>,
) -> Result<(), Refusal> {
    link.stream(id, &method, &path, body.as_ref(), &channel).await
}

#[tauri::command]
#[expect(clippy::needless_pass_by_value, reason = "Tauri hands commands the state by value")]
pub(crate) fn control_stream_stop(link: State<'_, Link>, id: &str) {
    link.stop(id);
}

#[tauri::command]
pub(crate) async fn copy_key(link: State<'_, Link>, id: String) -> Result<(), Refusal> {
    link.ask(|reply| Event::Copy(Text::Key(Some(id)), reply)).await
}

#[tauri::command]
pub(crate) async fn copy_text(link: State<'_, Link>, text: String) -> Result<(), Refusal> {
    link.ask(|reply| Event::Copy(Text::Plain(text), reply)).await
}

#[tauri::command]
pub(crate) async fn open_external(link: State<'_, Link>, what: Outside) -> Result<(), Refusal> {
    link.ask(|reply| Event::OpenOutside(what, reply)).await
}

#[tauri::command]
pub(crate) async fn restart_app(link: State<'_, Link>) -> Result<(), Refusal> {
    link.send(Event::RestartAsked).await
}

#[tauri::command]
pub(crate) async fn save_file<R: Runtime>(
    window: WebviewWindow<R>,
    link: State<'_, Link>,
    path: String,
    name: String,
) -> Result<Option<String>, Refusal> {
    let proxy = link.running().await?;
    let (reply, chosen) = oneshot::channel();
    let dialog = window.dialog().file().set_parent(&window).set_file_name(name);
    dialog.save_file(move |file| drop(reply.send(file)));
    let Some(file) = chosen.await.ok().flatten() else { return Ok(None) };
    let file = file.into_path().map_err(|error| failed(format!("This is no file: {error}.")))?;
    proxy.api.save(&path, &file).await?;
    Ok(Some(file.display().to_string()))
}

#[tauri::command]
pub(crate) async fn window_close<R: Runtime>(window: WebviewWindow<R>) -> Result<(), Refusal> {
    window.close().map_err(|error| failed(format!("The window cannot be closed: {error}.")))
}

impl Link {
    pub(crate) fn new(proxy: watch::Receiver<Reach>, events: mpsc::Sender<Event>) -> Self {
        Self { proxy, events, streams: Mutex::default() }
    }

    /// Ends every stream, because the window that read them is closed.
    pub(crate) fn stop_all(&self) {
        for (_, stop) in self.streams().drain() {
            stop.cancel();
        }
    }

    /// Waits for the proxy, which may still be starting.
    async fn running(&self) -> Result<Running, Refusal> {
        let mut proxy = self.proxy.clone();
        let settled = proxy.wait_for(|reach| !matches!(reach, Reach::Starting)).await;
        match settled.as_deref() {
            Ok(Reach::Running(running)) => Ok(running.as_ref().clone()),
            Ok(Reach::Failed(failure)) => Err(not_running(&failure.sentence)),
            Ok(Reach::Starting | Reach::Stopping) | Err(_) => Err(not_running("it is ending")),
        }
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Option<Value>, Refusal> {
        let method = method_of(method)?;
        if path.starts_with("/control/account/logout") {
            // The person chose it in the window, so a notice is not necessary.
            self.send(Event::SignOutWanted).await?;
        }
        self.running().await?.api.call(method, path, body).await
    }

    async fn stream(
        &self,
        id: String,
        method: &str,
        path: &str,
        body: Option<&Value>,
        channel: &Channel<ServerEvent>,
    ) -> Result<(), Refusal> {
        let method = method_of(method)?;
        let stop = CancellationToken::new();
        self.streams().insert(id.clone(), stop.clone());
        let read = async {
            let mut events = self.running().await?.api.stream(method, path, body).await?;
            while let Some(event) = events.next().await {
                if channel.send(event).is_err() {
                    break;
                }
            }
            Ok(())
        };
        let read = tokio::select! {
            read = read => read,
            () = stop.cancelled() => Ok(()),
        };
        self.streams().remove(&id);
        read
    }

    fn stop(&self, id: &str) {
        if let Some(stop) = self.streams().remove(id) {
            stop.cancel();
        }
    }

    async fn ask(&self, event: impl FnOnce(Reply) -> Event) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(event(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(not_running("it is ending")))
    }

    async fn send(&self, event: Event) -> Result<(), Refusal> {
        self.events.send(event).await.map_err(|_| not_running("it is ending"))
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn method_of(method: &str) -> Result<Method, Refusal> {
    method.parse().map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_value", format!("{method} is no method of HTTP."))
    })
}

fn not_running(reason: &str) -> Refusal {
    let reason = reason.trim_end_matches('.');
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_running",
        format!("The proxy does not run: {reason}. When that is settled, choose Try again."),
    )
}

#[cfg(test)]
mod tests;
