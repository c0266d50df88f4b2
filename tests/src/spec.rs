//! Checks JSON against the two published descriptions of the API: Open Responses and OpenAI's own.
//!
//! Both are large OpenAPI documents that this project does not ship. They are read from `E2E_SPEC_DIR`, else
//! from `shared/reference` beside the workspace; [`available`] returns whether they exist. [`validate`] compiles
//! each component once per process and returns the problems of a value, except those in [`KNOWN`].

mod known;
mod schema;

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use jsonschema::error::{ValidationError, ValidationErrorKind};
use serde_json::Value;

pub use known::{KNOWN, Known};

/// One of the two descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spec {
    /// The Open Responses specification, which requires nearly every member of a response.
    OpenResponses,
    /// OpenAI's own document, which also has Chat Completions, models and errors.
    OpenAi,
}

impl Spec {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::OpenResponses, Self::OpenAi];

    /// The name of the component of the response object.
    pub fn response(self) -> &'static str {
        match self {
            Self::OpenResponses => "ResponseResource",
            Self::OpenAi => "Response",
        }
    }

    /// The name of the component for any event of a Responses stream.
    pub fn stream_event(self) -> &'static str {
        "ResponseStreamEvent"
    }

    fn file(self) -> &'static str {
        match self {
            Self::OpenResponses => "open-responses-openapi.json",
            Self::OpenAi => "openai-openapi.json",
        }
    }

    /// The document, with a component for everything that is checked.
    fn document(self) -> Arc<Value> {
        static DOCUMENTS: LazyLock<Mutex<HashMap<Spec, Arc<Value>>>> = LazyLock::new(Mutex::default);
        let mut documents = DOCUMENTS.lock().expect("no thread panics while it holds the lock");
        let document = documents.entry(self).or_insert_with(|| {
            let path = directory().join(self.file());
            let text =
                fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
            let mut document = serde_json::from_str(&text)
                .unwrap_or_else(|e| panic!("{} is not the JSON document it should be: {e}", path.display()));
            if self == Self::OpenResponses {
                name_the_stream_event(&mut document);
            }
            Arc::new(document)
        });
        document.clone()
    }
}

/// Whether both documents exist; if not, prints this once on standard error.
pub fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        let missing = Spec::ALL.map(|spec| directory().join(spec.file())).into_iter().find(|p| !p.is_file());
        if let Some(path) = &missing {
            eprintln!(
                "not checked against the specifications: {} is missing (see E2E_SPEC_DIR)",
                path.display()
            );
        }
        missing.is_none()
    });
    *AVAILABLE
}

/// The problems of `value` as a `component`, one line each. Empty if it matches the document.
///
/// # Panics
/// If the document is absent or has no such component: ask [`available`] first.
pub fn validate(spec: Spec, component: &str, value: &Value) -> Vec<String> {
    complaints(&validator(spec, component), value)
        .into_iter()
        .filter(|complaint| !KNOWN.iter().any(|known| known.covers(spec, &complaint.at, &complaint.says)))
        .map(|complaint| format!("{spec:?} {component} at {:?}: {}", complaint.at, complaint.says))
        .collect()
}

/// The members of `component`, including those of its parts.
///
/// # Panics
/// If the document is absent or has no such component: ask [`available`] first.
pub fn members(spec: Spec, component: &str) -> Vec<String> {
    let document = spec.document();
    let mut members = Vec::new();
    let mut parts = vec![&document["components"]["schemas"][component]];
    while let Some(part) = parts.pop() {
        if let Some(name) = part["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            parts.push(&document["components"]["schemas"][name]);
        }
        parts.extend(part["allOf"].as_array().into_iter().flatten());
        members.extend(part["properties"].as_object().into_iter().flat_map(|names| names.keys().cloned()));
    }
    assert!(!members.is_empty(), "{spec:?} has no members of {component}");
    members
}

fn directory() -> PathBuf {
    env::var_os("E2E_SPEC_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference"), PathBuf::from)
}

/// Open Responses lists the events of a stream only at the route.
fn name_the_stream_event(document: &mut Value) {
    const AT: &str = "/paths/~1responses/post/responses/200/content/text~1event-stream/schema";
    let mut events = document.pointer(AT).expect("the route says what it streams").clone();
    events["discriminator"] = serde_json::json!({"propertyName": "type"});
    document["components"]["schemas"]["ResponseStreamEvent"] = events;
}

fn validator(spec: Spec, component: &str) -> Arc<Validator> {
    type Compiled = Mutex<HashMap<(Spec, String), Arc<Validator>>>;
    static COMPILED: LazyLock<Compiled> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().expect("no thread panics while it holds the lock");
    let validator = compiled.entry((spec, component.to_owned())).or_insert_with(|| {
        let schema = schema::of_component(&spec.document(), component);
        let validator = jsonschema::draft202012::options()
            .build(&schema)
            .unwrap_or_else(|e| panic!("{component} of {spec:?} does not compile: {e}"));
        Arc::new(validator)
    });
    validator.clone()
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Complaint {
    /// A JSON pointer into the value.
    at: String,
    says: String,
}

fn complaints(validator: &Validator, value: &Value) -> Vec<Complaint> {
    let mut all: Vec<_> = validator.iter_errors(value).flat_map(|error| explain(&error)).collect();
    all.sort();
    all.dedup();
    all
}

/// "Under none of the schemas" does not help, so this says why the value does not match the nearest branch.
fn explain(error: &ValidationError<'_>) -> Vec<Complaint> {
    if let ValidationErrorKind::AnyOf { context } = error.kind() {
        let nearest = context.iter().min_by_key(|branch| (is_of_another_kind(branch, error), branch.len()));
        if let Some(nearest) = nearest {
            return nearest.iter().flat_map(explain).collect();
        }
    }
    vec![Complaint { at: error.instance_path().to_string(), says: error.to_string() }]
}

/// Whether a branch is for another JSON type than that of the value, or for another `type` member.
fn is_of_another_kind(branch: &[ValidationError<'_>], error: &ValidationError<'_>) -> bool {
    let at = error.instance_path().as_str();
    branch.iter().any(|inner| match inner.kind().keyword() {
        "type" => inner.instance_path().as_str() == at,
        "enum" | "const" => inner.instance_path().as_str().strip_prefix(at) == Some("/type"),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
