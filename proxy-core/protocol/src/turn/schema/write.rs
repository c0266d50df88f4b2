//! A [`Plan`] as a strict schema.

use serde_json::{Map, Value, json};

use super::plan::{Kind, Node, Plan, Property, Rest, Scalar, WRAPPER};

pub(super) fn schema(plan: &Plan) -> Value {
    let mut root = match plan.is_wrapped() {
        true => {
            let answer = Property { name: WRAPPER.to_owned(), node: plan.root.clone(), optional: false };
            object(plan, &[answer], None)
        }
        false => body(plan, &plan.root),
    };
    if !plan.definitions.is_empty() {
        let definitions =
            plan.definitions.iter().map(|definition| (definition.name.clone(), node(plan, &definition.node)));
        root.insert("$defs".into(), Value::Object(definitions.collect()));
    }
    root.into()
}

fn node(plan: &Plan, node: &Node) -> Value {
    body(plan, node).into()
}

fn body(plan: &Plan, node: &Node) -> Map<String, Value> {
    let mut body = match &node.kind {
        Kind::Scalar { types, keywords } => {
            let mut body = Map::from_iter([("type".to_owned(), names(types.iter().copied()))]);
            body.extend(keywords.clone());
            body
        }
        Kind::Literals(values) => {
            let types = Scalar::ALL.iter().copied().filter(|scalar| {
                values.iter().any(|value| match scalar {
                    Scalar::Number => scalar.holds(value) && !Scalar::Integer.holds(value),
                    Scalar::String | Scalar::Integer | Scalar::Boolean | Scalar::Null => scalar.holds(value),
                })
            });
            Map::from_iter([("type".to_owned(), names(types)), ("enum".to_owned(), values.clone().into())])
        }
        Kind::Array { items, keywords } => {
            let mut body = Map::from_iter([
                ("type".to_owned(), json!("array")),
                ("items".to_owned(), self::node(plan, items)),
            ]);
            body.extend(keywords.clone());
            body
        }
        Kind::Tuple(nodes) => {
            let places =
                nodes.iter().enumerate().map(|(place, node)| (place.to_string(), self::node(plan, node)));
            closed(places.collect())
        }
        Kind::Object { properties, rest } => object(plan, properties, rest.as_deref()),
        Kind::Union(nodes) => any_of(nodes.iter().map(|node| self::node(plan, node)).collect()),
        Kind::Reference(index) => {
            let target = json!({"$ref": format!("#/$defs/{}", plan.definitions[*index].name)});
            // A reference may have no other members beside it.
            match node.words.is_empty() {
                true => Map::from_iter([("$ref".to_owned(), target["$ref"].clone())]),
                false => any_of(vec![target]),
            }
        }
    };
    body.extend(node.words.clone());
    body
}

fn object(plan: &Plan, properties: &[Property], rest: Option<&Rest>) -> Map<String, Value> {
    let mut members = Map::new();
    for property in properties {
        let schema = match plan.null_is_absence(property) {
            true => nullable(plan, &property.node),
            false => node(plan, &property.node),
        };
        members.insert(property.name.clone(), schema);
    }
    if let Some(rest) = rest {
        let entry = closed(Map::from_iter([
            (Rest::KEY.to_owned(), node(plan, &rest.key)),
            (Rest::VALUE.to_owned(), node(plan, &rest.value)),
        ]));
        members.insert(rest.name.clone(), json!({"type": "array", "items": entry}));
    }
    closed(members)
}

/// The schema of `node` or null.
fn nullable(plan: &Plan, node: &Node) -> Value {
    let bare = Node::new(node.kind.clone());
    let mut body = match &node.kind {
        Kind::Scalar { types, keywords } if keywords.is_empty() => {
            let types = types.iter().copied().chain([Scalar::Null]);
            Map::from_iter([("type".to_owned(), names(types))])
        }
        Kind::Union(nodes) => {
            let null = Node::scalar(&[Scalar::Null]);
            any_of(nodes.iter().chain([&null]).map(|node| self::node(plan, node)).collect())
        }
        Kind::Scalar { .. }
        | Kind::Literals(_)
        | Kind::Array { .. }
        | Kind::Tuple(_)
        | Kind::Object { .. }
        | Kind::Reference(_) => any_of(vec![self::node(plan, &bare), json!({"type": "null"})]),
    };
    body.extend(node.words.clone());
    body.into()
}

fn any_of(branches: Vec<Value>) -> Map<String, Value> {
    Map::from_iter([("anyOf".to_owned(), branches.into())])
}

fn closed(properties: Map<String, Value>) -> Map<String, Value> {
    let required: Vec<_> = properties.keys().cloned().collect();
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), properties.into()),
        ("required".to_owned(), required.into()),
        ("additionalProperties".to_owned(), json!(false)),
    ])
}

fn names(types: impl Iterator<Item = Scalar>) -> Value {
    let mut names: Vec<Value> = types.map(|scalar| scalar.name().into()).collect();
    if names.len() == 1 { names.remove(0) } else { names.into() }
}
