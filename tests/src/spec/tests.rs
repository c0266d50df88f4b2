use serde_json::json;

use super::*;

fn compiled(document: &Value, component: &str) -> Validator {
    jsonschema::draft202012::new(&schema::of_component(document, component)).unwrap()
}

fn said(document: &Value, component: &str, value: &Value) -> Vec<String> {
    let complaints = complaints(&compiled(document, component), value);
    complaints.into_iter().map(|c| format!("{}: {}", c.at, c.says)).collect()
}

/// A document with each construct that the real ones have.
fn small() -> Value {
    let tagged = |tag: &str, more: Value| {
        let mut properties = json!({"type": {"type": "string", "enum": [tag]}});
        properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let required: Vec<_> = properties.as_object().unwrap().keys().cloned().collect();
        json!({"type": "object", "properties": properties, "required": required})
    };
    json!({"components": {"schemas": {
        "Text": tagged("text", json!({"text": {"type": "string"}})),
        "Count": tagged("count", json!({"count": {"type": "integer", "nullable": true}})),
        "Wrapped": {"allOf": [{"$ref": "#/components/schemas/Count"}, {"description": "the same"}]},
        "Part": {
            "oneOf": [{"$ref": "#/components/schemas/Text"}, {"$ref": "#/components/schemas/Wrapped"}],
            "discriminator": {"propertyName": "type"},
        },
        "Overlap": {"oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]},
        "Whole": {
            "type": "object", "required": ["parts", "oneOf"],
            "properties": {
                "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                "oneOf": {"$ref": "#/components/schemas/Overlap"},
                "nullable": {"type": "string"},
                "maybe": {"nullable": true, "allOf": [{"$ref": "#/components/schemas/Text"}]},
                "either": {"anyOf": [{"$ref": "#/components/schemas/Text"}, {"type": "null"}]},
            },
        },
    }}})
}

#[test]
fn good_values_pass() {
    let text = json!({"type": "text", "text": "x"});
    for value in [
        json!({"parts": [text, {"type": "count", "count": 1}, {"type": "count", "count": null}], "oneOf": 1}),
        json!({"parts": [], "oneOf": null, "nullable": "a property's name", "maybe": null, "either": text}),
        json!({"parts": [], "oneOf": 1.5, "maybe": text, "either": null, "unknown": 1}),
    ] {
        assert_eq!(said(&small(), "Whole", &value), [""; 0]);
    }
}

#[test]
fn bad_values_are_told_where_and_what() {
    for (value, at, words) in [
        (json!({"parts": []}), "", "\"oneOf\" is a required property"),
        (json!({"parts": [], "oneOf": "1"}), "/oneOf", "\"1\" is not"),
        (json!({"parts": [{"type": "text"}], "oneOf": 1}), "/parts/0", "\"text\" is a required property"),
        (json!({"parts": [{"type": "other"}], "oneOf": 1}), "/parts/0/type", "\"other\" is not one of"),
        (json!({"parts": [{"type": "count", "count": "1"}], "oneOf": 1}), "/parts/0/count", "\"1\" is not"),
        (json!({"parts": [{}], "oneOf": 1}), "/parts/0", "\"type\" is a required property"),
        (json!({"parts": [], "oneOf": 1, "nullable": null}), "/nullable", "null is not"),
        (json!({"parts": [], "oneOf": 1, "maybe": {"type": "text"}}), "/maybe", "\"text\" is a required"),
        (json!({"parts": [], "oneOf": 1, "either": {"type": "text"}}), "/either", "\"text\" is a required"),
    ] {
        let said = said(&small(), "Whole", &value);
        let [complaint] = &said[..] else { panic!("{value}: {said:?}") };
        assert!(complaint.starts_with(&format!("{at}: ")) && complaint.contains(words), "{complaint}");
    }
}

#[test]
fn an_exception_covers_its_place_and_words_only() {
    let known = Known { spec: Spec::OpenAi, at: "output/*/type", says: "is not one of", reason: "a test" };
    for at in ["/output/3/type", "/response/output/0/type"] {
        assert!(known.covers(Spec::OpenAi, at, "\"x\" is not one of \"y\""));
    }
    for (spec, at, says) in [
        (Spec::OpenResponses, "/output/3/type", "is not one of"),
        (Spec::OpenAi, "/output/3/id", "is not one of"),
        (Spec::OpenAi, "/output/3", "is not one of"),
        (Spec::OpenAi, "/3/type", "is not one of"),
        (Spec::OpenAi, "/other_output/3/type", "is not one of"),
        (Spec::OpenAi, "/output/3/type/0", "is not one of"),
        (Spec::OpenAi, "/output/3/type", "is required"),
    ] {
        assert!(!known.covers(spec, at, says), "{spec:?} {at} {says}");
    }
}

/// A response with everything that both documents require.
fn response() -> Value {
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "completed_at": 2, "status": "completed",
        "incomplete_details": null, "model": "m", "previous_response_id": null, "instructions": null,
        "output": [{
            "id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "x", "annotations": [], "logprobs": []}],
        }],
        "error": null, "tools": [], "tool_choice": "auto", "truncation": "disabled",
        "parallel_tool_calls": true, "text": {"format": {"type": "text"}}, "top_p": 1.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_logprobs": 0, "temperature": 1.0,
        "reasoning": {"effort": null, "summary": null},
        "usage": {
            "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2,
        },
        "max_output_tokens": null, "max_tool_calls": null, "store": true, "background": false,
        "service_tier": "default", "metadata": {}, "safety_identifier": null, "prompt_cache_key": null,
    })
}

