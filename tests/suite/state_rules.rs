//! Smaller rules of responses with state: pages of input items, replays, cancelling, what is carried over and what not.

use std::path::Path;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Gate, Script};
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::spec::{self, Spec};
use e2e::sse::{self, SseReader};
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::Surface;

fn ask(input: impl Into<Value>, more: &[(&str, Value)]) -> Value {
    let mut body = Surface::Responses.ask("");
    body["input"] = input.into();
    for (name, value) in more {
        body[*name] = value.clone();
    }
    body
}

/// A proxy with the real Codex, over the same data as one before.
async fn over(data: &Path, upstream: &FakeOpenAi) -> Proxy {
    let setup = Setup::real(NEWEST, upstream).env("PROXY_DATA_DIR", data.to_str().unwrap());
    setup.env("PROXY_API_KEY", "test-key-that-stays-the-same").start().await
}

async fn fake() -> Proxy {
    Setup::fake(&json!({"scenarios": {"default": [{"step": "text", "deltas": ["to ", "{{user}}"]}]}}))
        .start()
        .await
}

async fn call(proxy: &Proxy, method: Method, path: &str) -> (u16, Value) {
    let (status, answer) = sse::json(proxy.request(method, path)).await;
    (status.as_u16(), answer)
}

async fn get(proxy: &Proxy, path: &str) -> Value {
    let (status, answer) = call(proxy, Method::GET, path).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap_or_else(|| panic!("{object}"))
}

fn texts(list: &Value) -> Vec<String> {
    let items = list["data"].as_array().unwrap_or_else(|| panic!("{list}"));
    items.iter().map(|item| item["content"][0]["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn input_items_come_twenty_at_a_time_the_newest_first() {
    let proxy = fake().await;
    let items: Vec<Value> =
        (0..30).map(|number| json!({"role": "user", "content": format!("n{number}")})).collect();
    let response = proxy.post_ok("/responses", &ask(items, &[])).await;
    let path = format!("/responses/{}/input_items", id(&response));
    let first = get(&proxy, &path).await;
    let expected: Vec<String> = (10..30).rev().map(|number| format!("n{number}")).collect();
    assert_eq!((texts(&first), &first["has_more"]), (expected, &json!(true)));
    let after = first["last_id"].as_str().unwrap();
    let rest = get(&proxy, &format!("{path}?after={after}")).await;
    assert_eq!(
        (texts(&rest).len(), &texts(&rest)[0], &rest["has_more"]),
        (10, &"n9".to_owned(), &json!(false))
    );
    let all = get(&proxy, &format!("{path}?limit=100&order=asc")).await;
    assert_eq!(texts(&all), (0..30).map(|number| format!("n{number}")).collect::<Vec<_>>());
    for (query, param) in
        [("limit=0", "limit"), ("limit=101", "limit"), ("order=up", "order"), ("after=msg_none", "after")]
    {
        let (status, refused) = call(&proxy, Method::GET, &format!("{path}?{query}")).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)), "{query}: {refused}");
    }
}

/// The events of a response that is read as a stream.
async fn read(proxy: &Proxy, id: &str, query: &str) -> Vec<Value> {
    let path = format!("/responses/{id}?stream=true{query}");
    SseReader::new(proxy.request(Method::GET, &path).send().await.unwrap()).await.events().await
}

#[tokio::test]
async fn a_background_stream_is_replayed_after_a_restart_from_what_is_stored() {
    let upstream = FakeOpenAi::start().await;
    let data = tempfile::tempdir().unwrap();
    let proxy = over(data.path(), &upstream).await;
    let deltas: Vec<String> = (0..40).map(|number| format!("word{number} ")).collect();
    let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
    upstream.push(Script::new().reasoning(&[&["pl", "an"]], Some("ENC")).message(&deltas));
    let both = [("background", json!(true)), ("stream", json!(true))];
    let live = Surface::Responses.events(&proxy, &ask("hi", &both)).await;
    let response = live.last().unwrap()["response"].clone();
    let id = id(&response);
    // While it is remembered, it comes as it came.
    assert_eq!(read(&proxy, id, "&starting_after=3").await, live[4..]);
    assert_eq!(read(&proxy, id, "&starting_after=3&include_obfuscation=false").await, live[4..]);
    upstream.push(Script::text("one"));
    upstream.push(Script::text("two"));
    let whole = proxy.post_ok("/responses", &ask("hi", &[("background", json!(true))])).await;
    let streamed = Surface::Responses.events(&proxy, &ask("hi", &[])).await.pop().unwrap()["response"].take();
    for other in [&whole, &streamed] {
        let (status, refused) =
            call(&proxy, Method::GET, &format!("/responses/{}?stream=true", self::id(other))).await;
        assert_eq!((status, &refused["error"]["type"]), (400, &json!("invalid_request_error")), "{refused}");
    }
    proxy.stop().await;

    let proxy = over(data.path(), &upstream).await;
    let replayed = read(&proxy, id, "").await;
    assert_eq!(Surface::Responses.streamed_text(&replayed), Surface::Responses.streamed_text(&live));
    assert_eq!(sse::shape(&replayed), sse::shape(&live));
    for (number, event) in replayed.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
        if spec::available() {
            for spec in Spec::ALL {
                assert_eq!(spec::validate(spec, spec.stream_event(), event), [""; 0], "{event:#}");
            }
        }
    }
    assert_eq!(replayed.last().unwrap()["response"], response);
    assert_eq!(read(&proxy, id, "&starting_after=3").await, replayed[4..]);
    assert!(!json!(replayed).to_string().contains("ENC"));
    let sealed = read(&proxy, id, "&include[]=reasoning.encrypted_content").await;
    assert_eq!(sealed.last().unwrap()["response"]["output"][0]["encrypted_content"], "ENC");
    // The number is that of an event of the stream as it came, which had more of them.
    assert!(replayed.len() < 40 && live.len() > 40);
    let last = read(&proxy, id, "&starting_after=40").await;
    assert_eq!(last.len(), 1, "the end is never left out: {last:?}");
    assert_eq!((&last[0]["sequence_number"], &last[0]["response"]), (&json!(41), &response));
}

