//! Instances of a strict schema, as a model might write them.

use serde_json::{Map, Value, json};

/// A small generator of its own (xorshift), so that a failure can be repeated by its seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }

    /// An instance of `schema`; `None` if it would get too deep.
    pub(super) fn instance(&mut self, root: &Value, schema: &Value, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        if let Some(target) = schema["$ref"].as_str() {
            return self.instance(root, root.pointer(&target[1..])?, depth);
        }
        if let Some(branches) = schema["anyOf"].as_array() {
            let first = self.below(branches.len());
            return (0..branches.len())
                .find_map(|turn| self.instance(root, &branches[(first + turn) % branches.len()], depth));
        }
        if let Some(values) = schema["enum"].as_array() {
            return Some(values[self.below(values.len())].clone());
        }
        if let Some(value) = schema.get("const") {
            return Some(value.clone());
        }
        let kind = match schema["type"].as_array() {
            Some(kinds) => &kinds[self.below(kinds.len())],
            None => &schema["type"],
        };
        let least = schema["minimum"].as_i64().unwrap_or(-1);
        Some(match kind.as_str()? {
            "string" => json!(["", "a", "b", "entries", "key", "value", "\u{e9}"][self.below(7)]),
            "integer" => json!(least + self.below(3) as i64),
            "number" => match self.below(2) {
                0 => json!(least as f64 + 0.5),
                _ => json!(least),
            },
            "boolean" => json!(self.below(2) == 0),
            "null" => Value::Null,
            "array" => {
                let least = usize::try_from(schema["minItems"].as_u64().unwrap_or(0)).ok()?;
                let most = schema["maxItems"].as_u64().and_then(|most| usize::try_from(most).ok());
                let count = (least + self.below(3)).min(most.unwrap_or(usize::MAX));
                let mut values = Vec::new();
                for _ in 0..count {
                    match self.instance(root, &schema["items"], depth) {
                        Some(value) => values.push(value),
                        None if values.len() >= least => break,
                        None => return None,
                    }
                }
                values.into()
            }
            _ => {
                let mut members = Map::new();
                for (name, schema) in schema["properties"].as_object()? {
                    members.insert(name.clone(), self.instance(root, schema, depth)?);
                }
                members.into()
            }
        })
    }
}
