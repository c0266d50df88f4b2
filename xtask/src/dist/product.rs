//! What every package and every package manager says of the product: one description, from which all of theirs are made.

use crate::shell::env;

/// The product's name, as people read it.
pub(crate) const NAME: &str = "Codex Proxy";
/// Its name where names have neither spaces nor capitals; the command line's too.
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
/// The application's name on free desktops. Where a dot separates, a hyphen would be one of a domain.
pub(crate) const DESKTOP_ID: &str = "io.github.codex_proxy";
/// Owner and name of the repository that releases come from. Nothing else names it.
const REPOSITORY: &str = "codex-proxy/codex-proxy";
/// Names another repository: a fork's, whose releases are its own.
const OTHER_REPOSITORY: &str = "RELEASE_REPOSITORY";

pub(crate) fn homepage() -> String {
    let other = env(OTHER_REPOSITORY).map(|name| name.to_string_lossy().into_owned());
    format!("https://github.com/{}", other.as_deref().unwrap_or(REPOSITORY))
}

/// Where the assets of a version are, without a slash at the end.
pub(crate) fn downloads(version: &str) -> String {
    format!("{}/releases/download/v{version}", homepage())
}
