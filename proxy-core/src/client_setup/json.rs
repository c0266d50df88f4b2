//! Settings in JSON with comments: an object for the proxy at a path of keys.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::{Value, json};

use super::{ENTRY, ENTRY_NAME, KEY_VARIABLE, MODEL, MODEL_NAME, Unfit};

/// The format of one program.
pub(super) struct Format {
    /// The keys of the objects around the entry, and the key of the entry.
    path: &'static [&'static str],
    entry: fn(&str) -> Value,
    /// The key of the address in the entry.
    address: &'static str,
    /// The beginning of a new file.
    head: &'static [(&'static str, &'static str)],
}

pub(super) const ZED: Format = Format {
    path: &["language_models", "openai_compatible", ENTRY_NAME],
    entry: zed,
    address: "/api_url",
    head: &[],
};

pub(super) const OPENCODE: Format = Format {
    path: &["provider", ENTRY],
    entry: opencode,
    address: "/options/baseURL",
    head: &[("$schema", "https://opencode.ai/config.json")],
};

/// Zed stores the key in the system's keychain.
fn zed(base: &str) -> Value {
    json!({
        "api_url": base,
        "available_models": [{
            "name": MODEL,
            "display_name": MODEL_NAME,
            "max_tokens": 272_000,
            "capabilities": {
                "tools": true, "images": true, "parallel_tool_calls": true, "prompt_cache_key": true
            }
        }]
    })
}

fn opencode(base: &str) -> Value {
    json!({
        "npm": "@ai-sdk/openai-compatible",
        "name": ENTRY_NAME,
        "options": {"baseURL": base, "apiKey": format!("{{env:{KEY_VARIABLE}}}")},
        "models": {MODEL: {"name": MODEL_NAME}}
    })
}

impl Format {
    pub(super) fn leads_to(&self, text: &str, base: &str) -> bool {
        let found = parse(text).ok().and_then(|root| root.to_serde_value());
        let entry = found.as_ref().and_then(|value| self.path.iter().try_fold(value, |at, key| at.get(key)));
        entry.and_then(|entry| entry.pointer(self.address)?.as_str()) == Some(base)
    }

    pub(super) fn enter(&self, text: &str, base: &str) -> Result<String, Unfit> {
        let root = parse(text)?;
        let mut object = root.object_value_or_create().ok_or(Unfit::NoObject("the whole"))?;
        if text.trim().is_empty() {
            for (key, value) in self.head {
                object.append(key, (*value).into());
            }
        }
        let Some((name, around)) = self.path.split_last() else { return Ok(text.to_owned()) };
        for key in around {
            object = object.object_value_or_create(key).ok_or(Unfit::NoObject(key))?;
        }
        let entry = input(&(self.entry)(base));
        match object.get(name) {
            Some(old) => old.set_value(entry),
            None => drop(object.append(name, entry)),
        }
        let mut text = root.to_string();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }

    /// Removes the entry, and the objects around it if they are then empty.
    pub(super) fn remove(&self, text: &str) -> Result<String, Unfit> {
        let root = parse(text)?;
        let around = self.path.split_last().map_or(self.path, |(_, around)| around);
        let mut objects: Vec<CstObject> = root.object_value().into_iter().collect();
        for key in around {
            let next = objects.last().and_then(|object| object.object_value(key));
            let Some(next) = next else { return Ok(text.to_owned()) };
            objects.push(next);
        }
        for (place, (object, name)) in objects.iter().zip(self.path).enumerate().rev() {
            let Some(property) = object.get(name) else { break };
            let is_entry = place + 1 == self.path.len();
            if is_entry || property.object_value().is_some_and(|inner| inner.properties().is_empty()) {
                property.remove();
            }
        }
        Ok(root.to_string())
    }
}

fn parse(text: &str) -> Result<CstRootNode, Unfit> {
    // The message of the parser may quote the line, which may contain a key.
    CstRootNode::parse(text, &ParseOptions::default()).map_err(|_| Unfit::Syntax("JSON with comments"))
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(pairs) => {
            CstInputValue::Object(pairs.iter().map(|(key, value)| (key.clone(), input(value))).collect())
        }
    }
}
