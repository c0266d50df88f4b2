//! Resolves `allOf`, `anyOf`, `oneOf` and references beside other keywords: a schema becomes the list of its
//! alternatives.

use serde_json::{Map, Value, json};

/// One of several schemas; an instance satisfies at least one of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Alternative {
    /// The place of the schema, if this is only a reference; `members` then has only texts for people.
    pub(super) target: Option<String>,
    pub(super) members: Map<String, Value>,
}

/// Keywords with texts for people.
pub(super) const WORDS: &[&str] = &["title", "description"];

/// Keywords that do not restrict instances, or restrict them in a way that no strict schema can express. Without
/// the latter the strict schema allows more.
const WITHOUT_EFFECT: &[&str] = &[
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "nullable",
    "discriminator",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
];

const COMPOSED: &[&str] = &["$ref", "allOf", "anyOf", "oneOf"];

/// The most alternatives: a schema multiplies when its alternatives are combined.
const MAX_ALTERNATIVES: usize = 64;
/// The most references in a row: references may form a cycle.
const MAX_DEPTH: usize = 32;

/// Resolves the schemas of one document, until the fuel is used up.
#[derive(Debug)]
pub(super) struct Flattener<'a> {
    pub(super) document: &'a Value,
    pub(super) fuel: usize,
}

impl Flattener<'_> {
    /// The alternatives of `schema`, none if nothing satisfies it; `None` if it has no strict form.
    pub(super) fn alternatives(&mut self, schema: &Value) -> Option<Vec<Alternative>> {
        self.flatten(schema, MAX_DEPTH)
    }

    /// The schema that a reference points to.
    pub(super) fn resolve(&mut self, target: &str) -> Option<Value> {
        let pointer = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'))?;
        let schema = self.document.pointer(pointer)?;
        self.fuel = self.fuel.checked_sub(weight(schema))?;
        Some(schema.clone())
    }

    fn flatten(&mut self, schema: &Value, depth: usize) -> Option<Vec<Alternative>> {
        self.fuel = self.fuel.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        let members = match schema {
            Value::Bool(true) => return Some(vec![Alternative::default()]),
            Value::Bool(false) => return Some(Vec::new()),
            Value::Object(members) => members,
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
        };
        let own = members.iter().filter(|(key, _)| {
            ![WITHOUT_EFFECT, COMPOSED, WORDS].iter().any(|known| known.contains(&key.as_str()))
        });
        let own = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut found = vec![Alternative { target: None, members: own }];
        if let Some(target) = members.get("$ref") {
            let reference = Alternative { target: Some(target.as_str()?.to_owned()), members: Map::new() };
            found = self.product(&[reference], &found, depth)?;
        }
        for part in branches(members, "allOf")? {
            let part = self.flatten(part, depth)?;
            found = self.product(&found, &part, depth)?;
        }
        for key in ["anyOf", "oneOf"] {
            let Some(Value::Array(branches)) = members.get(key) else { continue };
            let mut all = Vec::new();
            for branch in branches {
                all.extend(self.flatten(branch, depth)?);
            }
            found = self.product(&found, &all, depth)?;
        }
        if let [only] = found.as_mut_slice() {
            let words = members.iter().filter(|(key, _)| WORDS.contains(&key.as_str()));
            only.members.extend(words.map(|(key, value)| (key.clone(), value.clone())));
        }
        Some(found)
    }

    /// The alternatives that satisfy both one of `left` and one of `right`.
    fn product(
        &mut self,
        left: &[Alternative],
        right: &[Alternative],
        depth: usize,
    ) -> Option<Vec<Alternative>> {
        let mut found = Vec::new();
        for one in left {
            for other in right {
                self.fuel = self.fuel.checked_sub(1)?;
                if one.is_words() || other.is_words() {
                    found.push(one.joined(other));
                    continue;
                }
                if one.target.is_none() && other.target.is_none() {
                    let weight = one.members.values().chain(other.members.values()).map(weight).sum();
                    self.fuel = self.fuel.checked_sub(weight)?;
                    found.extend(merge(&one.members, &other.members)?);
                    continue;
                }
                let one = self.dereference(one, depth)?;
                let other = self.dereference(other, depth)?;
                found.extend(self.product(&one, &other, depth.checked_sub(1)?)?);
            }
        }
        (found.len() <= MAX_ALTERNATIVES).then_some(found)
    }

    fn dereference(&mut self, alternative: &Alternative, depth: usize) -> Option<Vec<Alternative>> {
        let Some(target) = &alternative.target else { return Some(vec![alternative.clone()]) };
        let schema = self.resolve(target)?;
        self.flatten(&schema, depth)
    }
}

impl Alternative {
    /// Whether any value satisfies it.
    fn is_words(&self) -> bool {
        self.target.is_none() && self.members.keys().all(|key| WORDS.contains(&key.as_str()))
    }

    /// The sum of two schemas, of which one does not restrict instances.
    fn joined(&self, other: &Self) -> Self {
        let mut members = self.members.clone();
        for (key, value) in &other.members {
            members.entry(key.clone()).or_insert_with(|| value.clone());
        }
        Self { target: self.target.clone().or_else(|| other.target.clone()), members }
    }
}

