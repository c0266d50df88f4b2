//! The documentation pages that are generated from the program: settings, commands and metrics.
//!
//! This code exists only in tests. `cargo xtask docs` runs the tests below with [`WRITE`] set, and they write the pages.
//! Without it, the tests compare the pages with what they would write.

mod commands;
mod metrics;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

/// If this environment variable is set, the tests write the pages.
const WRITE: &str = "CODEX_PROXY_WRITE_DOCS";

/// The head of a generated page.
fn page(title: &str, intro: &str) -> String {
    format!("# {title}\n\n<!-- Made by `cargo xtask docs`. -->\n\n{intro}\n")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/reference")
}

#[expect(clippy::disallowed_methods, reason = "the test is asked by its environment to write")]
fn is_to_write() -> bool {
    std::env::var_os(WRITE).is_some()
}

fn check(name: &str, text: &str) {
    let file = folder().join(name);
    if is_to_write() {
        fs::create_dir_all(folder()).unwrap();
        fs::write(&file, text).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "docs/src/reference/{name} does not match the program; run `cargo xtask docs`");
}

#[test]
fn the_page_of_settings_is_up_to_date() {
    check("settings.md", &settings::page());
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    check("commands.md", &commands::page());
}

#[test]
fn the_page_of_metrics_is_up_to_date() {
    check("metrics.md", &metrics::page());
}
