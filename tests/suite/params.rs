//! Every parameter of both APIs has an effect, is returned, or is named as a parameter without effect.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::Setup;
use e2e::spec;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::surface::Surface;

/// The effect of a parameter.
enum Fate {
    /// It is the request, or what the answer is made by; other tests check it.
    Honoured,
    /// The upstream gets this value at this place of the request.
    Arrives(&'static str, Value),
    /// The answer returns it. It has no other purpose.
    Echoed(&'static str),
    /// It is only for the client's own records, or asks for the default.
    Bookkeeping,
    /// No effect, and the answer's header names it.
    Named,
    /// It is essential but not supported, so the request is refused.
    Refused,
}

use Fate::{Arrives, Bookkeeping, Echoed, Honoured, Named, Refused};

fn function() -> Value {
    json!({"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}})
}

fn strict() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false})
}

fn responses() -> Vec<(&'static str, Value, Fate)> {
    let schema = json!({"format": {"type": "json_schema", "name": "n", "schema": strict(), "strict": true}});
    vec![
        ("background", json!(false), Honoured),
        ("context_management", json!([{"type": "compaction"}]), Named),
        ("conversation", json!("conv_1"), Refused),
        ("frequency_penalty", json!(1), Named),
        ("include", json!(["web_search_call.action.sources"]), Named),
        ("input", json!("hi"), Honoured),
        ("instructions", json!("be brief"), Arrives("/input/0/content/0/text", json!("be brief"))),
        ("max_output_tokens", json!(50), Honoured),
        ("max_tool_calls", json!(3), Named),
        ("metadata", json!({"a": "b"}), Echoed("metadata")),
        ("model", json!("gpt-5.5"), Arrives("/model", json!("gpt-5.5"))),
        ("moderation", json!({"model": "x"}), Named),
        ("parallel_tool_calls", json!(false), Named),
        ("presence_penalty", json!(1), Named),
        ("previous_response_id", json!("resp_1"), Refused),
        ("prompt", json!({"id": "pmpt_1"}), Refused),
        ("prompt_cache_key", json!("k"), Echoed("prompt_cache_key")),
        ("prompt_cache_options", json!({"mode": "explicit"}), Named),
        ("prompt_cache_retention", json!("24h"), Named),
        ("reasoning", json!({"effort": "high"}), Arrives("/reasoning/effort", json!("high"))),
        ("reasoning", json!({"summary": "detailed"}), Arrives("/reasoning/summary", json!("detailed"))),
        ("safety_identifier", json!("s"), Echoed("safety_identifier")),
        ("service_tier", json!("priority"), Arrives("/service_tier", json!("priority"))),
        ("service_tier", json!("flex"), Arrives("/service_tier", json!("flex"))),
        ("service_tier", json!("scale"), Named),
        ("store", json!(true), Bookkeeping),
        ("stream", json!(false), Honoured),
        ("stream_options", json!({"include_obfuscation": false}), Bookkeeping),
        ("temperature", json!(0.5), Named),
        ("text", json!({"verbosity": "low"}), Arrives("/text/verbosity", json!("low"))),
        ("text", schema, Arrives("/text/format/schema", strict())),
        ("tool_choice", json!("required"), Named),
        ("tool_choice", json!({"type": "function", "name": "f"}), Named),
        ("tool_choice", json!("none"), Honoured),
        ("tools", json!([function()]), Honoured),
        ("top_logprobs", json!(1), Refused),
        ("top_p", json!(0.5), Named),
        ("truncation", json!("auto"), Named),
        ("user", json!("u"), Echoed("user")),
    ]
}

fn chat() -> Vec<(&'static str, Value, Fate)> {
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "n", "schema": strict(), "strict": true}});
    vec![
        ("audio", json!({"voice": "alloy", "format": "mp3"}), Refused),
        ("frequency_penalty", json!(1), Named),
        ("function_call", json!("auto"), Honoured),
        ("functions", Value::Null, Honoured),
        ("logit_bias", json!({"5": 1}), Named),
        ("logprobs", json!(true), Refused),
        ("max_completion_tokens", json!(50), Honoured),
        ("max_tokens", json!(50), Honoured),
        ("messages", json!([{"role": "user", "content": "hi"}]), Honoured),
        ("metadata", json!({"a": "b"}), Bookkeeping),
        ("modalities", json!(["text"]), Honoured),
        ("model", json!("gpt-5.5"), Arrives("/model", json!("gpt-5.5"))),
        ("moderation", json!({"model": "x"}), Named),
        ("n", json!(1), Honoured),
        ("parallel_tool_calls", json!(false), Named),
        ("prediction", json!({"type": "content", "content": "x"}), Named),
        ("presence_penalty", json!(1), Named),
        ("prompt_cache_key", json!("k"), Bookkeeping),
        ("prompt_cache_options", json!({"mode": "explicit"}), Named),
        ("prompt_cache_retention", json!("24h"), Named),
        ("reasoning_effort", json!("high"), Arrives("/reasoning/effort", json!("high"))),
        ("response_format", schema, Arrives("/text/format/schema", strict())),
        ("safety_identifier", json!("s"), Bookkeeping),
        ("seed", json!(1), Named),
        ("service_tier", json!("priority"), Arrives("/service_tier", json!("priority"))),
        ("stop", json!(["x"]), Honoured),
        ("store", json!(true), Bookkeeping),
        ("stream", json!(false), Honoured),
        ("stream_options", Value::Null, Honoured),
        ("temperature", json!(0.5), Named),
        ("tool_choice", json!({"type": "function", "function": {"name": "f"}}), Named),
        ("tools", json!([{"type": "function", "function": {"name": "f"}}]), Honoured),
        ("top_logprobs", json!(1), Refused),
        ("top_p", json!(0.5), Named),
        ("user", json!("u"), Bookkeeping),
        ("verbosity", json!("low"), Arrives("/text/verbosity", json!("low"))),
        ("web_search_options", json!({"search_context_size": "high"}), Named),
    ]
}

