//! Codex Proxy core.

pub mod fetch;
