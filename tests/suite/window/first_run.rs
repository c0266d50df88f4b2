//! From the first start to the first answer, like a user: in the window, the browser and a client.

use std::fs;

use e2e::codex_bin::{NEWEST, codex_path};
use e2e::desktop::{Desktop, Webview};
use e2e::fake_npm::{FakeNpm, Piece, archive_of_much, binary_name};
use e2e::fake_openai::issuer::{EMAIL, Issuer};
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::Setup;
use e2e::patience::until;
use e2e::sse;
use http::Method;

use crate::surface::Surface;
use crate::tray::follow;

const ANSWER: &str = "The first answer.";

#[tokio::test]
async fn codex_is_installed_a_person_signs_in_and_a_client_is_answered() {
    let (upstream, issuer, npm) = (FakeOpenAi::start().await, Issuer::start().await, FakeNpm::start().await);
    upstream.fall_back_to(Script::text(ANSWER));
    let codex = fs::read(codex_path(NEWEST)).unwrap();
    npm.publish(NEWEST, &archive_of_much(&[Piece::file(&binary_name(), &codex)]));
    drop(codex);
    let setup =
        Setup::with_sign_in(&upstream, &issuer).env("CODEX_BIN", "").env("PROXY_API_KEY", "").unready();
    let setup = setup.env("PROXY_NPM_REGISTRY", &npm.url());
    let desktop = Desktop::start().await;
    let (tray, notifications) = (desktop.tray().await, desktop.notifications().await);

    let window = Webview::opened(&desktop, setup).await;
    window.wait_for_text("Set up").await;
    tray.wait_for_icon("broken").await;
    window.press(&format!("Install Codex {NEWEST}")).await;
    window.wait_for_text("Sign in with the ChatGPT account").await;
    assert_eq!(npm.downloads().len(), 1);
    tray.wait_for_icon("signed-out").await;

    window.press("Sign in with the browser").await;
    let page =
        desktop.wait_for_opened("the page of the sign-in", |page| page.contains("/oauth/authorize")).await;
    follow(&window.app, &page).await;
    window.wait_for_text(EMAIL).await;
    tray.wait_for_icon("ready").await;

    window.press("Choose a client").await;
    window.click("a[href=\"#/clients/curl\"]").await;
    window.press("Create the key “curl”").await;
    window.wait_for_text("Waiting for its first request").await;
    window.press("Copy the key").await;
    let key = until("the key on the clipboard", async || desktop.screen.clipboard_text().await).await;
    let request = window.app.bare(Method::POST, &format!("{}/responses", window.app.base_url));
    let request = request.bearer_auth(&key).header("content-type", "application/json");
    let (status, answer) = sse::json(request.body(Surface::Responses.ask("hi").to_string())).await;
    assert_eq!((status.as_u16(), Surface::Responses.text(&answer).as_str()), (200, ANSWER), "{answer}");
    window.wait_for_text("status 200").await;

    // With a working client, the user is done.
    tray.click("Open").await;
    window.run("location.hash = '/start'; done(null)").await;
    window.wait_for_text("All done").await;
    assert!(!window.source().await.contains(&key), "the page holds the key");
    let log = window.app.log_text();
    for secret in [EMAIL, key.as_str(), "code-"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    window.quit(&tray).await;
    drop(notifications);
    desktop.end().await;
}
