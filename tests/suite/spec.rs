//! What the proxy sends is what the published OpenAPI documents promise.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::Setup;
use e2e::spec::{Spec, validate, validate_event};
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::Surface;

const SPECS: [(Spec, &str); 2] = [(Spec::OpenResponses, "ResponseResource"), (Spec::OpenAi, "Response")];

fn scripts() -> Vec<(&'static str, Script)> {
    vec![
        ("text", Script::new().reasoning(&[&["**Plan**"]], Some("ENC")).message(&["Hé", "llo"])),
        (
            "calls",
            Script::new()
                .message(&["I look."])
                .function_call("call_a", "get_weather", r#"{"city":"Paris"}"#, 5)
                .function_call("call_b", "get_weather", r#"{"city":"Rome"}"#, 5),
        ),
        ("empty", Script::new()),
    ]
}

fn ask(surface: Surface) -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    surface.ask_with_tool("hi", "get_weather", &parameters)
}

/// Open Responses demands a `usage` that may be null, OpenAI's document one that is absent or an object.
/// OpenAI's service itself sends null while a response is unfinished, so null it is.
fn event_errors(spec: Spec, event: &Value) -> Vec<String> {
    let mut errors = validate_event(spec, event);
    if spec == Spec::OpenAi && event["response"]["status"] != "completed" {
        errors.retain(|error| !error.starts_with("/response/usage: null"));
    }
    errors
}

fn none(errors: &[String], what: &str, value: &Value) {
    assert!(errors.is_empty(), "{what}:\n{}\nin {value:#}", errors.join("\n"));
}

#[tokio::test]
async fn responses_and_their_events_are_valid() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    for (name, script) in scripts() {
        upstream.push(script.clone());
        let answer = Surface::Responses.answer(&proxy, &ask(Surface::Responses)).await;
        upstream.push(script);
        let events = Surface::Responses.events(&proxy, &ask(Surface::Responses)).await;
        for (spec, component) in SPECS {
            none(&validate(spec, component, &answer), &format!("{spec:?} {name}"), &answer);
            for event in &events {
                none(&event_errors(spec, event), &format!("{spec:?} {name}"), event);
            }
        }
    }
}

#[tokio::test]
async fn a_failing_stream_is_valid() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    upstream.push(Script::new().message(&["part"]).failed("context_length_exceeded", "too long"));
    let events = Surface::Responses.events(&proxy, &ask(Surface::Responses)).await;
    for (spec, _) in SPECS {
        for event in &events {
            none(&event_errors(spec, event), &format!("{spec:?}"), event);
        }
    }
}

#[tokio::test]
async fn chat_completions_and_their_chunks_are_valid() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    for (name, script) in scripts() {
        upstream.push(script.clone());
        let answer = Surface::Chat.answer(&proxy, &ask(Surface::Chat)).await;
        none(&validate(Spec::OpenAi, "CreateChatCompletionResponse", &answer), name, &answer);
        upstream.push(script);
        for chunk in Surface::Chat.events(&proxy, &ask(Surface::Chat)).await {
            none(&validate(Spec::OpenAi, "CreateChatCompletionStreamResponse", &chunk), name, &chunk);
        }
    }
}

#[tokio::test]
async fn model_lists_and_errors_are_valid() {
    let proxy = Setup::fake(&json!({})).start().await;
    let (_, list) = sse::json(proxy.request(Method::GET, "/models")).await;
    none(&validate(Spec::OpenAi, "ListModelsResponse", &list), "models", &list);
    let (_, error) = sse::json(proxy.post("/responses", &json!({}))).await;
    none(&validate(Spec::OpenAi, "ErrorResponse", &error), "error", &error);
}
