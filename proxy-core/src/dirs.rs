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
    pub fn of_platform() -> std::io::Result<Self> {
        let project = ProjectDirs::from("", "", "codex-proxy");
        Ok(Self {
            config: project.as_ref().map(|dirs| dirs.config_dir().to_owned()),
            data: project.as_ref().map(|dirs| dirs.data_local_dir().to_owned()),
            home: BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
            current: std::env::current_dir()?,
        })
    }
}
