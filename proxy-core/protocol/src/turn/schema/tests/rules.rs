//! A second implementation of the strict rules, written from OpenAI's guide and independent of `strict`.

use serde_json::Value;

/// The first rule that a schema breaks.
pub(super) fn broken(schema: &Value) -> Option<String> {
    if schema["type"] != "object" {
        return Some("the root is no object".into());
    }
    let mut tally = Tally::default();
    walk(schema, schema, 0, true, &mut tally).err().or_else(|| {
        (tally.properties > 5_000 || tally.values > 1_000 || tally.text > 120_000)
            .then(|| format!("{tally:?}"))
    })
}

#[derive(Debug, Default)]
struct Tally {
    properties: usize,
    values: usize,
    text: usize,
}

fn walk(root: &Value, schema: &Value, depth: usize, top: bool, tally: &mut Tally) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{why}: {schema}"));
    let Some(members) = schema.as_object() else { return fail("no object") };
    if let Some(target) = members.get("$ref") {
        let found =
            target.as_str().and_then(|target| target.strip_prefix('#')).and_then(|path| root.pointer(path));
        return if members.len() == 1 && found.is_some() { Ok(()) } else { fail("a bad reference") };
    }
    let kinds: Vec<&str> = match schema["type"].as_array() {
        Some(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        None => schema["type"].as_str().into_iter().collect(),
    };
    if kinds.is_empty() && schema["anyOf"].as_array().is_none_or(Vec::is_empty) {
        return fail("neither a type nor anyOf");
    }
    for (key, value) in members {
        match key.as_str() {
            "title" | "description" if value.is_string() => {}
            "$schema" if top => {}
            "$defs" | "definitions" if top => {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    tally.text += name.len();
                    walk(root, schema, 0, false, tally)?;
                }
            }
            "type" | "required" | "additionalProperties" => {}
            "anyOf" if !top && kinds.is_empty() => {
                for branch in value.as_array().into_iter().flatten() {
                    walk(root, branch, depth, false, tally)?;
                }
            }
            "enum" => {
                for value in value.as_array().into_iter().flatten() {
                    tally.values += 1;
                    tally.text += value.as_str().map_or(0, str::len);
                    if value.is_object() || value.is_array() {
                        return fail("a composed value");
                    }
                }
            }
            "const" => tally.values += 1,
            "properties" if kinds.contains(&"object") => {}
            "items" if kinds.contains(&"array") => walk(root, value, depth, false, tally)?,
            "minItems" | "maxItems" if kinds.contains(&"array") && value.is_u64() => {}
            "pattern" if kinds.contains(&"string") && value.is_string() => {}
            "format" if kinds.contains(&"string") => {
                let known = "date-time time date duration email hostname ipv4 ipv6 uuid";
                if !known.split(' ').any(|format| value == format) {
                    return fail("an unknown format");
                }
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf"
                if (kinds.contains(&"number") || kinds.contains(&"integer")) && value.is_number() => {}
            other => return fail(&format!("'{other}' is not permitted here")),
        }
    }
    if kinds.contains(&"array") && members.get("items").is_none() {
        return fail("an array without items");
    }
    if kinds.contains(&"object") {
        let Some(properties) = schema["properties"].as_object() else { return fail("no properties") };
        let mut required: Vec<_> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut names: Vec<_> = properties.keys().map(String::as_str).collect();
        required.sort_unstable();
        names.sort_unstable();
        if required != names || schema["additionalProperties"] != false || depth + 1 > 10 {
            return fail("an open object");
        }
        tally.properties += names.len();
        for (name, schema) in properties {
            tally.text += name.len();
            walk(root, schema, depth + 1, false, tally)?;
        }
    }
    Ok(())
}
