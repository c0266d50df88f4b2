//! OpenAPI schemas → JSON Schema 2020-12.
//!
//! - `nullable: true` adds null to what is allowed.
//! - A `oneOf` or `anyOf` with a discriminator becomes one condition for each value of the discriminating
//!   property, so that an error names the field and not "none of 30 branches". An unknown value is an error.
//! - Any other `oneOf` becomes `anyOf`: branches of the published documents overlap (an integer is a number,
//!   an object without required fields is any object), and `oneOf` would then refuse what each branch allows.

use serde_json::{Map, Value, json};

/// All component schemas, converted.
pub(super) fn schemas(all: &Value) -> Value {
    let converted = all.as_object().into_iter().flatten().map(|(name, one)| (name.clone(), schema(one, all)));
    Value::Object(converted.collect())
}

fn schema(value: &Value, all: &Value) -> Value {
    let Some(fields) = value.as_object() else { return value.clone() };
    let mut converted = Map::new();
    for (key, field) in fields {
        match key.as_str() {
            "nullable" | "discriminator" | "example" | "examples" | "description" | "title" => {}
            key if key.starts_with("x-") => {}
            "oneOf" | "anyOf" => {
                let conditions = discriminated(fields, field, all);
                let (key, field) = conditions.unwrap_or_else(|| ("anyOf", each(field, all)));
                converted.insert(key.to_owned(), field);
            }
            "properties" | "patternProperties" | "$defs" => {
                let map = field.as_object().into_iter().flatten();
                let map: Map<_, _> = map.map(|(name, one)| (name.clone(), schema(one, all))).collect();
                converted.insert(key.clone(), Value::Object(map));
            }
            "allOf" | "prefixItems" => drop(converted.insert(key.clone(), each(field, all))),
            "items" | "additionalProperties" | "not" | "if" | "then" | "else" => {
                converted.insert(key.clone(), schema(field, all));
            }
            _ => drop(converted.insert(key.clone(), field.clone())),
        }
    }
    match fields.get("nullable") {
        Some(Value::Bool(true)) => json!({"anyOf": [converted, {"type": "null"}]}),
        _ => Value::Object(converted),
    }
}

fn each(list: &Value, all: &Value) -> Value {
    list.as_array().into_iter().flatten().map(|one| schema(one, all)).collect()
}

/// The conditions for a union with a discriminator, if every branch tells its values.
fn discriminated(
    fields: &Map<String, Value>,
    branches: &Value,
    all: &Value,
) -> Option<(&'static str, Value)> {
    let property = fields.get("discriminator")?["propertyName"].as_str()?;
    let mut by_value: Vec<(Value, Vec<Value>)> = Vec::new();
    for branch in branches.as_array()? {
        for value in values(branch, property, all, 0)? {
            match by_value.iter_mut().find(|(known, _)| *known == value) {
                Some((_, same)) => same.push(schema(branch, all)),
                None => by_value.push((value, vec![schema(branch, all)])),
            }
        }
    }
    let known: Vec<_> = by_value.iter().map(|(value, _)| value.clone()).collect();
    let mut conditions =
        vec![json!({"type": "object", "required": [property], "properties": {property: {"enum": known}}})];
    conditions.extend(by_value.into_iter().map(|(value, mut same)| {
        // One branch alone gives errors that name the field.
        let then = if same.len() == 1 { same.remove(0) } else { json!({"anyOf": same}) };
        json!({
            "if": {"required": [property], "properties": {property: {"const": value}}},
            "then": then,
        })
    }));
    Some(("allOf", Value::Array(conditions)))
}

/// The values that a branch allows for the discriminating property.
fn values(branch: &Value, property: &str, all: &Value, depth: usize) -> Option<Vec<Value>> {
    if depth > 8 {
        return None;
    }
    if let Some(name) = branch["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/")) {
        return values(&all[name], property, all, depth + 1);
    }
    let field = &branch["properties"][property];
    if let Some(value) = field.get("const") {
        return Some(vec![value.clone()]);
    }
    if let Some(list) = field["enum"].as_array() {
        return Some(list.clone());
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(list) = branch[key].as_array() {
            let nested: Option<Vec<Vec<Value>>> =
                list.iter().map(|one| values(one, property, all, depth + 1)).collect();
            return nested.map(|lists| lists.concat());
        }
    }
    branch["allOf"].as_array()?.iter().find_map(|one| values(one, property, all, depth + 1))
}
