//! The places of everything that a backup contains.

use super::Config;
use crate::backup::Places;
use crate::paths::Dirs;

impl Config {
    /// The places of all files of the user.
    pub fn backup(&self, dirs: &Dirs) -> Places {
        Places {
            data_dir: self.data_dir.clone(),
            settings: self.live_settings.file(),
            application: dirs.config.as_ref().map(|dir| dir.join("app.json")),
            codex_home: self.worker.home.path().to_owned(),
            usage: self.usage.clone(),
            keys: self.keys.clone(),
        }
    }
}
