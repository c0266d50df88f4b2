//! An update on trial: until the new version serves, the version before is kept, and a process that it has left behind
//! ([`watch`]) puts it back if the new one does not start.
//!
//! All of it is in the folder `update` of the data directory:
//! - `program` and what it needs, and `before.deb`: the version before ([`keep`]).
//! - `trial.json`: the update that is tried. It is there before anything is installed. Whoever takes it away has
//!   decided: the new version, which serves or was asked to end, or the watcher, which makes it `back.json`.
//! - `back.json`: the update that was taken back, until the version before has told of it.
//!
//! Only a watcher takes back, and none outlives its session: whatever is left there by a machine that was switched off
//! meanwhile concerns nobody, and is gone at the next good start.

pub(crate) mod keep;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use proxy_core::config::{ProcessEnvironment, Strings as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The folder, in the data directory.
const FOLDER: &str = "update";
const TRIAL: &str = "trial.json";
const BACK: &str = "back.json";

/// The variable by which an AppImage tells where its file is.
const APPIMAGE: &str = "APPIMAGE";

/// An update that is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The version before.
    pub(crate) from: String,
    /// The new version.
    pub(crate) to: String,
    /// What both came in.
    pub(crate) package: Package,
    /// What is started, before and after.
    pub(crate) program: PathBuf,
    /// With these arguments.
    pub(crate) arguments: Vec<String>,
    /// Whether the version before served.
    pub(crate) served: bool,
    /// The installer that the watcher runs first, where no running program can be replaced: a file of the folder.
    pub(crate) installer: Option<String>,
}

/// What an application came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Package {
    Deb,
    Rpm,
    /// An AppImage, or a program that is nothing but its file.
    File,
    Nsis,
    Msi,
}

/// An update that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Back {
    #[serde(flatten)]
    pub(crate) plan: Plan,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
    /// Whether the new version was not even installed.
    #[serde(default)]
    pub(crate) not_installed: bool,
    /// Why the version before runs out of the folder and could not be put back, if so.
    #[serde(default)]
    pub(crate) not_put_back: Option<String>,
}

/// What an update has to do with this start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    Free,
    /// This is the new version, and it has to show that it starts.
    OnTrial {
        /// Whether the version before served.
        served: bool,
    },
    /// This is the version before, which is back.
    Back(Box<Back>),
}

/// What is known of updates in a data directory, and the part of this process in it.
#[derive(Debug)]
pub(crate) struct Trial {
    dir: Option<PathBuf>,
    standing: Standing,
    program: PathBuf,
    /// Whether this process runs what was kept.
    is_kept: bool,
    /// Whether a good start is still to come.
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
    /// Looks into a data directory, as this version.
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
            // It was told of by what was kept, and somebody has installed this version again since.
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

    /// The update that was taken back, and that nobody has been told of yet.
    pub(crate) fn back(&self) -> Option<&Back> {
        match &self.standing {
            Standing::Back(back) => Some(back),
            Standing::Free | Standing::OnTrial { .. } => None,
        }
    }

    /// This version serves: an update of which it is the new version is over, and what was kept for it goes. `false` if
    /// a watcher has decided otherwise before.
    pub(crate) fn has_started(&mut self) -> bool {
        if !std::mem::take(&mut self.is_starting) {
            return true;
        }
        let Some(dir) = self.dir.clone().filter(|dir| dir.exists()) else { return true };
        if self.off_watch().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return false;
        }
        // What runs from there stays.
        if !self.is_kept
            && let Err(error) = clean(&dir)
        {
            tracing::debug!(%error, "what was kept of the version before stays until the next start");
        }
        true
    }

    /// This version does not serve. It has started nevertheless if it can do nothing about that.
    pub(crate) fn has_failed(&mut self, is_port_taken: bool) {
        let unchanged = matches!(self.standing, Standing::OnTrial { served: false });
        if (is_port_taken || unchanged)
            && let Err(error) = self.off_watch()
        {
            tracing::debug!(%error, "an update was decided on before");
        }
    }

    /// Somebody has this version end: what comes of that is no fault of an update.
    pub(crate) fn is_ending(&mut self) {
        if let Err(error) = self.off_watch() {
            tracing::debug!(%error, "an update was decided on before");
        }
    }

    /// Takes the update off its watch.
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

/// What runs: the file of an AppImage, whose contents have no lasting path, else the program.
fn own_program() -> PathBuf {
    let image = ProcessEnvironment.get(APPIMAGE).map(PathBuf::from);
    image.or_else(|| std::env::current_exe().ok()).unwrap_or_default()
}

/// Removes the folder, what decides first.
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

/// What a file says; one that cannot be read is as good as none.
fn read<T: DeserializeOwned>(file: &Path) -> Option<T> {
    let bytes = fs::read(file).ok()?;
    serde_json::from_slice(&bytes)
        .map_err(|error| tracing::warn!(%error, file = %file.display(), "this cannot be read"))
        .ok()
}

/// Readers always see a whole file, even after the power has gone.
fn write(file: &Path, content: &impl Serialize) -> io::Result<()> {
    let temporary = file.with_extension("json.tmp");
    let mut written = File::create(&temporary)?;
    written.write_all(&serde_json::to_vec_pretty(content)?)?;
    written.sync_all()?;
    fs::rename(temporary, file)
}
