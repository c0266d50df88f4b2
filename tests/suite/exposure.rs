//! Access by other machines or other users: refused or closed at the start.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::harness::Setup;
use serde_json::json;

/// The exit code and what was printed by a proxy that does not start.
async fn refused(setup: Setup) -> (Option<i32>, String) {
    let mut proxy = setup.spawn();
    let code = proxy.exit().await.code();
    (code, proxy.wait_for_log("configuration").await + &proxy.log_text())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_key_that_they_cannot_guess() {
    for (pairs, part) in [
        (&[("PROXY_HOST", "0.0.0.0"), ("PROXY_API_KEY", "codex-local-secret")][..], "PROXY_API_KEY"),
        (&[("PROXY_HOST", "0.0.0.0"), ("PROXY_API_KEY", "12345678")], "PROXY_API_KEY"),
        (&[("PROXY_HOST", "::"), ("PROXY_API_KEY", "")], "PROXY_API_KEY"),
        (&[("PROXY_LOGIN_HOST", "0.0.0.0"), ("PROXY_API_KEY", "")], "PROXY_PUBLISHED_ON_LOOPBACK"),
        (&[("PROXY_LOGIN_HOST", "0.0.0.0")], "PROXY_PUBLISHED_ON_LOOPBACK"),
    ] {
        let setup =
            || pairs.iter().fold(Setup::fake(&json!({})), |setup, (name, value)| setup.env(name, value));
        let (code, text) = refused(setup()).await;
        assert_eq!(code, Some(64), "{pairs:?}: {text}");
        assert!(text.contains(part), "{pairs:?}: {text}");
        assert!(!text.contains("listening on"), "{pairs:?}: {text}");
        for command in ["config", "doctor"] {
            let (code, text) = refused(setup().arg(command)).await;
            assert_ne!(code, Some(0), "{command} {pairs:?}: {text}");
            assert!(text.contains(part), "{command} {pairs:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a_container_that_is_published_on_loopback_starts() {
    let setup = Setup::fake(&json!({}))
        .env("PROXY_HOST", "0.0.0.0")
        .env("PROXY_LOGIN_HOST", "0.0.0.0")
        .env("PROXY_API_KEY", "")
        .env("PROXY_PUBLISHED_ON_LOOPBACK", "true");
    let proxy = setup.spawn();
    proxy.wait_for_log("listening on http://0.0.0.0:").await;
    assert!(!proxy.log_text().contains("WARN"), "{}", proxy.log_text());
}

#[tokio::test]
async fn what_others_could_read_is_closed_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let config = directory.path().join("config.toml");
    let start = || {
        let setup = Setup::fake(&json!({})).private_home().env("PROXY_API_KEY", "");
        let setup = setup.env("PROXY_CONFIG", config.to_str().unwrap());
        setup.env("PROXY_DATA_DIR", data.to_str().unwrap()).spawn().listening()
    };
    fs::write(&config, "otel_exporter_otlp_traces_headers = \"authorization=Bearer%20abc\"\n").unwrap();
    set_mode(&config, 0o644);
    let first = start().await;
    first.stop().await;
    fs::create_dir_all(data.join("codex-home")).unwrap();
    fs::write(data.join("codex-home/auth.json"), "{}").unwrap();
    let files = [
        "key-secrets",
        "keys.json",
        "control-token",
        "proxy.db",
        "codex-home",
        "codex-home/auth.json",
        "usage-journal",
        "logs",
        "logs/codex-proxy.log",
    ];
    for file in files {
        let path = data.join(file);
        set_mode(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    set_mode(&data, 0o777);
    assert_eq!(mode(&config), 0o600, "a secret stands in it");

    let second = start().await;
    assert_eq!(mode(&data), 0o700);
    for file in files {
        let path = data.join(file);
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{file}");
    }
    let log = second.stop().await;
    assert_eq!(log.matches("now only you can").count(), 1, "{log}");
    assert!(log.contains("key-secrets (644)") && log.contains("data (777)"), "{log}");
    let third = start().await;
    let log = third.stop().await;
    assert_eq!(log.matches("now only you can").count(), 0, "{log}");
}
