//! The proxy's answers, complete and streamed, match the published descriptions of the API.
//!
//! Each case is asked four times: on both surfaces, whole and streamed. Every event and object is checked
//! against both documents (see [`e2e::spec`]), and the stream must end in what the whole answer was. Without
//! the documents the second check remains.

mod fold;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, Usage};
use e2e::harness::{Proxy, Setup};
use e2e::spec::{self, Spec};
use e2e::sse;
use http::Method;
use serde_json::{Value, json};

use self::fold::{as_streamed, folded, timeless};
use crate::surface::{BOTH, MODEL, Surface};

#[tokio::test]
async fn text() {
    check(Surface::ask_hi, || Script::new().message(&["Hé", "llo ", "🦀"])).await;
}

#[tokio::test]
async fn reasoning_with_summary_and_encrypted_content() {
    let ask = |surface: Surface| {
        let mut ask = surface.ask_hi();
        match surface {
            Surface::Responses => {
                ask["include"] = json!(["reasoning.encrypted_content"]);
                ask["reasoning"] = json!({"effort": "high", "summary": "auto"});
            }
            Surface::Chat => ask["reasoning_effort"] = json!("high"),
        }
        ask
    };
    let script = || {
        let usage = Usage { input: 1000, cached: 900, cache_write: 50, output: 30, reasoning: 10 };
        Script::new().reasoning(&[&["**Pl", "an**"], &["more"]], Some("ENC")).message(&["x"]).usage(usage)
    };
    let whole = check(ask, script).await;
    let reasoning = &whole.responses["output"][0];
    assert_eq!((&reasoning["type"], &reasoning["encrypted_content"]), (&json!("reasoning"), &json!("ENC")));
}

