//! The versions of Codex that this project knows by number. This file is their only source: the set-up of a
//! checkout and the end-to-end suite include it.

/// The Codex CLI that is installed by default, and that is tested in full.
pub const PINNED: &str = "0.171.0";
/// The one before it, which is tested beside it.
pub const PREVIOUS: &str = "0.169.0";
/// The oldest Codex CLI with an app-server that the proxy drives; older ones are not installed.
pub const FLOOR: &str = "0.77.0";
/// The Codex CLI with which the legacy protocol is tested.
pub const LEGACY: &str = "0.42.0";
