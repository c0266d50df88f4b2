//! A client's schema, read into a [`Plan`].

use serde_json::{Map, Value, json};

use super::flatten::{Alternative, Flattener, WORDS};
use super::plan::{Definition, Kind, Node, Plan, Property, Rest, Scalar};
use super::{restore, strict};

/// The most values of a schema that are read or copied; far more than a strict schema can have.
const FUEL: usize = 500_000;
/// The most levels of nested nodes in a schema.
const MAX_DEPTH: usize = 64;
const MAX_DEFINITIONS: usize = 1_000;
/// The name of the definition for any JSON value; no reference has this form.
const ANY: &str = "json_value";

/// Reads `schema`; `None` if it has no strict form.
pub(super) fn plan(schema: &Value) -> Option<Plan> {
    let flattener = Flattener { document: schema, fuel: FUEL };
    let mut reader = Reader { flattener, targets: Vec::new(), depth: MAX_DEPTH };
    let mut root = reader.node(schema)?;
    let mut definitions: Vec<Definition> = Vec::new();
    while let Some(target) = reader.targets.get(definitions.len()).cloned() {
        let node = reader.definition(&target)?;
        definitions.push(Definition { name: name(&target, &definitions), node });
    }
    // A strict root cannot be a reference: the object that it refers to is repeated there.
    let mut found = &root;
    for _ in 0..definitions.len() {
        let Kind::Reference(index) = found.kind else { break };
        found = &definitions[index].node;
    }
    if let Kind::Object { .. } = found.kind {
        root.kind = found.kind.clone();
    }
    Plan::new(root, definitions)
}

struct Reader<'a> {
    flattener: Flattener<'a>,
    /// The targets of references; the position is the definition's number.
    targets: Vec<String>,
    /// The number of levels that may still follow.
    depth: usize,
}

