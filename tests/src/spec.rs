//! Validates JSON against the published OpenAPI documents, where a copy lies beside the workspace.
//!
//! The documents are looked for in `E2E_SPEC_DIR`, else in `../shared/reference` beside the workspace.
//! Without them every validation passes after a printed notice, so nothing depends on their presence.

mod convert;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::{env, fs};

use jsonschema::Validator;
use serde_json::{Value, json};

/// One of the two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spec {
    /// `open-responses-openapi.json`.
    OpenResponses,
    /// `openai-openapi.json`.
    OpenAi,
}

/// What is wrong with a value that should be a `component` of the document; empty if nothing is.
///
/// # Panics
/// If the document is there but has no such component.
pub fn validate(spec: Spec, component: &str, value: &Value) -> Vec<String> {
    let Some(document) = spec.document() else { return Vec::new() };
    let validator = document.validator(component);
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// What is wrong with a Responses streaming event, judged by the document's component for its `type`.
pub fn validate_event(spec: Spec, event: &Value) -> Vec<String> {
    let Some(document) = spec.document() else { return Vec::new() };
    let kind = event["type"].as_str().unwrap_or_default();
    match document.events.get(kind) {
        Some(component) => validate(spec, component, event),
        None => vec![format!("the document knows no event of type {kind:?}")],
    }
}

struct Document {
    components: Value,
    /// Component names by the `type` of the event that they describe.
    events: HashMap<String, String>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Spec {
    fn document(self) -> Option<&'static Document> {
        static DOCUMENTS: [OnceLock<Option<Document>>; 2] = [OnceLock::new(), OnceLock::new()];
        let (slot, name) = match self {
            Self::OpenResponses => (0, "open-responses-openapi.json"),
            Self::OpenAi => (1, "openai-openapi.json"),
        };
        DOCUMENTS[slot].get_or_init(|| Document::load(name)).as_ref()
    }
}

impl Document {
    fn load(name: &str) -> Option<Self> {
        let path = folder().join(name);
        let Ok(text) = fs::read_to_string(&path) else {
            eprintln!("not validated: {} is not there", path.display());
            return None;
        };
        let document: Value = serde_json::from_str(&text).expect("an OpenAPI document is JSON");
        Some(Self::new(&document))
    }

    fn new(document: &Value) -> Self {
        let schemas = &document["components"]["schemas"];
        let mut events = HashMap::new();
        for (name, schema) in schemas.as_object().into_iter().flatten() {
            let kind = &schema["properties"]["type"];
            let kind = kind["const"].as_str().or_else(|| kind["enum"][0].as_str());
            // The beta copies describe the same types less exactly.
            if let Some(kind) = kind.filter(|_| name.ends_with("Event") && !name.starts_with("Beta")) {
                events.insert(kind.to_owned(), name.clone());
            }
        }
        let components = json!({"schemas": convert::schemas(schemas)});
        Self { components, events, validators: Mutex::default() }
    }

    fn validator(&self, component: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().expect("no validation panics");
        if let Some(validator) = validators.get(component) {
            return validator.clone();
        }
        assert!(!self.components["schemas"][component].is_null(), "the document has no {component}");
        let root = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": format!("#/components/schemas/{component}"),
            "components": self.components,
        });
        let validator = jsonschema::validator_for(&root).unwrap_or_else(|e| panic!("{component}: {e}"));
        let validator = Arc::new(validator);
        validators.insert(component.to_owned(), validator.clone());
        validator
    }
}

fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference");
    env::var_os("E2E_SPEC_DIR").map_or_else(beside, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Document {
        Document::new(&json!({"components": {"schemas": {
            "Text": {
                "type": "object", "required": ["type", "text", "note"],
                "properties": {
                    "type": {"type": "string", "enum": ["text"]}, "text": {"type": "string"},
                    "note": {"type": "string", "nullable": true},
                    "mode": {"type": "string", "enum": ["a"], "nullable": true},
                    "next": {"$ref": "#/components/schemas/Part", "nullable": true},
                },
            },
            "Number": {
                "type": "object", "required": ["type", "number"],
                "properties": {"type": {"const": "number"}, "number": {"type": "integer"}},
            },
            "Part": {
                "oneOf": [{"$ref": "#/components/schemas/Text"}, {"$ref": "#/components/schemas/Number"}],
                "discriminator": {"propertyName": "type"},
            },
            "Overlap": {"oneOf": [{"type": "number"}, {"type": "integer"}]},
            "DoneEvent": {"type": "object", "properties": {"type": {"const": "done"}}},
        }}}))
    }

    #[test]
    fn good_values_pass_and_bad_ones_are_named() {
        let document = sample();
        let judge = |component: &str, value: Value| -> Vec<String> {
            let validator = document.validator(component);
            validator.iter_errors(&value).map(|error| error.to_string()).collect()
        };
        let text = |over: Value| {
            let mut value = json!({"type": "text", "text": "x", "note": null});
            value.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
            value
        };
        for good in [
            text(json!({})),
            text(json!({"note": "n", "mode": null, "next": null})),
            text(json!({"mode": "a", "next": {"type": "number", "number": 5}})),
            json!({"type": "number", "number": 1}),
        ] {
            assert_eq!(judge("Part", good.clone()), [""; 0], "{good}");
        }
        for (bad, why) in [
            (json!({"type": "text", "text": "x"}), "note"),
            (json!({"type": "image"}), "image"),
            (json!({"type": "number", "number": "1"}), "integer"),
            (json!({"text": "x", "note": null}), "type"),
            (text(json!({"mode": "b"})), "\"b\""),
            (text(json!({"next": {"type": "number"}})), "number"),
        ] {
            let errors = judge("Part", bad.clone()).join("; ");
            assert!(errors.contains(why), "{bad}: {errors}");
        }
        assert_eq!(judge("Overlap", json!(5)), [""; 0], "branches that overlap are no mistake of the value");
        assert!(!judge("Overlap", json!("x")).is_empty());
        assert_eq!(document.events["done"], "DoneEvent");
    }

    #[test]
    fn the_published_documents_compile_where_they_are_present() {
        for (spec, component) in [
            (Spec::OpenResponses, "ResponseResource"),
            (Spec::OpenAi, "Response"),
            (Spec::OpenAi, "CreateChatCompletionResponse"),
            (Spec::OpenAi, "CreateChatCompletionStreamResponse"),
            (Spec::OpenAi, "ListModelsResponse"),
        ] {
            if spec.document().is_some() {
                assert!(!validate(spec, component, &json!({})).is_empty(), "{component} takes anything");
            }
        }
        let created = json!({"type": "response.created"});
        for spec in [Spec::OpenResponses, Spec::OpenAi] {
            assert_eq!(validate_event(spec, &created).is_empty(), spec.document().is_none());
        }
    }
}
