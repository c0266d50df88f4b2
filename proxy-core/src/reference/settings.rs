//! Every setting, out of the table.

use crate::config::setting::{Entry, Preset};
use crate::config::table::ALL;

const INTRO: &str = "A setting is taken from its flag, else from its environment variable (an empty one counts as unset), \
                     else from its key in `config.toml`, else it has its default. `codex-proxy config` shows what is in \
                     force and where it came from. [Configuration](../configuration.md) explains the file.\n\n\
                     Relative paths in `config.toml` start from the folder of that file, others from the working \
                     directory.\n";

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
        rows.push(format!("Where it is not set, {} counts.", names.join(", else ")));
    }
    if meta.secret {
        rows.push("Secret: it is never shown.".to_owned());
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
