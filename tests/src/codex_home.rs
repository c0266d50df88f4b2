//! Writes a `CODEX_HOME` that points a real Codex to the fake upstream.

use std::fs;
use std::path::Path;

use crate::codex_bin;
use crate::fake_openai::issuer::{Person, auth_json_of};

/// Writes `config.toml` into `directory`, so that Codex uses `base_url` instead of OpenAI.
///
/// Codex retries a broken stream `stream_retries` times; with 0, failures come at once.
pub fn codex_home(directory: &Path, version: &str, base_url: &str, stream_retries: u32) {
    let websockets = match version {
        codex_bin::FLOOR | codex_bin::LEGACY => "",
        _ => "supports_websockets = false\n",
    };
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

/// Writes a `config.toml` like [`codex_home`]'s for the newest Codex, but with a provider that needs a sign-in,
/// and with the accounts at `accounts_url`.
pub fn codex_home_with_sign_in(directory: &Path, base_url: &str, accounts_url: &str) {
    let config = format!(
        "model_provider = \"mock\"\n\
         chatgpt_base_url = \"{accounts_url}\"\n\
         cli_auth_credentials_store = \"file\"\n\n\
         [model_providers.mock]\n\
         name = \"mock\"\n\
         base_url = \"{base_url}\"\n\
         wire_api = \"responses\"\n\
         requires_openai_auth = true\n\
         request_max_retries = 0\n\
         stream_max_retries = 0\n\
         supports_websockets = false\n"
    );
    fs::create_dir_all(directory).expect("a writable test folder");
    fs::write(directory.join("config.toml"), config).expect("a writable test folder");
}

/// Writes a `CODEX_HOME` in which `person` is signed in to OpenAI, with the upstream and the accounts at these
/// URLs.
pub fn signed_in_home(directory: &Path, base_url: &str, accounts_url: &str, person: &Person) {
    let config = format!(
        "openai_base_url = \"{base_url}\"\n\
         chatgpt_base_url = \"{accounts_url}\"\n\
         cli_auth_credentials_store = \"file\"\n"
    );
    fs::create_dir_all(directory).expect("a writable test folder");
    fs::write(directory.join("config.toml"), config).expect("a writable test folder");
    fs::write(directory.join("auth.json"), auth_json_of(person)).expect("a writable test folder");
}
