//! Where this platform wants an application's files.

use std::path::PathBuf;

use directories::{BaseDirs, ProjectDirs};

/// The directories that defaults and relative paths start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Holds `config.toml`; `None` where the platform knows no home directory.
    pub config: Option<PathBuf>,
    /// Holds the key, Codex's private home and everything else the proxy keeps.
    pub data: Option<PathBuf>,
    /// What a leading `~` stands for.
    pub home: Option<PathBuf>,
    /// The working directory, from which relative paths start.
    pub current: PathBuf,
}

impl Dirs {
    /// Asks the platform.
    ///
    /// The data directory is the machine's own one where the platform also has a roaming one: sign-ins and
    /// caches do not belong into a roaming profile.
    ///
    /// # Errors
    /// When the directory that this process works in is gone or cannot be read.
    pub fn of_platform() -> std::io::Result<Self> {
        let project = ProjectDirs::from("", "", "codex-proxy");
        Ok(Self {
            config: project.as_ref().map(|dirs| dirs.config_dir().to_owned()),
            data: project.as_ref().map(|dirs| dirs.data_local_dir().to_owned()),
            home: BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
            current: std::env::current_dir()?,
        })
    }

    /// What the tray application has outside of those, if it was ever used: the data of its window, and the entry by
    /// which the system starts it at login. On Windows that entry is none of a file.
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

/// The tray application's identifier in `tauri.conf.json`.
const APPLICATION: &str = "io.github.codex-proxy";
