//! Sign-ins whose Codex is replaced, or ends, while it waits for the browser.

use std::fs;

use e2e::fake_openai::issuer::Consent;
use e2e::patience::until;
use e2e::processes::{gone, is_gone, signal};
use e2e::sse;
use futures_util::future::join_all;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Stage;
use crate::surface::BOTH;

/// The process of the first worker, once there is one.
async fn worker(stage: &Stage) -> u64 {
    until("a worker's process", async || {
        let health = stage.proxy.bare(Method::GET, &stage.proxy.root_url("/healthz"));
        let (_, health) = sse::json(health).await;
        health["worker_supervisor"]["workers"][0]["pid"].as_u64()
    })
    .await
}

/// Replaces the workers, and waits until the first one has been. Returns the process it had.
async fn replace(stage: &Stage) -> u64 {
    let old = worker(stage).await;
    let answer = stage.proxy.control(Method::POST, "/workers/restart").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    until("the next process", async || (worker(stage).await != old).then_some(())).await;
    old
}

#[tokio::test]
async fn a_worker_that_is_replaced_still_takes_its_sign_in() {
    let stage = Stage::set().await;
    let login = stage.login("browser").await;
    let old = replace(&stage).await;
    assert_eq!(stage.proxy.control_ok("/account", None).await["login"]["id"], login["id"]);
    stage.come_back(&login).await;
    stage.is_served().await;
    gone(old).await;
    stage.end().await;
}

#[tokio::test]
async fn a_replaced_worker_goes_with_the_sign_in_it_was_kept_for() {
    let stage = Stage::set().await;
    stage.login("browser").await;
    let old = replace(&stage).await;
    assert!(!is_gone(old), "Codex waits for the browser");
    stage.proxy.control(Method::DELETE, "/account/login").send().await.unwrap();
    gone(old).await;
    stage.sign_in().await;
    stage.end().await;
}

#[tokio::test]
async fn who_signs_out_may_sign_in_at_once() {
    let stage = Stage::with(|setup| setup.env("PROXY_WORKER_COUNT", "2")).await;
    for _ in 0..3 {
        stage.sign_in().await;
        stage.proxy.control_ok("/account/logout", Some(&json!({}))).await;
    }
    stage.sign_in().await;
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_takes_its_sign_in_along() {
    let stage = Stage::set().await;
    stage.issuer.consent(Consent::Open);
    let login = stage.login("browser").await;
    signal(worker(&stage).await, Signal::KILL);
    let over = |account: &Value| account["login"]["id"] != login["id"];
    let account = stage.proxy.wait_for_account("the end of the sign-in", over).await;
    assert!(account["problem"].as_str().unwrap().contains("has ended"), "{account}");
    stage.issuer.consent(Consent::Given);
    stage.sign_in_here(&stage.page().await).await;
    stage.end().await;
}

#[tokio::test]
async fn a_sign_in_made_elsewhere_serves_who_comes_next() {
    let stage = Stage::with(|setup| setup.env("PROXY_WORKER_COUNT", "3")).await;
    // A process that waits for a browser is not in the way.
    stage.login("browser").await;
    fs::write(stage.proxy.codex_home().join("auth.json"), r#"{"OPENAI_API_KEY": "sk-test-0123456789"}"#)
        .unwrap();
    for (status, body) in join_all((0..6).map(|number| stage.ask(BOTH[number % 2]))).await {
        assert_eq!(status, 200, "{body}\n{}", stage.proxy.log_text());
    }
    stage.end().await;
}
