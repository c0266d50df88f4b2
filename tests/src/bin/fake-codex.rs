//! A fake Codex: `codex app-server` over stdio, `--version` and `debug models`.

use std::process::ExitCode;

fn main() -> ExitCode {
    e2e::fake_codex::main()
}
