//! The log file, its level at run time, and what must not be in it.

use std::fs;
use std::time::Duration;

use e2e::harness::{Proxy, Setup};
use e2e::sse;
use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::surface::BOTH;

fn control(proxy: &Proxy, method: Method, path: &str) -> RequestBuilder {
    let token = fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();
    proxy.bare(method, &proxy.root_url(&format!("/control{path}"))).bearer_auth(token.trim())
}

async fn lines(proxy: &Proxy) -> Vec<String> {
    let (status, tail) = sse::json(control(proxy, Method::GET, "/logs?lines=1000")).await;
    assert_eq!(status, 200, "{tail}");
    assert_eq!(tail["file"], proxy.data_dir().join("logs/codex-proxy.log").display().to_string());
    serde_json::from_value(tail["lines"].clone()).unwrap()
}

#[tokio::test]
async fn lines_of_a_request_carry_its_id() {
    let proxy = Setup::fake(&json!({}))
        .env("PROXY_LOG_FORMAT", "json")
        .env("PROXY_LOG", "proxy_core=debug")
        .start()
        .await;
    let surface = &BOTH[0];
    let answer = proxy.post(surface.path(), &surface.ask("hi")).send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    answer.text().await.unwrap();
    let lines = lines(&proxy).await;
    let parsed: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered = parsed.iter().find(|line| line["spans"][0]["request_id"] == id && line["status"] == 200);
    let answered = answered.unwrap_or_else(|| panic!("{id} is not in {lines:#?}"));
    let span = &answered["spans"][0];
    assert_eq!((&span["method"], &span["route"]), (&json!("POST"), &json!("/v1/responses")), "{answered}");
    assert!(span["model"].is_string(), "{answered}");
}

#[tokio::test]
async fn the_level_changes_while_it_runs() {
    let proxy = Setup::fake(&json!({})).start().await;
    let (_, level) = sse::json(control(&proxy, Method::GET, "/logs/level")).await;
    assert_eq!(level, json!({"filter": "info"}));
    let surface = &BOTH[0];
    proxy.post_ok(surface.path(), &surface.ask("hi")).await;
    assert!(!lines(&proxy).await.iter().any(|line| line.contains("answered")));

    let set = |filter: &str| {
        let body = json!({"filter": filter}).to_string();
        control(&proxy, Method::PUT, "/logs/level").header("content-type", "application/json").body(body)
    };
    let (status, level) = sse::json(set("info,proxy_core::http=debug")).await;
    assert_eq!((status.as_u16(), level), (200, json!({"filter": "info,proxy_core::http=debug"})));
    proxy.post_ok(surface.path(), &surface.ask("hi")).await;
    let seen = lines(&proxy).await;
    assert!(
        seen.iter().any(|line| line.contains("answered") && line.contains("request_id=req_")),
        "{seen:#?}"
    );

    let line = seen.iter().find(|line| line.contains("answered") && line.contains("model=")).unwrap();
    assert_eq!(line.matches("route=").count(), 1, "{line}");

    // That the log was read is not in it, or it would soon say nothing else to whoever follows it.
    let again = lines(&proxy).await;
    assert!(again.iter().any(|line| line.contains("path=\"/control/logs/level\"")), "{again:#?}");
    assert!(!again.iter().any(|line| line.contains("path=\"/control/logs\"")), "{again:#?}");

    let (status, refusal) = sse::json(set("proxy_core=loud")).await;
    assert_eq!((status.as_u16(), &refusal["error"]["param"]), (400, &json!("filter")), "{refusal}");
    let (_, level) = sse::json(control(&proxy, Method::GET, "/logs/level")).await;
    assert_eq!(level, json!({"filter": "info,proxy_core::http=debug"}));
    let (status, _) = sse::json(control(&proxy, Method::GET, "/logs?lines=many")).await;
    assert_eq!(status, 400);
    let (status, _) = sse::json(proxy.bare(Method::GET, &proxy.root_url("/control/logs"))).await;
    assert_eq!(status, 401);
}

#[cfg(unix)]
#[tokio::test]
async fn what_a_codex_complains_of_is_kept_without_its_secrets() {
    use std::os::unix::fs::PermissionsExt as _;
    const SECRETS: [&str; 4] = [
        "sk-proj-0123456789abcdefghij",
        "jane.doe@example.org",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "rt-opaque-refresh",
    ];
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("codex");
    let [key, mail, jwt, refresh] = SECRETS;
    let complaint = format!("no: {key} of {mail}, {jwt}, refresh_token={refresh}");
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo codex-cli 0.169.0; exit; fi\necho '{complaint}' >&2\nexit 7\n"
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let proxy = Setup::over(script).env("PROXY_LOG", "debug").unready().start().await;
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        loop {
            poll.tick().await;
            let (_, health) = sse::json(proxy.bare(Method::GET, &proxy.root_url("/healthz"))).await;
            if health.to_string().contains("no: [redacted]") {
                return health.to_string();
            }
        }
    });
    let health = told.await.unwrap_or_else(|_| panic!("no last words\n{}", proxy.log_text()));
    let file = lines(&proxy).await.join("\n");
    assert!(file.contains("[redacted]"), "{file}");
    for secret in SECRETS {
        for (place, text) in [("status", &health), ("file", &file), ("stderr", &proxy.log_text())] {
            assert!(!text.contains(secret), "{secret} is in the {place}: {text}");
        }
    }
}

#[tokio::test]
async fn the_proxys_own_key_is_kept_out_of_the_log() {
    let proxy = Setup::fake(&json!({})).env("PROXY_LOG", "trace").start().await;
    let path = format!("/nothing/{}", proxy.key);
    assert_eq!(proxy.request(Method::GET, &path).send().await.unwrap().status(), 404);
    let file = lines(&proxy).await.join("\n");
    assert!(file.contains("/nothing/[redacted]"), "{file}");
    assert!(!file.contains(&proxy.key), "{file}");
}

#[tokio::test]
async fn without_a_file_there_is_standard_error() {
    let proxy = Setup::fake(&json!({})).env("PROXY_LOG_FILE", "false").start().await;
    let (_, tail) = sse::json(control(&proxy, Method::GET, "/logs")).await;
    assert_eq!(tail, json!({"file": null, "lines": []}));
    assert!(!proxy.data_dir().join("logs").exists());
    proxy.wait_for_log("listening").await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_last_lines_are_written_before_the_end() {
    let logs = tempfile::tempdir().unwrap();
    let proxy = Setup::fake(&json!({})).env("PROXY_LOG_DIR", logs.path().to_str().unwrap()).start().await;
    proxy.stop().await;
    let text = fs::read_to_string(logs.path().join("codex-proxy.log")).unwrap();
    assert!(text.contains("shutting down"), "{text}");
}
