//! What is stored belongs to the id of a key: nobody else reads, continues or changes it, in no way.

use e2e::fake_openai::FakeOpenAi;
use e2e::harness::{Proxy, Setup};
use e2e::socket::Socket;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::Surface;

/// A key of a proxy.
#[derive(Clone)]
struct Key {
    id: String,
    secret: String,
}

/// What a key has stored.
struct Things {
    response: String,
    /// A background response that was created as a stream.
    background: String,
    conversation: String,
    chat: String,
    /// Ids of an item of an output, of an input, and of a conversation.
    items: [String; 3],
}

async fn fake() -> Proxy {
    Setup::fake(&json!({"scenarios": {"default": [{"step": "text", "deltas": ["to ", "{{user}}"]}]}}))
        .start()
        .await
}

async fn make(proxy: &Proxy, name: &str) -> Key {
    let made = proxy.control_ok("/keys", Some(&json!({"name": name}))).await;
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let revealed = proxy.control_ok(&format!("/keys/{id}/reveal"), Some(&json!({}))).await;
    Key { id, secret: revealed["secret"].as_str().unwrap().to_owned() }
}

async fn call(proxy: &Proxy, key: &Key, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
    let mut request = proxy.bare(method, &format!("{}{path}", proxy.base_url)).bearer_auth(&key.secret);
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn ok(proxy: &Proxy, key: &Key, method: Method, path: &str, body: Option<&Value>) -> Value {
    let (status, answer) = call(proxy, key, method, path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

fn ask(input: &Value, more: &[(&str, Value)]) -> Value {
    let mut body = Surface::Responses.ask("");
    body["input"] = input.clone();
    for (name, value) in more {
        body[*name] = value.clone();
    }
    body
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_else(|| panic!("{object}")).to_owned()
}

async fn store(proxy: &Proxy, key: &Key) -> Things {
    let post = async |path: &str, body: Value| ok(proxy, key, Method::POST, path, Some(&body)).await;
    let response = post("/responses", ask(&json!("secret one"), &[])).await;
    let said = json!([{"type": "message", "role": "user", "content": "secret two"}]);
    let conversation = id(&post("/conversations", json!({"items": said})).await);
    let mut chat = Surface::Chat.ask("secret three");
    chat["store"] = json!(true);
    let chat = id(&post("/chat/completions", chat).await);
    let more = [("background", json!(true)), ("stream", json!(true))];
    let events = post("/responses", ask(&json!("secret four"), &more)).await;
    let created = events.as_str().unwrap().lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let background = id(&serde_json::from_str::<Value>(created).unwrap()["response"]);
    let get = async |path: &str| ok(proxy, key, Method::GET, path, None).await;
    let input = get(&format!("/responses/{}/input_items", id(&response))).await;
    let added = get(&format!("/conversations/{conversation}/items")).await;
    let items = [id(&response["output"][0]), id(&input["data"][0]), id(&added["data"][0])];
    Things { response: id(&response), background, conversation, chat, items }
}

/// Every way to get at things by their ids.
fn ways(things: &Things) -> Vec<(Method, String, Option<Value>)> {
    let Things { response, background, conversation, chat, items } = things;
    let item = &items[2];
    let added = json!({"items": [{"type": "message", "role": "user", "content": "x"}]});
    let changed = json!({"metadata": {"a": "b"}});
    let mut ways = vec![
        (Method::GET, format!("/responses/{response}"), None),
        (Method::GET, format!("/responses/{response}/input_items"), None),
        (Method::GET, format!("/responses/{background}?stream=true"), None),
        (Method::GET, format!("/responses/{background}?stream=true&starting_after=1"), None),
        (Method::POST, format!("/responses/{background}/cancel"), None),
        (Method::GET, format!("/conversations/{conversation}"), None),
        (Method::GET, format!("/conversations/{conversation}/items"), None),
        (Method::GET, format!("/conversations/{conversation}/items/{item}"), None),
        (Method::POST, format!("/conversations/{conversation}"), Some(changed.clone())),
        (Method::POST, format!("/conversations/{conversation}/items"), Some(added)),
        (Method::GET, format!("/chat/completions/{chat}"), None),
        (Method::GET, format!("/chat/completions/{chat}/messages"), None),
        (Method::POST, format!("/chat/completions/{chat}"), Some(changed)),
    ];
    let mut asks = vec![
        ask(&json!("x"), &[("previous_response_id", json!(response))]),
        ask(&json!("x"), &[("previous_response_id", json!(background))]),
        ask(&json!("x"), &[("conversation", json!(conversation))]),
        ask(&json!("x"), &[("conversation", json!({"id": conversation}))]),
    ];
    asks.extend(items.iter().map(|item| ask(&json!([{"type": "item_reference", "id": item}]), &[])));
    ways.extend(asks.into_iter().map(|body| (Method::POST, "/responses".to_owned(), Some(body))));
    ways
}

/// The ways that remove something; they come last.
fn removals(things: &Things) -> Vec<(Method, String, Option<Value>)> {
    let Things { response, background, conversation, chat, items } = things;
    [
        format!("/responses/{response}"),
        format!("/responses/{background}"),
        format!("/conversations/{conversation}/items/{}", items[2]),
        format!("/conversations/{conversation}"),
        format!("/chat/completions/{chat}"),
    ]
    .map(|path| (Method::DELETE, path, None))
    .into()
}

/// To this key, each id is unknown in each way, in the same words as an id that nobody has.
async fn knows_nothing(proxy: &Proxy, key: &Key, things: &Things) {
    for (method, path, body) in ways(things).into_iter().chain(removals(things)) {
        let (status, answer) = call(proxy, key, method.clone(), &path, body.as_ref()).await;
        let is_previous = answer["error"]["code"] == "previous_response_not_found";
        assert_eq!(status, if is_previous { 400 } else { 404 }, "{method} {path} {body:?}: {answer}");
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
    let (_, list) = call(proxy, key, Method::GET, "/chat/completions", None).await;
    assert!(!list.to_string().contains(&things.chat), "{list}");
    // Also over a WebSocket, in the default lane and in others.
    let mut socket = open(proxy, key).await;
    for lane in [None, Some("a")] {
        for response in [&things.response, &things.background] {
            let mut body = ask(&json!("x"), &[("previous_response_id", json!(response))]);
            body["stream_id"] = json!(lane);
            socket.create(&body).await;
            assert_eq!(socket.last().await["error"]["code"], "previous_response_not_found");
        }
        for item in &things.items {
            let mut body = ask(&json!([{"type": "item_reference", "id": item}]), &[]);
            body["stream_id"] = json!(lane);
            socket.create(&body).await;
            let refused = socket.last().await;
            assert_eq!((&refused["type"], &refused["status"]), (&json!("error"), &json!(404)), "{refused}");
        }
    }
}

async fn knows_everything(proxy: &Proxy, key: &Key, things: &Things) {
    for (method, path, body) in ways(things) {
        ok(proxy, key, method, &path, body.as_ref()).await;
    }
}

async fn open(proxy: &Proxy, key: &Key) -> Socket {
    let bearer = format!("Bearer {}", key.secret);
    Socket::try_open(proxy, "/v1/responses", &[("authorization", &bearer)]).await.unwrap()
}

#[tokio::test]
async fn no_other_key_gets_at_anything_in_any_way() {
    let proxy = fake().await;
    let own = make(&proxy, "editor").await;
    let things = store(&proxy, &own).await;
    knows_everything(&proxy, &own, &things).await;
    // The key of the environment and the first key have ids like all others.
    let environment = Key { id: String::new(), secret: proxy.key.clone() };
    let other = make(&proxy, "other").await;
    for key in [&environment, &other] {
        knows_nothing(&proxy, key, &things).await;
    }
    let theirs = store(&proxy, &environment).await;
    knows_nothing(&proxy, &own, &theirs).await;

    // Another name is the same key, and its old name is free for another one.
    let path = format!("/keys/{}", own.id);
    let renamed = proxy.control(Method::PATCH, &path).body(json!({"name": "renamed"}).to_string());
    assert_eq!(renamed.send().await.unwrap().status(), 200);
    let namesake = make(&proxy, "editor").await;
    knows_nothing(&proxy, &namesake, &things).await;
    knows_everything(&proxy, &own, &things).await;

    // One that is made anew after the deletion is another key too.
    assert!(proxy.control(Method::DELETE, &path).send().await.unwrap().status().is_success());
    let again = make(&proxy, "renamed").await;
    assert_ne!(again.id, own.id);
    knows_nothing(&proxy, &again, &things).await;
    let (status, _) = call(&proxy, &own, Method::GET, &format!("/responses/{}", things.response), None).await;
    assert_eq!(status, 401);
    let export = proxy.control(Method::GET, "/store/export").send().await.unwrap().text().await.unwrap();
    assert!(!export.contains(&own.id) && !export.contains(&things.response), "nothing of it is kept");
    knows_everything(&proxy, &environment, &theirs).await;
    proxy.stop().await;
}

#[tokio::test]
async fn what_a_connection_remembers_is_of_no_other_connection_and_goes_with_its_key() {
    let proxy = fake().await;
    let own = make(&proxy, "editor").await;
    let other = make(&proxy, "other").await;
    let mut sockets = join_all([&own, &own, &other].map(|key| open(&proxy, key))).await;
    let mut body = ask(&json!("secret"), &[("store", json!(false)), ("stream_id", json!("a"))]);
    sockets[0].create(&body).await;
    let remembered = sockets[0].response().await;
    body["previous_response_id"] = remembered["id"].clone();
    for socket in &mut sockets[1..] {
        for lane in [json!("a"), json!("b"), Value::Null] {
            body["stream_id"] = lane;
            socket.create(&body).await;
            assert_eq!(socket.last().await["error"]["code"], "previous_response_not_found");
        }
    }
    let (status, _) = call(
        &proxy,
        &own,
        Method::POST,
        "/responses",
        Some(&{
            let mut body = body.clone();
            body.as_object_mut().unwrap().shift_remove("stream_id");
            body
        }),
    )
    .await;
    assert_eq!(status, 400, "what is not stored is of its connection only");
    body["stream_id"] = json!("b");
    sockets[0].create(&body).await;
    assert_eq!(sockets[0].response().await["status"], "completed");

    let path = format!("/keys/{}", own.id);
    assert!(proxy.control(Method::DELETE, &path).send().await.unwrap().status().is_success());
    let again = make(&proxy, "editor").await;
    sockets[0].create(&body).await;
    let refused = sockets[0].last().await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(401), &json!("invalid_api_key")));
    let mut socket = open(&proxy, &again).await;
    socket.create(&body).await;
    assert_eq!(socket.last().await["error"]["code"], "previous_response_not_found");
    drop((sockets, socket));
    proxy.stop().await;
}

#[tokio::test]
async fn a_request_of_a_key_that_is_deleted_meanwhile_leaves_nothing() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(e2e::codex_bin::NEWEST, &upstream).start().await;
    let gate = e2e::fake_openai::Gate::new();
    upstream.push(e2e::fake_openai::Script::new().message_held("one ", &gate, "two"));
    let own = make(&proxy, "editor").await;
    let body = ask(&json!("secret"), &[("background", json!(true))]);
    let queued = ok(&proxy, &own, Method::POST, "/responses", Some(&body)).await;
    gate.reached(1).await;
    let path = format!("/keys/{}", own.id);
    assert!(proxy.control(Method::DELETE, &path).send().await.unwrap().status().is_success());
    gate.open();
    let again = make(&proxy, "editor").await;
    let path = format!("/responses/{}", id(&queued));
    assert_eq!(call(&proxy, &again, Method::GET, &path, None).await.0, 404);
    let data = proxy.data_dir().join("responses.db");
    let log = proxy.stop_and_keep().await;
    let bytes = std::fs::read(&data).unwrap();
    assert!(!bytes.windows(6).any(|six| six == b"secret"), "{}", log.0);
}
