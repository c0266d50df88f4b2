//! Responses with state over HTTP: chains, conversations, background responses, and stored chat completions.

use std::time::Duration;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Gate, Script, Upstream};
use e2e::harness::{Proxy, Setup};
use e2e::spec::{self, Spec};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

const MODEL: &str = "gpt-5.5";

async fn world() -> (FakeOpenAi, Proxy) {
    let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
    upstream.fall_back_to(Script::text("ok"));
    let setup = Setup::real(NEWEST, &upstream).env("PROXY_WARM_THREADS", "0");
    (upstream, setup.start().await)
}

fn ask(input: &str, more: &Value) -> Value {
    let mut body = json!({"model": MODEL, "input": input});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// Sends a request without a body, or with this one. Returns the status and the answer.
async fn call(proxy: &Proxy, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let mut request = proxy.request(method, path);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

/// Checks an object against a published description of it.
fn valid(spec: Spec, component: &str, value: &Value) {
    if spec::available() {
        assert_eq!(spec::validate(spec, component, value), Vec::<String>::new(), "{value}");
    }
}

async fn get(proxy: &Proxy, path: &str) -> Value {
    let (status, answer) = call(proxy, Method::GET, path, None).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

fn texts(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|item| item["content"][0]["text"].as_str().unwrap()).collect()
}

/// The texts that the model has seen last.
fn seen(upstream: &FakeOpenAi) -> Vec<String> {
    let items = upstream.requests().pop().unwrap().input_without_ids();
    items.iter().map(|item| item["content"][0]["text"].as_str().unwrap_or("?").to_owned()).collect()
}

#[tokio::test]
async fn a_chain_stays_on_its_thread_and_can_be_read_and_deleted() {
    let (upstream, proxy) = world().await;
    let mut previous: Option<String> = None;
    for round in 0..5 {
        upstream.push(Script::text(&format!("answer {round}")));
        let body = ask(&format!("question {round}"), &json!({"previous_response_id": previous}));
        let response = proxy.post("/responses", &body).send().await.unwrap();
        let thread = response.headers()["x-proxy-thread"].to_str().unwrap().to_owned();
        assert_eq!(thread, if round == 0 { "fresh" } else { "reused" }, "{round}");
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(answer["previous_response_id"], json!(previous), "{answer}");
        let sent = upstream.requests().pop().unwrap().sent["input"].as_array().unwrap().len();
        assert_eq!(sent, 1, "only what is new is sent upstream");
        previous = Some(id(&answer));
    }
    assert_eq!(seen(&upstream).len(), 9, "the model sees the whole chain");
    assert_eq!(upstream.connections().ever, 1);

    let last = previous.unwrap();
    let stored = get(&proxy, &format!("/responses/{last}")).await;
    valid(Spec::OpenAi, "Response", &stored);
    assert_eq!((&stored["status"], &stored["store"]), (&json!("completed"), &json!(true)));
    let items = get(&proxy, &format!("/responses/{last}/input_items?limit=3")).await;
    valid(Spec::OpenAi, "ResponseItemList", &items);
    assert_eq!(texts(&items), ["question 4", "answer 3", "question 3"], "the newest first");
    assert_eq!(items["has_more"], true);
    let after = items["last_id"].as_str().unwrap();
    let rest = get(&proxy, &format!("/responses/{last}/input_items?after={after}&limit=100")).await;
    assert_eq!(rest["data"].as_array().unwrap().len(), 6);
    let first = get(&proxy, &format!("/responses/{last}/input_items?order=asc&limit=1")).await;
    assert_eq!(texts(&first), ["question 0"]);

    let (status, deleted) = call(&proxy, Method::DELETE, &format!("/responses/{last}"), None).await;
    assert_eq!(
        (status, deleted),
        (StatusCode::OK, json!({"id": last, "object": "response", "deleted": true}))
    );
    let (status, _) = call(&proxy, Method::GET, &format!("/responses/{last}"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let body = ask("more", &json!({"previous_response_id": last}));
    let (status, refused) = call(&proxy, Method::POST, "/responses", Some(body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(refused["error"]["code"], "previous_response_not_found");
    assert_eq!(refused["error"]["param"], "previous_response_id");
}

#[tokio::test]
async fn responses_belong_to_the_id_of_their_key() {
    let (_upstream, proxy) = world().await;
    let make = async |name: &str| {
        let made = proxy.control_ok("/keys", Some(&json!({"name": name}))).await;
        let key = made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let revealed = proxy.control_ok(&format!("/keys/{key}/reveal"), Some(&json!({}))).await;
        (key, revealed["secret"].as_str().unwrap().to_owned())
    };
    let call_as = async |key: &str, method: Method, path: &str, body: Option<Value>| {
        let mut request = proxy.bare(method, &format!("{}{path}", proxy.base_url)).bearer_auth(key);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (status, answer)
    };
    let (first_id, first) = make("editor").await;
    let (_, other) = make("other").await;
    let (_, answer) = call_as(&first, Method::POST, "/responses", Some(ask("secret", &json!({})))).await;
    let (response, item) = (id(&answer), id(&answer["output"][0]));
    let (_, conversation) = call_as(&first, Method::POST, "/conversations", Some(json!({}))).await;
    let conversation = id(&conversation);
    let nothing = async |key: &str| {
        for path in [format!("/responses/{response}"), format!("/responses/{response}/input_items")] {
            assert_eq!(call_as(key, Method::GET, &path, None).await.0, 404, "{path}");
        }
        let path = format!("/responses/{response}");
        assert_eq!(call_as(key, Method::DELETE, &path, None).await.0, 404);
        assert_eq!(call_as(key, Method::GET, &format!("/conversations/{conversation}"), None).await.0, 404);
        let bodies = [
            (ask("x", &json!({"previous_response_id": response})), 400),
            (ask("x", &json!({"conversation": conversation})), 404),
            (ask("x", &json!({"input": [{"type": "item_reference", "id": item}]})), 404),
        ];
        for (body, status) in bodies {
            assert_eq!(call_as(key, Method::POST, "/responses", Some(body)).await.0, status);
        }
    };
    nothing(&other).await;
    let path = format!("/keys/{first_id}");
    let renamed =
        proxy.control(Method::PATCH, &path).body(json!({"name": "renamed"}).to_string()).send().await;
    assert_eq!(renamed.unwrap().status(), StatusCode::OK);
    assert_eq!(call_as(&first, Method::GET, &format!("/responses/{response}"), None).await.0, 200);
    let deleted = proxy.control(Method::DELETE, &path).send().await.unwrap();
    assert!(deleted.status().is_success());
    let (_, again) = make("editor").await;
    nothing(&again).await;
}

#[tokio::test]
async fn a_conversation_is_made_read_changed_and_removed() {
    let (upstream, proxy) = world().await;
    let item = json!({"type": "message", "role": "user", "content": "zero"});
    let body = json!({"items": [item], "metadata": {"topic": "x"}});
    let (status, made) = call(&proxy, Method::POST, "/conversations", Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let path = format!("/conversations/{}", id(&made));
    proxy.post_ok("/responses", &ask("one", &json!({"conversation": id(&made)}))).await;
    assert_eq!(seen(&upstream), ["zero", "one"]);
    let items = get(&proxy, &format!("{path}/items?order=asc")).await;
    assert_eq!(texts(&items), ["zero", "one", "ok"]);
    let more = json!({"items": [{"type": "message", "role": "user", "content": "two"}]});
    let (status, added) = call(&proxy, Method::POST, &format!("{path}/items"), Some(more)).await;
    assert_eq!((status, texts(&added)), (StatusCode::OK, vec!["two"]));
    let one = format!("{path}/items/{}", items["data"][1]["id"].as_str().unwrap());
    assert_eq!(get(&proxy, &one).await, items["data"][1]);
    let (status, left) = call(&proxy, Method::DELETE, &one, None).await;
    assert_eq!((status, &left["object"]), (StatusCode::OK, &json!("conversation")));
    proxy.post_ok("/responses", &ask("three", &json!({"conversation": {"id": id(&made)}}))).await;
    assert_eq!(seen(&upstream), ["zero", "ok", "two", "three"]);
    let (_, changed) = call(&proxy, Method::POST, &path, Some(json!({"metadata": {"topic": "y"}}))).await;
    assert_eq!(changed["metadata"], json!({"topic": "y"}));
    assert_eq!(get(&proxy, &path).await, changed);
    let (_, gone) = call(&proxy, Method::DELETE, &path, None).await;
    assert_eq!(gone, json!({"id": id(&made), "object": "conversation.deleted", "deleted": true}));
    assert_eq!(call(&proxy, Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);
    let wrong = json!({"items": [{"type": "message", "role": "nobody", "content": "x"}]});
    let (status, refused) = call(&proxy, Method::POST, "/conversations", Some(wrong)).await;
    assert_eq!((status, &refused["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("items[0].role")));
}

#[tokio::test]
async fn a_stored_chat_completion_is_listed_changed_and_removed() {
    let (_upstream, proxy) = world().await;
    let body = json!({
        "model": MODEL, "store": true, "metadata": {"a": "b"}, "messages": [{"role": "user", "content": "hi"}],
    });
    let answer = proxy.post_ok("/chat/completions", &body).await;
    proxy.post_ok("/chat/completions", &json!({"model": MODEL, "messages": body["messages"]})).await;
    let all = get(&proxy, "/chat/completions").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 1, "only what is to be stored is stored: {all}");
    assert_eq!(get(&proxy, "/chat/completions?metadata[a]=c").await["data"], json!([]));
    let path = format!("/chat/completions/{}", id(&answer));
    let stored = get(&proxy, &path).await;
    valid(Spec::OpenAi, "CreateChatCompletionResponse", &stored);
    assert_eq!((&stored["choices"], &stored["metadata"]), (&answer["choices"], &json!({"a": "b"})));
    let messages = get(&proxy, &format!("{path}/messages")).await;
    assert_eq!(messages["data"][0]["content"], "hi");
    let (_, changed) = call(&proxy, Method::POST, &path, Some(json!({"metadata": {}}))).await;
    assert_eq!(changed["metadata"], json!({}));
    let (_, gone) = call(&proxy, Method::DELETE, &path, None).await;
    assert_eq!(gone, json!({"id": id(&answer), "object": "chat.completion.deleted", "deleted": true}));
    assert_eq!(call(&proxy, Method::GET, &path, None).await.0, StatusCode::NOT_FOUND);
}

/// Waits until a background response is over.
async fn over(proxy: &Proxy, id: &str) -> Value {
    let wait = async {
        loop {
            let response = get(proxy, &format!("/responses/{id}")).await;
            if !["queued", "in_progress"].contains(&response["status"].as_str().unwrap()) {
                return response;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap()
}

#[tokio::test]
async fn a_background_response_goes_on_without_its_client() {
    let (upstream, proxy) = world().await;
    upstream.push(Script::text("later"));
    let queued = proxy.post_ok("/responses", &ask("work", &json!({"background": true}))).await;
    valid(Spec::OpenResponses, "ResponseResource", &queued);
    assert_eq!((&queued["status"], &queued["background"]), (&json!("queued"), &json!(true)));
    let done = over(&proxy, &id(&queued)).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["output"][0]["content"][0]["text"], "later");

    upstream.push(Script::text("streamed"));
    let body = ask("work", &json!({"background": true, "stream": true, "previous_response_id": id(&queued)}));
    let mut stream = proxy.stream("/responses", &body).await;
    let created = stream.until("response.created").await;
    drop(stream);
    let response = id(&created["response"]);
    let done = over(&proxy, &response).await;
    assert_eq!(done["status"], "completed", "{done}");
    let path = format!("/responses/{response}?stream=true&starting_after=1");
    let events = proxy.request(Method::GET, &path).send().await.unwrap().text().await.unwrap();
    let numbers: Vec<u64> = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|json| {
            serde_json::from_str::<Value>(&format!("{{{json}")).unwrap()["sequence_number"].as_u64().unwrap()
        })
        .collect();
    assert!(numbers.iter().copied().eq(2..2 + numbers.len() as u64), "{numbers:?}");
    assert!(events.contains("response.completed") && events.ends_with("data: [DONE]\n\n"), "{events}");
    let (status, cancelled) =
        call(&proxy, Method::POST, &format!("/responses/{response}/cancel"), None).await;
    assert_eq!((status, &cancelled["status"]), (StatusCode::OK, &json!("completed")), "it is over");
}

/// A proxy over the same data as one that was killed.
async fn again(upstream: &FakeOpenAi, data: &TempDir) -> Proxy {
    let data = data.path().to_str().unwrap().to_owned();
    let setup = Setup::real(NEWEST, upstream).env("PROXY_DATA_DIR", &data);
    setup.env("PROXY_API_KEY", "test-key-that-stays-the-same").start().await
}

#[tokio::test]
async fn what_a_client_has_seen_the_end_of_survives_a_kill() {
    let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
    upstream.fall_back_to(Script::text("ok"));
    let data = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let mut previous: Option<String> = None;
    for round in 0..5 {
        let mut proxy = again(&upstream, &data).await;
        let body = ask(&format!("question {round}"), &json!({"previous_response_id": previous}));
        let answer = proxy.post_ok("/responses", &body).await;
        assert_eq!(seen(&upstream).len(), 2 * round + 1, "the whole history");
        previous = Some(id(&answer));
        upstream.push(Script::new().message_held("half", &gate, ""));
        let queued = proxy.post_ok("/responses", &ask("never", &json!({"background": true}))).await;
        // Its script is taken: the next request gets its own.
        gate.reached(round + 1).await;
        proxy.kill().await;
        drop(proxy);
        let proxy = again(&upstream, &data).await;
        let failed = get(&proxy, &format!("/responses/{}", id(&queued))).await;
        assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));
        proxy.stop().await;
    }
}

#[tokio::test]
async fn without_a_store_answers_say_so() {
    let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
    upstream.fall_back_to(Script::text("ok"));
    let proxy = Setup::real(NEWEST, &upstream).env("PROXY_STORE", "off").start().await;
    let answer = proxy.post_ok("/responses", &ask("hi", &json!({"store": true}))).await;
    assert_eq!(answer["store"], false);
    let (status, _) = call(&proxy, Method::GET, &format!("/responses/{}", id(&answer)), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, refused) =
        call(&proxy, Method::POST, "/responses", Some(ask("x", &json!({"background": true})))).await;
    assert_eq!((status, &refused["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("background")));
    assert_eq!(
        call(&proxy, Method::POST, "/conversations", Some(json!({}))).await.0,
        StatusCode::BAD_REQUEST
    );
    assert!(!proxy.data_dir().join("responses.db").exists());
    proxy.stop().await;

    let data = tempfile::tempdir().unwrap();
    // No database can be made here.
    std::fs::create_dir(data.path().join("responses.db")).unwrap();
    let proxy = again(&upstream, &data).await;
    let response = proxy.post("/responses", &ask("hi", &json!({}))).send().await.unwrap();
    assert_eq!(response.headers()["x-proxy-store"], "failed");
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!((&answer["status"], &answer["store"]), (&json!("completed"), &json!(false)));
}
