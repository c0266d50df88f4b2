//! The requests of a proof: for each model the same few, in the form of a client's requests.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::compare::Sent;
use protocol::turn::{Catalogue, Effort, Model};

/// The feature that a request of a proof checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A line of text.
    Plain,
    /// A conversation with tools.
    Tools,
    /// An effort that is not the model's default.
    Effort,
    /// An answer with a schema.
    Schema,
    /// A picture.
    Image,
}

/// A request of a proof.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    /// The feature that it checks.
    pub(super) kind: Kind,
    /// Text that is in no other request of the proof.
    pub(super) marker: String,
    /// The request, in the form of the Responses API.
    pub(super) body: Value,
}

/// The requests for every model of a catalogue.
pub(super) fn all(catalogue: &Catalogue) -> Vec<Case> {
    let mut cases = Vec::new();
    for model in &catalogue.models {
        let kinds = [Kind::Plain, Kind::Tools, Kind::Effort, Kind::Schema, Kind::Image];
        for kind in kinds {
            let marker = format!("Request {} of a proof:", cases.len() + 1);
            cases.extend(body(model, kind, &marker).map(|body| Case { kind, marker, body }));
        }
    }
    cases
}

impl Case {
    /// The model that it names.
    pub(super) fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// The parts that must reach the model.
    pub(super) fn sent(&self) -> Sent {
        let list = |name: &str| self.body[name].as_array().cloned().unwrap_or_default();
        Sent {
            model: self.model().to_owned(),
            items: list("input"),
            tools: list("tools"),
            schema: self.body["text"]["format"].get("schema").cloned(),
            effort: self.body["reasoning"]["effort"].as_str().map(str::to_owned),
        }
    }
}

fn body(model: &Model, kind: Kind, marker: &str) -> Option<Value> {
    let question = |words: &str| said("user", &format!("{marker} {words}"));
    let mut body = json!({"model": model.id, "input": [question("say hello.")]});
    match kind {
        Kind::Plain => {}
        Kind::Tools => {
            body["input"] = json!([
                said("developer", "Be brief."),
                said("user", "What is the weather in Lisbon?"),
                {"type": "function_call", "call_id": "call_a", "name": "get_weather", "arguments": "{\"city\":\"Lisbon\"}"},
                {"type": "function_call_output", "call_id": "call_a", "output": "Sunny, 21 °C"},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Sunny."}],
                },
                question("and in Porto?"),
            ]);
            body["tools"] = tools();
        }
        Kind::Effort => {
            let other = model.efforts.iter().rev().find(|effort| Some(**effort) != model.default_effort)?;
            body["reasoning"] = json!({"effort": Effort::as_str(*other), "summary": "detailed"});
        }
        Kind::Schema => {
            body["text"] = json!({"format": {
                "type": "json_schema", "name": "place", "strict": true, "schema": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "people": {"type": ["integer", "null"]}},
                    "required": ["city", "people"],
                    "additionalProperties": false,
                },
            }});
        }
        Kind::Image => {
            if !model.images {
                return None;
            }
            let mut message = question("what is this?");
            if let Some(parts) = message["content"].as_array_mut() {
                parts.push(json!({"type": "input_image", "image_url": PICTURE}));
            }
            body["input"] = json!([message]);
        }
    }
    Some(body)
}

fn said(role: &str, text: &str) -> Value {
    json!({"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]})
}

/// A schema of some depth, with keywords that are easily lost, and a name that Codex does not pass on.
fn tools() -> Value {
    json!([
        {
            "type": "function",
            "name": "get_weather",
            "description": "The weather of a city.",
            "strict": false,
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "minLength": 1, "pattern": "^[A-Z]", "examples": ["Porto"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 14, "default": 3},
                    "scale": {"enum": [1, 2]},
                    "places": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/place"}},
                },
                "required": ["city"],
                "$defs": {"place": {
                    "type": "object",
                    "properties": {"name": {"description": "Its name."}, "at": {"type": "string", "format": "date-time"}},
                }},
            },
        },
        {
            "type": "function",
            "name": "exec_command",
            "description": "Runs a command.",
            "strict": true,
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "string"}},
                "required": ["command"],
                "additionalProperties": false,
            },
        },
    ])
}

/// One white pixel.
const PICTURE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg==";

#[cfg(test)]
mod tests {
    use super::*;

    fn model(efforts: &[Effort], images: bool) -> Model {
        Model {
            id: "m".into(),
            display_name: "M".into(),
            description: String::new(),
            efforts: efforts.to_vec(),
            default_effort: Some(Effort::Low),
            images,
            context_window: None,
            service_tiers: None,
            hidden: false,
            is_default: true,
        }
    }

    #[test]
    fn every_model_is_asked_in_every_way_it_knows() {
        let catalogue =
            Catalogue { models: vec![model(&[Effort::Low, Effort::High], true), model(&[], false)] };
        let cases = all(&catalogue);
        let kinds: Vec<_> = cases.iter().map(|case| case.kind).collect();
        use Kind::{Effort as Other, Image, Plain, Schema, Tools};
        assert_eq!(kinds, [Plain, Tools, Other, Schema, Image, Plain, Tools, Schema]);
        assert_eq!(cases[2].sent().effort.as_deref(), Some("high"), "not the model's own");
        for case in &cases {
            let holders = cases.iter().filter(|other| other.body.to_string().contains(&case.marker));
            assert_eq!(holders.count(), 1, "{}", case.marker);
        }
    }
}