impl Reader<'_> {
    fn node(&mut self, schema: &Value) -> Option<Node> {
        self.depth = self.depth.checked_sub(1)?;
        let node = self.node_here(schema);
        self.depth += 1;
        node
    }

    fn node_here(&mut self, schema: &Value) -> Option<Node> {
        let mut nodes = Vec::new();
        for alternative in self.flattener.alternatives(schema)? {
            for node in self.alternative(alternative)? {
                if !nodes.contains(&node) {
                    nodes.push(node);
                }
            }
        }
        let words = words(schema);
        if nodes.len() != 1 {
            return Some(Node { kind: Kind::Union(nodes), words });
        }
        let mut only = nodes.pop()?;
        only.words.extend(words);
        Some(only)
    }

    /// The definition that `target` points to; the name for any JSON value is one too.
    fn definition(&mut self, target: &str) -> Option<Node> {
        if target != ANY {
            let schema = self.flattener.resolve(target)?;
            return self.node(&schema);
        }
        let any = self.any()?;
        Some(Node::new(Kind::Union(vec![
            Node::scalar(&[Scalar::String, Scalar::Number, Scalar::Boolean, Scalar::Null]),
            Node::new(Kind::Array { items: Box::new(any.clone()), keywords: Map::new() }),
            Node::new(object(Vec::new(), Vec::new(), Some((Node::scalar(&[Scalar::String]), any)))),
        ])))
    }

    fn any(&mut self) -> Option<Node> {
        self.reference(ANY)
    }

    fn reference(&mut self, target: &str) -> Option<Node> {
        let known = self.targets.iter().position(|known| known == target);
        let index = known.unwrap_or(self.targets.len());
        if known.is_none() {
            self.targets.push(target.to_owned());
        }
        (index < MAX_DEFINITIONS).then(|| Node::new(Kind::Reference(index)))
    }

    /// One node for each type of an alternative.
    fn alternative(&mut self, alternative: Alternative) -> Option<Vec<Node>> {
        let Alternative { target, members } = alternative;
        let mut nodes = match target {
            Some(target) => vec![self.reference(&target)?],
            None => self.typed(&members)?,
        };
        let words: Map<_, _> = words(&members.into());
        if let [only] = nodes.as_mut_slice() {
            only.words.extend(words);
        }
        Some(nodes)
    }

    fn typed(&mut self, members: &Map<String, Value>) -> Option<Vec<Node>> {
        if members.contains_key("enum") || members.contains_key("const") {
            return values(members);
        }
        let types = types(members)?;
        if types.is_empty() {
            return Some(vec![self.any()?]);
        }
        let mut scalars: Vec<Scalar> = Vec::new();
        let mut nodes = Vec::new();
        for name in &types {
            match name.as_str() {
                "object" => nodes.push(Node::new(self.object(members)?)),
                "array" => nodes.push(Node::new(self.array(members)?)),
                name => {
                    let scalar = *Scalar::ALL.iter().find(|scalar| scalar.name() == name)?;
                    let keywords = bounds(scalar, members);
                    if keywords.is_empty() {
                        scalars.push(scalar);
                    } else {
                        nodes.push(Node::new(Kind::Scalar { types: vec![scalar], keywords }));
                    }
                }
            }
        }
        if !scalars.is_empty() {
            nodes.insert(0, Node::scalar(&scalars));
        }
        Some(nodes)
    }

    fn array(&mut self, members: &Map<String, Value>) -> Option<Kind> {
        let prefix =
            members.get("prefixItems").or_else(|| members.get("items").filter(|items| items.is_array()));
        let count =
            |key: &str| members.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        if let Some(places) = prefix.and_then(Value::as_array).filter(|places| !places.is_empty()) {
            let most = count("maxItems").unwrap_or(places.len());
            let nodes = places.iter().take(most).map(|place| self.node(place)).collect::<Option<Vec<_>>>()?;
            let fits =
                nodes.iter().all(|node| !node.is_never()) && count("minItems").unwrap_or(0) <= nodes.len();
            return fits.then_some(Kind::Tuple(nodes));
        }
        let items = match members.get("items") {
            Some(items) if !items.is_array() => self.node(items)?,
            Some(_) | None => self.any()?,
        };
        if items.is_never() {
            return None;
        }
        let mut keywords = Map::new();
        for key in ["minItems", "maxItems"] {
            if let Some(count) = count(key) {
                keywords.insert(key.to_owned(), count.into());
            }
        }
        Some(Kind::Array { items: Box::new(items), keywords })
    }

    fn object(&mut self, members: &Map<String, Value>) -> Option<Kind> {
        let none = Map::new();
        let named = members.get("properties").map_or(Some(&none), Value::as_object)?;
        let required: Vec<&str> = match members.get("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(_) | None => Vec::new(),
        };
        let (mut properties, mut without) = (Vec::new(), Vec::new());
        for (name, schema) in named {
            let optional = !required.contains(&name.as_str());
            let node = self.node(schema)?;
            if node.is_never() {
                if !optional {
                    return None;
                }
                without.push(name.clone());
                continue;
            }
            properties.push(Property { name: name.clone(), node, optional });
        }
        let additional = members.get("additionalProperties");
        for name in required {
            if !named.contains_key(name) && properties.iter().all(|property| property.name != name) {
                let node = self.node(additional.unwrap_or(&Value::Bool(true)))?;
                if node.is_never() {
                    return None;
                }
                properties.push(Property { name: name.to_owned(), node, optional: false });
            }
        }
        let rest = self.rest(members, properties.is_empty() && named.is_empty())?;
        Some(object(properties, without, rest))
    }

    /// The schemas of the keys and values of all unnamed members. Beside named members, unnamed ones count only
    /// where the schema asks for them explicitly: most open schemas are open only because the author did not close
    /// them.
    fn rest(&mut self, members: &Map<String, Value>, is_map: bool) -> Option<Option<(Node, Node)>> {
        let none = Map::new();
        let patterns = members.get("patternProperties").map_or(Some(&none), Value::as_object)?;
        let additional = members
            .get("additionalProperties")
            .or_else(|| members.get("unevaluatedProperties").filter(|rule| **rule == Value::Bool(false)));
        let implied = Value::Bool(is_map && patterns.is_empty());
        let additional = additional.unwrap_or(&implied);
        let value =
            self.node(&json!({"anyOf": patterns.values().chain([additional]).collect::<Vec<_>>()}))?;
        if value.is_never() {
            return Some(None);
        }
        let mut key = Map::from_iter([("type".to_owned(), json!("string"))]);
        if let (1, Value::Bool(false), Some(pattern)) = (patterns.len(), additional, patterns.keys().next()) {
            key.insert("pattern".into(), pattern.as_str().into());
        }
        if let Some(names) = members.get("propertyNames") {
            key.insert("allOf".into(), json!([names]));
        }
        let key = self.node(&key.into())?;
        Some((!key.is_never()).then_some((key, value)))
    }
}

fn object(properties: Vec<Property>, without: Vec<String>, rest: Option<(Node, Node)>) -> Kind {
    let rest = rest.map(|(key, value)| {
        let mut name = "entries".to_owned();
        while properties.iter().any(|property| property.name == name) {
            name.push('_');
        }
        Box::new(Rest { name, key, value, without })
    });
    Kind::Object { properties, rest }
}

