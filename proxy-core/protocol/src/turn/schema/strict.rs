//! The rules of strict schemas.

use std::collections::HashSet;

use serde_json::{Map, Value};

const MAX_PROPERTIES: usize = 5_000;
const MAX_OBJECTS_DEEP: usize = 10;
/// The most characters of all names and values together.
const MAX_TEXT: usize = 120_000;
const MAX_VALUES: usize = 1_000;
/// With more values than this, an enumeration of texts may have only [`MAX_LARGE_TEXT`] characters.
const LARGE_ENUMERATION: usize = 250;
const MAX_LARGE_TEXT: usize = 15_000;

const WORDS: &[&str] = &["title", "description"];
const FORMATS: &[&str] =
    &["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
/// The keywords of numbers that a strict schema may have.
pub(super) const NUMBERS: &[&str] =
    &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];

/// Whether the service accepts `schema` as a strict one.
pub(super) fn conforms(schema: &Value) -> bool {
    let Some(root) = schema.as_object() else { return false };
    let mut rules = Rules { root, properties: 0, text: 0, values: 0 };
    let mut body = root.clone();
    for key in ["$defs", "definitions"] {
        let Some(definitions) = body.remove(key) else { continue };
        let Some(definitions) = definitions.as_object() else { return false };
        rules.text += definitions.keys().map(|name| length(name)).sum::<usize>();
        if !definitions.values().all(|schema| rules.schema(schema, 0)) {
            return false;
        }
    }
    if body.remove("$schema").is_some_and(|dialect| !dialect.is_string()) {
        return false;
    }
    root.get("type").is_some_and(|kind| kind == "object") && rules.members(&body, 0) && rules.within_limits()
}

/// Whether the service knows this `format`.
pub(super) fn knows_format(format: &Value) -> bool {
    format.as_str().is_some_and(|format| FORMATS.contains(&format))
}

/// Whether the service supports this `pattern`: it must have no look-around and no back-references.
pub(super) fn knows_pattern(pattern: &Value) -> bool {
    let Some(pattern) = pattern.as_str() else { return false };
    let grouped = pattern.match_indices("(?").all(|(at, _)| pattern[at + 2..].starts_with(':'));
    let referring = pattern
        .as_bytes()
        .windows(2)
        .any(|pair| pair[0] == b'\\' && (matches!(pair[1], b'1'..=b'9' | b'k' | b'b' | b'B' | b'p' | b'P')));
    grouped && !referring
}

/// The counts so far.
struct Rules<'a> {
    root: &'a Map<String, Value>,
    properties: usize,
    text: usize,
    values: usize,
}

impl Rules<'_> {
    fn within_limits(&self) -> bool {
        self.properties <= MAX_PROPERTIES && self.text <= MAX_TEXT && self.values <= MAX_VALUES
    }

    fn schema(&mut self, schema: &Value, depth: usize) -> bool {
        schema.as_object().is_some_and(|members| self.members(members, depth))
    }

    fn members(&mut self, members: &Map<String, Value>, depth: usize) -> bool {
        if WORDS.iter().any(|key| members.get(*key).is_some_and(|words| !words.is_string())) {
            return false;
        }
        if let Some(target) = members.get("$ref") {
            return members.len() == 1 && target.as_str().is_some_and(|target| self.is_defined(target));
        }
        if let Some(branches) = members.get("anyOf") {
            let branches = branches.as_array().filter(|branches| !branches.is_empty());
            return has_only(members, &["anyOf"])
                && branches.is_some_and(|branches| branches.iter().all(|branch| self.schema(branch, depth)));
        }
        let types: Vec<&str> = match members.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) if !names.is_empty() => {
                names.iter().map(|name| name.as_str().unwrap_or_default()).collect()
            }
            _ => return false,
        };
        let mut allowed = vec!["type", "enum", "const"];
        for name in &types {
            match *name {
                "string" => allowed.extend(["pattern", "format"]),
                "number" | "integer" => allowed.extend(NUMBERS),
                "boolean" | "null" => {}
                "array" => allowed.extend(["items", "minItems", "maxItems"]),
                "object" => allowed.extend(["properties", "required", "additionalProperties"]),
                _ => return false,
            }
        }
        has_only(members, &allowed)
            && NUMBERS.iter().all(|key| members.get(*key).is_none_or(Value::is_number))
            && members.get("format").is_none_or(knows_format)
            && members.get("pattern").is_none_or(knows_pattern)
            && members.get("enum").is_none_or(|values| self.enumeration(values))
            && members.get("const").is_none_or(|value| self.value(value))
            && (!types.contains(&"array") || self.array(members, depth))
            && (!types.contains(&"object") || self.object(members, depth + 1))
    }

    fn array(&mut self, members: &Map<String, Value>, depth: usize) -> bool {
        let counts = ["minItems", "maxItems"];
        counts.iter().all(|key| members.get(*key).is_none_or(Value::is_u64))
            && members.get("items").is_some_and(|items| self.schema(items, depth))
    }

    fn object(&mut self, members: &Map<String, Value>, depth: usize) -> bool {
        let Some(properties) = members.get("properties").and_then(Value::as_object) else { return false };
        let Some(required) = members.get("required").and_then(Value::as_array) else { return false };
        self.properties += properties.len();
        self.text += properties.keys().map(|name| length(name)).sum::<usize>();
        let required: HashSet<_> = required.iter().filter_map(Value::as_str).collect();
        depth <= MAX_OBJECTS_DEEP
            && members.get("additionalProperties") == Some(&Value::Bool(false))
            && required.len() == properties.len()
            && properties.keys().all(|name| required.contains(name.as_str()))
            && properties.values().all(|schema| self.schema(schema, depth))
    }

    fn enumeration(&mut self, values: &Value) -> bool {
        let Some(values) = values.as_array().filter(|values| !values.is_empty()) else { return false };
        let before = self.text;
        values.iter().all(|value| self.value(value))
            && (values.len() <= LARGE_ENUMERATION || self.text - before <= MAX_LARGE_TEXT)
    }

    fn value(&mut self, value: &Value) -> bool {
        self.values += 1;
        self.text += value.as_str().map_or(0, length);
        !value.is_object() && !value.is_array()
    }

    fn is_defined(&self, target: &str) -> bool {
        if target == "#" {
            return true;
        }
        let Some((key, name)) = target.strip_prefix("#/").and_then(|path| path.split_once('/')) else {
            return false;
        };
        let plain = !name.contains(['/', '~', '%']);
        plain
            && matches!(key, "$defs" | "definitions")
            && self.root.get(key).is_some_and(|all| all.get(name).is_some())
    }
}

fn has_only(members: &Map<String, Value>, allowed: &[&str]) -> bool {
    members.keys().all(|key| allowed.contains(&key.as_str()) || WORDS.contains(&key.as_str()))
}

fn length(text: &str) -> usize {
    text.chars().count()
}
