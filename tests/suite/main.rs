//! The end-to-end suite: the built proxy, the real Codex, the fake Codex, official SDKs.

#![expect(clippy::disallowed_methods, reason = "the suite starts processes and reads its settings")]

mod bad_input;
mod bytes;
mod failures;
mod fake_codex;
mod fake_codex_faults;
mod guards;
mod images;
mod lifecycle;
mod models;
mod purity;
mod schemas;
mod sdk;
mod spec;
mod surface;
mod text;
mod tools;
mod transcripts;
