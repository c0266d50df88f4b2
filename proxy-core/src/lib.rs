//! Codex Proxy core.

pub mod config;
pub mod dirs;
pub mod dispatch;
pub mod fetch;
pub mod http;
pub mod keys;
pub mod openai;
pub mod proxy;
pub mod secret;
pub mod telemetry;
pub mod worker;

pub use config::Config;
pub use proxy::Proxy;
