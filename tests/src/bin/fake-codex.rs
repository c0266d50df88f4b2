//! Fake Codex.
fn main() {}
