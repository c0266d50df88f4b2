//! `/control/settings`. The body of `PATCH` is an object of keys and their values; null takes a key out of the file.

use serde::{Deserialize, Serialize};
use serde_json::Value;

words! {
    /// What has set a setting.
    SettingSource {
        /// Nothing has.
        Default = "default",
        /// The configuration file.
        File = "file",
        /// The environment.
        Environment = "environment",
        /// An option on the command line.
        Flag = "flag",
    }
}

words! {
    /// The type of a setting's value.
    SettingKind {
        /// True or false.
        Boolean = "boolean",
        /// A whole number.
        Integer = "integer",
        /// A text.
        String = "string",
        /// A list of texts.
        List = "list",
    }
}

/// The answer of `GET /control/settings`, and of `PATCH`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Settings {
    /// The configuration file, whether or not it is there yet.
    pub file: Option<String>,
    /// Whether something has been changed that takes a start to be in force.
    pub restart_needed: bool,
    /// What is allowed but probably not meant, in sentences for people.
    pub warnings: Vec<String>,
    /// One entry for each setting.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Setting {
    /// Its name, which is its environment variable.
    pub name: String,
    /// Its key in the file; `None` if it cannot be set there.
    pub key: Option<String>,
    /// Its value; null if it is secret or has none.
    #[cfg_attr(test, ts(type = "SettingValue"))]
    pub value: Value,
    /// Whether anything has set it.
    pub set: bool,
    /// What has.
    pub source: SettingSource,
    /// Its value when nothing sets it.
    #[cfg_attr(test, ts(type = "SettingValue"))]
    pub default: Value,
    /// What it means.
    pub about: String,
    /// The type of its value.
    pub kind: SettingKind,
    /// What is allowed, to follow "must be".
    pub allowed: String,
    /// Whether its value is never shown.
    pub secret: bool,
}
