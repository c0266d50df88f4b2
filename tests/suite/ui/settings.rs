//! Settings and diagnostics.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// No output may contain this.
const CANARY: &str = "canary-0123456789-canary";

/// A proxy with a configuration file of its own.
async fn with_file(text: &str, change: impl FnOnce(Setup) -> Setup) -> (Proxy, TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, text).unwrap();
    private(&file);
    let setup = change(Setup::fake(&json!({})));
    (setup.env("PROXY_CONFIG", file.to_str().unwrap()).start().await, folder, file)
}

#[cfg(unix)]
fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(not(unix))]
fn private(_file: &Path) {}

async fn change(proxy: &Proxy, changes: &Value) -> (u16, Value) {
    let (status, body) = sse::json(proxy.control(Method::PATCH, "/settings").body(changes.to_string())).await;
    (status.as_u16(), body)
}

fn named<'a>(settings: &'a Value, name: &str) -> &'a Value {
    let all = settings["settings"].as_array().unwrap();
    all.iter().find(|setting| setting["name"] == name).unwrap_or_else(|| panic!("there is no {name}"))
}

#[tokio::test]
async fn settings_are_written_between_the_comments_and_hold_after_a_start() {
    let (proxy, folder, file) = with_file("# mine\nstrict_params = true # why not\n", |setup| setup).await;
    let settings = proxy.control_ok("/settings", None).await;
    assert_eq!(settings["file"], file.to_str().unwrap());
    assert_eq!(settings["restart_needed"], false);
    let strict = named(&settings, "PROXY_STRICT_PARAMS");
    assert_eq!(
        (&strict["value"], &strict["source"], &strict["kind"]),
        (&json!(true), &json!("file"), &json!("boolean"))
    );
    assert_eq!(
        (&strict["default"], &strict["set"], &strict["secret"]),
        (&json!(false), &json!(true), &json!(false))
    );
    assert_eq!(named(&settings, "PORT")["source"], "environment");

    let changes = json!({"strict_params": false, "max_prompt_tokens": 9, "allowed_hosts": ["proxy.example"]});
    let (status, saved) = change(&proxy, &changes).await;
    assert_eq!((status, &saved["restart_needed"]), (200, &json!(true)), "{saved}");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "# mine\nstrict_params = false # why not\nmax_prompt_tokens = 9\nallowed_hosts = [\"proxy.example\"]\n"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(proxy.control_ok("/settings", None).await["restart_needed"], true);
    proxy.stop().await;

    let again = Setup::fake(&json!({})).env("PROXY_CONFIG", file.to_str().unwrap()).start().await;
    let settings = again.control_ok("/settings", None).await;
    assert_eq!(settings["restart_needed"], false);
    assert_eq!(named(&settings, "PROXY_MAX_PROMPT_TOKENS")["value"], 9);
    let (status, saved) = change(&again, &json!({"max_prompt_tokens": null})).await;
    assert_eq!((status, &named(&saved, "PROXY_MAX_PROMPT_TOKENS")["source"]), (200, &json!("default")));
}

#[tokio::test]
async fn wrong_settings_are_refused_by_name_and_nothing_is_written() {
    let (proxy, _folder, file) = with_file("", |setup| setup).await;
    for (changes, status, param, words) in [
        (json!({"timeout_ms": 0}), 400, json!("timeout_ms"), "a whole number of milliseconds"),
        (json!({"env": "dev", "sandbox_mode": "none"}), 400, json!("sandbox_mode"), "one of read-only"),
        (json!({"time_out": 1}), 400, json!("time_out"), "no setting"),
        (json!({"host": "0.0.0.0"}), 409, Value::Null, "PROXY_HOST"),
        (json!({"port": 1}), 409, Value::Null, "PORT"),
        (json!({"api_key": format!("{CANARY} ")}), 409, Value::Null, "PROXY_API_KEY"),
    ] {
        let (got, body) = change(&proxy, &changes).await;
        assert_eq!((got, &body["error"]["param"]), (status, &param), "{changes}: {body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains(CANARY), "{message}");
    }
    let (status, _) = change(&proxy, &json!([])).await;
    assert_eq!(status, 400);
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}

#[tokio::test]
async fn a_secret_goes_into_the_file_and_never_out() {
    let (proxy, _folder, file) = with_file("", |setup| setup).await;
    let changes = json!({"otel_exporter_url": format!("http://127.0.0.1:1/{CANARY}")});
    let (status, saved) = change(&proxy, &changes).await;
    assert_eq!(status, 200, "{saved}");
    let told = named(&saved, "PROXY_OTEL_EXPORTER_URL");
    assert_eq!((&told["value"], &told["set"], &told["secret"]), (&Value::Null, &json!(true), &json!(true)));
    assert!(fs::read_to_string(&file).unwrap().contains(CANARY));
    for said in [saved.to_string(), proxy.control_ok("/settings", None).await.to_string(), proxy.log_text()] {
        assert!(!said.contains(CANARY), "{said}");
    }
}

#[tokio::test]
async fn the_diagnostics_hold_what_helps_and_nothing_that_is_anybodys() {
    let home = tempfile::tempdir().unwrap();
    let proxy = {
        let setup = Setup::fake(&json!({"scenarios": {"default": [{"step": "text", "deltas": ["fine"]}]}}));
        let setup = setup.env("HOME", home.path().to_str().unwrap());
        let setup = setup.env("PROXY_OTEL_EXPORTER_URL", &format!("http://127.0.0.1:1/{CANARY}"));
        let setup = setup.env("PROXY_LOG", "debug").env("TOKEN_LOG_PATH", "~/tokens.log");
        setup.start().await
    };
    proxy.control_ok("/keys", Some(&json!({"name": "of-robin-example"}))).await;
    let secret = proxy.control_ok("/keys/of-robin-example/reveal", Some(&json!({}))).await;
    let answer =
        proxy.post_ok("/responses", &json!({"model": "codex-5", "input": "my private question"})).await;
    assert_eq!(answer["status"], "completed");
    let token = fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();

    let response = proxy.control(Method::GET, "/diagnostics").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(super::header(&response, "content-type"), "application/json");
    assert!(super::header(&response, "content-disposition").contains("codex-proxy-diagnostics.json"));
    let text = response.text().await.unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&told["status"]["ready"], &told["keys"]["count"]), (&json!(true), &json!(2)));
    assert_eq!(
        (&told["system"]["os"], &told["status"]["codex"]["version"]),
        (&json!(std::env::consts::OS), &json!("0.169.0"))
    );
    assert_eq!(told["requests"][0]["route"], "/v1/responses");
    assert_eq!(named(&told["settings"], "TOKEN_LOG_PATH")["value"], "~/tokens.log");
    assert!(told["log"]["lines"].as_array().unwrap().len() > 3, "{text}");
    for private in [
        CANARY,
        token.trim(),
        &proxy.key,
        secret["secret"].as_str().unwrap(),
        "my private question",
        "of-robin-example",
        home.path().to_str().unwrap(),
    ] {
        assert!(!text.contains(private), "{private} is in {text}");
    }
}
