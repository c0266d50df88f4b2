//! The `config.toml` of Codex CLI.

use toml_edit::{DocumentMut, Item, Table, TableLike, Value, value};

use super::{ENTRY, ENTRY_NAME, KEY_VARIABLE, MODEL, Unfit};

pub(super) fn leads_to(text: &str, base: &str) -> bool {
    let Ok(document) = parse(text) else { return false };
    let url = document.get("model_providers").and_then(|all| all.get(ENTRY)?.get("base_url")?.as_str());
    document.get("model_provider").and_then(Item::as_str) == Some(ENTRY) && url == Some(base)
}

pub(super) fn enter(text: &str, base: &str) -> Result<String, Unfit> {
    let mut document = parse(text)?;
    set(&mut document, "model", MODEL);
    set(&mut document, "model_provider", ENTRY);
    let mut implicit = Table::new();
    implicit.set_implicit(true);
    let providers = document.entry("model_providers").or_insert(Item::Table(implicit));
    let providers = providers.as_table_like_mut().ok_or(Unfit::Providers)?;
    match providers.get_mut(ENTRY).and_then(Item::as_table_like_mut) {
        Some(entry) => fill(entry, base),
        None => {
            let mut entry = Table::new();
            fill(&mut entry, base);
            providers.insert(ENTRY, Item::Table(entry));
        }
    }
    Ok(document.to_string())
}

/// `before` contains the old model and provider.
pub(super) fn remove(text: &str, before: &str) -> Result<String, Unfit> {
    let (mut document, before) = (parse(text)?, parse(before)?);
    for (key, ours) in [("model", MODEL), ("model_provider", ENTRY)] {
        if document.get(key).and_then(Item::as_str) != Some(ours) {
            continue;
        }
        match before.get(key).and_then(Item::as_str) {
            Some(old) => set(&mut document, key, old),
            None => drop(document.remove(key)),
        }
    }
    if let Some(providers) = document.get_mut("model_providers").and_then(Item::as_table_like_mut) {
        providers.remove(ENTRY);
    }
    Ok(document.to_string())
}

fn parse(text: &str) -> Result<DocumentMut, Unfit> {
    // The message of the parser quotes the line, which may contain a key.
    text.parse().map_err(|_| Unfit::Syntax("TOML"))
}

/// Sets a key. The comments before and after it are kept.
fn set(document: &mut DocumentMut, key: &str, text: &str) {
    let mut new = Value::from(text);
    if let Some(old) = document.get(key).and_then(Item::as_value) {
        *new.decor_mut() = old.decor().clone();
    }
    document[key] = Item::Value(new);
}

fn fill(entry: &mut dyn TableLike, base: &str) {
    for (key, text) in
        [("name", ENTRY_NAME), ("base_url", base), ("env_key", KEY_VARIABLE), ("wire_api", "responses")]
    {
        entry.insert(key, value(text));
    }
}