#[test]
fn the_published_documents_tell_good_from_bad() {
    if !available() {
        return;
    }
    for spec in Spec::ALL {
        assert_eq!(validate(spec, spec.response(), &response()), [""; 0]);
        let event = json!({"type": "response.created", "sequence_number": 0, "response": response()});
        assert_eq!(validate(spec, spec.stream_event(), &event), [""; 0]);
        for (at, value, word) in [
            ("/tool_choice", None, "tool_choice"),
            ("/output/0/content/0/annotations", None, "annotations"),
            ("/usage/input_tokens_details/cached_tokens", None, "cached_tokens"),
            ("/output/0/role", Some("robot"), "role"),
            ("/object", Some("answer"), "response"),
        ] {
            let mut broken = response();
            let (parent, member) = at.rsplit_once('/').unwrap();
            let parent = broken.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match value {
                Some(value) => drop(parent.insert(member.to_owned(), json!(value))),
                None => drop(parent.remove(member).unwrap()),
            }
            let said = validate(spec, spec.response(), &broken);
            assert!(said.iter().any(|complaint| complaint.contains(word)), "{word}: {said:?}");
            let event = json!({"type": "response.completed", "sequence_number": 1, "response": broken});
            let said = validate(spec, spec.stream_event(), &event);
            assert!(said.iter().any(|complaint| complaint.contains(word)), "{word}: {said:?}");
        }
        let said =
            validate(spec, spec.stream_event(), &json!({"type": "response.begun", "sequence_number": 0}));
        assert!(said.iter().any(|complaint| complaint.contains("response.begun")), "{said:?}");
        let said =
            validate(spec, spec.stream_event(), &json!({"type": "response.output_text.delta", "delta": "x"}));
        assert!(said.iter().any(|complaint| complaint.contains("sequence_number")), "{said:?}");
    }
    let error = json!({"error": {"message": "m", "type": "t", "param": null, "code": null}});
    assert_eq!(validate(Spec::OpenAi, "ErrorResponse", &error), [""; 0]);
    let said =
        validate(Spec::OpenAi, "ErrorResponse", &json!({"error": {"message": "m", "type": "t", "code": 1}}));
    assert!(said.len() == 2 && said[0].contains("param") && said[1].contains("code"), "{said:?}");
}
