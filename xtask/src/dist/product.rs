//! The product texts of every package and every package manager, from one description.

use crate::shell::env;

/// The product's name for people.
pub(crate) const NAME: &str = "Codex Proxy";
/// The name without spaces and capital letters, also the name of the command.
pub(crate) const COMMAND: &str = "codex-proxy";
/// The program of the application.
pub(crate) const APP: &str = "codex-proxy-app";
pub(crate) const SUMMARY: &str = "OpenAI's APIs on this machine, through Codex";
pub(crate) const DESCRIPTION: &str = "Codex Proxy serves the OpenAI API on your own machine, through the Codex CLI and your \
ChatGPT account. Any client of the Responses API or the Chat Completions API can use the models of your ChatGPT plan. \
This is an independent project, not affiliated with or endorsed by OpenAI.";
pub(crate) const LICENCE: &str = "MIT";
pub(crate) const PUBLISHER: &str = "The Codex Proxy project";
pub(crate) const COPYRIGHT: &str = "Copyright (c) 2026 Codex Proxy contributors";
/// The bundle's identifier on macOS.
pub(crate) const IDENTIFIER: &str = "io.github.codex-proxy";
/// The application's ID on Linux desktops. An underscore replaces the hyphen of the name, as these IDs require.
pub(crate) const DESKTOP_ID: &str = "io.github.codex_proxy";
/// Owner and name of the repository of the releases. No other place names it.
const REPOSITORY: &str = "codex-proxy/codex-proxy";
/// The environment variable for another repository, for a fork with its own releases.
const OTHER_REPOSITORY: &str = "RELEASE_REPOSITORY";

pub(crate) fn homepage() -> String {
    let other = env(OTHER_REPOSITORY).map(|name| name.to_string_lossy().into_owned());
    format!("https://github.com/{}", other.as_deref().unwrap_or(REPOSITORY))
}

/// Where the assets of a version are, without a slash at the end.
pub(crate) fn downloads(version: &str) -> String {
    format!("{}/releases/download/v{version}", homepage())
}
