//! Updates with Tauri's updater: it reads the release channel, and installs only a package that the channel's
//! key has signed for exactly the announced version. The installed version is then on trial ([`crate::trial`]).

use std::path::PathBuf;

use tauri::plugin::TauriPlugin;
use tauri::utils::config::BundleType;
use tauri::utils::platform::bundle_type;
use tauri::{AppHandle, Config, Runtime};
use tauri_plugin_updater::{Builder, Error, Result, Update, UpdaterBuilder, UpdaterExt as _};

use crate::controller::Newer;
use crate::rehearsal;
use crate::shell::Ending;
use crate::trial::{Package, Plan, Trial, keep};

#[cfg(test)]
mod tests;

/// The updater's name in the configuration.
pub(crate) const PLUGIN: &str = "updater";

/// The exit code with which the application requests the start of a new version.
pub(crate) const HAND_OVER: i32 = 75;

/// The paths of the application and of its kept copy.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The program that is started.
    pub(super) program: PathBuf,
    /// The directory for the kept files of an update; `None` if the data directory is unknown.
    kept: Option<PathBuf>,
}

impl Place {
    pub(crate) fn of(trial: &Trial) -> Self {
        Self { program: trial.program().to_owned(), kept: trial.dir().map(PathBuf::from) }
    }
}

/// Whether this build has a release channel.
pub(crate) fn has_channel(config: &Config) -> bool {
    config.plugins.0.contains_key(PLUGIN)
}

/// The updater plugin, for an application that has a release channel.
pub(crate) fn plugin<R: Runtime>() -> TauriPlugin<R, tauri_plugin_updater::Config> {
    Builder::new().build()
}

/// The newer version in the channel, if there is one.
pub(super) async fn find<R: Runtime>(app: &AppHandle<R>) -> Result<Option<Newer>> {
    let update = look(app.updater_builder()).await?;
    Ok(update.map(|update| Newer { version: update.version, notes: update.body }))
}

/// Downloads the newest version, if it is newer than this one, keeps a copy of this version, and installs the
/// new one, so that it only has to be started. `serves` is whether this version serves requests. On Windows, a
/// running program cannot be replaced, so the installation runs after the end of this one.
///
/// # Errors
/// The reason in a sentence. This version then continues to run.
pub(super) async fn install<R: Runtime>(
    app: &AppHandle<R>,
    place: Place,
    serves: bool,
) -> std::result::Result<Ending, String> {
    let updater = app.updater_builder().executable_path(&place.program);
    let (update, bytes) = fetch(updater).await.map_err(|error| plain(&error))?;
    // The system may ask the person for a password during this.
    let installed =
        tauri::async_runtime::spawn_blocking(move || put_in_place(&update, &bytes, place, serves));
    installed.await.map_err(|error| error.to_string())?
}

async fn look(updater: UpdaterBuilder) -> Result<Option<Update>> {
    updater.build()?.check().await
}

/// Downloads the package of the newest version and verifies its signature.
async fn fetch(updater: UpdaterBuilder) -> Result<(Update, Vec<u8>)> {
    let update = look(updater).await?.ok_or(Error::ReleaseNotFound)?;
    let bytes = update.download(|_, _| {}, || {}).await?;
    Ok((update, bytes))
}

fn put_in_place(
    update: &Update,
    bytes: &[u8],
    place: Place,
    serves: bool,
) -> std::result::Result<Ending, String> {
    let install = || update.install(bytes).map_err(|error| plain(&error));
    let (Some(kept), Some(package)) = (place.kept, package()) else {
        return install().map(|()| Ending::Restart);
    };
    let installer = cfg!(windows).then(|| installer(package).to_owned());
    let plan = Plan {
        from: rehearsal::version().to_owned(),
        to: update.version.clone(),
        package,
        program: place.program,
        arguments: std::env::args().skip(1).collect(),
        served: serves,
        installer: installer.clone(),
    };
    keep::keep(&kept, &plan).map_err(|error| {
        format!("a copy of this version cannot be kept, in case the new one does not start: {error}")
    })?;
    let done = match installer {
        Some(installer) => std::fs::write(kept.join(installer), bytes).map_err(|error| error.to_string()),
        None => install(),
    };
    done.map(|()| Ending::Update).inspect_err(|_| keep::abandon(&kept))
}

/// The kind of the installed package, if a version of it can be kept.
fn package() -> Option<Package> {
    match bundle_type() {
        Some(BundleType::Deb) => Some(Package::Deb),
        Some(BundleType::Rpm) => Some(Package::Rpm),
        Some(BundleType::Msi) => Some(Package::Msi),
        Some(BundleType::Nsis) => Some(Package::Nsis),
        Some(BundleType::App | BundleType::Dmg) => None,
        Some(BundleType::AppImage) | None if cfg!(windows) => Some(Package::Nsis),
        Some(BundleType::AppImage) | None => Some(Package::File),
    }
}

fn installer(package: Package) -> &'static str {
    if package == Package::Msi { "installer.msi" } else { "installer.exe" }
}

/// A message for users about a failed check or installation.
#[expect(clippy::wildcard_enum_match_arm, reason = "what else there is says itself what it is")]
pub(super) fn plain(error: &Error) -> String {
    match error {
        Error::Minisign(_) | Error::Base64(_) | Error::SignatureUtf8(_) => {
            "what was fetched is not what the makers of Codex Proxy have signed, so it is not installed"
                .to_owned()
        }
        Error::SignedVersionMismatch { signed, announced } => {
            format!("what was announced as version {announced} is signed as {signed}, so it is not installed")
        }
        Error::MissingSignedVersion => {
            "what was fetched is signed for no version, so it is not installed".to_owned()
        }
        Error::Reqwest(error) => format!("the download did not come through ({error})"),
        Error::TargetNotFound(_) | Error::TargetsNotFound(_) => {
            "the release has nothing for this kind of installation".to_owned()
        }
        Error::ReleaseNotFound | Error::Serialization(_) => {
            "the release channel does not say what the newest version is".to_owned()
        }
        Error::AuthenticationFailed | Error::DebInstallFailed | Error::PackageInstallFailed => {
            "the system did not install the package; it needs an administrator's password".to_owned()
        }
        Error::InvalidUpdaterFormat => "what was fetched cannot be installed here".to_owned(),
        other => other.to_string(),
    }
}
