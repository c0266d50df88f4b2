//! Invalid requests are refused with a status and an error body that gives the reason.

use e2e::harness::Setup;
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::{MODEL, error_code};

/// Posts text to a path and expects a status, and this text somewhere in the error's message or parameter.
#[tokio::test]
async fn a_bad_body_is_refused_and_names_its_place() {
    let proxy = Setup::fake(&json!({})).start().await;
    let tool = |name: &str| json!({"type": "function", "name": name, "parameters": {"type": "object"}});
    let responses = |extra: Value| merged(&json!({"model": MODEL, "input": "hi"}), extra);
    let chat = |extra: Value| {
        merged(&json!({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}), extra)
    };
    let bad_schema = json!({"type": "json_schema", "name": "x", "schema": {"type": 5}, "strict": true});
    let bad_chat_schema = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 5}}});
    let cases: Vec<(&str, String, &str)> = vec![
        ("/responses", String::new(), ""),
        ("/responses", "{".to_owned(), ""),
        ("/responses", "[]".to_owned(), ""),
        ("/responses", "null".to_owned(), ""),
        ("/responses", "{\"model\":\"x\",\"input\":\"\u{fffd}".to_owned(), ""),
        ("/responses", json!({"model": MODEL}).to_string(), "input"),
        ("/responses", json!({"input": "hi", "model": 5}).to_string(), "model"),
        ("/responses", responses(json!({"input": 5})), "input"),
        ("/responses", responses(json!({"input": [5]})), "input[0]"),
        ("/responses", responses(json!({"input": [{"role": "wizard", "content": "x"}]})), "input[0]"),
        ("/responses", responses(json!({"input": [{"type": "message", "role": "user"}]})), "input[0]"),
        ("/responses", responses(json!({"input": [{"type": "no_such_item"}]})), "input[0]"),
        ("/responses", responses(json!({"stream": "yes"})), "stream"),
        ("/responses", responses(json!({"tools": {}})), "tools"),
        ("/responses", responses(json!({"tools": [{"type": "function"}]})), "tools[0]"),
        ("/responses", responses(json!({"tools": [tool("bad name!")]})), "tools[0]"),
        ("/responses", responses(json!({"tools": [tool("a"), tool("a")]})), "tools"),
        ("/responses", responses(json!({"max_output_tokens": -1})), "max_output_tokens"),
        ("/responses", responses(json!({"max_output_tokens": "many"})), "max_output_tokens"),
        ("/responses", responses(json!({"text": {"format": bad_schema}})), "text.format"),
        ("/responses", responses(json!({"reasoning": {"effort": "heroic"}})), "effort"),
        ("/responses", responses(json!({"top_logprobs": 3})), "top_logprobs"),
        ("/responses", responses(json!({"temperature": "hot"})), "temperature"),
        ("/responses", responses(json!({"metadata": {"a": 5}})), "metadata"),
        ("/chat/completions", json!({"model": MODEL}).to_string(), "messages"),
        ("/chat/completions", chat(json!({"messages": []})), "messages"),
        ("/chat/completions", chat(json!({"messages": "hi"})), "messages"),
        ("/chat/completions", chat(json!({"messages": [{"role": "wizard", "content": "x"}]})), "messages[0]"),
        ("/chat/completions", chat(json!({"messages": [{"role": "tool", "content": "x"}]})), "messages[0]"),
        ("/chat/completions", chat(json!({"messages": [{"role": "user", "content": 5}]})), "messages[0]"),
        ("/chat/completions", chat(json!({"n": 0})), "n"),
        ("/chat/completions", chat(json!({"n": 6})), "n"),
        ("/chat/completions", chat(json!({"logprobs": true})), "logprobs"),
        ("/chat/completions", chat(json!({"stop": 5})), "stop"),
        ("/chat/completions", chat(json!({"response_format": {"type": "yaml"}})), "response_format"),
        ("/chat/completions", chat(json!({"response_format": bad_chat_schema})), "response_format"),
        ("/chat/completions", chat(json!({"tool_choice": "perhaps"})), "tool_choice"),
    ];
    for (path, body, place) in cases {
        let request = proxy.request(Method::POST, path).header("content-type", "application/json");
        let (status, answer) = sse::json(request.body(body.clone())).await;
        assert_eq!(status, 400, "{path} {body}: {answer}");
        error_code(&answer);
        assert_eq!(answer["error"]["type"], "invalid_request_error", "{body}");
        let said = format!("{} {}", answer["error"]["message"], answer["error"]["param"]);
        assert!(said.contains(place), "{path} {body}: {said} does not name {place}");
    }
    let answer = proxy.post_ok("/responses", &json!({"model": MODEL, "input": "hi"})).await;
    assert_eq!(answer["status"], "completed", "the proxy still works");
    proxy.stop().await;
}

