//! Structured output.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Gate, Script, UPSTREAMS};
use e2e::harness::Setup;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface};

fn schema() -> Value {
    json!({
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false,
    })
}

fn ask(surface: Surface) -> Value {
    let mut ask = surface.ask("a city");
    match surface {
        Surface::Responses => {
            ask["text"] = json!({"format": {"type": "json_schema", "name": "city", "schema": schema(), "strict": true}});
        }
        Surface::Chat => {
            ask["response_format"] = json!({
                "type": "json_schema",
                "json_schema": {"name": "city", "schema": schema(), "strict": true},
            });
        }
    }
    ask
}

#[tokio::test]
async fn a_schema_reaches_the_model_and_the_answer_comes_unchanged() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            upstream.push(Script::new().message(&["{\"city\":", "\"Zürich\"}"]));
            let answer = surface.answer(&proxy, &ask(surface)).await;
            assert_eq!(surface.text(&answer), r#"{"city":"Zürich"}"#);
            let format = upstream.requests().pop().unwrap().body["text"]["format"].clone();
            assert_eq!((&format["type"], &format["strict"]), (&json!("json_schema"), &json!(true)));
            assert_eq!(format["schema"], schema());
            if surface == Surface::Responses {
                assert_eq!(answer["text"]["format"]["schema"], schema(), "the request's format is echoed");
            }
        }
    }
}

/// A request for an answer to `schema`, not strict.
fn ask_loosely(surface: Surface, schema: &Value) -> Value {
    let mut ask = surface.ask("a city");
    match surface {
        Surface::Responses => {
            ask["text"] = json!({"format": {"type": "json_schema", "name": "city", "schema": schema}});
        }
        Surface::Chat => {
            ask["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "description": "d"}});
        }
    }
    ask
}

#[tokio::test]
async fn a_schema_that_is_not_strict_is_fitted_and_the_answer_mapped_back() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let loose = json!({
            "type": "object", "required": ["city"],
            "properties": {"city": {"type": "string", "minLength": 1}, "mayor": {"type": "string"}},
            "additionalProperties": {"type": "integer"},
        });
        let entry = json!({
            "type": "object", "properties": {"key": {"type": "string"}, "value": {"type": "integer"}},
            "required": ["key", "value"], "additionalProperties": false,
        });
        let fitted = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"}, "mayor": {"type": ["string", "null"]},
                "entries": {"type": "array", "items": entry},
            },
            "required": ["city", "mayor", "entries"], "additionalProperties": false,
        });
        let said = [
            "{\"city\": \"Zürich\", \"may",
            "or\": null, \"entries\": [{\"key\": \"founded\", \"value\": -15}]}",
        ];
        let wanted = r#"{"city":"Zürich","founded":-15}"#;
        for surface in BOTH {
            let ask = ask_loosely(surface, &loose);
            upstream.push(Script::new().message(&said));
            assert_eq!(surface.text(&surface.answer(&proxy, &ask).await), wanted);
            let format = upstream.requests().pop().unwrap().body["text"]["format"].clone();
            assert_eq!((&format["schema"], &format["strict"]), (&fitted, &json!(true)));
            upstream.push(Script::new().message(&said));
            let events = surface.events(&proxy, &ask).await;
            assert_eq!(surface.streamed_text(&events), wanted);
            upstream.push(Script::new().message(&["{\"city\":"]).incomplete("max_output_tokens"));
            let events = surface.events(&proxy, &ask).await;
            assert_eq!(surface.streamed_text(&events), "{\"city\":", "what was cut is passed on as it is");
        }
    }
}

#[tokio::test]
async fn a_schema_without_a_strict_form_is_not_sent_and_named() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("```json\n{\"city\": \"Bern\"}\n```"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for (surface, params) in [
            (Surface::Responses, "text.format"),
            (Surface::Chat, "response_format.json_schema.description, response_format"),
        ] {
            let ask = ask_loosely(surface, &json!({"$ref": "https://example.com/schema.json"}));
            let response = proxy.post(surface.path(), &ask).send().await.unwrap();
            assert_eq!(response.headers()["x-proxy-ignored-params"], params);
            let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(surface.text(&answer), r#"{"city": "Bern"}"#);
            assert_eq!(upstream.requests().pop().unwrap().body["text"]["format"], Value::Null);
        }
    }
}

fn ask_for_json(surface: Surface) -> Value {
    let mut ask = surface.ask("json, please");
    match surface {
        Surface::Responses => ask["text"] = json!({"format": {"type": "json_object"}}),
        Surface::Chat => ask["response_format"] = json!({"type": "json_object"}),
    }
    ask
}

#[tokio::test]
async fn json_object_is_left_to_the_prompt_and_taken_out_of_its_fence() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let ask = ask_for_json(surface);
            for (said, wanted, unmet) in [
                (&["{\"a\": ", "1}"][..], "{\"a\": 1}", false),
                (&["``", "`json\n{\"a\": ", "1}\n```"], "{\"a\": 1}", false),
                (&["I cannot."], "I cannot.", true),
            ] {
                upstream.push(Script::new().message(said));
                let response = proxy.post(surface.path(), &ask).send().await.unwrap();
                assert_eq!(response.status(), 200);
                assert_eq!(response.headers().get("x-proxy-ignored-params"), None);
                let param = if surface == Surface::Chat { "response_format" } else { "text.format" };
                let named =
                    response.headers().get("x-proxy-unmet-params").map(|value| value.to_str().unwrap());
                assert_eq!(named, unmet.then_some(param), "{said:?}");
                let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
                assert_eq!(surface.text(&answer), wanted);
                // The upstream takes strict schemas only, and a strict schema of any object does not exist.
                assert_eq!(upstream.requests().pop().unwrap().body["text"]["format"], Value::Null);
                upstream.push(Script::new().message(said));
                assert_eq!(surface.streamed_text(&surface.events(&proxy, &ask).await), wanted);
            }
        }
    }
}

#[tokio::test]
async fn json_that_needs_nothing_is_streamed_as_it_comes() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let gate = Gate::new();
            upstream.push(Script::new().message_held("{\"a\":", &gate, " 1}"));
            let mut stream = proxy.stream(surface.path(), &ask_for_json(surface)).await;
            let mut seen = Vec::new();
            while surface.streamed_text(&seen) != "{\"a\":" {
                seen.push(stream.next_data().await.unwrap().json());
            }
            gate.open();
            seen.extend(stream.events().await);
            assert_eq!(surface.streamed_text(&seen), "{\"a\": 1}");
        }
    }
}

#[tokio::test]
async fn without_a_format_none_is_sent() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("x"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            surface.answer(&proxy, &surface.ask("x")).await;
            assert_eq!(upstream.requests().pop().unwrap().body["text"]["format"], Value::Null);
        }
    }
}
