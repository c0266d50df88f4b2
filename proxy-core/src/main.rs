//! Headless `codex-proxy`.
fn main() {}
