//! Converts a component of an OpenAPI document to a JSON Schema (2020-12).
//!
//! Both documents say OpenAPI 3.1, whose schemas are JSON Schemas already, with these exceptions:
//!
//! - OpenAI's still has OpenAPI 3.0's `nullable: true`, which becomes one more allowed type.
//! - The branches of OpenAI's `oneOf`s overlap (an output message is an input message too, and text of an
//!   assistant matches two content types), so that a good value matches several: `oneOf` becomes `anyOf`.
//! - Under a `discriminator`, the property that it names selects the branch. As `if`/`then`, this gives a precise
//!   message about a value, instead of one that no branch matches, and no value can match a less strict branch.
//! - `$recursiveRef` (a filter of file search) belongs to an older draft, and allows anything here.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const PREFIX: &str = "#/components/schemas/";

/// The schema of `component`, with all the components that it refers to.
pub(super) fn of_component(document: &Value, component: &str) -> Value {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![component.to_owned()];
    let mut schemas = Map::new();
    while let Some(name) = waiting.pop() {
        if !reached.insert(name.clone()) {
            continue;
        }
        let converted = Converter { document }.convert(lookup(document, &name));
        references(&converted, &mut waiting);
        schemas.insert(name, converted);
    }
    json!({"$ref": format!("{PREFIX}{component}"), "components": {"schemas": schemas}})
}

fn lookup<'a>(document: &'a Value, name: &str) -> &'a Value {
    document["components"]["schemas"]
        .get(name)
        .unwrap_or_else(|| panic!("the document has no component {name}"))
}

fn references(schema: &Value, into: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(name) = members.get("$ref").and_then(referred) {
                into.push(name.to_owned());
            }
            members.values().for_each(|member| references(member, into));
        }
        Value::Array(elements) => elements.iter().for_each(|element| references(element, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn referred(reference: &Value) -> Option<&str> {
    reference.as_str()?.strip_prefix(PREFIX)
}

struct Converter<'a> {
    document: &'a Value,
}

impl Converter<'_> {
    fn convert(&self, schema: &Value) -> Value {
        let Some(members) = schema.as_object() else { return schema.clone() };
        let mut out = Map::new();
        for (keyword, value) in members {
            match keyword.as_str() {
                "items" | "additionalProperties" | "not" => {
                    out.insert(keyword.clone(), self.convert(value));
                }
                "allOf" | "prefixItems" => {
                    out.insert(keyword.clone(), self.convert_all(value).into());
                }
                "oneOf" | "anyOf" => self.alternatives(schema, value, &mut out),
                "properties" | "patternProperties" => {
                    let properties = value.as_object().expect("properties are an object");
                    let properties: Map<_, _> =
                        properties.iter().map(|(name, value)| (name.clone(), self.convert(value))).collect();
                    out.insert(keyword.clone(), properties.into());
                }
                "nullable" | "discriminator" | "$recursiveRef" | "$recursiveAnchor" | "example" | "title"
                | "description" | "deprecated" | "default" => {}
                other if other.starts_with("x-") => {}
                _ => {
                    out.insert(keyword.clone(), value.clone());
                }
            }
        }
        if schema["nullable"] == true {
            return json!({"anyOf": [out, {"type": "null"}]});
        }
        out.into()
    }

    fn convert_all(&self, schemas: &Value) -> Vec<Value> {
        schemas.as_array().expect("a list of schemas").iter().map(|schema| self.convert(schema)).collect()
    }

    fn alternatives(&self, schema: &Value, branches: &Value, out: &mut Map<String, Value>) {
        let rules = match schema["discriminator"]["propertyName"].as_str() {
            Some(property) => self.discriminated(property, branches),
            None => None,
        };
        match rules {
            Some(rules) => out.entry("allOf").or_insert_with(|| json!([])).as_array_mut().map(|all| {
                all.extend(rules);
            }),
            None => out.insert("anyOf".to_owned(), self.convert_all(branches).into()).map(drop),
        };
    }

    /// The branches as rules for the value of `property`, if each branch has a fixed value of it.
    fn discriminated(&self, property: &str, branches: &Value) -> Option<Vec<Value>> {
        let mut by_tag: Vec<(String, Vec<Value>)> = Vec::new();
        for branch in branches.as_array()? {
            for tag in self.tags(branch, property)? {
                let converted = self.convert(branch);
                match by_tag.iter_mut().find(|(known, _)| *known == tag) {
                    Some((_, schemas)) => schemas.push(converted),
                    None => by_tag.push((tag, vec![converted])),
                }
            }
        }
        let tags: Vec<_> = by_tag.iter().map(|(tag, _)| tag.clone()).collect();
        let any = json!({"type": "object", "required": [property], "properties": {property: {"enum": tags}}});
        let rules = by_tag.into_iter().map(|(tag, schemas)| {
            json!({
                "if": {"required": [property], "properties": {property: {"const": tag}}},
                "then": {"anyOf": schemas},
            })
        });
        Some(std::iter::once(any).chain(rules).collect())
    }

    /// The values that `schema` allows for `property`, if it lists them.
    fn tags(&self, schema: &Value, property: &str) -> Option<Vec<String>> {
        if let Some(name) = referred(&schema["$ref"]) {
            return self.tags(lookup(self.document, name), property);
        }
        let own = &schema["properties"][property];
        if let Some(tag) = own["const"].as_str() {
            return Some(vec![tag.to_owned()]);
        }
        if let Some(tags) = own["enum"].as_array() {
            return tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect();
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(branches) = schema[keyword].as_array() {
                let nested: Option<Vec<_>> =
                    branches.iter().map(|branch| self.tags(branch, property)).collect();
                return nested.map(|tags| tags.concat());
            }
        }
        schema["allOf"].as_array()?.iter().find_map(|part| self.tags(part, property))
    }
}