/// How a parameter inside another has to be named.
fn nested() -> Vec<(Surface, &'static str, Value, &'static str)> {
    let image = |detail: &str| json!({"type": "input_image", "image_url": PNG, "detail": detail});
    let shown = |detail: &str| json!({"type": "image_url", "image_url": {"url": PNG, "detail": detail}});
    let input =
        |part: Value| json!([{"role": "user", "content": [{"type": "input_text", "text": "hi"}, part]}]);
    let messages = |part: Value| json!([{"role": "user", "content": [{"type": "text", "text": "hi"}, part]}]);
    let search = |key: &str, value: Value| json!([{"type": "web_search", key: value}]);
    vec![
        (Surface::Responses, "input", input(image("low")), "input[0].content[1].detail"),
        (Surface::Chat, "messages", messages(shown("high")), "messages[0].content[1].image_url.detail"),
        (
            Surface::Responses,
            "tools",
            search("external_web_access", json!(false)),
            "tools[0].external_web_access",
        ),
        (
            Surface::Responses,
            "tools",
            search("search_context_size", json!("low")),
            "tools[0].search_context_size",
        ),
        (Surface::Responses, "tools", json!([function(), {"type": "local_shell"}]), "tools[1]"),
        (
            Surface::Responses,
            "tools",
            json!([{"type": "function", "name": "f", "defer_loading": true}]),
            "tools[0].defer_loading",
        ),
        (
            Surface::Chat,
            "tools",
            json!([{"type": "function", "function": {"name": "f", "cache_control": {}}}]),
            "tools[0].function.cache_control",
        ),
        (Surface::Responses, "reasoning", json!({"effort": "low", "context": "auto"}), "reasoning.context"),
    ]
}

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[tokio::test]
async fn every_parameter_has_an_effect_or_is_named() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("{\"a\":\"ok\"}"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for (surface, params) in [(Surface::Responses, responses()), (Surface::Chat, chat())] {
            for (param, value, fate) in params {
                let mut ask = surface.ask("hi");
                if matches!(param, "parallel_tool_calls" | "tool_choice") {
                    ask["tools"] = match surface {
                        Surface::Responses => json!([function()]),
                        Surface::Chat => json!([{"type": "function", "function": {"name": "f"}}]),
                    };
                }
                ask[param] = value;
                let case = format!("{kind:?} {surface:?} {}", json!({param: ask[param]}));
                let response = proxy.post(surface.path(), &ask).send().await.unwrap();
                let (status, named) = (response.status(), named(&response));
                let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
                if let Refused = fate {
                    assert_eq!(status.as_u16() / 100, 4, "{case}");
                    let param_named = answer["error"]["param"].as_str().unwrap_or_default();
                    assert!(param_named.starts_with(param), "{case}: {answer}");
                    continue;
                }
                assert_eq!(status, StatusCode::OK, "{case}: {answer}");
                let is_named = named.iter().any(|name| name.split(['.', '[']).next() == Some(param));
                assert_eq!(is_named, matches!(fate, Named), "{case}: {named:?}");
                match fate {
                    Arrives(place, expected) => {
                        let request = upstream.requests().pop().unwrap();
                        assert_eq!(request.body.pointer(place), Some(&expected), "{case}");
                    }
                    Echoed(member) => assert_eq!(answer[member], ask[param], "{case}"),
                    Honoured | Bookkeeping | Named | Refused => {}
                }
            }
        }
        for (surface, param, value, expected) in nested() {
            let mut ask = surface.ask("hi");
            ask[param] = value;
            let response = proxy.post(surface.path(), &ask).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{expected}");
            assert_eq!(named(&response), [expected], "{kind:?} {surface:?} {ask}");
        }
    }
}

fn named(response: &reqwest::Response) -> Vec<String> {
    let header = response.headers().get("x-proxy-ignored-params");
    let list = header.map(|value| value.to_str().unwrap()).unwrap_or_default();
    list.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_lists_are_those_of_the_published_description() {
    if !spec::available() {
        return;
    }
    for (component, params) in [("CreateResponse", responses()), ("CreateChatCompletionRequest", chat())] {
        let known: Vec<_> = params.iter().map(|(param, ..)| *param).collect();
        let missing: Vec<_> = spec::members(spec::Spec::OpenAi, component)
            .into_iter()
            .filter(|member| !known.contains(&member.as_str()))
            .collect();
        assert_eq!(missing, [""; 0], "{component}");
    }
}
