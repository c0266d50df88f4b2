//! Other ways to sign in, signing out, ports in use, and the plan's limits.

use std::fs;
use std::time::{Duration, Instant};

use e2e::fake_openai::Script;
use e2e::fake_openai::issuer::{EMAIL, Issuer, auth_json, usage};
use e2e::harness::Setup;
use e2e::patience::until;
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::{Stage, codex_port};
use crate::surface::{BOTH, Surface, error_code};

async fn taken(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).await.unwrap_or_else(|e| panic!("port {port} is needed: {e}"))
}

#[tokio::test]
async fn a_code_signs_in_from_any_device() {
    let stage = Stage::set().await;
    let login = stage.login("device_code").await;
    assert_eq!((&login["method"], &login["user_code"]), (&json!("device_code"), &json!("ABCD-EFGH")));
    assert_eq!(login["verification_url"], format!("{}/codex/device", stage.issuer.url()));
    assert_eq!(login["expires_at"].as_u64().unwrap() - login["started_at"].as_u64().unwrap(), 900);
    let refusal = stage.is_refused().await;
    assert!(refusal["message"].as_str().unwrap().contains("ABCD-EFGH"), "{refusal}");
    for member in ["verification_url", "user_code"] {
        assert_eq!(refusal[member], login[member]);
    }
    let page = stage.get(&stage.page().await).await.text().await.unwrap();
    assert!(page.contains("ABCD-EFGH"), "{page}");
    stage.issuer.approve_device();
    assert_eq!(stage.signed_in().await["email"], EMAIL);
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn an_api_key_signs_in_and_a_sign_out_ends_it() {
    let stage = Stage::with(|setup| setup.env("PROXY_WORKER_COUNT", "2")).await;
    let key = "sk-test-0123456789";
    let body = json!({"method": "api_key", "api_key": key});
    let account = stage.proxy.control_ok("/account/login", Some(&body)).await;
    assert_eq!(
        (&account["state"], &account["method"]),
        (&json!("signed_in"), &json!("api_key")),
        "{account}"
    );
    for _ in 0..4 {
        stage.is_served().await;
    }
    let last = stage.upstream.requests().pop().unwrap();
    assert_eq!(last.headers["authorization"], format!("Bearer {key}"));
    let (status, limits) = sse::json(stage.proxy.control(Method::GET, "/limits")).await;
    assert_eq!((status.as_u16(), error_code(&limits).as_str()), (404, "no_limits"), "a key has none");

    let account = stage.proxy.control_ok("/account/logout", Some(&json!({}))).await;
    assert_eq!((&account["state"], &account["method"]), (&json!("signed_out"), &Value::Null), "{account}");
    for _ in 0..4 {
        stage.is_refused().await;
    }
    assert!(!stage.proxy.codex_home().join("auth.json").exists());
    for (body, param) in [
        (json!({"method": "api_key", "api_key": "has a space"}), "api_key"),
        (json!({"method": "api_key"}), "api_key"),
        (json!({"method": "magic"}), "method"),
    ] {
        let request = stage.proxy.control(Method::POST, "/account/login").body(body.to_string());
        let (status, answer) = sse::json(request).await;
        assert_eq!((status.as_u16(), &answer["error"]["param"]), (400, &json!(param)), "{body}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_sign_out_reaches_every_worker_at_once() {
    let stage = Stage::with(|setup| setup.env("PROXY_WORKER_COUNT", "3")).await;
    stage.sign_in().await;
    for _ in 0..3 {
        stage.is_served().await;
    }
    stage.proxy.control_ok("/account/logout", Some(&json!({}))).await;
    let before = stage.upstream.requests().len();
    for _ in 0..3 {
        stage.is_refused().await;
    }
    assert_eq!(stage.upstream.requests().len(), before);
    assert_eq!(stage.proxy.control_ok("/status", None).await["limits"], Value::Null);
    stage.sign_in().await;
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn an_existing_sign_in_is_taken_over_as_a_copy() {
    let (issuer, there) = (Issuer::start().await, tempfile::tempdir().unwrap());
    let original = there.path().join("auth.json");
    fs::write(&original, auth_json()).unwrap();
    let setup = Setup::over(e2e::codex_bin::codex_path(e2e::codex_bin::NEWEST)).private_home();
    let proxy = setup.env("CODEX_APP_SERVER_LOGIN_ISSUER", &issuer.url()).start().await;
    proxy.wait_for_account("the account", |account| account["state"] == "signed_out").await;

    for (path, part) in
        [(json!("relative/auth.json"), "absolute"), (json!(there.path().join("absent")), "absent")]
    {
        let body = json!({"path": path}).to_string();
        let (status, answer) = sse::json(proxy.control(Method::POST, "/account/import").body(body)).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(part), "{answer}");
    }
    // The accounts service is the vendor's, which cannot be reached from here.
    let imported = proxy.control_ok("/account/import", Some(&json!({"path": original}))).await;
    assert_eq!(imported["account"]["state"], "unknown", "{imported}");
    assert!(imported["account"]["problem"].as_str().unwrap().contains("reachable"), "{imported}");
    assert!(imported["note"].as_str().unwrap().contains("signed out"), "{imported}");
    let key = there.path().join("key.json");
    fs::write(&key, r#"{"OPENAI_API_KEY": "sk-test-0123456789"}"#).unwrap();
    let imported = proxy.control_ok("/account/import", Some(&json!({"path": key}))).await;
    assert_eq!(
        (&imported["account"]["state"], &imported["account"]["method"]),
        (&json!("signed_in"), &json!("api_key"))
    );
    let copy = proxy.data_dir().join("codex-home").join("auth.json");
    assert!(!fs::symlink_metadata(&copy).unwrap().is_symlink());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let account = proxy.control_ok("/account/logout", Some(&json!({}))).await;
    assert_eq!(account["state"], "signed_out", "{account}");
    assert!(!copy.exists() && original.exists());
    assert!(!proxy.log_text().contains(EMAIL), "{}", proxy.log_text());
    proxy.stop().await;
}

#[tokio::test]
async fn nothing_is_written_to_a_home_that_is_not_the_proxys() {
    let stage = Stage::set().await;
    let request = stage.proxy.control(Method::POST, "/account/import").body("{}");
    let (status, answer) = sse::json(request).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("CODEX_HOME"), "{answer}");
    stage.end().await;
}

#[tokio::test]
async fn a_taken_page_leaves_the_way_by_codex_itself() {
    let other = taken(0).await;
    let port = other.local_addr().unwrap().port();
    let stage = Stage::with(|setup| setup.env("PROXY_LOGIN_PORT", &port.to_string())).await;
    let is_told =
        |account: &Value| account["problem"].as_str().is_some_and(|problem| problem.contains("is taken"));
    let account = stage.proxy.wait_for_account("the problem", is_told).await;
    assert!(account["problem"].as_str().unwrap().contains("--device-code"), "{account}");
    stage.proxy.wait_for_log("of the sign-in page is taken").await;
    let refusal = stage.is_refused().await;
    assert!(refusal["auth_url"].as_str().unwrap().contains("/oauth/authorize?"), "{refusal}");
    let message = refusal["message"].as_str().unwrap();
    assert!(
        message.contains(refusal["auth_url"].as_str().unwrap()) && message.contains("is taken"),
        "{message}"
    );
    stage.sign_in().await;
    stage.is_served().await;
    drop(other);
    stage.end().await;
}

#[tokio::test]
async fn a_page_that_gets_its_port_back_is_there_again() {
    let other = taken(0).await;
    let port = other.local_addr().unwrap().port();
    let stage = Stage::with(|setup| setup.env("PROXY_LOGIN_PORT", &port.to_string())).await;
    stage.proxy.wait_for_account("the problem", |account| account["problem"].is_string()).await;
    drop(other);
    stage.proxy.wait_for_account("its end", |account| account["problem"].is_null()).await;
    stage.sign_in_here(&format!("http://127.0.0.1:{port}/")).await;
    stage.end().await;
}

#[tokio::test]
async fn a_request_does_not_end_another_programs_sign_in() {
    let other = taken(1455).await;
    let stage = Stage::set().await;
    let began = Instant::now();
    let refusal = stage.is_refused().await;
    assert!(began.elapsed() < Duration::from_secs(9), "refusals come soon");
    assert_eq!((&refusal["login_id"], &refusal["auth_url"]), (&Value::Null, &json!(stage.page().await)));
    assert_eq!(stage.proxy.control_ok("/account", None).await["login"], Value::Null);
    let (mut looked, _) = other.accept().await.unwrap();
    let mut said = Vec::new();
    looked.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"", "a look without a word");
    drop(other);
    stage.end().await;
}

#[tokio::test]
async fn with_codexs_port_taken_its_other_one_serves() {
    let other = taken(1455).await;
    let stage = Stage::set().await;
    let page = stage.page().await;
    let login = stage.login("browser").await;
    assert_eq!(codex_port(&login), 1457);
    drop(other);
    stage.sign_in_here(&page).await;
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn with_both_of_codexs_ports_taken_a_code_is_the_way() {
    let both = (taken(1455).await, taken(1457).await);
    let stage = Stage::set().await;
    let body = json!({"method": "browser"}).to_string();
    let (status, answer) = sse::json(stage.proxy.control(Method::POST, "/account/login").body(body)).await;
    assert_eq!((status.as_u16(), error_code(&answer).as_str()), (409, "sign_in_failed"), "{answer}");
    let account = stage.proxy.control_ok("/account", None).await;
    assert!(account["problem"].as_str().unwrap().contains("--device-code"), "{account}");
    assert!(stage.is_refused().await["message"].as_str().unwrap().contains("1457"));
    stage.login("device_code").await;
    stage.issuer.approve_device();
    stage.signed_in().await;
    stage.is_served().await;
    drop(both);
    stage.end().await;
}

#[tokio::test]
async fn another_program_that_signs_in_is_named() {
    let stage = Stage::set().await;
    let login = stage.login("browser").await;
    let port = codex_port(&login);
    stage.get(&format!("http://127.0.0.1:{port}/cancel")).await;
    // It does so to have the port, and takes it.
    let other = until("the port", async || TcpListener::bind(("127.0.0.1", port)).await.ok()).await;
    let ended = |account: &Value| account["login"].is_null() && account["problem"].is_string();
    let account = stage.proxy.wait_for_account("the end", ended).await;
    assert!(account["problem"].as_str().unwrap().contains("another program"), "{account}");
    drop(other);
    stage.sign_in().await;
    stage.end().await;
}

#[tokio::test]
async fn every_change_of_the_account_is_an_event() {
    let stage = Stage::set().await;
    let mut events = stage.proxy.control(Method::GET, "/events").send().await.unwrap();
    stage.login("browser").await;
    let mut seen = String::new();
    while !seen.contains("\"state\":\"signing_in\"") {
        let chunk = events.chunk().await.unwrap().expect("events go on");
        seen.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(seen.starts_with("event: status\n") && seen.contains(&stage.proxy.base_url), "{seen}");
    stage.end().await;
}

#[tokio::test]
async fn a_sign_in_survives_the_proxys_own_pages_being_off() {
    let stage = Stage::with(|setup| setup.env("PROXY_LOGIN_LISTENER", "off")).await;
    let refusal = stage.is_refused().await;
    assert_eq!((&refusal["auth_url"], &refusal["login_id"]), (&Value::Null, &Value::Null), "{refusal}");
    assert!(refusal["message"].as_str().unwrap().contains("codex-proxy login"), "{refusal}");
    stage.sign_in().await;
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn the_plans_limits_are_told_with_every_answer() {
    let stage = Stage::set().await;
    stage.sign_in().await;
    let limits = stage.proxy.control_ok("/limits", None).await;
    assert_eq!(
        (&limits["plan"], &limits["ordinary_usage_allowed"]),
        (&json!("plus"), &json!(true)),
        "{limits}"
    );
    assert_eq!(limits["primary"]["used_percent"], 12);
    assert_eq!(
        (&limits["primary"]["window_minutes"], &limits["secondary"]["window_minutes"]),
        (&json!(300), &json!(10080))
    );
    let answer = stage.proxy.post("/responses", &Surface::Responses.ask("hi")).send().await.unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-ratelimit-primary-used-percent"), "12");
    assert_eq!(header("x-ratelimit-primary-window-minutes"), "300");
    assert_eq!(header("x-ratelimit-secondary-reset-at"), limits["secondary"]["resets_at"].to_string());

    // A turn brings partial updates. Missing fields keep their values.
    let resets_at = limits["primary"]["resets_at"].as_u64().unwrap() + 5;
    let news = Script::text("Hello")
        .header("x-codex-primary-used-percent", "55")
        .header("x-codex-primary-window-minutes", "300")
        .header("x-codex-primary-reset-at", &resets_at.to_string());
    stage.upstream.push(news);
    assert_eq!(stage.ask(Surface::Responses).await.0, 200);
    let newer = stage.proxy.control_ok("/status", None).await["limits"].clone();
    assert_eq!(newer["primary"], json!({"used_percent": 55, "window_minutes": 300, "resets_at": resets_at}));
    assert_eq!((&newer["secondary"], &newer["plan"]), (&limits["secondary"], &limits["plan"]));

    stage.issuer.set_usage(usage(77, true));
    let whole = stage.proxy.control_ok("/limits?refresh=true", None).await;
    assert_eq!(whole["primary"]["used_percent"], 77);
    let used = stage.proxy.control_ok("/account/usage", None).await;
    assert_eq!(
        (&used["summary"]["lifetime_tokens"], &used["daily_usage_buckets"][0]["tokens"]),
        (&json!(100), &json!(7))
    );
    stage.end().await;
}

#[tokio::test]
async fn a_plan_that_is_used_up_says_until_when() {
    let stage = Stage::set().await;
    stage.issuer.set_usage(usage(100, false));
    stage.sign_in().await;
    let limits = stage.proxy.control_ok("/limits", None).await;
    let resets_at = limits["primary"]["resets_at"].as_u64().unwrap();
    for surface in BOTH {
        let response = stage.proxy.post(surface.path(), &surface.ask("hi")).send().await.unwrap();
        assert_eq!(response.status(), 403);
        let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((11_000..=12_000).contains(&wait), "{wait}");
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(
            (error_code(&body).as_str(), &body["error"]["resets_at"]),
            ("usage_limit_reached", &json!(resets_at))
        );
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("It resets at ") && message.contains("(in 3 h "), "{message}");
    }
    assert_eq!(stage.upstream.requests().len(), 0, "refused here");

    // With credits, Codex continues to answer, so requests continue too.
    let mut paid = usage(100, false);
    paid["credits"] = json!({"has_credits": true, "unlimited": false, "balance": "9"});
    stage.issuer.set_usage(paid);
    stage.proxy.control_ok("/limits?refresh=true", None).await;
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn a_limit_that_a_turn_meets_is_told_with_its_end() {
    let stage = Stage::set().await;
    stage.sign_in().await;
    let resets_at = stage.proxy.control_ok("/limits", None).await["secondary"]["resets_at"].as_u64().unwrap();
    // What is read after the first refusal is the same.
    let mut reached = usage(12, true);
    let window = &mut reached["rate_limit"]["secondary_window"];
    (window["used_percent"], window["reset_at"]) = (json!(100), json!(resets_at));
    stage.issuer.set_usage(reached);
    let met = || {
        let error =
            json!({"error": {"type": "usage_limit_reached", "message": "reached", "plan_type": "plus"}});
        Script::http_error(429, error, &[])
            .header("x-codex-secondary-used-percent", "100")
            .header("x-codex-secondary-window-minutes", "10080")
            .header("x-codex-secondary-reset-at", &resets_at.to_string())
    };
    for surface in BOTH {
        stage.upstream.push(met());
        let (status, body) = stage.ask(surface).await;
        assert_eq!((status, error_code(&body).as_str()), (403, "usage_limit_reached"), "{body}");
        assert_eq!(body["error"]["resets_at"], resets_at, "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains("It resets at "), "{body}");
        stage.upstream.push(met());
        let events = surface.events(&stage.proxy, &surface.ask("hi")).await;
        assert!(json!(events).to_string().contains("It resets at "), "{events:#?}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_sign_in_that_is_no_longer_accepted_leads_to_the_page() {
    let stage = Stage::set().await;
    stage.sign_in().await;
    let expired = json!({"error": {"message": "token expired", "code": "token_expired"}});
    stage.upstream.fall_back_to(Script::http_error(401, expired, &[]));
    let (status, body) = stage.ask(Surface::Responses).await;
    assert!(status == 401 || status == 502, "{body}");
    stage.end().await;
}
