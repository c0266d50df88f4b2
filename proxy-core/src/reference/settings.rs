//! The page of settings, generated from the settings table.

use crate::config::setting::{Entry, Preset};
use crate::config::table::ALL;

const INTRO: &str = "For each setting, the proxy uses the flag first, then the environment variable (an empty one counts as \
                     unset), then the key in `config.toml`, then the default. `codex-proxy config` shows the values in use \
                     and where each comes from. [Configuration](../configuration.md) explains the file.\n\n\
                     Relative paths in `config.toml` start from the folder of that file. Other relative paths start from \
                     the working directory.\n";

pub(super) fn page() -> String {
    ALL.iter().fold(super::page("Settings", INTRO), |page, entry| page + "\n" + &section(*entry))
}

fn section(entry: &dyn Entry) -> String {
    let meta = entry.meta();
    let mut rows = vec![format!("Value: {}.", entry.allowed()), format!("Default: {}.", default_of(entry))];
    match meta.key {
        Some(key) => rows.push(format!("In `config.toml`: `{key}`.")),
        None => rows.push("Not in `config.toml`.".to_owned()),
    }
    rows.extend(meta.flag.map(|flag| format!("Flag: `--{flag}`.")));
    if !meta.also.is_empty() {
        let names: Vec<String> = meta.also.iter().map(|name| format!("`{name}`")).collect();
        rows.push(format!("If it is not set, the proxy uses {}.", names.join(", then ")));
    }
    if meta.secret {
        rows.push("Secret: never shown.".to_owned());
    }
    let rows: String = rows.iter().map(|row| format!("- {row}\n")).collect();
    format!("## `{}`\n\n{}\n\n{rows}", meta.env, meta.about)
}

fn default_of(entry: &dyn Entry) -> String {
    match entry.meta().preset {
        Preset::Text("") => "unset".to_owned(),
        Preset::Text(text) => format!("`{text}`"),
        Preset::DataDir => "the platform's directory for an application's data".to_owned(),
        Preset::InDataDir(name) => format!("`{name}` in the data directory"),
    }
}