/// The number of values in a value: the cost of a copy.
fn weight(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(members) => members.values().map(weight).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The schemas under a keyword that takes a list of them.
fn branches<'a>(members: &'a Map<String, Value>, key: &str) -> Option<&'a [Value]> {
    match members.get(key) {
        Some(Value::Array(branches)) => Some(branches),
        None => Some(&[]),
        Some(_) => None,
    }
}

/// The schema that satisfies both: `Some(None)` if nothing does, `None` if no schema can express it.
fn merge(one: &Map<String, Value>, other: &Map<String, Value>) -> Option<Option<Alternative>> {
    if (is_tuple(one) && says_items(other)) || (is_tuple(other) && says_items(one)) {
        return None;
    }
    let mut members = one.clone();
    for (key, right) in other {
        let Some(left) = members.get(key).cloned() else {
            members.insert(key.clone(), right.clone());
            continue;
        };
        let both = match key.as_str() {
            _ if left == *right => left,
            "properties" => properties(&left, right)?,
            "patternProperties" => properties(&left, right)?,
            "required" => union(&left, right)?,
            "type" => match types(&left, right)? {
                Some(types) => types,
                None => return Some(None),
            },
            "enum" => {
                let shared = left
                    .as_array()?
                    .iter()
                    .filter(|value| right.as_array().is_some_and(|right| right.contains(value)));
                let shared: Vec<_> = shared.cloned().collect();
                if shared.is_empty() {
                    return Some(None);
                }
                shared.into()
            }
            "const" => return Some(None),
            "items" | "additionalProperties" | "propertyNames" => json!({"allOf": [left, right]}),
            "minimum" | "exclusiveMinimum" | "minItems" => extreme(left, right, |l, r| l >= r)?,
            "maximum" | "exclusiveMaximum" | "maxItems" => extreme(left, right, |l, r| l <= r)?,
            // Another bound or text: the first one is kept for both.
            _ => left,
        };
        members.insert(key.clone(), both);
    }
    close(one, other, &mut members)?;
    Some(Some(Alternative { target: None, members }))
}

fn is_tuple(members: &Map<String, Value>) -> bool {
    members.contains_key("prefixItems") || members.get("items").is_some_and(Value::is_array)
}

fn says_items(members: &Map<String, Value>) -> bool {
    members.contains_key("prefixItems") || members.contains_key("items")
}

fn properties(left: &Value, right: &Value) -> Option<Value> {
    let mut all = left.as_object()?.clone();
    for (name, schema) in right.as_object()? {
        let both = match all.get(name) {
            Some(left) if left != schema => json!({"allOf": [left, schema]}),
            Some(_) | None => schema.clone(),
        };
        all.insert(name.clone(), both);
    }
    Some(all.into())
}

/// For a property that only one of two objects names, the other's rule for unnamed properties applies too.
fn close(
    one: &Map<String, Value>,
    other: &Map<String, Value>,
    members: &mut Map<String, Value>,
) -> Option<()> {
    for (ruling, ruled) in [(one, other), (other, one)] {
        let Some(rule) = ruling.get("additionalProperties").filter(|rule| **rule != Value::Bool(true)) else {
            continue;
        };
        if ruling.contains_key("patternProperties") || ruled.contains_key("patternProperties") {
            return None;
        }
        let named = |name: &String| ruling.get("properties").is_some_and(|all| all.get(name).is_some());
        let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        for (_, schema) in properties.iter_mut().filter(|(name, _)| !named(name)) {
            *schema = if *rule == Value::Bool(false) {
                Value::Bool(false)
            } else {
                json!({"allOf": [schema.clone(), rule]})
            };
        }
    }
    Some(())
}

fn union(left: &Value, right: &Value) -> Option<Value> {
    let mut all = left.as_array()?.clone();
    for name in right.as_array()? {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    Some(all.into())
}

/// The types that both allow; an integer is a number too. `Some(None)` if there is none.
fn types(left: &Value, right: &Value) -> Option<Option<Value>> {
    let names = |value: &Value| -> Option<Vec<String>> {
        match value {
            Value::String(name) => Some(vec![name.clone()]),
            Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    };
    let (left, right) = (names(left)?, names(right)?);
    let allows = |types: &[String], name: &str| {
        types.iter().any(|kind| kind == name || (kind == "number" && name == "integer"))
    };
    let mut shared: Vec<String> = Vec::new();
    for name in left.iter().chain(&right) {
        if allows(&left, name) && allows(&right, name) && !shared.contains(name) {
            shared.push(name.clone());
        }
    }
    Some((!shared.is_empty()).then(|| shared.into()))
}

fn extreme(left: Value, right: &Value, left_is_closer: impl Fn(f64, f64) -> bool) -> Option<Value> {
    let closer = left_is_closer(left.as_f64()?, right.as_f64()?);
    Some(if closer { left } else { right.clone() })
}
