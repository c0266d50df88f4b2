//! The HTTP server in front of everything else.

use std::net::IpAddr;
use std::time::Duration;

/// What the operator decides about the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on.
    pub host: IpAddr,
    /// TCP port to listen on; 0 takes any free one.
    pub port: u16,
    /// `name` or `name:port` entries that `Host` may hold besides the loopback names, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Cross-origin access by browsers.
    pub cors: Cors,
    /// Whether `/v1/models` needs a key.
    pub protect_models: bool,
    /// Whether `/v1/responses` is served at all.
    pub enable_responses: bool,
    /// Time between two `: keepalive` comments on a silent stream.
    pub keepalive: Duration,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Whether `/v1/usage` answers without a key.
    pub usage_allow_unauth: bool,
}

/// Cross-origin resource sharing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Whether CORS headers are sent and preflights answered here.
    pub enabled: bool,
    /// Who may call.
    pub origins: Origins,
}

/// The origins whose browser code may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// The built-in list: Obsidian's applications and loopback pages.
    Default,
    /// Every origin.
    Any,
    /// Exactly these, as browsers write them: `scheme://host[:port]`.
    List(Vec<String>),
}