#[tokio::test]
async fn sealed_reasoning_goes_on_with_its_chain_and_is_shown_on_demand_only() {
    let upstream = FakeOpenAi::start().await;
    let data = tempfile::tempdir().unwrap();
    let proxy = over(data.path(), &upstream).await;
    upstream.push(Script::new().reasoning(&[&["plan"]], Some("SEALED")).message(&["one"]));
    let more =
        [("instructions", json!("Be brief.")), ("reasoning", json!({"effort": "high", "summary": "auto"}))];
    let first = proxy.post_ok("/responses", &ask("a", &more)).await;
    let path = format!("/responses/{}", id(&first));
    assert!(!get(&proxy, &path).await.to_string().contains("SEALED"));
    let shown = get(&proxy, &format!("{path}?include[]=reasoning.encrypted_content")).await;
    assert_eq!(shown["output"][0]["encrypted_content"], "SEALED", "{shown}");
    proxy.stop().await;

    // No thread is left that knows it.
    let proxy = over(data.path(), &upstream).await;
    upstream.push(Script::text("two"));
    let next = ask("b", &[("previous_response_id", first["id"].clone())]);
    let second = proxy.post_ok("/responses", &next).await;
    let sent = upstream.requests().pop().unwrap();
    assert!(sent.sent.to_string().contains("SEALED"), "{:#}", sent.sent);
    assert!(!sent.sent.to_string().contains("Be brief."), "instructions are of one request only");
    assert_eq!(second["instructions"], Value::Null);
    let given = get(&proxy, &format!("/responses/{}/input_items", id(&second))).await;
    let kinds: Vec<&Value> = given["data"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(kinds, ["message", "message", "reasoning", "message"]);
    assert!(!given.to_string().contains("SEALED"));
}

#[tokio::test]
async fn the_phase_of_a_message_is_kept() {
    let proxy = fake().await;
    let said = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "I will look.", "phase": "commentary"},
        {"role": "user", "content": "b"},
    ]);
    let first = proxy.post_ok("/responses", &ask(said, &[])).await;
    let second = ask("c", &[("previous_response_id", first["id"].clone())]);
    let second = proxy.post_ok("/responses", &second).await;
    let path = format!("/responses/{}/input_items?order=asc", id(&second));
    let given = get(&proxy, &path).await;
    assert_eq!(given["data"][1]["phase"], "commentary", "{given}");
}

