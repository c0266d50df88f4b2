//! The directories for an application's files on this platform.

use std::path::PathBuf;

use directories::{BaseDirs, ProjectDirs};

/// The base directories of defaults and relative paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// The directory of `config.toml`; `None` if the platform knows no home directory.
    pub config: Option<PathBuf>,
    /// The directory of the keys, Codex's private home and all other data.
    pub data: Option<PathBuf>,
    /// The replacement for a leading `~`.
    pub home: Option<PathBuf>,
    /// The working directory, which is the base of relative paths.
    pub current: PathBuf,
}

impl Dirs {
    /// Reads the directories of the platform.
    ///
    /// If the platform has both a local and a roaming data directory, the local one is used: sign-ins and caches
    /// do not belong in a roaming profile.
    ///
    /// # Errors
    /// If the working directory of this process was removed or cannot be read.
    pub fn of_platform() -> std::io::Result<Self> {
        let project = ProjectDirs::from("", "", "codex-proxy");
        Ok(Self {
            config: project.as_ref().map(|dirs| dirs.config_dir().to_owned()),
            data: project.as_ref().map(|dirs| dirs.data_local_dir().to_owned()),
            home: BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
            current: std::env::current_dir()?,
        })
    }

    /// The files of the tray application outside of these directories, if it was ever used: the data of its
    /// window, and the entry that starts it at login. On Windows, this entry is not a file.
    pub fn of_application() -> Vec<PathBuf> {
        let Some(base) = BaseDirs::new() else { return Vec::new() };
        let mut places: Vec<PathBuf> =
            [base.data_local_dir(), base.cache_dir()].map(|dir| dir.join(APPLICATION)).into();
        if cfg!(target_os = "macos") {
            let library = base.home_dir().join("Library");
            places.extend(["WebKit", "HTTPStorages"].map(|name| library.join(name).join(APPLICATION)));
            places.push(library.join("LaunchAgents").join("Codex Proxy.plist"));
        } else if cfg!(unix) {
            places.push(base.config_dir().join("autostart").join(format!("{APPLICATION}.desktop")));
        }
        places.dedup();
        places
    }
}

/// The identifier of the tray application in `tauri.conf.json`.
const APPLICATION: &str = "io.github.codex-proxy";
