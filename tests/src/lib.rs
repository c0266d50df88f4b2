//! Test kit of Codex Proxy.
//!
//! Three ways to replace the outside world, from most to least real:
//!
//! - the real Codex ([`codex_bin`]) against a scripted upstream ([`fake_openai`]);
//! - a fake Codex ([`fake_codex`], binary `fake-codex`) whose behaviour and faults are data;
//! - raw HTTP against the built proxy, parsed strictly.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "this library is linked into tests only: a failed assumption ends the test, and it starts processes"
)]

pub mod app_server;
#[cfg(target_os = "linux")]
pub mod brought;
pub mod browser;
#[cfg(target_os = "linux")]
pub mod chaos;
pub mod codex_bin;
pub mod codex_home;
#[cfg(target_os = "linux")]
pub mod desktop;
#[cfg(target_os = "linux")]
pub mod edge;
pub mod fake_codex;
pub mod fake_npm;
pub mod fake_openai;
pub mod harness;
pub mod patience;
#[cfg(target_os = "linux")]
pub mod processes;
pub mod random;
#[cfg(target_os = "linux")]
pub mod root;
pub mod sdk;
#[cfg(target_os = "linux")]
pub mod secret_service;
#[cfg(target_os = "linux")]
pub mod small_disk;
pub mod socket;
pub mod spec;
pub mod sse;
pub mod transcript;
pub mod webdriver;
