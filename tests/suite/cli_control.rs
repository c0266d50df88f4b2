//! The command line against a control API whose every answer is known.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use e2e::patience::PATIENCE;
use futures_util::stream;
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli::{Outcome, command, outcome, run};

const TOKEN: &str = "the-control-token-of-a-test";

/// A control API with chosen answers. It locks its data directory like a proxy.
struct FakeControl {
    data: TempDir,
    shared: Arc<Shared>,
    _lock: File,
}

struct Shared {
    status: watch::Sender<Value>,
    answers: Mutex<Vec<(String, u16, String)>>,
    calls: watch::Sender<Vec<(String, Value)>>,
}

impl FakeControl {
    async fn start(status: Value) -> Self {
        let data = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lock = File::create(data.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        announce(data.path(), &listener);
        let shared = Arc::new(Shared {
            status: watch::channel(status).0,
            answers: Mutex::default(),
            calls: watch::channel(Vec::new()).0,
        });
        let app = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { data, shared, _lock: lock }
    }

    /// Sets the answer to `POST /keys` and similar requests.
    fn on(&self, call: &str, status: u16, body: &Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.on_text(call, status, body);
    }

    fn on_text(&self, call: &str, status: u16, body: String) {
        self.shared.answers.lock().unwrap().push((call.to_owned(), status, body));
    }

    fn set(&self, change: impl FnOnce(&mut Value)) {
        self.shared.status.send_modify(change);
    }

    /// The requests so far, without those for the state.
    fn calls(&self) -> Vec<(String, Value)> {
        self.shared.calls.borrow().clone()
    }

    async fn called(&self, call: &str) {
        let mut calls = self.shared.calls.subscribe();
        let found = calls.wait_for(|all| all.iter().any(|(made, _)| made == call));
        tokio::time::timeout(PATIENCE, found).await.expect("it is called").unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Outcome {
        run(self.data.path(), arguments, &[], "").await
    }
}

fn announce(data: &Path, listener: &TcpListener) {
    fs::write(data.join("control-token"), format!("{TOKEN}\n")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let holder = json!({"pid": std::process::id(), "started": 0, "address": address});
    fs::write(data.join("lock.json"), holder.to_string()).unwrap();
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().unwrap().as_str().trim_start_matches("/control").to_owned();
    if parts.headers.get("authorization").is_none_or(|shown| shown != &format!("Bearer {TOKEN}")) {
        return (StatusCode::UNAUTHORIZED, "no token").into_response();
    }
    if path == "/events" {
        let states = stream::unfold((shared.status.subscribe(), true), |(mut states, first)| async move {
            if !first {
                states.changed().await.ok()?;
            }
            let state = states.borrow_and_update().clone();
            // Requests come and go in the same stream.
            let frame = format!(
                ": keepalive\n\nevent: request\ndata: {{\"id\":\"req_1\",\"state\":\"running\"}}\n\n\
                 event: status\ndata: {state}\n\n"
            );
            Some((Ok::<_, std::io::Error>(Bytes::from(frame)), (states, false)))
        });
        return Body::from_stream(states).into_response();
    }
    let call = format!("{} {path}", parts.method);
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let said = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    let known = shared.answers.lock().unwrap().iter().rev().find(|(known, ..)| *known == call).cloned();
    if path == "/status" {
        return shared.status.borrow().to_string().into_response();
    }
    if call == "GET /account" || call == "GET /codex" {
        return shared.status.borrow()[&path[1..]].to_string().into_response();
    }
    shared.calls.send_modify(|calls| calls.push((call, said)));
    match known {
        Some((_, status, body)) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
        None => {
            (StatusCode::NOT_FOUND, r#"{"error":{"message":"Unknown request URL","code":"unknown_url"}}"#)
                .into_response()
        }
    }
}

fn signed_out() -> Value {
    json!({"state": "signed_out", "method": null, "email": null, "plan": null, "workspace": null, "login": null,
           "sign_in_url": "http://127.0.0.1:1435/", "problem": null})
}

fn signed_in() -> Value {
    json!({"state": "signed_in", "method": "chatgpt", "email": "ada@example.com", "plan": "plus", "workspace": null,
           "login": null, "sign_in_url": "http://127.0.0.1:1435/", "problem": null})
}

fn browser_login() -> Value {
    json!({"id": "login-1", "method": "browser", "auth_url": "https://auth.example.com/authorize?state=1",
           "verification_url": null, "user_code": null, "started_at": 0, "expires_at": 0})
}

fn status(account: &Value) -> Value {
    json!({"version": "0.1.0", "ready": true, "reason": null, "backend_mode": "app-server", "sandbox_mode": "read-only",
           "uptime_seconds": 1, "queue_depth": 0, "workers": [], "address": "http://127.0.0.1:1/v1", "account": account,
           "limits": null, "codex": {"job": null}, "warnings": []})
}

fn signing_in(login: &Value) -> Value {
    let mut account = signed_out();
    account["state"] = json!("signing_in");
    account["login"] = login.clone();
    account
}

#[tokio::test]
async fn a_sign_in_waits_until_the_browser_has_done_it() {
    let control = FakeControl::start(status(&signing_in(&browser_login()))).await;
    control.on("POST /account/login", 200, &browser_login());
    let mut child = command(control.data.path(), &["login", "--no-browser"], &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap();
    assert_eq!(first.as_deref(), Some("https://auth.example.com/authorize?state=1"));
    // Whatever else changes does not end the wait.
    control.set(|state| state["uptime_seconds"] = json!(2));
    control.set(|state| state["account"] = signed_in());
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("Signed in: ada@example.com (plus)"));
    assert_eq!(outcome(child, "").await.code, 0);
    assert_eq!(control.calls(), [("POST /account/login".to_owned(), json!({"method": "browser"}))]);
}

#[tokio::test]
async fn a_device_code_is_shown_and_json_is_a_line_each() {
    let login = json!({"id": "login-2", "method": "device_code", "auth_url": null, "started_at": 0, "expires_at": 0,
                       "verification_url": "https://auth.example.com/device", "user_code": "ABCD-1234"});
    let control = FakeControl::start(status(&signed_in())).await;
    control.on("POST /account/login", 200, &login);
    let shown = control.run(&["login", "--device-code"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let expected = "Open https://auth.example.com/device on any device and enter the code ABCD-1234.\n\
                    Signed in: ada@example.com (plus)\n";
    assert_eq!(shown.out, expected);
    let shown = control.run(&["login", "--device-code", "--json"]).await;
    let lines: Vec<Value> = shown.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, [login, signed_in()]);
    assert_eq!(shown.err, "");
}

#[tokio::test]
async fn a_sign_in_that_fails_says_why() {
    // A port that is in use is not a failure of the sign-in, although it is reported all the time.
    let mut pending = signing_in(&browser_login());
    pending["problem"] = json!("port 1435 is taken");
    let control = FakeControl::start(status(&pending)).await;
    control.on("POST /account/login", 200, &browser_login());
    let wait = async {
        let mut child = command(control.data.path(), &["login", "--no-browser"], &[]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next_line().await.unwrap();
        while control.shared.status.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        (child, lines)
    };
    let (child, mut lines) = wait.await;
    let mut account = signed_in();
    account["problem"] = json!("port 1435 is taken");
    control.set(|state| state["account"] = account);
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("Signed in: ada@example.com (plus)"));
    assert_eq!(outcome(child, "").await.code, 0);

    let mut account = signed_out();
    account["problem"] = json!("the code has expired");
    control.set(|state| state["account"] = signing_in(&browser_login()));
    // The command before has ended, but its connection may still be there, and be taken for this one's.
    while control.shared.status.receiver_count() > 0 {
        tokio::task::yield_now().await;
    }
    let child = command(control.data.path(), &["login", "--no-browser"], &[]).spawn().unwrap();
    while control.shared.status.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    control.set(|state| state["account"] = account);
    let shown = outcome(child, "").await;
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.err.contains("the code has expired") && shown.err.contains("--device-code"), "{shown:?}");

    let refused =
        json!({"error": {"message": "Port 1455 is taken by x.", "type": "y", "param": null, "code": "z"}});
    control.on("POST /account/login", 409, &refused);
    let shown = control.run(&["login", "--no-browser"]).await;
    assert_eq!((shown.code, shown.out.as_str()), (1, ""), "{shown:?}");
    assert!(shown.err.contains("Port 1455 is taken by x."), "{shown:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_ends_the_sign_in_and_the_installation() {
    use rustix::process::{Pid, Signal, kill_process};
    let job = json!({"action": "install", "phase": "downloading", "version": "0.169.0", "bytes": 1, "total_bytes": 2,
                     "error": null});
    let mut state = status(&signing_in(&browser_login()));
    state["codex"]["job"] = job.clone();
    let control = FakeControl::start(state).await;
    control.on("POST /account/login", 200, &browser_login());
    control.on("DELETE /account/login", 200, &signed_out());
    control.on("POST /codex/install", 202, &job);
    control.on("DELETE /codex/job", 200, &json!({}));
    let cases: [(&[&str], &str, Signal); 2] = [
        (&["login", "--no-browser", "--json"], "DELETE /account/login", Signal::INT),
        (&["codex", "install", "--json"], "DELETE /codex/job", Signal::TERM),
    ];
    for (arguments, cancelled, signal) in cases {
        control.set(|state| state["codex"]["job"]["phase"] = json!("downloading"));
        let mut child = command(control.data.path(), arguments, &[]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next_line().await.unwrap().expect("it says that it has begun");
        // The program catches the signal before it requests the stream of the state, so wait for that request.
        while control.shared.status.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        control.called(cancelled).await;
        // What has been cancelled ends a little later, and the program waits for that.
        control.set(|state| state["codex"]["job"]["phase"] = json!("failed"));
        let shown = outcome(child, "").await;
        assert_eq!(shown.code, 1, "{shown:?}");
        assert!(shown.err.contains("cancelled"), "{shown:?}");
        control.set(|state| state["queue_depth"] = json!(1));
        while control.shared.status.receiver_count() > 0 {
            control.set(|_| {});
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_api_key_is_read_from_standard_input_and_never_shown() {
    let control = FakeControl::start(status(&signed_out())).await;
    let account = json!({"state": "signed_in", "method": "api_key", "login": null, "problem": null});
    control.on("POST /account/login", 200, &account);
    let shown = run(control.data.path(), &["login", "--api-key"], &[], "sk-very-secret\n").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!(shown.out, "Account: signed in with an OpenAI API key\n");
    assert!(!shown.err.contains("sk-very-secret"), "{shown:?}");
    let said = json!({"method": "api_key", "api_key": "sk-very-secret"});
    assert_eq!(control.calls(), [("POST /account/login".to_owned(), said)]);
    let shown = run(control.data.path(), &["login", "--api-key"], &[], "").await;
    assert_eq!(shown.code, 1, "{shown:?}");
    assert_eq!(control.calls().len(), 1);
}

#[tokio::test]
async fn a_sign_in_is_copied_by_an_absolute_path() {
    let control = FakeControl::start(status(&signed_out())).await;
    control.on("POST /account/import", 200, &json!({"account": signed_in(), "note": "It is a copy."}));
    let shown = control.run(&["login", "--import", "some/home"]).await;
    assert_eq!((shown.code, shown.out.as_str()), (0, "Imported: ada@example.com (plus)\n"), "{shown:?}");
    assert_eq!(shown.err, "It is a copy.\n");
    let path = std::path::absolute("some/home").unwrap();
    assert_eq!(control.calls()[0].1, json!({"path": path.to_str().unwrap()}));
    control.run(&["login", "--import"]).await;
    assert_eq!(control.calls()[1].1, json!({}));
}

#[tokio::test]
async fn a_key_is_alone_on_standard_output() {
    let control = FakeControl::start(status(&signed_in())).await;
    let key = json!({"id": "k_1", "name": "my app/1", "enabled": true, "created_at": 0, "last_used_at": null,
                     "secret_in": "file"});
    control.on("POST /keys", 201, &key);
    control.on("POST /keys/k_1/reveal", 200, &json!({"secret": "cp-secret"}));
    control.on("POST /keys/my%20app%2F1/reveal", 200, &json!({"secret": "cp-secret"}));
    let shown = control.run(&["keys", "show", "my app/1"]).await;
    assert_eq!((shown.code, shown.out.as_str(), shown.err.as_str()), (0, "cp-secret\n", ""));
    let shown = control.run(&["keys", "create", "my app/1"]).await;
    assert_eq!((shown.code, shown.out.as_str()), (0, "cp-secret\n"));
    let shown = control.run(&["keys", "create", "my app/1", "--json"]).await;
    let made: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((&made["name"], &made["secret"]), (&json!("my app/1"), &json!("cp-secret")));
}

#[tokio::test]
async fn keys_are_changed_and_no_other_command_prints_one() {
    let control = FakeControl::start(status(&signed_in())).await;
    let key = json!({"id": "k_1", "name": "one", "enabled": true, "created_at": 0, "last_used_at": null,
                     "secret_in": "keychain"});
    let list = json!({"store": "keychain", "warning": "The keychain was locked.", "keys": [key]});
    control.on("GET /keys", 200, &list);
    control.on("POST /keys/one/rotate", 200, &key);
    control.on("PATCH /keys/one", 200, &key);
    control.on("DELETE /keys/one", 204, &Value::Null);
    control.on("POST /keys/migrate", 200, &list);
    for (arguments, call, said) in [
        (&["keys"][..], "GET /keys", Value::Null),
        (&["keys", "list"], "GET /keys", Value::Null),
        (&["keys", "rotate", "one"], "POST /keys/one/rotate", Value::Null),
        (&["keys", "disable", "one"], "PATCH /keys/one", json!({"enabled": false})),
        (&["keys", "enable", "one"], "PATCH /keys/one", json!({"enabled": true})),
        (&["keys", "rename", "one", "two"], "PATCH /keys/one", json!({"name": "two"})),
        (&["keys", "delete", "one"], "DELETE /keys/one", Value::Null),
        (&["keys", "migrate", "--to", "keychain"], "POST /keys/migrate", json!({"to": "keychain"})),
    ] {
        let shown = control.run(arguments).await;
        assert_eq!(shown.code, 0, "{arguments:?} {shown:?}");
        assert!(!shown.out.is_empty(), "{arguments:?}");
        assert_eq!(control.calls().last().unwrap(), &(call.to_owned(), said), "{arguments:?}");
        let as_json = control.run(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str::<Value>(&as_json.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
    }
    let shown = control.run(&["keys", "show", "gone"]).await;
    assert_eq!((shown.code, shown.out.as_str()), (1, ""));
}

#[tokio::test]
async fn an_installation_is_followed_to_its_end() {
    let job = |phase: &str, bytes: u64| json!({"action": "install", "phase": phase, "version": "0.169.0", "bytes": bytes, "total_bytes": 100 << 20, "error": null});
    let codex = |job: Value| {
        json!({"source": "managed", "path": "/d/codex", "version": "0.169.0", "supported": true, "problem": null,
               "pinned": "0.169.0", "managed": {"current": "0.169.0", "previous": null}, "job": job})
    };
    let mut state = status(&signed_in());
    state["codex"] = codex(job("downloading", 10 << 20));
    let control = FakeControl::start(state).await;
    control.on("POST /codex/install", 202, &job("resolving", 0));
    let mut child = command(control.data.path(), &["codex", "install"], &[]).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(notes.next_line().await.unwrap().as_deref(), Some("install 0.169.0: resolving"));
    let line = notes.next_line().await.unwrap();
    assert_eq!(line.as_deref(), Some("install 0.169.0: downloading, 10.0 MiB of 100 MiB (10 %)"));
    // A line a phase is enough for a file.
    control.set(|state| state["codex"] = codex(job("downloading", 20 << 20)));
    control.set(|state| state["codex"] = codex(job("done", 100 << 20)));
    assert_eq!(notes.next_line().await.unwrap().as_deref(), Some("install 0.169.0: done"));
    let shown = outcome(child, "").await;
    assert_eq!((shown.code, shown.out.as_str()), (0, "Codex: 0.169.0, installed by the proxy\n"));

    let mut failed = job("failed", 5);
    failed["error"] = json!("the checksum is wrong");
    control.set(|state| state["codex"]["job"] = failed.clone());
    let shown = control.run(&["codex", "install", "0.168.0"]).await;
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.err.contains("the checksum is wrong"), "{shown:?}");
    assert_eq!(control.calls().last().unwrap().1, json!({"version": "0.168.0"}));
    let shown = control.run(&["codex", "install", "--json"]).await;
    let phases: Vec<Value> =
        shown.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["phase"].clone()).collect();
    assert_eq!(phases, ["resolving", "failed"]);
}

#[tokio::test]
async fn an_export_is_passed_on_as_it_is() {
    let control = FakeControl::start(status(&signed_in())).await;
    let rows: String = (0..200_000).map(|n| format!("{n},x\n")).collect();
    control.on_text("GET /usage/export?format=csv&start=1&tz=UTC", 200, rows.clone());
    let arguments = ["usage", "--export", "csv", "--start", "1", "--tz", "UTC"];
    let shown = control.run(&arguments).await;
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out == rows, "{} of {} bytes", shown.out.len(), rows.len());
    // Who reads only the beginning is no error.
    let mut child = command(control.data.path(), &arguments, &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next_line().await.unwrap();
    drop(lines);
    let shown = outcome(child, "").await;
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
}

#[tokio::test]
async fn the_proxies_of_the_environment_are_not_asked() {
    let control = FakeControl::start(status(&signed_in())).await;
    let nobody = "http://127.0.0.1:9";
    let environment =
        [("HTTP_PROXY", nobody), ("http_proxy", nobody), ("ALL_PROXY", nobody), ("HTTPS_PROXY", nobody)];
    let shown = run(control.data.path(), &["status"], &environment, "").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.contains("ada@example.com (plus)"), "{shown:?}");
}

#[tokio::test]
async fn the_token_goes_to_nobody_who_took_the_address_of_a_proxy_that_was_killed() {
    let data = tempfile::tempdir().unwrap();
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    announce(data.path(), &stranger);
    fs::write(data.path().join("lock"), "").unwrap();
    let shown = tokio::select! {
        shown = run(data.path(), &["status"], &[], "") => shown,
        _ = stranger.accept() => panic!("the stranger was asked"),
    };
    assert_eq!(shown.code, 69, "{shown:?}");
}

#[tokio::test]
async fn the_log_is_followed() {
    let control = FakeControl::start(status(&signed_in())).await;
    let file = control.data.path().join("elsewhere.log");
    fs::write(&file, "one\ntwo\nthree\n").unwrap();
    control.on("GET /logs?lines=1", 200, &json!({"file": file.to_str().unwrap(), "lines": ["three"]}));
    let shown = control.run(&["logs", "-n", "2"]).await;
    assert_eq!((shown.code, shown.out.as_str()), (0, "two\nthree\n"), "{shown:?}");
    let shown = control.run(&["logs", "-n", "1", "--json"]).await;
    let value: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(value["lines"], json!(["three"]));
    let mut child = command(control.data.path(), &["logs", "-f", "-n", "1"], &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("three"));
    let mut log = fs::OpenOptions::new().append(true).open(&file).unwrap();
    std::io::Write::write_all(&mut log, b"four\n").unwrap();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("four"));
    child.kill().await.unwrap();
    control.on("PUT /logs/level", 200, &json!({"filter": "debug"}));
    let shown = control.run(&["logs", "--level", "debug"]).await;
    assert_eq!(shown.out, "Logged: debug\n");
}

#[tokio::test]
async fn a_proxy_that_goes_away_ends_the_watch() {
    let control = FakeControl::start(status(&signed_in())).await;
    let mut child = command(control.data.path(), &["status", "--watch", "--json"], &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for depth in 0..3 {
        let state: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!(state["queue_depth"], json!(depth));
        control.set(|state| state["queue_depth"] = json!(depth + 1));
    }
    // The one who reads leaves: no error.
    drop(lines);
    control.set(|state| state["queue_depth"] = json!(9));
    control.set(|state| state["queue_depth"] = json!(10));
    assert_eq!(outcome(child, "").await.code, 0);
}
