//! Tests with schemas as input, strict schemas and mapped answers as output; and both for random schemas.

use serde_json::json;

use super::*;

mod instances;
mod random;
mod rules;

/// Asserts the strict form of a schema, and the mapping of instances of that form.
#[track_caller]
fn check(schema: &Value, expected: &Value, instances: &[(Value, Value)]) {
    let fitted = fit(schema).unwrap_or_else(|| panic!("{schema} has a strict form"));
    assert_eq!(fitted.schema, *expected, "{schema}");
    assert_eq!(rules::broken(&fitted.schema), None, "{schema}");
    for (said, wanted) in instances {
        let restored = match &fitted.mapping {
            Some(mapping) => mapping.restore(&said.to_string()).unwrap(),
            None => said.to_string(),
        };
        assert_eq!(restored, wanted.to_string(), "{schema}");
    }
    assert_eq!(fitted.mapping.is_some(), instances.iter().any(|(said, wanted)| said != wanted), "{schema}");
}

fn object(properties: &Value) -> Value {
    let required: Vec<_> = properties.as_object().unwrap().keys().collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// A list of entries.
fn entries(key: &Value, value: &Value) -> Value {
    json!({"type": "array", "items": object(&json!({"key": key, "value": value}))})
}

#[test]
fn a_strict_schema_stays_as_it_is() {
    for schema in [
        object(&json!({})),
        object(&json!({"a": {"type": "string"}, "b": {"type": ["integer", "null"], "minimum": 1}})),
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#", "title": "T", "description": "D",
            "additionalProperties": false, "required": ["b", "a"], "type": "object",
            "properties": {
                "a": {"anyOf": [{"$ref": "#/definitions/x"}, {"type": "null"}], "title": "A"},
                "b": {"type": "array", "items": {"$ref": "#"}, "maxItems": 3},
            },
            "definitions": {"x": {"type": "string", "enum": ["p", "q"], "description": "one"}},
        }),
    ] {
        assert_eq!(fit(&schema), Some(Fitted { schema: schema.clone(), mapping: None }), "{schema}");
        assert_eq!(rules::broken(&schema), None, "{schema}");
    }
}

#[test]
fn what_may_be_missing_is_nullable_and_null_is_taken_out_again() {
    check(
        &json!({
            "type": "object",
            "properties": {
                "a": {"type": "string", "description": "why"},
                "b": {"type": "object", "properties": {"c": {"type": "integer", "minimum": 1}}},
                "n": {"type": ["string", "null"]},
                "e": {"enum": ["x", 1]},
                "u": {"oneOf": [{"type": "string", "format": "uri"}, {"type": "array", "items": {"type": "null"}}]},
            },
            "required": ["b"],
        }),
        &object(&json!({
            "a": {"type": ["string", "null"], "description": "why"},
            "b": object(&json!({"c": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}})),
            "n": {"type": ["string", "null"]},
            "e": {"anyOf": [{"type": ["string", "integer"], "enum": ["x", 1]}, {"type": "null"}]},
            "u": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "null"}}, {"type": "null"}]},
        })),
        &[
            (
                json!({"a": null, "b": {"c": null}, "n": null, "e": null, "u": null}),
                json!({"b": {}, "n": null}),
            ),
            (
                json!({"a": "x", "b": {"c": 1}, "n": "y", "e": 1, "u": [null]}),
                json!({"a": "x", "b": {"c": 1}, "n": "y", "e": 1, "u": [null]}),
            ),
            (json!({"not": "the schema", "a": null, "b": [null]}), json!({"not": "the schema", "b": [null]})),
        ],
    );
}

#[test]
fn a_map_is_a_list_of_entries_on_the_way() {
    let string = json!({"type": "string"});
    let integer = json!({"type": "integer"});
    check(
        &json!({"type": "object", "additionalProperties": {"type": "integer"}}),
        &object(&json!({"entries": entries(&string, &integer)})),
        &[
            (json!({"entries": []}), json!({})),
            (
                json!({"entries": [{"key": "b", "value": 1}, {"key": "a", "value": 2}]}),
                json!({"b": 1, "a": 2}),
            ),
        ],
    );
    check(
        &json!({
            "type": "object", "properties": {"entries": {"type": "string"}},
            "additionalProperties": {"type": "object", "patternProperties": {"^x": integer}},
        }),
        &object(&json!({
            "entries": {"type": ["string", "null"]},
            "entries_": entries(
                &string,
                &object(&json!({"entries": entries(&json!({"type": "string", "pattern": "^x"}), &integer)})),
            ),
        })),
        &[(
            json!({"entries": null, "entries_": [
                {"key": "k", "value": {"entries": [{"key": "x1", "value": 1}]}},
                {"key": "entries", "value": {"entries": []}},
            ]}),
            json!({"k": {"x1": 1}}),
        )],
    );
}

