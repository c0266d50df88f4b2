//! `/control/clients`: other programs' settings.

use serde::{Deserialize, Serialize};

/// One entry of the answer of `GET /control/clients`: one program's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ClientConfig {
    /// Which program.
    pub id: String,
    /// Its file.
    pub config_file: String,
    /// Whether that is there.
    pub exists: bool,
    /// Whether it leads to this proxy.
    pub configured: bool,
    /// Whether the proxy has changed it, so that this can be taken back.
    pub can_undo: bool,
}

/// The answer of `POST /control/clients/{id}/preview`: what would change in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Preview {
    /// As `diff -u` writes it; empty if nothing would. What looks like a secret is masked.
    pub diff: String,
}

/// The answer of `POST /control/clients/{id}/apply`: what was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Applied {
    /// Where the file is kept as it was, if there was one.
    pub backup: Option<String>,
}

/// The body of `preview` and `apply`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct SetUpFor {
    /// For which key the program is to be set up. No file is given its text, but the key has to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}
