//! Tests of what is shown of settings, and what is hidden.

use serde_json::json;

use super::*;

#[test]
fn secrets_are_never_shown() {
    let secret = "s3cret-Value-1";
    let exporter = "https://user:s3cret-Value-1@otel.example/";
    let config = env(&[("PROXY_API_KEY", secret), ("PROXY_OTEL_EXPORTER_URL", exporter)]);
    assert_eq!(config.keys.api_key.as_ref().map(|key| key.expose()), Some(secret));
    assert_eq!(row(&config, "PROXY_API_KEY").value, json!("set"));
    let unset = env(&[]);
    assert_eq!(row(&unset, "PROXY_API_KEY").value, json!("unset"));

    let file = Scene::with_file("api_key = \"s3cret-Value-1 \"\nport = true");
    let broken = Scene::with_file("api_key = \"s3cret-Value-1\" x");
    let shown = [
        format!("{config:#?}"),
        config.effective.to_text(),
        config.effective.to_json().to_string(),
        config.warnings.join("\n"),
        refused(&[("PROXY_API_KEY", "s3cret-Value-1 with spaces")]),
        refused(&[("PROXY_OTEL_EXPORTER_URL", "ftp://s3cret-Value-1@x")]),
        file.load(&[], &[]).unwrap_err().to_string(),
        broken.load(&[], &[]).unwrap_err().to_string(),
    ];
    for text in shown {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn keys_that_protect_nothing_are_refused_or_warned_about() {
    let allowed = "must be a key of 8 to 512 printable ASCII characters without spaces";
    for bad in ["1234567", "two words", "ends-in-blank ", "schlüssel-schlüssel"] {
        let message = refused(&[("PROXY_API_KEY", bad)]);
        assert!(message.contains(allowed), "{message}");
    }
    let config = env(&[("PROXY_API_KEY", "codex-local-secret")]);
    assert!(config.warnings[0].contains("public documentation"), "{:?}", config.warnings);
    assert!(config.keys.api_key.is_some());
}

#[test]
fn what_has_no_effect_or_is_dangerous_is_warned_about() {
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("PROXY_ENABLE_METRICS", "true", None),
        ("PROXY_ENABLE_OTEL", "1", Some("nothing says where traces go")),
        ("PROXY_OTEL_EXPORTER_URL", "http://127.0.0.1:4318", None),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318", None),
        ("PROXY_OTEL_SERVICE_NAME", "codex-proxy", None),
        ("RATE_LIMIT_AVG", "200", None),
        ("RATE_LIMIT_BURST", "5", Some("without RATE_LIMIT_AVG")),
        ("TOKEN_LOG_PATH", "usage.ndjson", None),
        ("PROXY_PROTO_IDLE_MS", "5", None),
        ("PROXY_USE_APP_SERVER", "false", None),
        ("PROXY_TEST_ENDPOINTS", "true", None),
        ("PROXY_TEST_ALLOW_REMOTE", "true", None),
        ("PROXY_CORS_ALLOWED_ORIGINS", "*", Some("every web page")),
        ("PROXY_SANDBOX_MODE", "danger-full-access", Some("any file")),
        ("PROXY_PROTECT_MODEL", "true", Some("did you mean `PROXY_PROTECT_MODELS`?")),
        ("UNRELATED", "x", None),
    ];
    for (name, value, expected) in cases {
        let warnings = env(&[(name, value)]).warnings;
        match expected {
            None => assert_eq!(warnings, Vec::<String>::new(), "{name}"),
            Some(expected) => {
                assert_eq!(warnings.len(), 1, "{name} {warnings:?}");
                assert!(warnings[0].contains(name) && warnings[0].contains(expected), "{warnings:?}");
            }
        }
    }
}

#[test]
fn the_effective_values_are_shown_with_their_sources() {
    let scene = Scene::with_file("worker_count = 2\nallowed_hosts = [\"a.example\", \"b.example\"]");
    let config = scene.load(&[("port", "9")], &[("PROXY_PROTECT_MODELS", "yes")]).unwrap();
    let path = scene.at("config/config.toml").display().to_string();
    let json = config.effective.to_json();
    let of = |name: &str| json.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    assert_eq!(
        of("PORT"),
        json!({"name": "PORT", "key": "port", "value": 9, "source": {"kind": "flag", "name": "--port"}})
    );
    assert_eq!(of("PROXY_WORKER_COUNT")["source"], json!({"kind": "file", "path": path}));
    assert_eq!(of("PROXY_ALLOWED_HOSTS")["value"], json!(["a.example", "b.example"]));
    assert_eq!(of("PROXY_PROTECT_MODELS")["value"], json!(true));
    assert_eq!(
        of("PROXY_PROTECT_MODELS")["source"],
        json!({"kind": "environment", "name": "PROXY_PROTECT_MODELS"})
    );
    assert_eq!(of("PROXY_CONFIG")["value"], json!(null));
    assert_eq!(of("PROXY_CONFIG")["key"], json!(null));
    assert_eq!(of("PROXY_TIMEOUT_MS")["value"], json!(300_000));

    let text = config.effective.to_text();
    let fields = |name: &str| {
        text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(fields("PORT "), ["PORT", "9", "flag", "--port"]);
    assert_eq!(fields("PROXY_ALLOWED_HOSTS")[1], "a.example,b.example");
    assert_eq!(fields("PROXY_API_KEY"), ["PROXY_API_KEY", "unset", "default"]);
    assert_eq!(fields("PROXY_WORKER_COUNT"), ["PROXY_WORKER_COUNT", "2", "file", &path]);
}