#[test]
fn a_member_that_may_not_be_there_does_not_come_in_as_an_entry() {
    let (string, integer) = (json!({"type": "string"}), json!({"type": "integer"}));
    let never = json!({"allOf": [string, integer]});
    check(
        &json!({"type": "object", "properties": {"a": never}, "additionalProperties": integer}),
        &object(&json!({"entries": entries(&string, &integer)})),
        &[(json!({"entries": [{"key": "a", "value": 1}, {"key": "b", "value": 2}]}), json!({"b": 2}))],
    );
}

#[test]
fn any_value_is_spelt_out() {
    let any = json!({"$ref": "#/$defs/json_value"});
    let definition = json!({"anyOf": [
        {"type": ["string", "number", "boolean", "null"]},
        {"type": "array", "items": any},
        object(&json!({"entries": entries(&json!({"type": "string"}), &any)})),
    ]});
    let mut expected = object(&json!({"value": any}));
    expected["$defs"] = json!({"json_value": definition});
    for schema in [json!({}), json!({"description": null, "default": 5}), json!({"not": {"type": "null"}})] {
        check(
            &schema,
            &expected,
            &[(
                json!({"value": {"entries": [{"key": "a", "value": [1.5, {"entries": []}]}]}}),
                json!({"a": [1.5, {}]}),
            )],
        );
    }
    expected["properties"] = json!({"entries": entries(&json!({"type": "string"}), &any)});
    expected["required"] = json!(["entries"]);
    check(
        &json!({"type": "object"}),
        &expected,
        &[(json!({"entries": [{"key": "a", "value": null}]}), json!({"a": null}))],
    );
}

#[test]
fn a_root_that_is_no_object_is_wrapped() {
    let item = object(&json!({"a": {"type": "string"}}));
    let cases = [
        (
            json!({"type": "array", "items": item}),
            json!({"type": "array", "items": item}),
            json!([{"a": "x"}]),
        ),
        (json!({"const": 5}), json!({"type": "integer", "enum": [5]}), json!(5)),
        (json!({"anyOf": [item, {"type": "null"}]}), json!({"anyOf": [item, {"type": "null"}]}), json!(null)),
    ];
    for (schema, inner, said) in cases {
        check(
            &schema,
            &object(&json!({"value": inner})),
            &[(json!({"value": said}), said.clone()), (json!({"other": 1}), json!({"other": 1}))],
        );
    }
    let mut expected = item.clone();
    expected["$defs"] = json!({"x": item});
    check(&json!({"$ref": "#/definitions/x", "definitions": {"x": item}}), &expected, &[]);
}

#[test]
fn tuples_are_objects_on_the_way() {
    let tuple = object(&json!({"0": {"type": "string"}, "1": {"type": "integer"}}));
    let places = json!([{"type": "string"}, {"type": "integer"}]);
    for schema in [
        json!({"type": "array", "prefixItems": places, "minItems": 2, "maxItems": 2}),
        json!({"type": "array", "items": places, "additionalItems": false}),
    ] {
        check(
            &schema,
            &object(&json!({"value": tuple})),
            &[
                (json!({"value": {"0": "a", "1": 1}}), json!(["a", 1])),
                (json!({"value": {"0": "a"}}), json!({"0": "a"})),
            ],
        );
    }
}

