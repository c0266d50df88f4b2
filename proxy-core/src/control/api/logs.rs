//! `/control/logs`.

use serde::{Deserialize, Serialize};

/// The answer of `GET /control/logs`: the end of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct LogTail {
    /// The log file, if there is one.
    pub file: Option<String>,
    /// Its last lines, oldest first.
    pub lines: Vec<String>,
}

/// The answer of `GET` and `PUT /control/logs/level`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct LogLevel {
    /// What is logged, in the syntax of `RUST_LOG`.
    pub filter: String,
}

/// The body of `PUT /control/logs/level`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct SetLogLevel {
    /// What is logged from now on, in the syntax of `RUST_LOG`.
    pub filter: String,
}