#[tokio::test]
async fn other_refusals_have_their_own_codes() {
    let proxy = Setup::fake(&json!({})).env("PROXY_MAX_BODY_BYTES", "100000").start().await;
    let ask = json!({"model": MODEL, "input": "hi"});
    let cases = [
        (proxy.request(Method::GET, "/no/such/path"), 404, ""),
        (proxy.request(Method::GET, "/models/no-such-model"), 404, "model_not_found"),
        (proxy.request(Method::GET, "/models/%ff"), 404, "unknown_url"),
        (proxy.control(Method::PATCH, "/keys/%ff").body("{}"), 404, "unknown_url"),
        (proxy.control(Method::GET, "/requests/a%80b"), 404, "unknown_url"),
        (proxy.control(Method::POST, "/workers/%c3%28/restart"), 404, "unknown_url"),
        (proxy.control(Method::POST, "//keys/default/reveal"), 404, "unknown_url"),
        (proxy.bare(Method::GET, &proxy.root_url("//control/status")), 404, "unknown_url"),
        (proxy.post("/responses", &merge(&ask, json!({"model": "no-such-model"}))), 404, "model_not_found"),
        (
            proxy.post(
                "/chat/completions",
                &json!({"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]}),
            ),
            404,
            "model_not_found",
        ),
        (proxy.post("/responses", &merge(&ask, json!({"previous_response_id": "resp_none"}))), 400, ""),
        (
            proxy.post(
                "/responses",
                &merge(&ask, json!({"input": [{"type": "item_reference", "id": "msg_none"}]})),
            ),
            404,
            "",
        ),
        (proxy.request(Method::GET, "/responses/resp_none"), 404, ""),
        (proxy.post("/responses", &merge(&ask, json!({"input": "x".repeat(200_000)}))), 413, ""),
        (
            proxy
                .request(Method::POST, "/responses")
                .header("content-type", "text/plain")
                .body(ask.to_string()),
            415,
            "",
        ),
        (proxy.post("/responses", &ask).header("content-encoding", "compress"), 415, ""),
        (proxy.request(Method::PUT, "/responses").body("{}"), 405, ""),
    ];
    for (request, expected, code) in cases {
        let described = format!("{request:?}");
        let (status, body) = sse::json(request).await;
        assert_eq!(status, expected, "{described}: {body}");
        let seen = error_code(&body);
        assert!(code.is_empty() || seen == code, "{described}: {body}");
    }
}

#[tokio::test]
async fn ignored_parameters_are_named_and_refused_when_strict() {
    for surface in crate::surface::BOTH {
        let mut ask = surface.ask("hi");
        ask["temperature"] = json!(0.5);
        ask["top_p"] = json!(0.5);
        let lenient = Setup::fake(&json!({})).start().await;
        let response = lenient.post(surface.path(), &ask).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let named = response.headers()["x-proxy-ignored-params"].to_str().unwrap().to_owned();
        assert!(named.contains("temperature") && named.contains("top_p"), "{named}");
        let strict = Setup::fake(&json!({})).env("PROXY_STRICT_PARAMS", "true").start().await;
        let (status, body) = sse::json(strict.post(surface.path(), &ask)).await;
        assert_eq!(status, 400, "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains("temperature"), "{body}");
    }
}

#[tokio::test]
async fn a_prompt_over_the_operators_cap_is_refused() {
    let proxy = Setup::fake(&json!({})).env("PROXY_MAX_PROMPT_TOKENS", "100").start().await;
    for surface in crate::surface::BOTH {
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask(&"word ".repeat(1000)))).await;
        assert_eq!(
            (status.as_u16(), body["error"]["type"].as_str()),
            (403, Some("tokens_exceeded_error")),
            "{body}"
        );
        surface.answer(&proxy, &surface.ask("short")).await;
    }
}

fn merge(base: &Value, over: Value) -> Value {
    let mut base = base.clone();
    if let (Some(base), Value::Object(over)) = (base.as_object_mut(), over) {
        base.extend(over);
    }
    base
}

fn merged(base: &Value, over: Value) -> String {
    merge(base, over).to_string()
}
