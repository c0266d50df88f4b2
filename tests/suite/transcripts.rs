//! Golden transcripts of both surfaces.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::Setup;
use e2e::transcript;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface};

/// Streams one request whose upstream answer is `script` and checks `NAME-SURFACE.sse`.
async fn check(name: &str, script: Script, tools: bool) {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            upstream.push(script.clone());
            let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
            let ask: Value = match tools {
                true => surface.ask_with_tool("hi", "get_weather", &parameters),
                false => surface.ask("hi"),
            };
            let frames = proxy.stream(surface.path(), &ask).await.rest().await;
            let suffix = if surface == Surface::Chat { "chat" } else { "responses" };
            transcript::check(&format!("{name}-{suffix}"), &frames);
        }
    }
}

#[tokio::test]
async fn text_with_reasoning() {
    let script =
        Script::new().reasoning(&[&["**Pl", "an**"], &["more"]], Some("ENC")).message(&["Hé", "llo 🦀"]);
    check("text", script, false).await;
}

#[tokio::test]
async fn parallel_calls() {
    let script = Script::new()
        .message(&["I look."])
        .function_call("call_a", "get_weather", r#"{"city":"Paris"}"#, 5)
        .function_call("call_b", "get_weather", r#"{"city":"Rome"}"#, 5);
    check("calls", script, true).await;
}

#[tokio::test]
async fn an_empty_answer() {
    check("empty", Script::new(), false).await;
}

#[tokio::test]
async fn a_failure_in_the_middle() {
    let script = Script::new().message(&["part"]).failed("context_length_exceeded", "too long");
    check("failure", script, false).await;
}
