//! What the page in the window cannot do.

use e2e::harness::Setup;
use e2e::patience::until;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Scene;

/// Passes the result of a promise to `done`.
fn outcome(promise: &str) -> String {
    format!(
        "(async () => {promise})().then(
            (value) => done({{allowed: value === undefined ? null : String(value)}}),
            (error) => done({{refused: typeof error === 'string' ? error : error?.error?.message ?? String(error), status: error?.status ?? null}}))"
    )
}

#[tokio::test]
async fn it_reaches_no_other_origin_and_runs_no_text() {
    let elsewhere = Elsewhere::start().await;
    let port = elsewhere.port;
    let scene = Scene::set(Setup::fake(&json!({}))).await;
    let (page, proxy) = (&scene.window, &scene.window.app.base_url);
    let tries = [
        format!("fetch('http://127.0.0.1:{port}/')"),
        format!("fetch('{proxy}/models')"),
        format!("new Promise((yes, no) => {{ const socket = new WebSocket('ws://127.0.0.1:{port}/'); socket.onopen = yes; socket.onerror = () => no('refused'); }})"),
        format!("new Promise((yes, no) => {{ const image = new Image(); image.onload = yes; image.onerror = () => no('refused'); image.src = 'http://127.0.0.1:{port}/'; }})"),
        "eval('1')".to_owned(),
        "new Function('return 1')()".to_owned(),
        "new Promise((yes, no) => { window.ran = yes; addEventListener('securitypolicyviolation', () => no('refused')); const script = document.createElement('script'); script.textContent = 'window.ran()'; document.head.append(script); })".to_owned(),
        "new Promise((yes, no) => { addEventListener('securitypolicyviolation', () => no('refused')); const frame = document.createElement('iframe'); frame.src = 'https://example.com/'; document.body.append(frame); })".to_owned(),
    ];
    for attempt in &tries {
        let said = page.run(&outcome(attempt)).await;
        assert!(said["refused"].is_string(), "{attempt}: {said}");
    }
    assert_eq!(elsewhere.asked(), 0, "somebody was reached");
    scene.end().await;
}

/// Another site. Connections alone are not an error: WebKit opens some before it asks for permission.
struct Elsewhere {
    port: u16,
    asked: watch::Receiver<usize>,
}

impl Elsewhere {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, asked) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    if matches!(socket.read(&mut [0; 16]).await, Ok(1..)) {
                        sender.send_modify(|asked| *asked += 1);
                    }
                });
            }
        });
        Self { port, asked }
    }

    /// The number of received requests.
    fn asked(&self) -> usize {
        *self.asked.borrow()
    }
}

#[tokio::test]
async fn it_does_not_leave() {
    let elsewhere = Elsewhere::start().await;
    let url = format!("http://127.0.0.1:{}/", elsewhere.port);
    let scene = Scene::set(Setup::fake(&json!({}))).await;
    let page = &scene.window;
    page.wait_for_text("Ready").await;
    let own = page.url().await;
    let origin = own.split('#').next().unwrap().trim_end_matches("index.html").to_owned();
    for way in [
        format!("location.href = '{url}'"),
        format!("location.replace('{url}')"),
        format!("window.open('{url}')"),
        format!(
            "document.body.insertAdjacentHTML('beforeend', '<a id=out href={url}>out</a><a id=new target=_blank href={url}>out</a>')"
        ),
        "document.getElementById('out').click()".to_owned(),
        "document.getElementById('new').click()".to_owned(),
        format!("location.href = 'data:text/html,<p>{url}'"),
    ] {
        page.run(&format!("setTimeout(() => {{ {way} }}, 0); done(null)")).await;
        // A page that was left has no such links.
        page.press("Workers").await;
        page.press("Home").await;
        assert!(page.url().await.starts_with(&origin), "{way}");
        assert_eq!(scene.desktop.screen.windows().await.len(), 1, "{way}");
        assert_eq!(elsewhere.asked(), 0, "{way}");
    }
    assert!(scene.desktop.opened().is_empty(), "{:?}", scene.desktop.opened());
    scene.end().await;
}

#[tokio::test]
async fn it_calls_only_what_is_meant_for_it() {
    let scene = Scene::set(Setup::fake(&json!({})).env("PROXY_API_KEY", "")).await;
    scene.window.wait_for_text("Ready").await;
    let invoke = async |command: &str, arguments: Value| {
        scene.window.run(&outcome(&format!("window.__TAURI__.core.invoke({command:?}, {arguments})"))).await
    };
    for command in [
        "plugin:clipboard-manager|read_text",
        "plugin:clipboard-manager|write_text",
        "plugin:dialog|save",
        "plugin:autostart|enable",
        "plugin:updater|check",
        "plugin:opener|open_url",
        "plugin:window|close",
        "plugin:webview|create_webview_window",
        "plugin:event|emit",
        "plugin:path|resolve_directory",
        "plugin:app|version",
        "plugin:tray|new",
        "plugin:menu|new",
        "plugin:fs|read_file",
        "plugin:shell|execute",
    ] {
        let said = invoke(command, json!({})).await;
        let refused = said["refused"].as_str().unwrap_or_else(|| panic!("{command}: {said}"));
        assert!(refused.contains("not allowed") || refused.contains("not found"), "{command}: {refused}");
    }
    let control = |method: &str, path: &str| json!({"method": method, "path": path, "body": null});
    for path in [
        "/control/keys/default/reveal",
        "/control/keys/default/reveal?",
        "/control/keys/default/reveal/",
        "/control/keys/default/%72eveal",
        "/control/./keys/default/reveal",
        "/control/keys/x/../default/reveal",
        "/control//keys/default/reveal",
    ] {
        let said = invoke("control", control("POST", path)).await;
        assert!(said["refused"].is_string() && said["status"].as_u64() >= Some(400), "{path}: {said}");
    }
    for path in
        ["/v1/models", "/healthz", "/metrics", "/", "http://127.0.0.1:1/control/status", "../control/status"]
    {
        let said = invoke("control", control("GET", path)).await;
        assert!(said["refused"].is_string(), "{path}: {said}");
    }
    let stream = "(async () => { const channel = new window.__TAURI__.core.Channel(); return window.__TAURI__.core.invoke('control_stream', {id: 'x', method: 'POST', path: '/control/keys/default/reveal', body: null, channel}); })()";
    let said = scene.window.run(&outcome(stream)).await;
    assert!(said["refused"].is_string(), "{said}");
    let said = invoke("control", control("GET", "/control/status")).await;
    assert!(said["allowed"].is_string(), "what it is for works: {said}");
    let opened = invoke("open_external", json!({"what": "http://127.0.0.1:1/"})).await;
    assert!(opened["refused"].is_string() && scene.desktop.opened().is_empty(), "{opened}");
    scene.end().await;
}

#[tokio::test]
async fn a_key_that_it_copies_is_on_the_clipboard_only() {
    let scene = Scene::set(Setup::fake(&json!({})).env("PROXY_API_KEY", "")).await;
    let keys = scene.window.app.control_ok("/keys", None).await;
    let id = keys["keys"][0]["id"].as_str().unwrap();
    let said = scene
        .window
        .run(&outcome(&format!("window.__TAURI__.core.invoke('copy_key', {{id: {id:?}}})")))
        .await;
    assert!(said["refused"].is_null(), "{said}");
    let screen = &scene.desktop.screen;
    let key = until("the key", async || screen.clipboard_text().await).await;
    assert_eq!(crate::tray::verify(&scene.window.app, &key).await, 200);
    assert!(screen.clipboard_types().await.contains(&"x-kde-passwordManagerHint".to_owned()));
    scene.end().await;
}
