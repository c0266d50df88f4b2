//! The end-to-end suite: the built proxy, the real Codex, the fake Codex, official SDKs.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the suite starts processes and reads its settings; a failed assumption ends the test"
)]

mod fake_codex;
mod fake_codex_faults;
mod legacy;
