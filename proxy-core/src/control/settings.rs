//! The settings: shows those in force, and changes those in the file.

use std::fmt::Debug;

use serde_json::{Map, Value};

use super::ControlHandle;
use super::api::Settings;

/// Reads and writes the settings. The configuration implements it, because this room must not use that one.
pub trait SettingsBook: Debug + Send + Sync {
    /// The settings as they would be after a restart now. It reads a file, so it blocks.
    fn read(&self) -> Settings;

    /// Writes these keys into the file; null removes a key. If one change is not valid, nothing is written.
    ///
    /// # Errors
    /// If a change is not valid, or the file cannot be written.
    fn change(&self, changes: &Map<String, Value>) -> Result<Settings, SettingsError>;
}

/// Why settings were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A change is not allowed.
    #[error("{message}")]
    Invalid {
        /// The key that is not valid.
        key: String,
        /// What is wrong, for people.
        message: String,
    },
    /// The environment or a flag has set this setting, so a change in the file would have no effect.
    #[error("{0}")]
    Locked(String),
    /// The file cannot be read or written.
    #[error("{0}")]
    File(String),
}

impl ControlHandle {
    /// The settings. It reads a file, so it blocks.
    pub fn settings(&self) -> Settings {
        self.0.settings.read()
    }

    /// Writes settings into the file; null removes a key. It blocks.
    ///
    /// # Errors
    /// If a change is not valid, or the file cannot be written.
    pub fn change_settings(&self, changes: &Map<String, Value>) -> Result<Settings, SettingsError> {
        let changed = self.0.settings.change(changes)?;
        let keys = changes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(keys, "settings were changed");
        Ok(changed)
    }
}
