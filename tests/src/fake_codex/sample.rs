//! A small value that satisfies a JSON Schema, for turns with an `outputSchema`.

use serde_json::{Map, Value, json};

/// A value for the schemas that strict structured output allows.
pub(super) fn sample(schema: &Value) -> Value {
    of(schema, schema, 0)
}

fn of(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > 16 {
        return Value::Null;
    }
    if let Some(path) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        return root.pointer(path).map_or(Value::Null, |target| of(target, root, depth + 1));
    }
    if let Some(fixed) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return fixed.clone();
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[key].get(0) {
            return of(first, root, depth + 1);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].get(0).and_then(Value::as_str));
    match kind {
        Some("object") | None if schema["properties"].is_object() => {
            let properties = schema["properties"].as_object();
            let entries = properties.into_iter().flatten();
            Value::Object(entries.map(|(k, v)| (k.clone(), of(v, root, depth + 1))).collect::<Map<_, _>>())
        }
        Some("array") => {
            let count = schema["minItems"].as_u64().unwrap_or(1).min(16);
            (0..count).map(|_| of(&schema["items"], root, depth + 1)).collect()
        }
        Some("string") => json!("text"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_satisfy_their_schemas() {
        for schema in [
            json!({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"array","items":{"type":"integer"}}},"required":["a","b"],"additionalProperties":false}),
            json!({"type":"object","properties":{"n":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]},"e":{"enum":["x","y"]}},"required":["n","e"],"$defs":{"n":{"type":"number"}}}),
            json!({"type":["boolean","null"]}),
        ] {
            let value = sample(&schema);
            jsonschema::validate(&schema, &value).unwrap_or_else(|e| panic!("{value}: {e}"));
        }
    }
}
