//! Newer versions by way of Tauri's updater: it asks the release channel, and installs only what the channel's key
//! has signed for the very version that was announced.

#[cfg(windows)]
use tauri::Manager as _;
use tauri::plugin::TauriPlugin;
use tauri::{AppHandle, Config, Runtime};
use tauri_plugin_updater::{Builder, Result, Update, UpdaterBuilder, UpdaterExt as _};

#[cfg(test)]
mod tests;

/// The updater's name in the configuration.
const PLUGIN: &str = "updater";

/// What is done before an installer ends the process; it may block.
#[cfg(windows)]
pub(crate) struct LastDeed(pub(crate) Box<dyn Fn() + Send + Sync>);

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

/// Fetches and installs the newest version, if it is newer than this one. On Windows this ends the application.
pub(super) async fn install<R: Runtime>(app: &AppHandle<R>) -> Result<()> {
    put_in_place(builder(app)).await
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
    let builder = app.updater_builder();
    // The installer there starts at once, and the process ends without a word.
    #[cfg(windows)]
    let builder = {
        let ending = app.clone();
        builder.on_before_exit(move || {
            if let Some(last) = ending.try_state::<LastDeed>() {
                tokio::task::block_in_place(|| (last.0)());
            }
            ending.cleanup_before_exit();
        })
    };
    builder
}