#[test]
fn compositions_are_resolved() {
    let (a, b) = (json!({"type": "string"}), json!({"type": "integer"}));
    let both = object(&json!({"a": a, "b": b}));
    let open = |name: &str, schema: &Value| json!({"type": "object", "properties": {name: schema}, "required": [name]});
    check(&json!({"allOf": [open("a", &a), open("b", &b)]}), &both, &[]);
    check(
        &json!({"$ref": "#/$defs/a", "properties": {"b": b}, "required": ["b"], "$defs": {"a": open("a", &a)}}),
        &both,
        &[],
    );
    check(
        &json!({"allOf": [{"type": ["integer", "string"], "minimum": 1}, {"type": "number", "minimum": 3}]}),
        &object(&json!({"value": {"type": "integer", "minimum": 3}})),
        &[(json!({"value": 3}), json!(3))],
    );
    check(
        &json!({"type": "object", "properties": {"a": a, "b": b}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        &object(&json!({"value": {"anyOf": [
            object(&json!({"a": a, "b": {"type": ["integer", "null"]}})),
            object(&json!({"a": {"type": ["string", "null"]}, "b": b})),
        ]}})),
        &[
            (json!({"value": {"a": "x", "b": null}}), json!({"a": "x"})),
            (json!({"value": {"a": null, "b": 1}}), json!({"b": 1})),
        ],
    );
    let closed = json!({"properties": {"a": a}, "required": ["a"], "additionalProperties": false});
    check(&json!({"allOf": [closed, {"properties": {"b": b}}]}), &object(&json!({"a": a})), &[]);
    check(
        &json!({"type": "object", "properties": {"a": {"allOf": [{"type": "string"}], "description": "d", "title": "t"}}, "required": ["a"]}),
        &object(&json!({"a": {"type": "string", "title": "t", "description": "d"}})),
        &[],
    );
}

#[test]
fn references_stay_where_they_can() {
    let node = |children: Value| object(&json!({"name": {"type": "string"}, "children": children}));
    let list = |target: &str| json!({"type": "array", "items": {"$ref": target}});
    let mut schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#", "description": "a child"}},
            "first": {"$ref": "#/$defs/a~1b"},
        },
        "required": ["name", "children", "first"],
        "$defs": {"a/b": {"type": "object", "properties": {"x": {"$ref": "#/$defs/a~1b"}}}},
    });
    let root = object(&json!({
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/root"}], "description": "a child"}},
        "first": {"$ref": "#/$defs/a1b"},
    }));
    let mut expected = root.clone();
    expected["$defs"] = json!({
        "root": root,
        "a1b": object(&json!({"x": {"anyOf": [{"$ref": "#/$defs/a1b"}, {"type": "null"}]}})),
    });
    let leaf = json!({"name": "n", "children": [], "first": {"x": null}});
    let mut said = leaf.clone();
    said["children"] = json!([leaf, leaf]);
    let bare = json!({"name": "n", "children": [], "first": {}});
    let mut wanted = bare.clone();
    wanted["children"] = json!([bare, bare]);
    // Definitions are in the order in which they are found, members in the order of the schema.
    check(&schema, &expected, &[(said, wanted)]);
    schema = node(list("#"));
    assert_eq!(fit(&schema).map(|fitted| fitted.schema), Some(schema));
}

#[test]
fn what_has_no_strict_form_is_declined() {
    let deep = (0..12).fold(json!({"type": "string"}), |inner, _| object(&json!({ "a": inner })));
    let values: Vec<_> = (0..1_001).collect();
    let mut doubling = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": {}});
    for level in 0..40 {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1), "minLength": 1});
        doubling["$defs"][level.to_string()] =
            json!({"allOf": [{"anyOf": [next, next]}, {"anyOf": [next, next]}]});
    }
    doubling["$defs"]["40"] = json!({"type": "string"});
    for schema in [
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"$ref": "#/$defs/none"}),
        json!({"$ref": "#"}),
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
        json!({"type": "object", "properties": {"a": false}, "required": ["a"]}),
        json!({"allOf": [{"type": "string"}, {"type": "object"}]}),
        json!({"type": "array", "prefixItems": [{}], "minItems": 2}),
        json!({"enum": []}),
        json!({"enum": values}),
        json!(false),
        deep,
        doubling,
    ] {
        assert_eq!(fit(&schema), None, "{schema}");
    }
}

#[test]
fn a_text_that_is_no_json_is_not_mapped() {
    let mapping =
        fit(&json!({"type": "object", "properties": {"a": {"type": "string"}}})).unwrap().mapping.unwrap();
    for text in ["", "no", r#"{"a":"#, r#"{"a":null} and more"#] {
        assert_eq!(mapping.restore(text), None, "{text}");
    }
    assert_eq!(mapping.restore(" {\n\"a\" : null }\n").as_deref(), Some("{}"));
}

#[test]
fn a_union_that_takes_forever_is_given_up() {
    let mut schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a0"}}, "$defs": {}});
    for level in 0..60 {
        let next = ["a", "b"].map(|side| json!({"$ref": format!("#/$defs/{side}{}", level + 1)}));
        for side in ["a", "b"] {
            schema["$defs"][format!("{side}{level}")] = json!({ "anyOf": next });
        }
    }
    for side in ["a", "b"] {
        schema["$defs"][format!("{side}60")] = json!({"type": "string"});
    }
    let mapping = fit(&schema).unwrap().mapping.unwrap();
    assert_eq!(mapping.restore(r#"{"a":5}"#).as_deref(), Some(r#"{"a":5}"#));
    assert_eq!(mapping.restore(r#"{"a":"x"}"#).as_deref(), Some(r#"{"a":"x"}"#));
}
