//! API keys and the real GNOME keyring, on a session bus of each test's own.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::secret_service::{Session, files_with};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::keys::Keys;

/// A first start does not take longer than this, whatever the keychain does.
const START: Duration = Duration::from_secs(15);

fn in_session(session: &Session) -> Vec<(String, String)> {
    let mut settings = session.env();
    settings.push(("PROXY_KEYCHAIN".to_owned(), "auto".to_owned()));
    settings
}

async fn start(data: &Path, settings: &[(String, String)]) -> Keys {
    let begin = Instant::now();
    let keys = Keys::start(data, settings).await;
    let took = begin.elapsed();
    assert!(took < START, "the start took {took:?}\n{}", keys.proxy.log_text());
    keys
}

/// Asks again and again until every key is in `place`.
async fn all_in(keys: &Keys, place: &str) -> Value {
    let mut poll = tokio::time::interval(Duration::from_millis(100));
    loop {
        poll.tick().await;
        let list = keys.list().await;
        if list["keys"].as_array().unwrap().iter().all(|key| key["secret_in"] == place) {
            return list;
        }
    }
}

#[tokio::test]
async fn an_unlocked_keyring_has_the_key_and_no_file_does() {
    let (session, data) = (Session::with_keyring(), TempDir::new().unwrap());
    let mut settings = in_session(&session);
    settings.push(("PROXY_LOG".to_owned(), "trace".to_owned()));
    let keys = start(data.path(), &settings).await;
    let list = keys.list().await;
    assert_eq!((&list["store"], &list["warning"]), (&json!("keychain"), &Value::Null));
    assert_eq!(list["keys"][0]["secret_in"], "keychain");
    let key = keys.reveal("default").await;
    assert_eq!(session.secrets(), [&*key]);
    assert_eq!(keys.verify(&key).await, 200);

    keys.ok(Method::POST, "", &json!({"name": "phone"})).await;
    keys.ok(Method::POST, "/default/rotate", &Value::Null).await;
    let rotated = keys.reveal("default").await;
    assert_eq!((keys.verify(&key).await, keys.verify(&rotated).await), (401, 200));
    let mut expected = vec![rotated.clone(), keys.reveal("phone").await];
    let mut stored = session.secrets();
    expected.sort();
    stored.sort();
    assert_eq!(stored, expected, "the old text is gone");
    assert_eq!(keys.call(Method::DELETE, "/phone", &Value::Null).await, (204, Value::Null));
    assert_eq!(session.secrets(), [&*rotated]);

    keys.proxy.wait_for_log("deleted an API key").await;
    for key in expected.iter().chain([&key]) {
        assert_eq!(files_with(data.path(), key), [""; 0]);
        assert_eq!(files_with(session.dir(), key), [""; 0]);
        assert!(!keys.proxy.log_text().contains(key), "a key is in the log");
    }
    keys.proxy.stop().await;
    let again = start(data.path(), &settings).await;
    assert_eq!(again.verify(&rotated).await, 200);
    again.proxy.stop().await;
}

#[tokio::test]
async fn a_locked_keyring_is_left_alone_and_nobody_is_prompted() {
    let (session, data) = (Session::with_keyring(), TempDir::new().unwrap());
    session.lock();
    let prompter = session.prompter();
    let keys = start(data.path(), &in_session(&session)).await;
    let list = keys.list().await;
    assert_eq!((&list["store"], &list["keys"][0]["secret_in"]), (&json!("file"), &json!("file")));
    let warning = list["warning"].as_str().unwrap();
    assert!(warning.contains("locked") && warning.contains("key-secrets"), "{warning}");
    assert_eq!(keys.verify(&keys.reveal("default").await).await, 200);
    keys.ok(Method::POST, "", &json!({"name": "phone"})).await;
    keys.proxy.stop().await;
    assert_eq!(prompter.asked(), [""; 0]);
}

#[tokio::test]
async fn a_keyring_that_was_locked_after_the_start_does_not_matter_to_requests_and_starts() {
    let (session, data) = (Session::with_keyring(), TempDir::new().unwrap());
    let keys = start(data.path(), &in_session(&session)).await;
    let key = keys.reveal("default").await;
    session.lock();
    assert_eq!(keys.verify(&key).await, 200);
    let (status, answer) = keys.call(Method::POST, "/default/reveal", &Value::Null).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("keychain_unavailable")), "{answer}");
    let (status, answer) = keys.call(Method::DELETE, "/default", &Value::Null).await;
    assert!(status == 200 && answer["warning"].as_str().unwrap().contains("locked"), "{status} {answer}");
    assert_eq!(keys.verify(&key).await, 401);
    keys.proxy.stop().await;
    let again = start(data.path(), &in_session(&session)).await;
    assert_eq!(again.list().await["keys"], json!([]));
    again.proxy.stop().await;
}