#[tokio::test]
async fn only_background_responses_are_cancelled_and_more_than_once() {
    let upstream = FakeOpenAi::start().await;
    let data = tempfile::tempdir().unwrap();
    let proxy = over(data.path(), &upstream).await;
    let gate = Gate::new();
    upstream.push(Script::new().message_held("half ", &gate, "whole"));
    let running = proxy.post_ok("/responses", &ask("hi", &[("background", json!(true))])).await;
    gate.reached(1).await;
    let path = format!("/responses/{}", id(&running));
    until("the answer", async || (get(&proxy, &path).await["status"] == "in_progress").then_some(())).await;
    let (status, first) = call(&proxy, Method::POST, &format!("{path}/cancel")).await;
    assert_eq!((status, &first["status"]), (200, &json!("cancelled")), "{first}");
    let (status, second) = call(&proxy, Method::POST, &format!("{path}/cancel")).await;
    assert_eq!((status, &second), (200, &first));
    assert_eq!(get(&proxy, &path).await, first);
    if spec::available() {
        // OpenAI's document does not allow `usage` to be null, as OpenAI's service has it.
        let spec = Spec::OpenResponses;
        assert_eq!(spec::validate(spec, spec.response(), &first), [""; 0], "{first:#}");
    }
    upstream.push(Script::text("one"));
    let plain = proxy.post_ok("/responses", &ask("hi", &[])).await;
    let (status, refused) = call(&proxy, Method::POST, &format!("/responses/{}/cancel", id(&plain))).await;
    assert_eq!((status, &refused["error"]["type"]), (400, &json!("invalid_request_error")), "{refused}");
    let (status, _) = call(&proxy, Method::POST, "/responses/resp_none/cancel").await;
    assert_eq!(status, 404);
    // One that is deleted while it runs is cancelled, and does not come back.
    let gate = Gate::new();
    upstream.push(Script::new().message_held("half ", &gate, "whole"));
    let running = proxy.post_ok("/responses", &ask("hi", &[("background", json!(true))])).await;
    gate.reached(1).await;
    let path = format!("/responses/{}", id(&running));
    assert_eq!(call(&proxy, Method::DELETE, &path).await.0, 200);
    gate.open();
    assert_eq!(call(&proxy, Method::GET, &path).await.0, 404);
    proxy.stop().await;
    let proxy = over(data.path(), &upstream).await;
    assert_eq!(call(&proxy, Method::GET, &path).await.0, 404);
}

#[tokio::test]
async fn a_conversation_and_a_previous_response_exclude_each_other() {
    let proxy = fake().await;
    let first = proxy.post_ok("/responses", &ask("a", &[])).await;
    let conversation = proxy.post_ok("/conversations", &json!({})).await;
    let both = [("previous_response_id", first["id"].clone()), ("conversation", conversation["id"].clone())];
    let (status, refused) = sse::json(proxy.post("/responses", &ask("b", &both))).await;
    assert_eq!((status.as_u16(), &refused["error"]["param"]), (400, &json!("previous_response_id")));
    // A response that was not stored is unknown, and so is everything of it.
    let unstored = proxy.post_ok("/responses", &ask("a", &[("store", json!(false))])).await;
    assert_eq!(unstored["store"], false);
    let path = format!("/responses/{}", id(&unstored));
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::GET, format!("{path}/input_items")),
        (Method::POST, format!("{path}/cancel")),
    ] {
        assert_eq!(call(&proxy, method, &path).await.0, 404, "{path}");
    }
    let next = ask("b", &[("previous_response_id", unstored["id"].clone())]);
    let (status, refused) = sse::json(proxy.post("/responses", &next)).await;
    assert_eq!((status.as_u16(), &refused["error"]["code"]), (400, &json!("previous_response_not_found")));
}

#[tokio::test]
async fn what_was_stored_before_it_was_turned_off_can_be_removed() {
    let data = tempfile::tempdir().unwrap();
    let start = async |store: &str| {
        let scenario =
            json!({"scenarios": {"default": [{"step": "text", "deltas": ["canary of an answer"]}]}});
        let setup = Setup::fake(&scenario).env("PROXY_DATA_DIR", data.path().to_str().unwrap());
        setup.env("PROXY_API_KEY", "test-key-that-stays-the-same").env("PROXY_STORE", store).start().await
    };
    let has_text = || {
        std::fs::read_dir(data.path())
            .unwrap()
            .filter_map(|entry| std::fs::read(entry.unwrap().path()).ok())
            .any(|bytes| bytes.windows(6).any(|six| six == b"canary"))
    };
    let proxy = start("on").await;
    let kept = proxy.post_ok("/responses", &ask("hi", &[])).await;
    proxy.stop().await;
    assert!(has_text());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(data.path().join("responses.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let proxy = start("off").await;
    let answer = proxy.post_ok("/responses", &ask("hi", &[("store", json!(true))])).await;
    assert_eq!(answer["store"], false);
    assert_eq!(call(&proxy, Method::GET, &format!("/responses/{}", id(&kept))).await.0, 404);
    let next = ask("b", &[("previous_response_id", kept["id"].clone())]);
    assert_eq!(sse::json(proxy.post("/responses", &next)).await.0, 400);
    let environment = [("PROXY_KEYCHAIN", "off"), ("PROXY_STORE", "off")];
    let cleared = crate::cli::run(data.path(), &["store", "clear"], &environment, "").await;
    assert_eq!(
        (cleared.code, cleared.out.as_str()),
        (0, "One response, conversation or chat completion was removed.\n"),
        "{cleared:?}"
    );
    assert!(!has_text() && !data.path().join("responses.db").exists());
    proxy.stop().await;
}
