//! `codex-proxy smoke` and `live-test`: with a working proxy, with another server, and over TLS.

mod tls;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{Proxy, Setup, proxy_path};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cli::{Outcome, outcome, run};

async fn beside(proxy: &Proxy, arguments: &[&str]) -> Outcome {
    let mut command = proxy.beside(&proxy_path(), arguments);
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    outcome(command.spawn().unwrap(), "").await
}

/// The checks that did not pass, by place, name and verdict, and the number of all checks.
fn not_ok(shown: &Outcome) -> (Vec<String>, usize) {
    let told: Value = serde_json::from_str(&shown.out).unwrap_or_else(|error| panic!("{error}: {shown:?}"));
    let checks = told["checks"].as_array().unwrap();
    let bad = checks.iter().filter(|check| check["status"] != "ok");
    let named = |check: &Value| {
        ["place", "check", "status"].map(|member| check[member].as_str().unwrap().to_owned()).join(" ")
    };
    (bad.map(named).collect(), checks.len())
}

/// An upstream that says hello, calls the requested tool, and answers questions about an image.
async fn upstream() -> FakeOpenAi {
    let upstream = FakeOpenAi::start().await;
    let call = || Script::new().function_call("call_1", "lookup_user", r#"{"id":7}"#, 2);
    for _ in 0..16 {
        upstream.on_marker("Say hello", [Script::text("Hello there.")]);
        upstream.on_marker("Call the tool", [call()]);
        upstream.on_marker("Ada", [Script::text("It is Ada.")]);
    }
    // A question of an image alone.
    upstream.fall_back_to(Script::text("A red square."));
    upstream.on_marker("what colour", [Script::text("Red.")]);
    upstream.on_marker("Greet the world", [Script::text(r#"{"greeting":"Hello"}"#)]);
    upstream
}

#[tokio::test]
async fn a_proxy_that_is_well_passes_every_check() {
    let upstream = upstream().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let live = beside(&proxy, &["live-test", "--json"]).await;
    assert_eq!((live.code, not_ok(&live)), (0, (vec![], 24)), "{live:?}");
    let (origin, edge) = (proxy.base_url.clone(), format!("http://localhost:{}/", proxy.port()));
    let both =
        beside(&proxy, &["smoke", "--origin", &origin, "--edge", &edge, "--server-name", "localhost"]).await;
    assert_eq!(both.code, 0, "{both:?}");
    assert!(both.out.contains("20 ok, 0 failed, 0 not made."), "{both:?}");
    assert!(both.out.contains("edge health: ready"), "{both:?}");
    assert!(!both.out.contains(&proxy.key) && !both.err.contains(&proxy.key));
    proxy.stop().await;
}

/// A server that gives the same answer to every request.
async fn other_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(async || "<html>welcome</html>");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn key_file(root: &Path) -> String {
    let key = root.join("key");
    fs::write(&key, "a-key-of-a-test-0123456789\n").unwrap();
    key.display().to_string()
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_named_with_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let gone = run(root.path(), &["smoke", "--origin", &nobody], &[], "").await;
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.out.contains("FAILED  health: there is no answer"), "{gone:?}");
    assert!(gone.out.contains("-> Is the proxy running"), "{gone:?}");
    assert!(gone.out.contains("skip    chat: there is no API key to use"), "{gone:?}");

    let (other, key) = (other_server().await, key_file(root.path()));
    let strange =
        run(root.path(), &["smoke", "--origin", &other, "--key-file", &key, "--json"], &[], "").await;
    assert_eq!((strange.code, not_ok(&strange).0.len()), (1, 10), "{strange:?}");
    assert!(strange.out.contains("Anybody may use this proxy"), "{strange:?}");

    let proxy = Setup::fake(&json!([{"step": "text", "deltas": ["Hello"]}])).start().await;
    let wrong = beside(&proxy, &["smoke", "--key-file", &key, "--json"]).await;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.out.contains("codex-proxy keys list"), "{wrong:?}");
    proxy.stop().await;
    for arguments in [&["smoke", "--edge", "example.org"][..], &["live-test", "--url", "ftp://x"]] {
        assert_eq!(run(root.path(), arguments, &[], "").await.code, 64, "{arguments:?}");
    }
    let none = run(root.path(), &["smoke"], &[], "").await;
    assert_eq!(none.code, 69, "without an address the running proxy is asked: {none:?}");
}

#[tokio::test]
async fn a_certificate_has_to_be_trusted_and_the_origin_is_asked_under_its_name() {
    let certified = rcgen::generate_simple_self_signed(vec!["proxy.example".to_owned()]).unwrap();
    let root = tempfile::tempdir().unwrap();
    let trusted = root.path().join("trusted.pem");
    let text = STANDARD.encode(certified.cert.der());
    fs::write(&trusted, format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")).unwrap();
    let address = format!("https://{}", tls::serve(&certified).await);
    let arguments = ["smoke", "--origin", &address, "--server-name", "proxy.example", "--json"];
    let untrusted = run(root.path(), &arguments, &[], "").await;
    assert!(untrusted.out.contains("certificate"), "{untrusted:?}");
    let health = "origin health failed".to_owned();
    assert!(not_ok(&untrusted).0.contains(&health), "{untrusted:?}");
    let file = trusted.display().to_string();
    let shown = run(root.path(), &arguments, &[("SSL_CERT_FILE", &file)], "").await;
    assert!(!not_ok(&shown).0.contains(&health), "{shown:?}");
    assert!(shown.out.contains("backend proxy.example"), "{shown:?}");
}
