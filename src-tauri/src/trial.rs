//! An update on trial. The previous version is kept until the new version serves requests. A process of the previous
//! version ([`watch`]) restores it if the new version does not start.
//!
//! All files are in the folder `update` of the data directory:
//! - `program` with the files that it needs, and `before.deb`: the previous version ([`keep`]).
//! - `trial.json`: the update on trial. It exists before anything is installed. The process that removes it makes the
//!   decision: the new version, when it serves or was asked to end, or the watcher, which renames it to `back.json`.
//! - `back.json`: the update that was undone, until the previous version has shown a notice about it.
//!
//! Only a watcher undoes an update, and a watcher ends with its desktop session. If the machine was switched off during a
//! trial, the remaining files have no effect. The next successful start removes them.

pub(crate) mod keep;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proxy_core::config::{ProcessEnvironment, Strings as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The folder, in the data directory.
const FOLDER: &str = "update";
const TRIAL: &str = "trial.json";
const BACK: &str = "back.json";

/// The environment variable with the path of a running AppImage.
const APPIMAGE: &str = "APPIMAGE";

/// An update on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The previous version.
    pub(crate) from: String,
    /// The new version.
    pub(crate) to: String,
    /// The kind of package of both versions.
    pub(crate) package: Package,
    /// The program to start, for both versions.
    pub(crate) program: PathBuf,
    /// The arguments of the program.
    pub(crate) arguments: Vec<String>,
    /// Whether the previous version served requests.
    pub(crate) served: bool,
    /// The installer, a file of the folder. The watcher runs it first on systems that cannot replace a running program.
    pub(crate) installer: Option<String>,
}

/// The kind of package that an application was installed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Package {
    Deb,
    Rpm,
    /// An AppImage, or another program that is a single file.
    File,
    Nsis,
    Msi,
}

/// An update that was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    #[serde(flatten)]
    pub(crate) plan: Plan,
    /// The reason.
    #[serde(default)]
    pub(crate) reason: String,
    /// Whether the new version could not be installed.
    #[serde(default)]
    pub(crate) not_installed: bool,
    /// If the previous version could not be restored and runs from the folder: the reason.
    #[serde(default)]
    pub(crate) not_put_back: Option<String>,
}

/// What this start means for an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is no update.
    Free,
    /// This is the new version on trial.
    OnTrial {
        /// Whether the previous version served requests.
        served: bool,
    },
    /// This is the previous version, restored.
    Back(Box<Back>),
}

/// The state of updates in a data directory, and the role of this process.
#[derive(Debug)]
pub(crate) struct Trial {
    dir: Option<PathBuf>,
    standing: Standing,
    program: PathBuf,
    /// Whether this process runs the kept program.
    is_kept: bool,
    /// Whether a successful start has not happened yet.
    is_starting: bool,
}

/// The folder in a data directory.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

fn standing(trial: Option<Plan>, back: Option<Back>, version: &str) -> Standing {
    if let Some(back) = back.filter(|back| back.plan.from == version) {
        return Standing::Back(Box::new(back));
    }
    match trial.filter(|plan| plan.to == version) {
        Some(plan) => Standing::OnTrial { served: plan.served },
        None => Standing::Free,
    }
}

impl Trial {
    /// Reads the state in a data directory, for this version.
    pub(crate) fn read(data_dir: Option<&Path>, version: &str) -> Self {
        let dir = data_dir.map(folder);
        let standing = match &dir {
            Some(dir) => standing(read(&dir.join(TRIAL)), read(&dir.join(BACK)), version),
            None => Standing::Free,
        };
        let program = own_program();
        let is_kept = dir.as_deref().is_some_and(|dir| program.starts_with(dir));
        let program = match &standing {
            Standing::Back(back) if is_kept => back.plan.program.clone(),
            Standing::Free | Standing::OnTrial { .. } | Standing::Back(_) => program,
        };
        let standing = match standing {
            // The kept program has already shown the notice, and the user has installed this version again since then.
            Standing::Back(back) if back.not_put_back.is_some() && !is_kept => Standing::Free,
            standing @ (Standing::Free | Standing::OnTrial { .. } | Standing::Back(_)) => standing,
        };
        Self { dir, standing, program, is_kept, is_starting: true }
    }

