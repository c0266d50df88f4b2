//! Writes a `CODEX_HOME` that points a real Codex to the fake upstream.

use std::fs;
use std::path::Path;

use crate::codex_bin;

/// Writes `config.toml` into `directory` so that Codex asks `base_url` instead of OpenAI.
///
/// Codex retries a broken stream `stream_retries` times; 0 makes failures come at once.
pub fn codex_home(directory: &Path, version: &str, base_url: &str, stream_retries: u32) {
    let websockets = if version == codex_bin::NEWEST { "supports_websockets = false\n" } else { "" };
    let config = format!(
        "model_provider = \"mock\"\n\n\
         [model_providers.mock]\n\
         name = \"mock\"\n\
         base_url = \"{base_url}\"\n\
         wire_api = \"responses\"\n\
         request_max_retries = 0\n\
         stream_max_retries = {stream_retries}\n\
         {websockets}"
    );
    fs::create_dir_all(directory).expect("a writable test folder");
    fs::write(directory.join("config.toml"), config).expect("a writable test folder");
}
