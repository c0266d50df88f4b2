//! Tests of the commands, called as the window calls them, without a display.

use serde_json::json;
use tauri::test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets};
use tauri::webview::InvokeRequest;
use tauri::{App, WebviewWindow, WebviewWindowBuilder};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::fixtures::engine;

/// A window, its application, and the objects that both need.
struct Window {
    window: WebviewWindow<MockRuntime>,
    _app: App<MockRuntime>,
    proxy: watch::Sender<Reach>,
    runtime: Runtime,
    dir: TempDir,
    _inbox: mpsc::Receiver<Event>,
}

fn open() -> Window {
    let (proxy, reached) = watch::channel(Reach::Starting);
    let (events, inbox) = mpsc::channel(8);
    let app = mock_builder()
        .manage(Link::new(reached, events))
        .invoke_handler(tauri::generate_handler![control, control_stream_stop, copy_key])
        .build(mock_context(noop_assets()))
        .unwrap();
    let window = WebviewWindowBuilder::new(&app, "main", tauri::WebviewUrl::default()).build().unwrap();
    Window {
        window,
        _app: app,
        proxy,
        runtime: Runtime::new().unwrap(),
        dir: tempfile::tempdir().unwrap(),
        _inbox: inbox,
    }
}

impl Window {
    fn start(&self) -> proxy_core::Proxy {
        let (proxy, running) = self.runtime.block_on(engine(self.dir.path(), 0).start()).unwrap();
        self.proxy.send_replace(Reach::Running(Box::new(running)));
        proxy
    }

    fn control(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let answer = get_ipc_response(
            &self.window,
            InvokeRequest {
                cmd: "control".into(),
                callback: tauri::ipc::CallbackFn(0),
                error: tauri::ipc::CallbackFn(1),
                url: page(),
                body: json!({"method": method, "path": path, "body": body}).into(),
                headers: http::HeaderMap::default(),
                invoke_key: INVOKE_KEY.to_owned(),
            },
        );
        answer.map(json_of)
    }
}

fn json_of(body: tauri::ipc::InvokeResponseBody) -> Value {
    body.deserialize().unwrap()
}

/// The URL of the window's page.
fn page() -> tauri::Url {
    let page = if cfg!(windows) { "http://tauri.localhost" } else { "tauri://localhost" };
    page.parse().unwrap()
}

#[test]
fn the_window_gets_what_http_gives() {
    let window = open();
    let proxy = window.start();
    let status = window.control("GET", "/control/status", &Value::Null).unwrap();
    assert_eq!(status["address"], proxy.control().status().address);
    let made = window.control("POST", "/control/keys", &json!({"name": "editor"})).unwrap();
    assert_eq!(made["name"], "editor");
    let gone = window.control("DELETE", "/control/keys/editor", &Value::Null).unwrap();
    assert_eq!(gone, Value::Null);
}

#[test]
fn an_error_has_its_status_and_the_body_of_http() {
    let window = open();
    let _proxy = window.start();
    let refused = |method: &str, path: &str| {
        let error = window.control(method, path, &Value::Null).unwrap_err();
        assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        (error["status"].as_u64().unwrap(), error["error"]["code"].clone())
    };
    assert_eq!(refused("POST", "/control/keys/default/reveal").1, "not_in_the_window");
    assert_eq!(refused("POST", "/control/keys/default/reveal/").0, 403);
    assert_eq!(refused("GET", "/control/keys/default/rotate").0, 405);
    assert_eq!(refused("GET", "/control/nothing").0, 404);
    assert_eq!(refused("GET", "/v1/models").0, 404);
    assert_eq!(refused("GET", "/control/../v1/models").0, 404);
    assert_eq!(refused("GET", "/control/events").1, "is_a_stream");
    assert_eq!(refused("GE T", "/control/status").0, 400);
    assert_eq!(refused("GET", "/control/sta tus").0, 400);
}

#[test]
fn without_a_proxy_the_window_is_told_why() {
    let window = open();
    window.proxy.send_replace(Reach::Failed("the port is taken.".to_owned().into()));
    let error = window.control("GET", "/control/status", &Value::Null).unwrap_err();
    assert_eq!(error["status"], 503);
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("The proxy does not run: the port is taken."), "{message}");
}

#[test]
fn an_answer_is_saved_as_a_file_or_the_file_stays_as_it_is() {
    let window = open();
    let (_proxy, running) = window.runtime.block_on(engine(window.dir.path(), 0).start()).unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("usage.csv");
    let save = |path: &str, file: &std::path::Path| window.runtime.block_on(running.api.save(path, file));
    std::fs::write(&file, "before").unwrap();
    assert_eq!(save("/control/nothing", &file).unwrap_err().status, 404);
    assert_eq!(save("/control/events", &file).unwrap_err().error.code.as_deref(), Some("is_a_stream"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "before");
    save("/control/usage/export?format=csv", &file).unwrap();
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(saved.lines().next().unwrap().contains("model"), "{saved}");
    let refused = save("/control/usage/export?format=csv", &place.path().join("none/usage.csv")).unwrap_err();
    assert_eq!((refused.status, refused.error.code.as_deref()), (409, Some("cannot_write")));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "drafts are removed");
}
