//! Structured output.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
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

#[tokio::test]
async fn json_object_is_left_to_the_prompt_and_named() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("{}"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let mut ask = surface.ask("json, please");
            match surface {
                Surface::Responses => ask["text"] = json!({"format": {"type": "json_object"}}),
                Surface::Chat => ask["response_format"] = json!({"type": "json_object"}),
            }
            let response = proxy.post(surface.path(), &ask).send().await.unwrap();
            assert_eq!(response.status(), 200);
            // The upstream takes strict schemas only, and a strict schema of any object does not exist.
            assert!(response.headers()["x-proxy-ignored-params"].to_str().unwrap().contains("format"));
            assert_eq!(upstream.requests().pop().unwrap().body["text"]["format"], Value::Null);
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
