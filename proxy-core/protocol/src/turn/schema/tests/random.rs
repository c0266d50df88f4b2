//! Random schemas, by two sets of rules: those that fit without a loss, and all kinds.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::instances::Random;
use super::{fit, rules};

const NAMES: &[&str] = &["a", "b", "entries", "key", "value", "0", "\u{e9}"];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(NAMES).prop_map(str::to_owned)
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(&["string", "number", "integer", "boolean", "null"][..])
            .prop_map(|kind| json!({"type": kind})),
        Just(json!({"type": ["string", "null"], "title": "T"})),
        Just(json!({"type": ["integer", "number", "array"], "items": {"type": "string"}})),
        (-3i64..3).prop_map(|least| json!({"type": "integer", "minimum": least, "description": "D"})),
        vec(
            prop::sample::select(vec![
                json!("x"),
                json!(1),
                json!(1.5),
                json!(null),
                json!(true),
                json!({"p": 1})
            ]),
            1..4
        )
        .prop_map(|values| json!({"enum": values})),
        Just(json!({"const": [1, {"k": "v"}]})),
        Just(json!({})),
        Just(json!(true)),
        Just(json!({"type": "object"})),
        prop::sample::select(&["#/$defs/d0", "#/$defs/d1"][..]).prop_map(|target| json!({"$ref": target})),
    ]
}

/// Schemas with a strict form that has no instances beyond those of the schema itself.
fn lossless() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => objects(inner.clone()),
            1 => (inner.clone(), 0..2u64, option::of(2..4u64)).prop_map(|(items, least, most)| {
                let mut schema = json!({"type": "array", "items": items, "minItems": least});
                if let Some(most) = most {
                    schema["maxItems"] = json!(most);
                }
                schema
            }),
            1 => vec(inner.clone(), 1..4).prop_map(|places| {
                json!({"type": "array", "minItems": places.len(), "maxItems": places.len(), "prefixItems": places})
            }),
            1 => vec(inner.clone(), 1..4).prop_map(|branches| json!({"anyOf": branches, "description": "D"})),
            1 => (objects(inner.clone()), name(), inner).prop_map(|(object, name, schema)| {
                let mut open = object;
                open.as_object_mut().unwrap().remove("additionalProperties");
                json!({"allOf": [open, {"properties": {name: schema}}]})
            }),
        ]
    })
}

fn objects(inner: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    let rest = prop_oneof![
        Just(None),
        any::<bool>().prop_map(|open| Some(json!(open))),
        inner.clone().prop_map(Some)
    ];
    (vec((name(), inner, any::<bool>()), 0..4), rest).prop_map(|(members, rest)| {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, schema, needed) in members {
            if needed && !required.contains(&name) {
                required.push(name.clone());
            }
            properties.insert(name, schema);
        }
        let mut schema = json!({"type": "object", "properties": properties, "required": required});
        if let Some(rest) = rest {
            schema["additionalProperties"] = rest;
        }
        schema
    })
}

/// Schemas with every keyword in every place.
fn wild() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        leaf(),
        Just(json!(false)),
        Just(json!({"$ref": "#"})),
        Just(json!({"$ref": "#/properties/a"}))
    ];
    let keys = &[
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
        "items",
        "prefixItems",
        "contains",
        "properties",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "unevaluatedProperties",
        "dependentSchemas",
        "required",
        "uniqueItems",
        "minLength",
        "pattern",
        "format",
        "minimum",
        "exclusiveMaximum",
        "minItems",
        "type",
        "enum",
        "const",
        "default",
        "description",
        "$comment",
        "minProperties",
    ][..];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        vec((prop::sample::select(keys), vec(inner, 1..4), any::<u8>()), 1..5).prop_map(|keywords| {
            keywords
                .into_iter()
                .map(|(key, schemas, choice)| (key.to_owned(), keyword(key, schemas, choice)))
                .collect::<Map<_, _>>()
                .into()
        })
    })
}

fn keyword(key: &str, schemas: Vec<Value>, choice: u8) -> Value {
    let pick = |from: &[&str]| json!(from[usize::from(choice) % from.len()]);
    match key {
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => schemas.into(),
        "properties" | "dependentSchemas" => {
            NAMES.iter().map(|name| (*name).to_owned()).zip(schemas).collect::<Map<_, _>>().into()
        }
        "patternProperties" => {
            ["^a", "b$", "(?=c)"].map(str::to_owned).into_iter().zip(schemas).collect::<Map<_, _>>().into()
        }
        "required" => json!([NAMES[usize::from(choice) % NAMES.len()]]),
        "uniqueItems" => json!(true),
        "minLength" | "minItems" | "minProperties" => json!(choice % 3),
        "minimum" | "exclusiveMaximum" => json!(choice),
        "pattern" => pick(&["^a+$", "(?!x)", "\\bword\\b", "(a)\\1", "[0-9]{2}"]),
        "format" => pick(&["uri", "date", "uuid", "regex"]),
        "type" => match choice % 4 {
            0 => json!("object"),
            1 => json!(["string", "array"]),
            2 => json!("integer"),
            _ => json!(["object", "null"]),
        },
        "enum" => json!(["x", 1, null, [2]]),
        "const" => json!({"k": choice}),
        "description" | "$comment" => json!("words"),
        _ => schemas.into_iter().next().unwrap_or_default(),
    }
}

fn with_definitions(mut schema: Value, definitions: [Value; 2]) -> Value {
    if let Value::Object(members) = &mut schema {
        let [d0, d1] = definitions;
        members.insert("$defs".into(), json!({"d0": d0, "d1": d1}));
    }
    schema
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_instance_mapped_back_is_one_of_the_clients_schema(
        schema in lossless(),
        definitions in [lossless(), lossless()],
        seed: u64,
    ) {
        let schema = with_definitions(schema, definitions);
        let Some(fitted) = fit(&schema) else { return Ok(()) };
        prop_assert_eq!(rules::broken(&fitted.schema), None);
        prop_assert_eq!(fit(&fitted.schema).map(|again| (again.schema, again.mapping)), Some((fitted.schema.clone(), None)));
        let validator = jsonschema::validator_for(&schema).unwrap();
        let strict = jsonschema::validator_for(&fitted.schema).unwrap();
        for turn in 0..4 {
            let said = Random::new(seed.wrapping_add(turn)).instance(&fitted.schema, &fitted.schema, 40);
            let Some(said) = said else { continue };
            prop_assert!(strict.is_valid(&said), "{} is no instance of {}", said, fitted.schema);
            let restored = match &fitted.mapping {
                Some(mapping) => serde_json::from_str(&mapping.restore(&said.to_string()).unwrap()).unwrap(),
                None => said.clone(),
            };
            prop_assert!(
                validator.is_valid(&restored),
                "{} of {} by {} is no instance of {}", restored, said, fitted.schema, schema
            );
        }
    }

    #[test]
    fn every_schema_fits_by_the_rules_or_not_at_all(
        schema in wild(),
        definitions in [wild(), wild()],
        other in lossless(),
    ) {
        let schema = with_definitions(schema, definitions);
        let Some(fitted) = fit(&schema) else { return Ok(()) };
        prop_assert_eq!(rules::broken(&fitted.schema), None);
        // A value that does not follow the schema at all is also mapped to a value.
        if let Some(mapping) = fitted.mapping {
            mapping.restore(&other.to_string()).unwrap();
        }
    }
}
