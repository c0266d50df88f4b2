//! Converts an instance of the strict schema into one of the client's schema.
//!
//! A value that does not follow the strict schema stays as it is. An upstream that ignores schemas may send such a
//! value.

use serde_json::{Map, Value};

use super::plan::{Kind, Node, Plan, Property, Rest, WRAPPER};

/// The most checks of values against branches. A client may write unions that would take forever.
const FUEL: usize = 200_000;

pub(super) fn restore(plan: &Plan, value: Value) -> Value {
    let mut way = Way { plan, fuel: FUEL };
    if !plan.is_wrapped() {
        return way.back(&plan.root, value);
    }
    let Value::Object(mut members) = value else { return value };
    match members.remove(WRAPPER) {
        Some(answer) if members.is_empty() => way.back(&plan.root, answer),
        Some(answer) => {
            members.insert(WRAPPER.to_owned(), answer);
            members.into()
        }
        None => members.into(),
    }
}

struct Way<'a> {
    plan: &'a Plan,
    fuel: usize,
}

impl<'a> Way<'a> {
    fn back(&mut self, node: &'a Node, value: Value) -> Value {
        match (&node.kind, value) {
            (Kind::Array { items, .. }, Value::Array(values)) => {
                values.into_iter().map(|value| self.back(items, value)).collect()
            }
            (Kind::Tuple(nodes), Value::Object(members)) => self.tuple(nodes, members),
            (Kind::Object { properties, rest }, Value::Object(members)) => {
                self.object(properties, rest.as_deref(), members)
            }
            (Kind::Union(nodes), value) => match nodes.iter().find(|node| self.matches(node, &value)) {
                Some(node) => self.back(node, value),
                None => value,
            },
            (Kind::Reference(index), value) => match self.spend() {
                true => self.back(&self.plan.definitions[*index].node, value),
                false => value,
            },
            (
                Kind::Scalar { .. }
                | Kind::Literals(_)
                | Kind::Array { .. }
                | Kind::Tuple(_)
                | Kind::Object { .. },
                value,
            ) => value,
        }
    }

    fn tuple(&mut self, nodes: &'a [Node], mut members: Map<String, Value>) -> Value {
        if members.len() != nodes.len()
            || (0..nodes.len()).any(|place| !members.contains_key(&place.to_string()))
        {
            return members.into();
        }
        let places = nodes.iter().enumerate();
        places
            .filter_map(|(place, node)| Some(self.back(node, members.remove(&place.to_string())?)))
            .collect()
    }

    fn object(
        &mut self,
        properties: &'a [Property],
        rest: Option<&'a Rest>,
        members: Map<String, Value>,
    ) -> Value {
        let mut restored = Map::new();
        let mut entries = None;
        for (name, value) in members {
            let property = properties.iter().find(|property| property.name == name);
            match (property, rest) {
                (Some(property), _) if value.is_null() && self.plan.null_is_absence(property) => {}
                (Some(property), _) => {
                    restored.insert(name, self.back(&property.node, value));
                }
                (None, Some(rest)) if rest.name == name && value.is_array() => entries = Some((rest, value)),
                (None, _) => {
                    restored.insert(name, value);
                }
            }
        }
        if let Some((rest, Value::Array(entries))) = entries {
            for entry in entries {
                self.entry(properties, rest, entry, &mut restored);
            }
        }
        restored.into()
    }

    /// An entry under the name of a property is dropped: that property has its own member, or is not allowed.
    fn entry(
        &mut self,
        properties: &[Property],
        rest: &'a Rest,
        mut entry: Value,
        restored: &mut Map<String, Value>,
    ) {
        let value = entry.get_mut(Rest::VALUE).map(Value::take);
        if let (Some(Value::String(key)), Some(value)) = (entry.get(Rest::KEY), value)
            && properties.iter().all(|property| property.name != *key)
            && !rest.without.contains(key)
        {
            restored.insert(key.clone(), self.back(&rest.value, value));
        }
    }

    /// Whether `value` is an instance of the strict schema of `node`, as far as is needed to distinguish branches.
    fn matches(&mut self, node: &'a Node, value: &Value) -> bool {
        if !self.spend() {
            return false;
        }
        match (&node.kind, value) {
            (Kind::Scalar { types, keywords }, value) => {
                types.iter().any(|scalar| scalar.holds(value)) && within(keywords, value)
            }
            (Kind::Literals(values), value) => values.iter().any(|literal| same(literal, value)),
            (Kind::Array { items, keywords }, Value::Array(values)) => {
                let count = |key: &str| keywords.get(key).and_then(Value::as_u64);
                let length = values.len() as u64;
                count("minItems").is_none_or(|least| length >= least)
                    && count("maxItems").is_none_or(|most| length <= most)
                    && values.iter().all(|value| self.matches(items, value))
            }
            (Kind::Tuple(nodes), Value::Object(members)) => {
                members.len() == nodes.len()
                    && nodes.iter().enumerate().all(|(place, node)| {
                        members.get(&place.to_string()).is_some_and(|value| self.matches(node, value))
                    })
            }
            (Kind::Object { properties, rest }, Value::Object(members)) => {
                members.len() == properties.len() + usize::from(rest.is_some())
                    && properties.iter().all(|property| {
                        members.get(&property.name).is_some_and(|value| {
                            (value.is_null() && self.plan.null_is_absence(property))
                                || self.matches(&property.node, value)
                        })
                    })
                    && rest.as_deref().is_none_or(|rest| {
                        let entries = members.get(&rest.name).and_then(Value::as_array);
                        entries.is_some_and(|entries| {
                            entries.iter().all(|entry| self.matches_entry(rest, entry))
                        })
                    })
            }
            (Kind::Union(nodes), value) => nodes.iter().any(|node| self.matches(node, value)),
            (Kind::Reference(index), value) => self.matches(&self.plan.definitions[*index].node, value),
            (Kind::Array { .. } | Kind::Tuple(_) | Kind::Object { .. }, _) => false,
        }
    }

    fn matches_entry(&mut self, rest: &'a Rest, entry: &Value) -> bool {
        let part = |key| entry.get(key);
        part(Rest::KEY).is_some_and(|key| self.matches(&rest.key, key))
            && part(Rest::VALUE).is_some_and(|value| self.matches(&rest.value, value))
    }

    fn spend(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0
    }
}

/// Whether `value` is within the numeric bounds of `keywords`.
pub(super) fn within(keywords: &Map<String, Value>, value: &Value) -> bool {
    let Some(number) = value.as_f64() else { return true };
    let bound = |key: &str| keywords.get(key).and_then(Value::as_f64);
    bound("minimum").is_none_or(|least| number >= least)
        && bound("maximum").is_none_or(|most| number <= most)
        && bound("exclusiveMinimum").is_none_or(|below| number > below)
        && bound("exclusiveMaximum").is_none_or(|above| number < above)
}

/// Equality by the rules of JSON Schema: 1 and 1.0 are the same number.
fn same(literal: &Value, value: &Value) -> bool {
    match (literal, value) {
        (Value::Number(literal), Value::Number(value)) => {
            literal == value || literal.as_f64() == value.as_f64()
        }
        (literal, value) => literal == value,
    }
}
