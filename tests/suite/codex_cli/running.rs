//! The running proxy: no Codex, then one; a full disk; an HTTP proxy; the real Codex from the real registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::codex_bin::NEWEST;
use e2e::fake_npm::FakeNpm;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{Proxy, Setup, proxy_path};
use e2e::small_disk;
use e2e::sse;
use http::Method;
use serde_json::{Value, json};

use super::names;
use crate::surface::{BOTH, Surface, error_code};

/// How long some hundred megabytes may take to come from the real registry.
const DOWNLOAD_TIME: Duration = Duration::from_secs(500);

/// A proxy without any Codex that keeps its data in `data` and asks `registry`.
pub(crate) fn bare(data: &Path, registry: &str) -> Setup {
    let setup = Setup::fake(&json!({})).unready();
    let setup = setup.env("CODEX_BIN", "").env("PATH", "/usr/bin:/bin").env("PROXY_NPM_REGISTRY", registry);
    setup.env("PROXY_DATA_DIR", data.to_str().unwrap())
}

/// A request to the control API.
pub(crate) async fn control(proxy: &Proxy, method: Method, path: &str, body: &Value) -> (u16, Value) {
    control_in(proxy, &PathBuf::from(data_dir(proxy)), method, path, body).await
}

async fn control_in(proxy: &Proxy, data: &Path, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let token = fs::read_to_string(data.join("control-token")).unwrap();
    let request = proxy.bare(method, &proxy.root_url(&format!("/control{path}"))).bearer_auth(token.trim());
    let answer =
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// The data directory, from the process's environment.
fn data_dir(proxy: &Proxy) -> String {
    let pid = proxy.pid().unwrap().as_raw_nonzero();
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let mut values = environment.split('\0').filter_map(|entry| entry.strip_prefix("PROXY_DATA_DIR="));
    values.next_back().unwrap().to_owned()
}

/// The state of Codex once it meets a condition.
pub(crate) async fn codex_until(proxy: &Proxy, met: impl Fn(&Value) -> bool) -> Value {
    let data = PathBuf::from(data_dir(proxy));
    codex_until_in(proxy, &data, met).await
}

async fn codex_until_in(proxy: &Proxy, data: &Path, met: impl Fn(&Value) -> bool) -> Value {
    codex_within(Duration::from_secs(60), proxy, data, met).await
}

async fn codex_within(limit: Duration, proxy: &Proxy, data: &Path, met: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let polling = async {
        let mut poll = tokio::time::interval(Duration::from_millis(10));
        while !met(&last) {
            poll.tick().await;
            (_, last) = control_in(proxy, data, Method::GET, "/codex", &Value::Null).await;
        }
    };
    let met = tokio::time::timeout(limit, polling).await;
    assert!(met.is_ok(), "still {last:#}\n{}", proxy.log_text());
    last
}

pub(crate) fn is_over(status: &Value) -> bool {
    ["done", "failed"].iter().any(|phase| status["job"]["phase"] == *phase)
}

async fn ready(proxy: &Proxy, version: &str) {
    let data = PathBuf::from(data_dir(proxy));
    let polling = async {
        let mut poll = tokio::time::interval(Duration::from_millis(10));
        loop {
            poll.tick().await;
            let (_, status) = control_in(proxy, &data, Method::GET, "/status", &Value::Null).await;
            let path = status["codex"]["path"].as_str().unwrap_or_default();
            if status["ready"] == true && status["codex"]["version"] == version && path.contains(version) {
                return;
            }
        }
    };
    let met = tokio::time::timeout(Duration::from_secs(60), polling).await;
    assert!(met.is_ok(), "{}", proxy.log_text());
}

#[tokio::test]
async fn a_proxy_without_codex_says_so_and_works_once_one_is_installed() {
    let data = tempfile::tempdir().unwrap();
    let registry = FakeNpm::start().await;
    registry.publish_fake("0.100.0", 1000);
    registry.publish_fake(NEWEST, 1000);
    let proxy = bare(data.path(), &registry.url()).start().await;
    for surface in BOTH {
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
        assert_eq!((status.as_u16(), error_code(&body).as_str()), (503, "worker_not_ready"), "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("codex-proxy codex install"), "{message}");
    }
    let (status, before) = control(&proxy, Method::GET, "/codex", &Value::Null).await;
    assert_eq!((status, &before["source"], &before["supported"]), (200, &Value::Null, &json!(false)));

    for (path, body, expected) in [
        ("/codex/install", json!({"version": "0.1.0"}), 400),
        ("/codex/install", json!({"version": "x"}), 400),
        ("/codex/install", json!({"versoin": "0.100.0"}), 400),
        ("/codex/install", json!({"version": 1}), 400),
    ] {
        let (status, answer) = control(&proxy, Method::POST, path, &body).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["error"]["message"].is_string(), "{answer}");
    }
    assert_eq!(control(&proxy, Method::GET, "/codex/install", &Value::Null).await.0, 405);

    registry.set(|scene| scene.hold_after = Some(100));
    let (status, job) = control(&proxy, Method::POST, "/codex/install", &json!({})).await;
    assert_eq!((status, &job["action"], &job["phase"]), (202, &json!("install"), &json!("resolving")));
    codex_until(&proxy, |status| status["job"]["bytes"].as_u64() > Some(0)).await;
    let (status, refusal) = control(&proxy, Method::POST, "/codex/update", &json!({})).await;
    assert_eq!((status, error_code(&refusal).as_str()), (409, "conflict"), "{refusal}");
    assert_eq!(control(&proxy, Method::DELETE, "/codex/job", &Value::Null).await.0, 204);
    let status = codex_until(&proxy, is_over).await;
    assert_eq!(status["job"]["phase"], "failed");
    registry.set(|scene| scene.hold_after = None);

    assert_eq!(control(&proxy, Method::POST, "/codex/install", &Value::Null).await.0, 202);
    let status = codex_until(&proxy, is_over).await;
    assert_eq!(status["job"]["phase"], "done", "{status:#}");
    ready(&proxy, NEWEST).await;
    for surface in BOTH {
        assert!(!surface.text(&surface.answer(&proxy, &surface.ask("hi")).await).is_empty());
    }

    assert_eq!(control(&proxy, Method::POST, "/codex/install", &json!({"version": "0.100.0"})).await.0, 202);
    ready(&proxy, "0.100.0").await;
    codex_until(&proxy, is_over).await;
    assert_eq!(control(&proxy, Method::POST, "/codex/rollback", &Value::Null).await.0, 202);
    ready(&proxy, NEWEST).await;
    let status = codex_until(&proxy, is_over).await;
    assert_eq!(status["managed"], json!({"current": NEWEST, "previous": "0.100.0"}));
    Surface::Chat.answer(&proxy, &Surface::Chat.ask("hi")).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_proxy_ends_at_once_while_it_installs() {
    let data = tempfile::tempdir().unwrap();
    let registry = FakeNpm::start().await;
    registry.publish_fake(NEWEST, 100_000);
    registry.set(|scene| scene.hold_after = Some(1000));
    let proxy = bare(data.path(), &registry.url()).start().await;
    assert_eq!(control(&proxy, Method::POST, "/codex/install", &Value::Null).await.0, 202);
    codex_until(&proxy, |status| status["job"]["bytes"].as_u64() > Some(0)).await;
    proxy.stop().await;
}

#[tokio::test]
async fn http_proxies_of_the_environment_are_used() {
    let data = tempfile::tempdir().unwrap();
    // A request through an HTTP proxy has a whole URL, so the registry can detect it.
    let proxying = FakeNpm::start().await;
    proxying.publish_fake(NEWEST, 1000);
    proxying.set(|scene| scene.archives_at = Some("http://registry.example/".to_owned()));
    let setup = bare(data.path(), "http://registry.example/").env("HTTP_PROXY", &proxying.url());
    let proxy = setup.start().await;
    assert_eq!(control(&proxy, Method::POST, "/codex/install", &Value::Null).await.0, 202);
    let status = codex_until(&proxy, is_over).await;
    assert_eq!(status["job"]["phase"], "done", "{status:#}");
    let uris: Vec<_> = proxying.asked().into_iter().map(|asked| asked.uri).collect();
    assert_eq!(uris.len(), 2);
    assert!(uris.iter().all(|uri| uri.starts_with("http://registry.example/")), "{uris:?}");
    proxy.stop().await;

    let direct = FakeNpm::start().await;
    direct.publish_fake("0.100.0", 1000);
    let setup = bare(data.path(), &direct.url()).env("HTTP_PROXY", "http://127.0.0.1:1");
    let proxy = setup.env("NO_PROXY", "127.0.0.1").start().await;
    assert_eq!(control(&proxy, Method::POST, "/codex/update", &Value::Null).await.0, 202);
    let status = codex_until(&proxy, is_over).await;
    assert_eq!(status["managed"]["current"], "0.100.0", "{status:#}");
    proxy.stop().await;
}

/// A proxy on a file system of a few megabytes; where this machine has none for its users, files of the proxy may not
/// grow beyond that instead.
fn on_a_small_disk(root: &Path) -> PathBuf {
    small_disk::program(root, 6).unwrap_or_else(|| {
        let proxy = proxy_path();
        small_disk::script(root, &format!("trap '' XFSZ; ulimit -f 6144; exec '{}' \"$@\"", proxy.display()))
    })
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_version_in_use() {
    let root = tempfile::tempdir().unwrap();
    let script = on_a_small_disk(root.path());
    let registry = FakeNpm::start().await;
    registry.publish_fake("0.100.0", 1000);
    registry.publish_fake("0.120.0", 10_000_000);
    let data = root.path().join("mount/data");
    let proxy = bare(&data, &registry.url()).program(script).start().await;
    // Only the process with the small disk can see it.
    let seen = small_disk::seen(&proxy, &data);
    let install = async |version: &str| {
        let body = json!({"version": version});
        assert_eq!(control_in(&proxy, &seen, Method::POST, "/codex/install", &body).await.0, 202);
        codex_until_in(&proxy, &seen, is_over).await
    };
    assert_eq!(install("0.100.0").await["job"]["phase"], "done");
    let status = install("0.120.0").await;
    assert_eq!(status["job"]["phase"], "failed", "{status:#}");
    let message = status["job"]["error"].as_str().unwrap();
    assert!(message.contains("too little space") && message.contains("PROXY_DATA_DIR"), "{message}");
    assert_eq!(status["managed"]["current"], "0.100.0");
    for dir in ["downloads", "staging"] {
        assert_eq!(names(&seen.join("codex").join(dir)), [""; 0], "{dir} is in nobody's way");
    }
    Surface::Chat.answer(&proxy, &Surface::Chat.ask("hi")).await;
    proxy.stop().await;
}

#[tokio::test]
async fn the_real_codex_is_installed_from_npms_registry_and_runs_a_turn() {
    let data = tempfile::tempdir().unwrap();
    let upstream = FakeOpenAi::start().await;
    let setup = Setup::real(NEWEST, &upstream).unready().env("CODEX_BIN", "");
    let proxy = setup.env("PROXY_DATA_DIR", data.path().to_str().unwrap()).start().await;
    assert_eq!(control(&proxy, Method::POST, "/codex/install", &Value::Null).await.0, 202);
    let status = codex_within(DOWNLOAD_TIME, &proxy, data.path(), is_over).await;
    assert_eq!(status["job"]["phase"], "done", "{status:#}\n{}", proxy.log_text());
    assert_eq!((&status["source"], &status["version"]), (&json!("managed"), &json!(NEWEST)));
    assert!(status["job"]["bytes"].as_u64() > Some(50_000_000), "{status:#}");
    ready(&proxy, NEWEST).await;
    for surface in BOTH {
        upstream.push(Script::text("from the managed copy"));
        let answer = surface.answer(&proxy, &surface.ask("hi")).await;
        assert_eq!(surface.text(&answer), "from the managed copy");
    }
    proxy.stop().await;
}
