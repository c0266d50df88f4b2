//! The places of everything that an uninstallation removes.

use std::fs;
use std::path::PathBuf;

use super::Config;
use crate::backup;
use crate::paths::Dirs;
use crate::removal;

/// The files in the settings directory. A file that `PROXY_CONFIG` names belongs to its user.
const SETTINGS: [&str; 3] = ["config.toml", "app.json", "app.json.tmp"];

impl Config {
    /// Everything that the proxy has stored on this machine.
    pub fn removal(&self, dirs: &Dirs) -> removal::Config {
        let settings = dirs.config.iter().flat_map(|dir| SETTINGS.map(|name| dir.join(name)));
        removal::Config {
            data_dir: self.data_dir.clone(),
            logs: self.telemetry.file.as_ref().map(|file| file.dir.clone()),
            elsewhere: settings.chain(kept_aside(dirs)).chain(Dirs::of_application()).collect(),
            directories: std::iter::once(self.data_dir.clone()).chain(dirs.config.clone()).collect(),
            keys: self.keys.clone(),
            client_setup: self.client_setup.clone(),
        }
    }
}

/// The settings that the restoration of a backup has moved aside.
fn kept_aside(dirs: &Dirs) -> Vec<PathBuf> {
    let entries = dirs.config.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    let is_aside = |name: &str| name.starts_with(backup::ASIDE);
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_aside))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_a_restore_has_put_aside_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["before-restore-20261128-191530", "before-restore-20261128-191530-2", "mine", "config.toml"]
        {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let dirs =
            Dirs { config: Some(dir.path().to_owned()), data: None, home: None, current: PathBuf::new() };
        let mut found = kept_aside(&dirs);
        found.sort();
        let expected = ["before-restore-20261128-191530", "before-restore-20261128-191530-2"];
        assert_eq!(found, expected.map(|name| dir.path().join(name)));
    }
}
