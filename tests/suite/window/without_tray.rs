//! A desktop without tray icons: there is only the window.

use e2e::desktop::{Desktop, Webview};
use e2e::harness::Setup;
use http::Method;
use serde_json::json;

async fn opened() -> (Desktop, Webview) {
    let desktop = Desktop::start().await;
    let window = Webview::opened(&desktop, Setup::fake(&json!({}))).await;
    window.wait_for_text("Ready").await;
    (desktop, window)
}

#[tokio::test]
async fn closing_the_window_says_once_that_the_application_goes_on() {
    let (desktop, window) = opened().await;
    window.run_last("window.__TAURI__.core.invoke('window_close', {})").await;
    window.wait_for_text("Codex Proxy keeps running").await;
    desktop.picture("farewell");
    window.press("Cancel").await;
    let models = window.app.bare(Method::GET, &format!("{}/models", window.app.base_url));
    assert_eq!(models.send().await.unwrap().status(), 200);

    // The explanation was shown, so the window closes the next time.
    window.run_last("window.__TAURI__.core.invoke('window_close', {})").await;
    let has_page = || desktop.running().iter().any(|line| line.contains("WebKitWebProcess"));
    e2e::patience::until("the end of the window", async || (!has_page()).then_some(())).await;
    let models = window.app.bare(Method::GET, &format!("{}/models", window.app.base_url));
    assert_eq!(models.send().await.unwrap().status(), 200, "the proxy goes on");
    end_by_signal(window, desktop).await;
}

#[tokio::test]
async fn the_window_pauses_resumes_and_quits() {
    let (desktop, window) = opened().await;
    window.press("Pause").await;
    window.wait_for_text("Requests are refused until you resume.").await;
    assert_eq!(
        window
            .app
            .post("/responses", &json!({"model": "codex-5", "input": "hi"}))
            .send()
            .await
            .unwrap()
            .status(),
        503
    );
    window.press("Resume").await;
    window.wait_for_text("Ready").await;
    window.app.post_ok("/responses", &json!({"model": "codex-5", "input": "hi"})).await;
    window.run_last("[...document.querySelectorAll('nav button')].at(-1).click()").await;
    window.ended(&desktop).await;
    desktop.end().await;
}

#[tokio::test]
async fn quit_is_beside_what_is_said_when_the_window_closes() {
    let (desktop, window) = opened().await;
    window.run_last("window.__TAURI__.core.invoke('window_close', {})").await;
    window.wait_for_text("Codex Proxy keeps running").await;
    window.run_last("document.querySelector('dialog .end button:nth-of-type(2)').click()").await;
    window.ended(&desktop).await;
    desktop.end().await;
}

/// Without a window too, a signal of the system ends it.
async fn end_by_signal(window: Webview, desktop: Desktop) {
    let app = e2e::harness::app_path().display().to_string();
    let running = desktop.processes();
    let (pid, _) = running.iter().find(|(_, line)| line.starts_with(&app)).expect("the application runs");
    e2e::processes::signal(u32::try_from(*pid).unwrap(), rustix::process::Signal::TERM);
    window.ended(&desktop).await;
    desktop.end().await;
}

#[tokio::test]
async fn two_reasons_to_open_the_window_open_one() {
    // There is no tray, and no Codex.
    let desktop = Desktop::start().await;
    let setup = Setup::fake(&json!({})).env("CODEX_BIN", "").unready();
    let window = Webview::opened(&desktop, setup).await;
    window.wait_for_text("Set up").await;
    let pages = || desktop.running().into_iter().filter(|line| line.contains("WebKitWebProcess")).count();
    assert_eq!(pages(), 1, "{:?}", desktop.running());
    window.click("a[href=\"#/settings/all\"], a[href=\"#/settings\"]").await;
    window.wait_for_text("General").await;
    end_by_signal(window, desktop).await;
}
