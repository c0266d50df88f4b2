//! Codex Proxy core.
