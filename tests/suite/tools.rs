//! Function calls: single and parallel, whole and streamed, and the way on with their outputs.

use e2e::codex_bin::{FLOOR, NEWEST};
use e2e::fake_openai::{FakeOpenAi, Recorded, Script, UPSTREAMS};
use e2e::harness::Setup;
use e2e::sse;
use serde_json::{Value, json};

use crate::surface::{BOTH, Call, Surface, error_code};

fn parameters() -> Value {
    json!({
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false,
    })
}

fn two_calls() -> Script {
    Script::new()
        .message(&["I will ", "look."])
        .function_call("call_a", "get_weather", r#"{"city": "Zürich 🦀"}"#, 3)
        .function_call("call_b", "get_weather", r#"{"city":"Rome"}"#, 3)
}

fn expected() -> Vec<Call> {
    let call = |id: &str, arguments: &str| Call {
        id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: arguments.to_owned(),
    };
    vec![call("call_a", r#"{"city": "Zürich 🦀"}"#), call("call_b", r#"{"city":"Rome"}"#)]
}

fn outputs(request: &Recorded) -> Vec<(String, String)> {
    request
        .input_without_ids()
        .iter()
        .filter(|item| item["type"] == "function_call_output")
        .map(|item| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&item["call_id"]), text(&item["output"]))
        })
        .collect()
}

#[tokio::test]
async fn parallel_calls_come_whole_and_their_outputs_go_back() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            upstream.push(two_calls());
            let ask = surface.ask_with_tool("weather?", "get_weather", &parameters());
            let answer = surface.answer(&proxy, &ask).await;
            assert_eq!(surface.calls(&answer), expected(), "{answer}");
            assert_eq!(surface.text(&answer), "I will look.");
            upstream.push(Script::text("sunny and wet"));
            let follow_up = surface.follow_up(&ask, &expected(), &["sunny", "wet"]);
            let answer = surface.answer(&proxy, &follow_up).await;
            assert_eq!(surface.text(&answer), "sunny and wet");
            let request = upstream.requests().pop().unwrap();
            let pair = |id: &str, text: &str| (id.to_owned(), text.to_owned());
            assert_eq!(outputs(&request), [pair("call_a", "sunny"), pair("call_b", "wet")], "{surface:?}");
        }
        assert_eq!(upstream.unscripted(), [""; 0]);
    }
}

#[tokio::test]
async fn parallel_calls_come_streamed_and_their_outputs_go_back() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            upstream.push(two_calls());
            let ask = surface.ask_with_tool("weather?", "get_weather", &parameters());
            let events = surface.events(&proxy, &ask).await;
            assert_eq!(surface.streamed_calls(&events), expected(), "{events:#?}");
            match surface {
                Surface::Chat => {
                    let finish = &events[events.len() - 2]["choices"][0]["finish_reason"];
                    assert_eq!(finish, "tool_calls");
                }
                Surface::Responses => check_call_events(&events),
            }
            upstream.push(Script::text("done"));
            let follow_up = surface.follow_up(&ask, &expected(), &["sunny", "wet"]);
            let events = surface.events(&proxy, &follow_up).await;
            assert_eq!(surface.streamed_text(&events), "done");
        }
    }
}

fn check_call_events(events: &[Value]) {
    let done: Vec<_> =
        events.iter().filter(|e| e["type"] == "response.function_call_arguments.done").collect();
    assert_eq!(done.len(), 2);
    for (event, call) in done.iter().zip(expected()) {
        assert_eq!(
            (event["name"].as_str(), event["arguments"].as_str()),
            (Some("get_weather"), Some(call.arguments.as_str()))
        );
        let deltas: String = events
            .iter()
            .filter(|e| {
                e["type"] == "response.function_call_arguments.delta" && e["item_id"] == event["item_id"]
            })
            .map(|e| e["delta"].as_str().unwrap())
            .collect();
        assert_eq!(deltas, call.arguments);
    }
    assert_ne!(done[0]["output_index"], done[1]["output_index"]);
}

#[tokio::test]
async fn outputs_after_another_proxys_calls_start_from_the_whole_history() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            upstream.push(Script::text("done"));
            let ask = surface.ask_with_tool("weather?", "get_weather", &parameters());
            let follow_up = surface.follow_up(&ask, &expected(), &["sunny", "wet"]);
            let answer = surface.answer(&proxy, &follow_up).await;
            assert_eq!(surface.text(&answer), "done");
            let request = upstream.requests().pop().unwrap();
            assert_eq!(request.last_user_text(), "weather?");
            assert_eq!(outputs(&request).len(), 2, "{:#?}", request.body);
        }
    }
}

#[tokio::test]
async fn tool_choice_none_sends_no_tools_and_a_named_one_only_that() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let mut ask = surface.ask_with_tool("x", "get_weather", &parameters());
            let mut other = ask["tools"][0].clone();
            let (name, named) = match surface {
                Surface::Responses => (&mut other["name"], json!({"type": "function", "name": "other"})),
                Surface::Chat => (
                    &mut other["function"]["name"],
                    json!({"type": "function", "function": {"name": "other"}}),
                ),
            };
            *name = json!("other");
            ask["tools"].as_array_mut().unwrap().push(other);
            for (choice, present) in
                [(json!("none"), [false, false]), (named, [false, true]), (json!("auto"), [true, true])]
            {
                ask["tool_choice"] = choice.clone();
                surface.answer(&proxy, &ask).await;
                let body = upstream.requests().pop().unwrap().body.to_string();
                let seen = ["\"get_weather\"", "\"other\""].map(|name| body.contains(name));
                assert_eq!(seen, present, "{surface:?} {choice}");
            }
        }
    }
}

#[tokio::test]
async fn the_floor_codex_refuses_tools_and_names_its_version() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(FLOOR, &upstream).start().await;
    for surface in BOTH {
        let ask = surface.ask_with_tool("x", "get_weather", &parameters());
        let (status, body) = sse::json(proxy.post(surface.path(), &ask)).await;
        assert_eq!(status, 400, "{body}");
        error_code(&body);
        assert!(body["error"]["message"].as_str().unwrap().contains("0.77"), "{body}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn other_hosted_tools_are_refused_by_name() {
    let proxy = Setup::fake(&json!({})).start().await;
    let mut ask = Surface::Responses.ask("x");
    ask["tools"] = json!([{"type": "code_interpreter", "container": {"type": "auto"}}]);
    let (status, body) = sse::json(proxy.post("/responses", &ask)).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("code_interpreter"), "{body}");
}

#[tokio::test]
async fn a_hosted_web_search_is_switched_on_for_its_request_only() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for (tools, expected) in [(json!([{"type": "web_search"}]), true), (json!([]), false)] {
            upstream.push(Script::new().web_search_call("rust").message(&["found"]));
            let mut ask = Surface::Responses.ask("x");
            ask["tools"] = tools;
            let answer = proxy.post_ok("/responses", &ask).await;
            assert_eq!(Surface::Responses.text(&answer), "found");
            let body = upstream.requests().pop().unwrap().body;
            assert_eq!(body.to_string().contains("web_search\""), expected, "{body:#}");
        }
    }
}
