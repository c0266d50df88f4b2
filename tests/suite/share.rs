//! Sharing on the network: a second address with nothing but the API, for one key. The tests use another address
//! of this machine.

use std::path::Path;

use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::sse;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::surface::Surface;

const OTHER: &str = "127.0.0.2";

async fn share(proxy: &Proxy, address: &str) -> (StatusCode, Value) {
    let request = proxy.control(Method::POST, "/share").header("content-type", "application/json");
    sse::json(request.body(json!({"address": address}).to_string())).await
}

/// A proxy that is shared: its base URL there, the id of its key, and the key.
async fn shared(proxy: &Proxy) -> (String, String, String) {
    let (status, share) = share(proxy, OTHER).await;
    assert_eq!((status.as_u16(), &share["on"]), (200, &json!(true)), "{share}");
    let id = share["key"].as_str().unwrap().to_owned();
    let key = proxy.control_ok(&format!("/keys/{id}/reveal"), Some(&Value::Null)).await;
    (share["base_url"].as_str().unwrap().to_owned(), id, key["secret"].as_str().unwrap().to_owned())
}

async fn status_of(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn only_the_api_is_there_and_only_for_its_own_key() {
    let proxy = Setup::fake(&json!({})).start().await;
    let off = proxy.control_ok("/share", None).await;
    assert_eq!((&off["on"], &off["base_url"], &off["key"]), (&json!(false), &Value::Null, &Value::Null));
    let (base, _, key) = shared(&proxy).await;
    assert_eq!(base, format!("http://{OTHER}:{}/v1", proxy.port()));

    let ask = proxy.bare(Method::POST, &format!("{base}/chat/completions")).bearer_auth(&key);
    let ask = ask.header("content-type", "application/json").body(Surface::Chat.ask("hi").to_string());
    let (status, answer) = sse::json(ask).await;
    assert_eq!(status, 200, "{answer}");
    assert!(!Surface::Chat.text(&answer).is_empty());
    assert_eq!(status_of(proxy.bare(Method::GET, &format!("{base}/models")).bearer_auth(&key)).await, 200);

    // The other keys of this machine, a wrong one, and none; also where this machine needs none.
    let root = base.trim_end_matches("/v1").to_owned();
    for path in
        ["/v1/models", "/v1/usage", "/v1/responses", "/v1/verify", "/healthz", "/", "/ui/", "/control/status"]
    {
        let get = || proxy.bare(Method::GET, &format!("{root}{path}"));
        assert_eq!(status_of(get()).await, 401, "{path} without a key");
        assert_eq!(status_of(get().bearer_auth(&proxy.key)).await, 401, "{path} with another key");
        assert_eq!(status_of(get().bearer_auth(format!("{key}x"))).await, 401, "{path} with a wrong key");
    }
    // What else the proxy has is not there at all, even for those who have the key and the token.
    let token = std::fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();
    for path in [
        "/",
        "/ui/",
        "/healthz",
        "/metrics",
        "/models",
        "/control/status",
        "/v1/../control/status",
        "//control/status",
        "/%63ontrol/status",
    ] {
        let get = || proxy.bare(Method::GET, &format!("{root}{path}"));
        assert_eq!(status_of(get().bearer_auth(&key)).await, 404, "{path}");
        assert_eq!(status_of(get().bearer_auth(token.trim())).await, 401, "{path} with the token");
    }
    // A page of another site that was made to point here.
    let evil =
        proxy.bare(Method::GET, &format!("{base}/models")).bearer_auth(&key).header("host", "evil.example");
    assert_eq!(status_of(evil).await, 403);
}

#[tokio::test]
async fn no_address_that_the_internet_can_reach_is_shared() {
    let proxy = Setup::fake(&json!({})).start().await;
    let keys = proxy.control_ok("/keys", None).await;
    for address in ["8.8.8.8", "0.0.0.0", "::", "192.0.2.2", "example.org", "", "127.0.0.2:80"] {
        let (status, answer) = share(&proxy, address).await;
        assert_eq!(
            (status.as_u16(), &answer["error"]["param"]),
            (400, &json!("address")),
            "{address}: {answer}"
        );
    }
    // An address of a private network that this machine does not have.
    let (status, answer) = share(&proxy, "10.255.255.1").await;
    assert_eq!(status, 409, "{answer}");
    let off = proxy.control_ok("/share", None).await;
    assert_eq!((&off["on"], &off["base_url"]), (&json!(false), &Value::Null), "{off}");
    assert_eq!(proxy.control_ok("/keys", None).await, keys, "no key is left behind");
    assert!(!proxy.data_dir().join("share.json").exists());
    let unauthorized = proxy.bare(Method::POST, &proxy.root_url("/control/share")).bearer_auth(&proxy.key);
    assert_eq!(status_of(unauthorized).await, 401);
}

/// A proxy on a data directory that stays when the proxy ends.
struct Lasting {
    proxy: Proxy,
    token: String,
}

impl Lasting {
    async fn start(data: &Path) -> Self {
        let proxy = Setup::fake(&json!({})).env("PROXY_DATA_DIR", data.to_str().unwrap()).start().await;
        let token = std::fs::read_to_string(data.join("control-token")).unwrap().trim().to_owned();
        Self { proxy, token }
    }

    async fn control(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.proxy.bare(method, &self.proxy.root_url(&format!("/control{path}")));
        let request = request.bearer_auth(&self.token).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
    }

    async fn share(&self) -> Value {
        self.control(Method::GET, "/share", &json!({})).await
    }

    async fn status(&self, share: &Value, key: &str) -> u16 {
        let models = format!("{}/models", share["base_url"].as_str().unwrap());
        status_of(self.proxy.bare(Method::GET, &models).bearer_auth(key)).await
    }

    async fn key_of(&self, share: &Value) -> String {
        let path = format!("/keys/{}/reveal", share["key"].as_str().unwrap());
        self.control(Method::POST, &path, &json!({})).await["secret"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn it_ends_with_its_key_and_lasts_over_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let first = Lasting::start(&data).await;
    let share = first.control(Method::POST, "/share", &json!({"address": OTHER})).await;
    let key = first.key_of(&share).await;
    first.proxy.stop().await;

    let second = Lasting::start(&data).await;
    let again =
        until("the address to open", async || Some(second.share().await).filter(|share| share["on"] == true))
            .await;
    assert_eq!(again["key"], share["key"]);
    assert_eq!(second.status(&again, &key).await, 200);
    // Whoever removes the key ends sharing, now and after the next start.
    let id = again["key"].as_str().unwrap();
    second.control(Method::DELETE, &format!("/keys/{id}"), &json!({})).await;
    assert_eq!(second.status(&again, &key).await, 401);
    second.proxy.stop().await;

    let third = Lasting::start(&data).await;
    let closed =
        until("the reason", async || Some(third.share().await).filter(|share| !share["problem"].is_null()))
            .await;
    assert_eq!((&closed["on"], &closed["key_name"]), (&json!(false), &Value::Null), "{closed}");
    assert!(closed["problem"].as_str().unwrap().contains("was removed"), "{closed}");
    let share = third.control(Method::POST, "/share", &json!({"address": OTHER})).await;
    let key = third.key_of(&share).await;
    assert_eq!(third.status(&share, &key).await, 200);
    third.control(Method::DELETE, "/share", &json!({})).await;
    let models = format!("{}/models", share["base_url"].as_str().unwrap());
    until("the address to close", async || {
        let asked = third.proxy.bare(Method::GET, &models).bearer_auth(&key).send().await;
        asked.is_err_and(|error| error.is_connect()).then_some(())
    })
    .await;
    let keys = third.control(Method::GET, "/keys", &json!({})).await.to_string();
    assert!(!keys.contains(share["key"].as_str().unwrap()), "{keys}");
    assert!(!data.join("share.json").exists());
    third.proxy.stop().await;
}

#[tokio::test]
async fn a_connection_from_before_gets_nothing_after_the_address_is_closed() {
    let proxy = Setup::fake(&json!({})).start().await;
    let (base, _, key) = shared(&proxy).await;
    let authority = base.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let mut before = TcpStream::connect(&authority).await.unwrap();
    let move_on = share(&proxy, "127.0.0.3");
    let ask = async {
        until("the address to close", async || TcpStream::connect(&authority).await.err()).await;
        let request =
            format!("GET /v1/models HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {key}\r\n\r\n");
        let mut answer = String::new();
        // The connection may have been closed by then.
        if before.write_all(request.as_bytes()).await.is_ok() {
            let _ = before.read_to_string(&mut answer).await;
        }
        answer
    };
    let ((status, moved), answer) = tokio::join!(move_on, ask);
    assert_eq!((status.as_u16(), &moved["on"]), (200, &json!(true)), "{moved}");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
}
