//! Newer versions by way of Tauri's updater: it asks the release channel, and installs only what the channel's key
//! has signed for the very version that was announced.

use tauri::plugin::TauriPlugin;
use tauri::{AppHandle, Config, Runtime};
use tauri_plugin_updater::{Builder, Result, Update, UpdaterBuilder, UpdaterExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, timeout};

use crate::controller::Event;

#[cfg(test)]
mod tests;

/// How long an installer waits for the last requests.
const PATIENCE: Duration = Duration::from_secs(15);

/// The updater's name in the configuration.
const PLUGIN: &str = "updater";

/// Whether this build has a release channel.
pub(crate) fn has_channel(config: &Config) -> bool {
    config.plugins.0.contains_key(PLUGIN)
}

/// What makes the updater part of an application that has a release channel.
pub(crate) fn plugin<R: Runtime>() -> TauriPlugin<R, tauri_plugin_updater::Config> {
    Builder::new().build()
}

/// The newer version that the channel has.
pub(super) async fn find<R: Runtime>(app: &AppHandle<R>) -> Result<Option<String>> {
    Ok(look(builder(app)).await?.map(|update| update.version))
}

/// Fetches and installs the newest version, if it is newer than this one. On Windows the installer then ends the
/// process without a word, so the proxy has to make way for it before.
pub(super) async fn install<R: Runtime>(app: &AppHandle<R>, events: mpsc::Sender<Event>) -> Result<()> {
    let ending = app.clone();
    let builder = builder(app).on_before_exit(move || {
        tokio::task::block_in_place(|| tauri::async_runtime::block_on(make_way(&events)));
        ending.cleanup_before_exit();
    });
    put_in_place(builder).await
}

/// Has the proxy drained; only this is waited for, as the application itself goes on until the installer ends it.
async fn make_way(events: &mpsc::Sender<Event>) {
    let (reply, done) = oneshot::channel();
    if events.send(Event::MakeWay(reply)).await.is_ok() && timeout(PATIENCE, done).await.is_err() {
        tracing::warn!("an update does not wait any longer for the last requests");
    }
}

async fn look(updater: UpdaterBuilder) -> Result<Option<Update>> {
    updater.build()?.check().await
}

async fn put_in_place(updater: UpdaterBuilder) -> Result<()> {
    match look(updater).await? {
        Some(update) => update.download_and_install(|_, _| {}, || {}).await,
        None => Ok(()),
    }
}

fn builder<R: Runtime>(app: &AppHandle<R>) -> UpdaterBuilder {
    app.updater_builder()
}