/// The types that a schema names, or that its keywords apply to; empty if any value will do.
fn types(members: &Map<String, Value>) -> Option<Vec<String>> {
    const TELLING: &[(&str, &[&str])] = &[
        (
            "object",
            &[
                "properties",
                "required",
                "additionalProperties",
                "patternProperties",
                "propertyNames",
                "minProperties",
            ],
        ),
        ("array", &["items", "prefixItems", "minItems", "maxItems", "contains", "uniqueItems"]),
        ("string", &["pattern", "format", "minLength", "maxLength"]),
        ("number", strict::NUMBERS),
    ];
    let told: Vec<&str> = match members.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().map(Value::as_str).collect::<Option<_>>()?,
        Some(_) => return None,
        None => TELLING
            .iter()
            .filter(|(_, keys)| keys.iter().any(|key| members.contains_key(*key)))
            .map(|(name, _)| *name)
            .collect(),
    };
    let number = told.contains(&"number");
    let told = told.into_iter().filter(|name| !(number && *name == "integer"));
    Some(told.map(str::to_owned).collect())
}

/// `enum` and `const`, as far as `type` allows their values.
fn values(members: &Map<String, Value>) -> Option<Vec<Node>> {
    let allowed = types(
        &members.iter().filter(|(key, _)| *key == "type").map(|(k, v)| (k.clone(), v.clone())).collect(),
    )?;
    let listed = members.get("enum").map_or(Some(None), |values| values.as_array().map(Some))?;
    let only = members.get("const");
    let all = match (listed, only) {
        (Some(listed), None) => listed.clone(),
        (Some(listed), Some(only)) if !listed.contains(only) => Vec::new(),
        (_, Some(only)) => vec![only.clone()],
        (None, None) => return None,
    };
    let is_allowed = |value: &Value| {
        allowed.is_empty()
            || allowed.iter().any(|name| match name.as_str() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                name => Scalar::ALL.iter().any(|scalar| scalar.name() == name && scalar.holds(value)),
            })
    };
    let (composed, mut scalars): (Vec<_>, Vec<_>) = all
        .into_iter()
        .filter(|value| is_allowed(value) && restore::within(members, value))
        .partition(|value| value.is_object() || value.is_array());
    scalars.dedup();
    // Whether a composed value satisfies other keywords is not checked.
    let is_bare =
        |key: &String| matches!(key.as_str(), "enum" | "const" | "type") || WORDS.contains(&key.as_str());
    if !composed.is_empty() && !members.keys().all(is_bare) {
        return None;
    }
    let mut nodes: Vec<_> = composed.iter().map(literal).collect::<Option<_>>()?;
    if !scalars.is_empty() {
        nodes.insert(0, Node::new(Kind::Literals(scalars)));
    }
    Some(nodes)
}

/// The schema of one value.
fn literal(value: &Value) -> Option<Node> {
    let kind = match value {
        Value::Object(members) => {
            let properties = members.iter().map(|(name, value)| {
                Some(Property { name: name.clone(), node: literal(value)?, optional: false })
            });
            object(properties.collect::<Option<_>>()?, Vec::new(), None)
        }
        Value::Array(values) if values.is_empty() => Kind::Array {
            items: Box::new(Node::scalar(&[Scalar::String])),
            keywords: Map::from_iter([("maxItems".to_owned(), json!(0))]),
        },
        Value::Array(values) => Kind::Tuple(values.iter().map(literal).collect::<Option<_>>()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Kind::Literals(vec![value.clone()])
        }
    };
    Some(Node::new(kind))
}

/// The keywords, besides the type, that a strict schema can have for a scalar.
fn bounds(scalar: Scalar, members: &Map<String, Value>) -> Map<String, Value> {
    let is_kept = |key: &str, value: &Value| match scalar {
        Scalar::String => match key {
            "pattern" => strict::knows_pattern(value),
            "format" => strict::knows_format(value),
            _ => false,
        },
        Scalar::Number | Scalar::Integer => strict::NUMBERS.contains(&key) && value.is_number(),
        Scalar::Boolean | Scalar::Null => false,
    };
    members
        .iter()
        .filter(|(key, value)| is_kept(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn words(schema: &Value) -> Map<String, Value> {
    WORDS
        .iter()
        .filter_map(|key| {
            Some(((*key).to_owned(), schema.get(*key).filter(|words| words.is_string())?.clone()))
        })
        .collect()
}

/// A definition's name: the last step of its path, with only the characters that a name may have.
fn name(target: &str, others: &[Definition]) -> String {
    let last = target.rsplit('/').next().unwrap_or_default();
    let mut name: String =
        last.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).take(60).collect();
    if name.is_empty() {
        name.push_str("root");
    }
    while others.iter().any(|other| other.name == name) {
        name.push('_');
    }
    name
}
