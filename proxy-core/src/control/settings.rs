//! The settings: what is in force, and changing what the file says.

use std::fmt::Debug;

use serde_json::{Map, Value};

use super::ControlHandle;
use super::api::Settings;

/// Who reads and writes the settings. The configuration is; this room does not know it.
pub trait SettingsBook: Debug + Send + Sync {
    /// The settings as they would be after a start now. It reads a file, so it blocks.
    fn read(&self) -> Settings;

    /// Writes these keys into the file; null takes one out. Nothing is written unless all of it is right.
    ///
    /// # Errors
    /// When something is wrong with the changes, or the file cannot be written.
    fn change(&self, changes: &Map<String, Value>) -> Result<Settings, SettingsError>;
}

/// Why settings were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A change is not allowed.
    #[error("{message}")]
    Invalid {
        /// The key to blame.
        key: String,
        /// What is wrong, for people.
        message: String,
    },
    /// Somebody else decides about a setting, so that a change would do nothing.
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

    /// Writes settings into the file; null takes one out. It blocks.
    ///
    /// # Errors
    /// When something is wrong with the changes, or the file cannot be written.
    pub fn change_settings(&self, changes: &Map<String, Value>) -> Result<Settings, SettingsError> {
        let changed = self.0.settings.change(changes)?;
        let keys = changes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(keys, "settings were changed");
        Ok(changed)
    }
}
