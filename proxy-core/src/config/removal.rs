//! Where everything is that can be removed.

use super::Config;
use crate::dirs::Dirs;
use crate::removal;

/// The files in the directory of settings. One that was named by `PROXY_CONFIG` is its user's.
const SETTINGS: [&str; 3] = ["config.toml", "app.json", "app.json.tmp"];

impl Config {
    /// All that the proxy has put on this machine.
    pub fn removal(&self, dirs: &Dirs) -> removal::Config {
        let settings = dirs.config.iter().flat_map(|dir| SETTINGS.map(|name| dir.join(name)));
        removal::Config {
            data_dir: self.data_dir.clone(),
            logs: self.telemetry.file.as_ref().map(|file| file.dir.clone()),
            elsewhere: settings.chain(Dirs::of_application()).collect(),
            directories: std::iter::once(self.data_dir.clone()).chain(dirs.config.clone()).collect(),
            keys: self.keys.clone(),
            clients: self.clients.clone(),
        }
    }
}