#[tokio::test]
async fn a_person_who_asks_for_a_key_is_prompted_and_nothing_else_waits() {
    let (session, data) = (Session::with_keyring(), TempDir::new().unwrap());
    let keys = start(data.path(), &in_session(&session)).await;
    let key = keys.reveal("default").await;
    session.lock();
    let prompter = session.prompter();
    let asking = keys.call(Method::POST, "/default/reveal", &Value::Null);
    let prompted = async {
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        while prompter.asked().is_empty() {
            poll.tick().await;
        }
    };
    tokio::select! {
        answer = asking => panic!("nobody has unlocked the keyring: {answer:?}"),
        () = prompted => {}
    }
    assert_eq!(keys.verify(&key).await, 200);
    assert_eq!(keys.ok(Method::POST, "", &json!({"name": "phone"})).await["secret_in"], "file");
    // The prompt is still open, but the proxy ends.
    keys.proxy.stop().await;
}

#[tokio::test]
async fn a_bus_without_a_secret_service_means_the_file_until_one_comes() {
    let (mut session, data) = (Session::start(), TempDir::new().unwrap());
    let keys = start(data.path(), &in_session(&session)).await;
    let list = keys.list().await;
    assert_eq!(list["keys"][0]["secret_in"], "file");
    assert!(list["warning"].as_str().unwrap().contains("no Secret Service"), "{list}");
    let key = keys.reveal("default").await;
    assert_eq!(files_with(data.path(), &key).len(), 1);

    session.start_keyring();
    let list = all_in(&keys, "keychain").await;
    assert_eq!((&list["store"], &list["warning"]), (&json!("keychain"), &Value::Null));
    assert_eq!((session.secrets(), files_with(data.path(), &key)), (vec![key.clone()], vec![]));
    assert_eq!((keys.reveal("default").await, keys.verify(&key).await), (key, 200));
    keys.proxy.stop().await;
}

#[tokio::test]
async fn no_bus_at_all_means_the_file() {
    let (nothing, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let missing = nothing.path().join("bus");
    for address in [String::new(), format!("unix:path={}", missing.display())] {
        let settings = [
            ("PROXY_KEYCHAIN", "auto".to_owned()),
            ("XDG_RUNTIME_DIR", nothing.path().display().to_string()),
            ("DBUS_SESSION_BUS_ADDRESS", address),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        let keys = start(data.path(), &settings).await;
        let list = keys.list().await;
        assert_eq!(list["keys"][0]["secret_in"], "file");
        assert_eq!(keys.verify(&keys.reveal("default").await).await, 200);
        keys.proxy.stop().await;
    }
}

#[tokio::test]
async fn a_service_that_never_answers_costs_seconds_and_no_more() {
    let (session, data) = (Session::start(), TempDir::new().unwrap());
    let silence = session.silence();
    let keys = start(data.path(), &in_session(&session)).await;
    let list = keys.list().await;
    assert_eq!(list["keys"][0]["secret_in"], "file");
    assert!(list["warning"].as_str().unwrap().contains("did not answer"), "{list}");
    assert_ne!(silence.asked(), [""; 0], "it was asked");
    let begin = Instant::now();
    keys.ok(Method::POST, "", &json!({"name": "phone"})).await;
    assert!(begin.elapsed() < START);
    assert_eq!(keys.verify(&keys.reveal("phone").await).await, 200);
    keys.proxy.stop().await;
}

#[tokio::test]
async fn keys_move_from_the_old_file_to_the_keyring_and_to_the_file_and_back() {
    let (session, data) = (Session::with_keyring(), TempDir::new().unwrap());
    let old = data.path().join("api-key");
    fs::write(&old, "my-own-old-key\n").unwrap();
    let settings = in_session(&session);
    let keys = start(data.path(), &settings).await;
    assert_eq!(
        (keys.reveal("default").await, keys.verify("my-own-old-key").await),
        ("my-own-old-key".into(), 200)
    );
    assert!(!old.exists());
    assert_eq!(session.secrets(), ["my-own-old-key"]);

    let list = keys.ok(Method::POST, "/migrate", &json!({"to": "file"})).await;
    assert_eq!((&list["store"], &list["keys"][0]["secret_in"]), (&json!("file"), &json!("file")));
    assert_eq!(session.secrets(), [""; 0]);
    keys.proxy.stop().await;

    let keys = start(data.path(), &settings).await;
    assert_eq!(
        (keys.list().await["keys"][0]["secret_in"].clone(), session.secrets().len()),
        (json!("file"), 0)
    );
    let list = keys.ok(Method::POST, "/migrate", &json!({"to": "keychain"})).await;
    assert_eq!((&list["store"], &list["keys"][0]["secret_in"]), (&json!("keychain"), &json!("keychain")));
    assert_eq!(
        (session.secrets(), keys.verify("my-own-old-key").await),
        (vec!["my-own-old-key".to_owned()], 200)
    );
    assert_eq!(files_with(data.path(), "my-own-old-key"), [""; 0]);
    keys.proxy.stop().await;
}

#[tokio::test]
async fn a_later_start_moves_the_file_into_a_keyring_that_has_come() {
    let (mut session, data) = (Session::start(), TempDir::new().unwrap());
    let settings = in_session(&session);
    let keys = start(data.path(), &settings).await;
    let key = keys.reveal("default").await;
    keys.proxy.stop().await;
    session.start_keyring();
    let keys = start(data.path(), &settings).await;
    all_in(&keys, "keychain").await;
    assert_eq!((session.secrets(), files_with(data.path(), &key)), (vec![key.clone()], vec![]));
    assert_eq!(keys.verify(&key).await, 200);
    keys.proxy.stop().await;
}
