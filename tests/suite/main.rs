//! The end-to-end suite: the built proxy, the real Codex, the fake Codex, official SDKs.

#![expect(clippy::disallowed_methods, reason = "the suite starts processes and reads its settings")]

mod fake_codex;
mod fake_codex_faults;
mod legacy;
