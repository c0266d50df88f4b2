use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use super::*;

const DIALECTS: [&str; 5] = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];

/// The meta-schemas as they are published, with `format` as the annotation that it is.
static META_SCHEMAS: LazyLock<Vec<Validator>> = LazyLock::new(|| {
    let read = |dialect: &&str| {
        let options = jsonschema::options().should_validate_formats(false);
        options.build(&json!({"$schema": dialect, "$ref": dialect})).unwrap()
    };
    DIALECTS.iter().map(read).collect()
});

/// Values that are right, or almost right, for some keyword.
fn leaf() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(2.0),
        json!(0.5),
        json!(-0.5),
        json!(1e300),
        json!("string"),
        json!("integer"),
        json!("maximum"),
        json!("_a"),
        json!("a:b"),
        json!("a b"),
        json!("https://a.example/b#"),
        json!("https://a.example/b#c"),
        json!([]),
        json!({}),
        json!(["string"]),
        json!(["string", "null"]),
        json!(["null", "null"]),
        json!(["strin", 1]),
    ])
}

fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        let keyword = any::<Index>().prop_map(|index| RULES[index.index(RULES.len())].0.to_owned());
        let name = prop_oneof![3 => keyword, 1 => select(vec!["a".to_owned(), "maximum".to_owned(), "x/~y".to_owned()])];
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            4 => proptest::collection::vec((name, inner), 1..4).prop_map(|members| {
                Value::Object(members.into_iter().collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn it_judges_as_the_published_meta_schemas_do(mut schema in schema(), dialect in 0..DIALECTS.len()) {
        if let Some(members) = schema.as_object_mut() {
            members.insert("$schema".to_owned(), DIALECTS[dialect].into());
        }
        let dialect = if schema.is_object() { dialect } else { DIALECTS.len() - 1 };
        // Before draft 6, a whole number is one that is written without a fraction.
        prop_assume!(dialect != 0 || !schema.to_string().contains(".0") && !schema.to_string().contains("e300"));
        let ours = check(&schema);
        prop_assert_eq!(ours.is_ok(), META_SCHEMAS[dialect].is_valid(&schema), "{}: {:?}", schema, ours);
        if let Err(error) = ours {
            prop_assert!(error.at.is_empty() || schema.pointer(&error.at).is_some(), "{}", error);
        }
    }
}

#[test]
fn each_rule_has_a_value_that_is_right_and_one_that_is_not() {
    for (keyword, dialects, rule) in RULES {
        for (at, dialect) in DIALECTS.iter().enumerate().filter(|(at, _)| dialects & (1 << at) != 0) {
            let mut seen = [false; 2];
            for value in [
                json!(true),
                json!(1),
                json!(-1),
                json!("a"),
                json!("a b#c"),
                json!([]),
                json!(["string"]),
                json!([{}]),
                json!({}),
                json!({"a": {}}),
                json!({"a": true}),
                json!({"a": 1}),
                json!({"a": ["b", "b"]}),
            ] {
                let mut schema = json!({keyword: value, "maximum": 1, "minimum": 1});
                schema[keyword] = value.clone();
                if keyword != "$schema" {
                    schema["$schema"] = (*dialect).into();
                } else if value.is_string() {
                    continue;
                }
                let dialect = if keyword == "$schema" { DIALECTS.len() - 1 } else { at };
                let is_valid = check(&schema).is_ok();
                assert_eq!(is_valid, META_SCHEMAS[dialect].is_valid(&schema), "{rule:?} {schema}");
                seen[usize::from(is_valid)] = true;
            }
            assert!(seen[0] && (seen[1] || keyword == "$schema"), "{keyword} {rule:?} {dialect}: {seen:?}");
        }
    }
}

#[test]
fn it_says_where_and_what_has_to_be_there() {
    for (schema, expected) in [
        (json!(1), "this is no valid JSON Schema: it has to be an object or a boolean"),
        (
            json!({"properties": {"a/b": {"items": {"anyOf": [{}, {"minLength": -1}]}}}}),
            "this is no valid JSON Schema: '/properties/a~1b/items/anyOf/1/minLength' has to be a whole number that \
             is not negative",
        ),
        (
            json!({"type": ["string", "strin"]}),
            "this is no valid JSON Schema: '/type' has to be 'array', 'boolean', 'integer', 'null', 'number', \
             'object', 'string', or a list of them, each once",
        ),
        (
            json!({"$schema": "https://example.org/mine", "required": "a"}),
            "this is no valid JSON Schema: '/required' has to be a list of texts, each once",
        ),
        (
            json!({"$schema": DIALECTS[0], "exclusiveMinimum": true}),
            "this is no valid JSON Schema: it has to be an object in which 'exclusiveMaximum' and 'exclusiveMinimum' \
             have their bound beside them",
        ),
    ] {
        assert_eq!(check(&schema).unwrap_err().to_string(), expected);
    }
    check(&json!({"$schema": "https://example.org/mine", "type": "object", "x-anything": 1})).unwrap();
}
