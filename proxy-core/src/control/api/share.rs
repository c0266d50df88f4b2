//! `/control/share`.

use serde::{Deserialize, Serialize};

/// The answer of `/control/share`: whether other machines of the network can use the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Share {
    /// Whether they can.
    pub on: bool,
    /// The base URL for them, if it is on or should be.
    pub base_url: Option<String>,
    /// The id of the only key that is accepted from them.
    pub key: Option<String>,
    /// The name of this key; none if somebody has removed it.
    pub key_name: Option<String>,
    /// Why it is not on although it should be.
    pub problem: Option<String>,
    /// The private addresses of this machine.
    pub addresses: Vec<String>,
}

/// The body of `POST /control/share`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default, deny_unknown_fields)]
pub struct StartShare {
    /// The address of this machine on which the others call it. It has to be private.
    pub address: String,
}
