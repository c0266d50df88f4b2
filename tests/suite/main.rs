//! The end-to-end suite: the built proxy, the real Codex, the fake Codex, official SDKs.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "the whole crate is tests, which end at a failed assumption; they start processes and read settings"
)]

mod backup;
#[cfg(target_os = "linux")]
mod bad_codex;
mod bad_input;
mod bodies;
mod bytes;
#[cfg(target_os = "linux")]
mod canary;
#[cfg(target_os = "linux")]
mod channel;
#[cfg(target_os = "linux")]
mod chaos;
mod citations;
mod cli;
mod cli_control;
#[cfg(target_os = "linux")]
mod clients;
#[cfg(target_os = "linux")]
mod codex_cli;
#[cfg(target_os = "linux")]
mod compact;
#[cfg(target_os = "linux")]
mod costs;
#[cfg(target_os = "linux")]
mod docs;
#[cfg(target_os = "linux")]
mod edge;
mod edges;
mod exact;
#[cfg(unix)]
mod exposure;
mod failures;
mod fake_codex;
mod fake_codex_faults;
#[cfg(target_os = "linux")]
mod faults;
mod forwarded;
mod guards;
#[cfg(target_os = "linux")]
mod image;
mod images;
mod inputs;
#[cfg(target_os = "linux")]
mod keychain;
mod keys;
mod large_images;
mod legacy;
mod lifecycle;
mod limits;
mod logs;
mod metrics;
mod models;
#[cfg(target_os = "linux")]
mod mutations;
#[cfg(target_os = "linux")]
mod observe;
#[cfg(target_os = "linux")]
mod open_files;
#[cfg(target_os = "linux")]
mod overload;
#[cfg(target_os = "linux")]
mod package;
mod params;
#[cfg(target_os = "linux")]
mod prove;
mod purity;
mod refused;
mod schemas;
mod sdk;
#[cfg(target_os = "linux")]
mod service;
mod share;
mod sign_in;
mod signed_in;
mod smoke;
mod spec;
mod state;
#[cfg(target_os = "linux")]
mod state_kill;
#[cfg(target_os = "linux")]
mod state_load;
#[cfg(unix)]
mod state_owners;
mod state_rules;
#[cfg(target_os = "linux")]
mod state_trouble;
#[cfg(target_os = "linux")]
mod supervision;
mod surface;
mod sync;
mod test_routes;
mod text;
mod threads;
mod token_count;
mod tools;
mod traces;
mod transcripts;
#[cfg(target_os = "linux")]
mod tray;
mod ui;
mod usage;
mod usage_store;
mod web_pages;
mod websocket;
#[cfg(target_os = "linux")]
mod window;
#[cfg(target_os = "linux")]
mod wine;