#[tokio::test]
async fn parallel_function_calls() {
    let script = || {
        Script::new()
            .message(&["I will ", "look."])
            .function_call("call_a", "get_weather", r#"{"city": "Zürich 🦀"}"#, 3)
            .function_call("call_b", "get_weather", r#"{"city":"Rome"}"#, 3)
    };
    let whole = check(ask_with_tool, script).await;
    assert_eq!(whole.chat["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(whole.responses["tools"][0]["name"], "get_weather");
}

#[tokio::test]
async fn a_function_call_alone() {
    check(ask_with_tool, || Script::new().function_call("call_a", "get_weather", "{}", 1)).await;
}

#[tokio::test]
async fn outputs_of_tools() {
    let ask = |surface: Surface| {
        let ask = ask_with_tool(surface);
        let calls = ["call_a", "call_b"].map(|id| crate::surface::Call {
            id: id.to_owned(),
            name: "get_weather".to_owned(),
            arguments: r#"{"city":"Rome"}"#.to_owned(),
        });
        surface.follow_up(&ask, &calls, &["sunny", "wet"])
    };
    check(ask, || Script::text("sunny and wet")).await;
}

#[tokio::test]
async fn structured_output() {
    let schema = json!({
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false,
    });
    let ask = |surface: Surface| {
        let mut ask = surface.ask_hi();
        match surface {
            Surface::Responses => {
                let format = json!({"type": "json_schema", "name": "city", "schema": schema, "strict": true});
                ask["text"] = json!({"format": format, "verbosity": "low"});
            }
            Surface::Chat => {
                let format = json!({"name": "city", "schema": schema, "strict": true});
                ask["response_format"] = json!({"type": "json_schema", "json_schema": format});
            }
        }
        ask
    };
    let whole = check(ask, || Script::new().message(&["{\"city\":", "\"Rome\"}"])).await;
    assert_eq!(whole.responses["text"]["format"]["schema"], schema);
}

#[tokio::test]
async fn cut_at_the_limit_of_output_tokens() {
    let ask = |surface: Surface| {
        let mut ask = surface.ask_hi();
        let name = if surface == Surface::Chat { "max_completion_tokens" } else { "max_output_tokens" };
        ask[name] = json!(16);
        ask
    };
    let long = "word ".repeat(200);
    let whole = check(ask, || Script::new().message(&[&long])).await;
    assert_eq!(whole.responses["status"], "incomplete");
    assert_eq!(whole.responses["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(whole.chat["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn cut_by_the_upstream() {
    let script = || Script::new().message(&["part"]).incomplete("max_output_tokens");
    let whole = check(Surface::ask_hi, script).await;
    assert_eq!(whole.responses["status"], "incomplete");
    assert_eq!(whole.chat["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_web_search() {
    let ask = |surface: Surface| {
        let mut ask = surface.ask_hi();
        match surface {
            Surface::Responses => ask["tools"] = json!([{"type": "web_search"}]),
            Surface::Chat => ask["web_search_options"] = json!({}),
        }
        ask
    };
    check(ask, || Script::new().web_search_call("rust").message(&["found"])).await;
}

#[tokio::test]
async fn several_messages() {
    check(Surface::ask_hi, || Script::new().message(&["one"]).message(&["two ", "three"])).await;
}

#[tokio::test]
async fn an_empty_message_and_none() {
    check(Surface::ask_hi, || Script::new().message(&[""])).await;
    check(Surface::ask_hi, Script::new).await;
}

#[tokio::test]
async fn everything_a_request_can_say_is_echoed_as_promised() {
    let ask = |surface: Surface| {
        let mut ask = surface.ask_hi();
        let more = match surface {
            Surface::Responses => json!({
                "instructions": "be brief", "temperature": 0.5, "top_p": 0.9, "store": false,
                "metadata": {"a": "b"}, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k",
                "truncation": "auto", "parallel_tool_calls": false, "service_tier": "auto",
                "max_tool_calls": 3, "tool_choice": {"type": "function", "name": "f"},
                "tools": [
                    {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": true},
                    {"type": "function", "name": "g"},
                ],
            }),
            Surface::Chat => json!({
                "temperature": 0.5, "top_p": 0.9, "seed": 1, "presence_penalty": 0.1, "frequency_penalty": 0.1,
                "store": false, "metadata": {"a": "b"}, "user": "u", "n": 2, "stop": ["END"],
                "parallel_tool_calls": false, "service_tier": "auto", "logit_bias": {},
                "stream_options": {"include_usage": true},
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            }),
        };
        ask.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ask
    };
    let whole = check(ask, || Script::text("ok")).await;
    assert_eq!(whole.chat["choices"].as_array().map(Vec::len), Some(2));
    let echoed = &whole.responses;
    assert_eq!((&echoed["metadata"], &echoed["instructions"]), (&json!({"a": "b"}), &json!("be brief")));
    assert_eq!(echoed["tool_choice"], json!({"type": "function", "name": "f"}));
}

#[tokio::test]
async fn a_turn_that_fails_in_its_stream() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    for script in [
        Script::new().message(&["part"]).failed("server_error", "the upstream gave up"),
        Script::new().message(&["part"]).disconnect(),
        Script::new().failed("context_length_exceeded", "too long"),
    ] {
        for surface in BOTH {
            upstream.push(script.clone());
            let mut ask = surface.ask_hi();
            ask["stream_options"] = json!({"include_usage": true});
            let events = surface.events(&proxy, &ask).await;
            check_events(surface, &events);
            let last = events.last().expect("a stream has events");
            match surface {
                Surface::Responses => assert_eq!(last["type"], "response.failed", "{events:#?}"),
                Surface::Chat => assert!(last["error"].is_object(), "{events:#?}"),
            }
        }
    }
    for surface in BOTH {
        upstream.push(Script::new().message(&["part"]).failed("server_error", "the upstream gave up"));
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask_hi())).await;
        assert!(status.is_server_error(), "{status} {body}");
        check_error(&body);
    }
}

#[tokio::test]
async fn the_models() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let (status, list) = sse::json(proxy.request(Method::GET, "/models")).await;
    assert_eq!(status, 200);
    conforms(Spec::OpenAi, "ListModelsResponse", &list);
    let models = list["data"].as_array().expect("a list");
    assert!(models.iter().any(|model| model["id"] == MODEL), "{list}");
    for model in models {
        let id = model["id"].as_str().expect("an id");
        let (status, one) = sse::json(proxy.request(Method::GET, &format!("/models/{id}"))).await;
        assert_eq!((status.as_u16(), &one), (200, model));
        conforms(Spec::OpenAi, "Model", &one);
    }
}

#[tokio::test]
async fn every_refusal_has_an_error_body() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let url = |path: &str| format!("{}{path}", proxy.base_url);
    let post = |path: &str, body: &'static str| {
        proxy.request(Method::POST, path).header("content-type", "application/json").body(body)
    };
    for surface in BOTH {
        let path = surface.path();
        let cases = [
            (401, proxy.bare(Method::POST, &url(path)).json_body(&surface.ask_hi())),
            (401, proxy.bare(Method::POST, &url(path)).bearer_auth("wrong").json_body(&surface.ask_hi())),
            (400, post(path, "{")),
            (400, post(path, "[]")),
            (400, post(path, "{}")),
            (400, post(path, r#"{"model": 1, "input": "x", "messages": []}"#)),
            (
                404,
                post(
                    path,
                    r#"{"model": "nobody-has-it", "input": "x", "messages": [{"role": "user", "content": "x"}]}"#,
                ),
            ),
            (
                400,
                post(
                    path,
                    r#"{"model": "gpt-6.1-sol", "input": [{"role": "robot", "content": "x"}], "messages": [{"role": "robot", "content": "x"}]}"#,
                ),
            ),
            (415, proxy.request(Method::POST, path).header("content-type", "text/plain").body("x")),
            (405, proxy.request(Method::PUT, path).body("x")),
            (403, proxy.post(path, &surface.ask_hi()).header("origin", "https://example.com")),
            (403, proxy.post(path, &surface.ask_hi()).header("host", "example.com")),
        ];
        for (expected, request) in cases {
            let (status, body) = sse::json(request).await;
            assert_eq!(status.as_u16(), expected, "{surface:?} {body}");
            check_error(&body);
        }
    }
    for path in ["/nothing", "/models/nobody-has-it"] {
        let (status, body) = sse::json(proxy.request(Method::GET, path)).await;
        assert_eq!(status, 404, "{body}");
        check_error(&body);
    }
    assert_eq!(upstream.requests().len(), 0);
}

/// The whole answers of a case.
struct Whole {
    responses: Value,
    chat: Value,
}

async fn check(ask: impl Fn(Surface) -> Value, script: impl Fn() -> Script) -> Whole {
    let upstream = FakeOpenAi::start().await;
    upstream.fall_back_to(script());
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let responses = check_responses(&proxy, &ask(Surface::Responses)).await;
    let chat = check_chat(&proxy, &ask(Surface::Chat)).await;
    proxy.stop().await;
    Whole { responses, chat }
}

async fn check_responses(proxy: &Proxy, ask: &Value) -> Value {
    let whole = Surface::Responses.answer(proxy, ask).await;
    for spec in Spec::ALL {
        conforms(spec, spec.response(), &whole);
    }
    let events = Surface::Responses.events(proxy, ask).await;
    check_events(Surface::Responses, &events);
    let last = events.last().expect("a stream has events");
    assert!(
        ["response.completed", "response.incomplete"].map(Value::from).contains(&last["type"]),
        "the stream ends with {last}"
    );
    assert_eq!(timeless(&last["response"]), timeless(&whole), "the stream ends in the whole answer");
    let added = events.iter().filter(|event| event["type"] == "response.output_item.added");
    for (event, item) in added.zip(last["response"]["output"].as_array().expect("items")) {
        assert_eq!(event["item"]["id"], item["id"], "an item keeps its id");
    }
    whole
}

async fn check_chat(proxy: &Proxy, ask: &Value) -> Value {
    let whole = Surface::Chat.answer(proxy, ask).await;
    conforms(Spec::OpenAi, "CreateChatCompletionResponse", &whole);
    let events = Surface::Chat.events(proxy, ask).await;
    check_events(Surface::Chat, &events);
    assert_eq!(timeless(&folded(&events)), timeless(&as_streamed(&whole)), "the chunks add up to the answer");
    whole
}

fn check_events(surface: Surface, events: &[Value]) {
    for (number, event) in events.iter().enumerate() {
        match surface {
            Surface::Responses => {
                assert_eq!(event["sequence_number"], number, "{event}");
                for spec in Spec::ALL {
                    conforms(spec, spec.stream_event(), event);
                }
            }
            Surface::Chat if event["error"].is_object() => check_error(event),
            Surface::Chat => conforms(Spec::OpenAi, "CreateChatCompletionStreamResponse", event),
        }
    }
}

fn check_error(body: &Value) {
    crate::surface::error_code(body);
    conforms(Spec::OpenAi, "ErrorResponse", body);
}

fn conforms(spec: Spec, component: &str, value: &Value) {
    if !spec::available() {
        return;
    }
    let complaints = spec::validate(spec, component, value);
    assert!(complaints.is_empty(), "{}\nin {value:#}", complaints.join("\n"));
}

fn ask_with_tool(surface: Surface) -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    surface.ask_with_tool("weather?", "get_weather", &parameters)
}

impl Surface {
    fn ask_hi(self) -> Value {
        self.ask("hi")
    }
}

trait JsonBody {
    fn json_body(self, body: &Value) -> Self;
}

impl JsonBody for reqwest::RequestBuilder {
    fn json_body(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }
}