    /// The folder, if the data directory is known.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Where the application is installed.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The undone update, if the user has not had a notice about it yet.
    pub(crate) fn back(&self) -> Option<&Back> {
        match &self.standing {
            Standing::Back(back) => Some(back),
            Standing::Free | Standing::OnTrial { .. } => None,
        }
    }

    /// Call this when this version serves requests. If it is the new version of an update, the trial is over and the
    /// kept files are removed. `false` if a watcher has already decided to undo the update.
    pub(crate) fn has_started(&mut self) -> bool {
        if !std::mem::take(&mut self.is_starting) {
            return true;
        }
        let Some(dir) = self.dir.clone().filter(|dir| dir.exists()) else { return true };
        if self.off_watch().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return false;
        }
        // The folder stays while this process runs from it.
        if !self.is_kept
            && let Err(error) = clean(&dir)
        {
            tracing::debug!(%error, "what was kept of the version before is still in use");
            std::thread::spawn(move || clean_soon(&dir));
        }
        true
    }

    /// Call this when this version does not serve requests. The trial still ends well if the cause is outside of the
    /// program.
    pub(crate) fn has_failed(&mut self, is_port_taken: bool) {
        let unchanged = matches!(self.standing, Standing::OnTrial { served: false });
        if (is_port_taken || unchanged)
            && let Err(error) = self.off_watch()
        {
            tracing::debug!(%error, "an update was decided on before");
        }
    }

    /// Call this when the user ends this version. This is not a failure of the update.
    pub(crate) fn is_ending(&mut self) {
        if let Err(error) = self.off_watch() {
            tracing::debug!(%error, "an update was decided on before");
        }
    }

    /// Ends the trial.
    fn off_watch(&mut self) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        match self.standing {
            Standing::OnTrial { .. } => {
                fs::remove_file(dir.join(TRIAL))?;
                self.standing = Standing::Free;
                Ok(())
            }
            Standing::Free | Standing::Back(_) => Ok(()),
        }
    }
}

/// The running file: the file of an AppImage, because its contents have no permanent path, or the program.
fn own_program() -> PathBuf {
    let image = ProcessEnvironment.get(APPIMAGE).map(PathBuf::from);
    image.or_else(|| std::env::current_exe().ok()).unwrap_or_default()
}

/// Removes the folder. The file that holds the decision goes first.
fn clean(dir: &Path) -> io::Result<()> {
    for name in [TRIAL, BACK] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes the folder after its program has ended. Windows does not remove a running program, and the watcher ends a
/// moment after the decision.
#[expect(clippy::disallowed_methods, reason = "Windows does not tell when the file of a program is free")]
fn clean_soon(dir: &Path) {
    const TRIES: u32 = 50;
    const BETWEEN: Duration = Duration::from_millis(200);
    let mut result = Ok(());
    for _ in 0..TRIES {
        std::thread::sleep(BETWEEN);
        if dir.join(TRIAL).exists() {
            // The next update.
            return;
        }
        result = clean(dir);
        if result.is_ok() {
            return;
        }
    }
    if let Err(error) = result {
        tracing::warn!(%error, "what was kept of the version before stays until the next start");
    }
}

/// The content of a file. A file that cannot be read counts as missing.
fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let bytes = fs::read(file).ok()?;
    serde_json::from_slice(&bytes)
        .map_err(|error| tracing::warn!(%error, file = %file.display(), "this cannot be read"))
        .ok()
}

/// Readers always see a complete file, even after a power failure.
fn write(file: &Path, content: &impl Serialize) -> io::Result<()> {
    let temporary = file.with_extension("json.tmp");
    let mut written = File::create(&temporary)?;
    written.write_all(&serde_json::to_vec_pretty(content)?)?;
    written.sync_all()?;
    fs::rename(temporary, file)
}
