//! API keys through the control API, with the keychain turned off.

use std::fs;
use std::path::Path;

use e2e::harness::{Proxy, Setup};
use e2e::sse;
use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A client of the control API of a proxy over a data directory of its own.
pub(crate) struct Keys {
    pub(crate) proxy: Proxy,
    token: String,
}

impl Keys {
    pub(crate) async fn start(data: &Path, settings: &[(String, String)]) -> Self {
        let mut setup = Setup::fake(&json!({})).env("PROXY_API_KEY", "");
        for (name, value) in settings {
            setup = setup.env(name, value);
        }
        let proxy = setup.env("PROXY_DATA_DIR", &data.display().to_string()).unready().start().await;
        let token = fs::read_to_string(data.join("control-token")).unwrap().trim().to_owned();
        Self { proxy, token }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.proxy
            .bare(method, &self.proxy.root_url(&format!("/control/keys{path}")))
            .bearer_auth(&self.token)
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    pub(crate) async fn ok(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!(status == 200 || status == 204, "{path}: {status} {answer}\n{}", self.proxy.log_text());
        answer
    }

    pub(crate) async fn list(&self) -> Value {
        self.ok(Method::GET, "", &Value::Null).await
    }

    pub(crate) async fn reveal(&self, name: &str) -> String {
        let answer = self.ok(Method::POST, &format!("/{name}/reveal"), &Value::Null).await;
        answer["secret"].as_str().unwrap().to_owned()
    }

    /// The status that a client with this key gets.
    pub(crate) async fn verify(&self, key: &str) -> u16 {
        let request = self.proxy.bare(Method::GET, &self.proxy.root_url("/verify")).bearer_auth(key);
        request.send().await.unwrap().status().as_u16()
    }
}

fn off() -> Vec<(String, String)> {
    vec![("PROXY_PROTECT_MODELS".to_owned(), "true".to_owned())]
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_key_is_made_used_renamed_disabled_rotated_and_deleted() {
    let data = TempDir::new().unwrap();
    let keys = Keys::start(data.path(), &off()).await;
    let list = keys.list().await;
    assert_eq!((&list["store"], &list["warning"]), (&json!("file"), &Value::Null));
    assert_eq!(list["keys"][0]["name"], "default");
    let default = keys.reveal("default").await;
    assert_eq!(keys.verify(&default).await, 200);

    let made = keys.ok(Method::POST, "", &json!({"name": "Büro 2"})).await;
    let id = made["id"].as_str().unwrap();
    let old = keys.reveal("B%C3%BCro%202").await;
    assert_eq!(keys.verify(&old).await, 200);
    let models = keys.proxy.bare(Method::GET, &format!("{}/models", keys.proxy.base_url));
    assert_eq!(models.bearer_auth(&old).send().await.unwrap().status(), 200);

    let changed =
        keys.ok(Method::PATCH, &format!("/{id}"), &json!({"name": "tablet", "enabled": false})).await;
    assert_eq!((&changed["name"], &changed["enabled"]), (&json!("tablet"), &json!(false)));
    assert_eq!(keys.verify(&old).await, 401);
    keys.ok(Method::PATCH, "/tablet", &json!({"enabled": true})).await;
    assert_eq!(keys.verify(&old).await, 200);

    keys.ok(Method::POST, "/tablet/rotate", &Value::Null).await;
    let new = keys.reveal(id).await;
    assert_eq!((keys.verify(&old).await, keys.verify(&new).await), (401, 200));
    assert!(keys.list().await["keys"][1]["last_used_at"].is_u64());

    assert_eq!(keys.call(Method::DELETE, "/tablet", &Value::Null).await, (204, Value::Null));
    assert_eq!((keys.verify(&new).await, keys.verify(&default).await), (401, 200));
    keys.ok(Method::DELETE, "/default", &Value::Null).await;
    assert_eq!(keys.verify(&default).await, 401);
    assert!(keys.list().await["warning"].as_str().unwrap().contains("No API key is accepted"));
    keys.proxy.stop().await;

    let again = Keys::start(data.path(), &off()).await;
    assert_eq!(again.list().await["keys"], json!([]));
    again.proxy.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_an_error_that_says_why() {
    let data = TempDir::new().unwrap();
    let keys = Keys::start(data.path(), &off()).await;
    let key = keys.reveal("default").await;
    let long = "x".repeat(65);
    let cases = [
        (Method::POST, "", json!({"name": "a/b"}), 400, "invalid_key_name"),
        (Method::POST, "", json!({"name": ""}), 400, "invalid_key_name"),
        (Method::POST, "", json!({"name": long}), 400, "invalid_key_name"),
        (Method::POST, "", json!({"name": "=1+1"}), 400, "invalid_key_name"),
        (Method::POST, "", json!({"name": "PROXY_API_KEY"}), 400, "invalid_key_name"),
        (Method::POST, "", json!({"name": "Default"}), 409, "key_conflict"),
        (Method::POST, "", json!({"name": 1}), 400, "invalid_value"),
        (Method::POST, "", json!({"title": "a"}), 400, "invalid_value"),
        (Method::POST, "", json!("no object"), 400, "invalid_value"),
        (Method::POST, "", Value::Null, 400, "invalid_value"),
        (Method::PATCH, "/nobody", json!({"enabled": false}), 404, "key_not_found"),
        (Method::DELETE, "/nobody", Value::Null, 404, "key_not_found"),
        (Method::POST, "/nobody/reveal", Value::Null, 404, "key_not_found"),
        (Method::POST, "/migrate", json!({"to": "keychain"}), 409, "key_conflict"),
        (Method::POST, "/migrate", json!({"to": "paper"}), 400, "invalid_value"),
        (Method::PUT, "", json!({}), 405, "method_not_allowed"),
    ];
    for (method, path, body, status, expected) in cases {
        let (got, answer) = keys.call(method.clone(), path, &body).await;
        assert_eq!((got, code(&answer)), (status, expected), "{method} {path} {body}: {answer}");
    }
    let (status, answer) = keys.call(Method::POST, &format!("/{key}/reveal"), &Value::Null).await;
    assert!(status == 404 && !answer.to_string().contains(&key), "{answer}");

    let url = keys.proxy.root_url("/control/keys");
    for wrong in ["", &key] {
        let (status, answer) = sse::json(keys.proxy.bare(Method::GET, &url).bearer_auth(wrong)).await;
        assert_eq!((status.as_u16(), code(&answer)), (401, "invalid_control_token"));
    }
    let (_, answer) = sse::json(keys.proxy.bare(Method::GET, &keys.proxy.root_url("/verify"))).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("codex-proxy keys show"), "{answer}");
    keys.proxy.stop().await;
}

#[tokio::test]
async fn the_operators_key_overrides_the_default_one_and_no_other() {
    let data = TempDir::new().unwrap();
    let keys = Keys::start(data.path(), &off()).await;
    keys.ok(Method::POST, "", &json!({"name": "phone"})).await;
    let (default, phone) = (keys.reveal("default").await, keys.reveal("phone").await);
    keys.proxy.stop().await;

    let mut settings = off();
    settings.push(("PROXY_API_KEY".to_owned(), "the-operators-own".to_owned()));
    let keys = Keys::start(data.path(), &settings).await;
    let statuses =
        (keys.verify("the-operators-own").await, keys.verify(&default).await, keys.verify(&phone).await);
    assert_eq!(statuses, (200, 401, 200));
    let list = keys.list().await;
    assert_eq!(list["keys"][0]["secret_in"], "configuration");
    assert_eq!((&list["keys"][1]["name"], &list["keys"][1]["overridden"]), (&json!("default"), &json!(true)));
    let (status, answer) = keys.call(Method::DELETE, "/PROXY_API_KEY", &Value::Null).await;
    assert_eq!((status, code(&answer)), (409, "key_conflict"));
    keys.proxy.stop().await;
}

#[tokio::test]
async fn many_changes_at_once_all_count() {
    let data = TempDir::new().unwrap();
    let keys = Keys::start(data.path(), &off()).await;
    let jobs = (0..12).map(|number| {
        let keys = &keys;
        async move {
            let name = format!("client-{number}");
            keys.ok(Method::POST, "", &json!({"name": name})).await;
            let old = keys.reveal(&name).await;
            keys.ok(Method::POST, &format!("/{name}/rotate"), &Value::Null).await;
            let new = keys.reveal(&name).await;
            assert_eq!((keys.verify(&old).await, keys.verify(&new).await), (401, 200));
        }
    });
    futures_util::future::join_all(jobs).await;
    assert_eq!(keys.list().await["keys"].as_array().unwrap().len(), 13);
    keys.proxy.stop().await;
    let again = Keys::start(data.path(), &off()).await;
    assert_eq!(again.list().await["keys"].as_array().unwrap().len(), 13);
    again.proxy.stop().await;
}

#[tokio::test]
async fn no_log_holds_a_key() {
    let data = TempDir::new().unwrap();
    let mut settings = off();
    settings.push(("PROXY_LOG".to_owned(), "trace".to_owned()));
    let keys = Keys::start(data.path(), &settings).await;
    let mut seen = vec![keys.reveal("default").await];
    for path in ["/v1/models", "/v1/models/codex-5", "/verify", "/healthz", "/readyz", "/livez", "/nowhere"] {
        let request = keys.proxy.bare(Method::GET, &keys.proxy.root_url(path));
        request.bearer_auth(&seen[0]).send().await.unwrap();
    }
    for path in ["/v1/responses", "/v1/chat/completions"] {
        let body =
            json!({"model": "codex-5", "input": "hi", "messages": [{"role": "user", "content": "hi"}]});
        let request = keys.proxy.bare(Method::POST, &keys.proxy.root_url(path)).bearer_auth(&seen[0]);
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    }
    keys.ok(Method::POST, "", &json!({"name": "phone"})).await;
    seen.push(keys.reveal("phone").await);
    keys.ok(Method::POST, "/phone/rotate", &Value::Null).await;
    seen.push(keys.reveal("phone").await);
    let key = seen[0].clone();
    keys.call(Method::POST, "", &json!({"name": key})).await;
    keys.ok(Method::POST, "/migrate", &json!({"to": "file"})).await;
    keys.ok(Method::DELETE, "/phone", &Value::Null).await;
    keys.proxy.wait_for_log("deleted an API key").await;
    for key in &seen {
        assert!(!keys.proxy.log_text().contains(key), "a key is in the log");
    }
    keys.proxy.stop().await;
}

/// What a client with this key gets for a question: the status and the body.
async fn ask(keys: &Keys, key: &str) -> (u16, Value) {
    let request = keys.proxy.bare(Method::POST, &format!("{}/responses", keys.proxy.base_url));
    let request = request.bearer_auth(key).header("content-type", "application/json");
    let (status, answer) =
        sse::json(request.body(json!({"model": "codex-5", "input": "hi"}).to_string())).await;
    (status.as_u16(), answer)
}

/// Name, id and requests of each key in the usage.
async fn usage_by_key(keys: &Keys) -> Vec<(String, String, u64)> {
    let url = keys.proxy.root_url("/v1/usage?group=key");
    let (_, usage) = sse::json(keys.proxy.bare(Method::GET, &url)).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let parts = usage["data"].as_array().unwrap().iter();
    let mut parts: Vec<_> = parts
        .map(|part| (text(&part["bucket"]), text(&part["key_id"]), part["requests"].as_u64().unwrap()))
        .collect();
    parts.sort();
    parts
}

#[tokio::test]
async fn limits_and_usage_follow_a_key_and_not_its_name() {
    let data = TempDir::new().unwrap();
    let mut settings = off();
    for (name, value) in [("PROXY_DAILY_TOKENS", "1"), ("PROXY_USAGE_ALLOW_UNAUTH", "true")] {
        settings.push((name.to_owned(), value.to_owned()));
    }
    let keys = Keys::start(data.path(), &settings).await;
    let create = async |name: &str| {
        let made = keys.ok(Method::POST, "", &json!({"name": name})).await;
        (made["id"].as_str().unwrap().to_owned(), keys.reveal(name).await)
    };
    let (first, key) = create("phone").await;
    let (status, answer) = ask(&keys, &key).await;
    assert_eq!(status, 200, "{answer}");
    keys.ok(Method::PATCH, "/phone", &json!({"name": "tablet"})).await;
    let (status, answer) = ask(&keys, &key).await;
    assert_eq!((status, code(&answer)), (429, "token_budget_exceeded"), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("'tablet'"), "{answer}");

    let (second, other) = create("phone").await;
    let (status, answer) = ask(&keys, &other).await;
    assert_eq!(status, 200, "a new key of the old name begins anew: {answer}");
    let of = |name: &str, id: &str, requests: u64| (name.to_owned(), id.to_owned(), requests);
    assert_eq!(usage_by_key(&keys).await, [of("phone", &second, 1), of("tablet", &first, 2)]);

    keys.ok(Method::DELETE, "/tablet", &Value::Null).await;
    let (third, last) = create("tablet").await;
    assert_eq!(ask(&keys, &last).await.0, 200);
    let mut expected = vec![of("phone", &second, 1), of("tablet", &first, 2), of("tablet", &third, 1)];
    expected.sort();
    assert_eq!(usage_by_key(&keys).await, expected, "a deleted key keeps its last name");
    keys.proxy.stop().await;

    let keys = Keys::start(data.path(), &settings).await;
    assert_eq!(ask(&keys, &other).await.0, 429, "the day goes on after a restart");
    keys.proxy.stop().await;
}
