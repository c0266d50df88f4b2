//! Faults around the proxy: disks, ports and keychains.

use std::fs;

use e2e::harness::Setup;
use e2e::secret_service::Session;
use reqwest::Method;
use serde_json::{Value, json};

use super::marks::Canaries;
use super::places;
use super::world::API_KEY;
use crate::cli::run;
use crate::surface::BOTH;

/// The text of a key, and all output of the proxy while keys are made and moved.
async fn keys_in(session: &Session) {
    let mut setup = Setup::fake(&json!({})).env("PROXY_LOG", "trace").env("PROXY_API_KEY", API_KEY);
    for (name, value) in session.env() {
        setup = setup.env(&name, &value);
    }
    let proxy = setup.env("PROXY_KEYCHAIN", "auto").start().await;
    let mut canaries = Canaries::default();
    canaries.add("API key", API_KEY);
    let mut leaks = Vec::new();
    for step in ["make", "to file", "rotate", "to keychain", "lock", "rotate", "to file", "delete"] {
        let (method, path, body) = match step {
            "make" => (Method::POST, "/keys", json!({"name": "client"})),
            "rotate" => (Method::POST, "/keys/client/rotate", Value::Null),
            "to file" => (Method::POST, "/keys/migrate", json!({"to": "file"})),
            "to keychain" => (Method::POST, "/keys/migrate", json!({"to": "keychain"})),
            "delete" => (Method::DELETE, "/keys/client", Value::Null),
            _ => {
                session.lock();
                continue;
            }
        };
        let request = proxy.control(method, path);
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        let revealed = proxy.control(Method::POST, "/keys/client/reveal").send().await.unwrap();
        let revealed: Value = serde_json::from_str(&revealed.text().await.unwrap()).unwrap();
        if let Some(secret) = revealed["secret"].as_str() {
            canaries.add("key ", secret);
        }
        leaks.extend(canaries.finder().find(path, &answer));
        for words in [&["keys", "list"][..], &["doctor", "--json"]] {
            let said = run(proxy.data_dir(), words, &[("PROXY_API_KEY", API_KEY)], "").await;
            leaks.extend(
                canaries.finder().find(&words.join(" "), format!("{}{}", said.out, said.err).as_bytes()),
            );
        }
    }
    let (said, [_, data]) = proxy.stop_and_keep().await;
    leaks.extend(canaries.finder().find("the proxy's output", said.as_bytes()));
    leaks.extend(places::files(data.path(), &canaries, places::OF_DATA));
    leaks.extend(places::files(session.dir(), &canaries, &[]));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test]
async fn nothing_leaks_on_the_way_to_a_keychain_that_locks() {
    keys_in(&Session::with_keyring()).await;
}

#[tokio::test]
async fn nothing_leaks_while_the_keychain_says_nothing() {
    let session = Session::start();
    let _silent = session.silence();
    let mut setup = Setup::fake(&json!({})).env("PROXY_LOG", "trace").env("PROXY_API_KEY", "");
    for (name, value) in session.env() {
        setup = setup.env(&name, &value);
    }
    let proxy = setup.env("PROXY_KEYCHAIN", "auto").start().await;
    let revealed = proxy.control(Method::POST, "/keys/default/reveal").send().await.unwrap();
    let revealed: Value = serde_json::from_str(&revealed.text().await.unwrap()).unwrap();
    let mut canaries = Canaries::default();
    canaries.add("key default", revealed["secret"].as_str().unwrap());
    // It waits, because the keychain may be asking the user.
    let migrate = proxy.control(Method::POST, "/keys/migrate").body(r#"{"to":"keychain"}"#).send();
    drop(tokio::time::timeout(std::time::Duration::from_secs(2), migrate).await);
    let (said, [_, data]) = proxy.stop_and_keep().await;
    let mut leaks = canaries.finder().find("the proxy's output", said.as_bytes());
    leaks.extend(places::files(data.path(), &canaries, places::OF_DATA));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[tokio::test]
async fn nothing_leaks_where_nothing_can_be_written_and_nothing_is_free() {
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let busy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let mut canaries = Canaries::default();
    canaries.add("API key", API_KEY);
    canaries.add("OTLP token", "otlp-canary-token-0123456789-4711");
    let settings = [
        ("PROXY_API_KEY", API_KEY),
        ("PROXY_LOG", "trace"),
        ("PROXY_KEYCHAIN", "off"),
        ("PROXY_ENABLE_OTEL", "true"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:otlp-canary-token-0123456789-4711@127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=otlp-canary-token-0123456789-4711"),
    ];
    let said = run(data.path(), &["run", "--port", &port], &settings, "").await;
    assert_eq!(said.code, 1, "{said:?}");
    let mut leaks =
        canaries.finder().find("a start on a busy port", format!("{}{}", said.out, said.err).as_bytes());

    // Files that take nothing, and a collector that is not there.
    let mut setup = Setup::fake(&json!({})).env("TOKEN_LOG_PATH", "/dev/full");
    for (name, value) in settings {
        setup = setup.env(name, value);
    }
    let log_dir = dir.path().join("logs");
    fs::create_dir(&log_dir).unwrap();
    std::os::unix::fs::symlink("/dev/full", log_dir.join("codex-proxy.log")).unwrap();
    let proxy = setup.env("PROXY_LOG_DIR", log_dir.to_str().unwrap()).start().await;
    for surface in BOTH {
        let request = proxy.bare(Method::POST, &format!("{}{}", proxy.base_url, surface.path()));
        let request = request.bearer_auth(API_KEY).header("user-agent", API_KEY);
        let answer = request.body(surface.ask("hi").to_string()).send().await.unwrap();
        leaks.extend(canaries.finder().find(surface.path(), &answer.bytes().await.unwrap()));
    }
    let (said, [_, kept]) = proxy.stop_and_keep().await;
    assert!(said.contains("cannot be written"), "nothing was full:\n{said}");
    leaks.extend(canaries.finder().find("the proxy's output", said.as_bytes()));
    leaks.extend(places::files(kept.path(), &canaries, places::OF_DATA));
    leaks.extend(places::files(data.path(), &canaries, places::OF_DATA));
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
