//! Real client programs, with the settings that the proxy writes for them.

mod codex_cli;
mod editors;
#[cfg(target_arch = "x86_64")]
mod opencode;
