//! Every view in the window.

use e2e::browser::Browser;
use e2e::desktop::picture_file;
use e2e::harness::Setup;
use e2e::patience::until;
use e2e::processes::signal;
use e2e::webdriver::WebDriver;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::Scene;
use crate::tray::Stage;

/// The views, as the navigation names them.
const VIEWS: [&str; 10] =
    ["Home", "Chat", "Models", "Workers", "Usage", "Requests", "Clients", "Keys", "Proof", "Settings"];

/// What the page has complained of since [`listen`].
const COMPLAINTS: &str = "window.e2eComplaints";

async fn listen(page: &WebDriver) {
    let script = format!(
        "{COMPLAINTS} = [];
         addEventListener('error', (event) => {COMPLAINTS}.push(String(event.message)));
         addEventListener('unhandledrejection', (event) => {COMPLAINTS}.push(String(event.reason)));
         addEventListener('securitypolicyviolation', (event) => {COMPLAINTS}.push(event.violatedDirective + ' ' + event.blockedURI));
         done(null)"
    );
    page.run(&script).await;
}

/// Waits until the view is there with all that it loads.
async fn settled(page: &WebDriver, view: &str) {
    until(&format!("the view {view}"), async || {
        (page.title().await == format!("{view} – Codex Proxy")).then_some(())
    })
    .await;
    until("what is loaded", async || (page.count("main [role=progressbar]").await == 0).then_some(())).await;
}

/// Goes through all views by the navigation.
async fn visit(page: &WebDriver, kind: &str) {
    page.wait_for_text("Ready").await;
    listen(page).await;
    for view in VIEWS {
        page.press(view).await;
        settled(page, view).await;
        let text = page.text().await;
        assert!(!text.contains("undefined") && !text.contains("NaN"), "{view}:\n{text}");
        assert_eq!(page.count("[role=alert]").await, 0, "{view} complains:\n{text}");
        let complaints = page.run(&format!("done({COMPLAINTS})")).await;
        assert_eq!(complaints, json!([]), "the view {view} complains");
        std::fs::write(picture_file(&format!("{kind}-{}", view.to_lowercase())), page.screenshot().await)
            .unwrap();
    }
}

#[tokio::test]
async fn all_are_there_and_none_shows_a_key() {
    let scene = Scene::set(Setup::fake(&json!({})).env("PROXY_API_KEY", "")).await;
    visit(&scene.window, "window").await;
    let control = &scene.window.app;
    let key = control.control_ok("/keys/default/reveal", Some(&Value::Null)).await;
    let key = key["secret"].as_str().unwrap();
    for view in VIEWS {
        scene.window.press(view).await;
        until("what is loaded", async || {
            (scene.window.count("main [role=progressbar]").await == 0).then_some(())
        })
        .await;
        let holds = format!(
            "const own = Object.getOwnPropertyNames(window).map((name) => {{ try {{ return JSON.stringify(window[name]) }} catch {{ return '' }} }});
             done([document.documentElement.outerHTML, ...own, JSON.stringify(localStorage), JSON.stringify(sessionStorage)].some((text) => (text ?? '').includes({key:?})))"
        );
        assert_eq!(scene.window.run(&holds).await, json!(false), "the view {view} holds the key");
    }
    scene.end().await;
}

#[tokio::test]
async fn they_are_seen_in_light_and_dark_and_in_every_size() {
    for (scheme, theme) in [("light", "Adwaita"), ("dark", "Adwaita:dark")] {
        let scene = Scene::set(Setup::fake(&json!({})).env("GTK_THEME", theme)).await;
        let page = &scene.window;
        page.wait_for_text("Ready").await;
        let dark = page.run("done(matchMedia('(prefers-color-scheme: dark)').matches)").await;
        assert_eq!(dark, json!(scheme == "dark"), "the page follows the desktop");
        for (width, height) in [(360, 640), (480, 720), (1024, 768)] {
            page.resize(width, height).await;
            until("the window's size", async || {
                (page.run("done(innerWidth)").await.as_u64()? == u64::from(width)).then_some(())
            })
            .await;
            for view in VIEWS {
                let path = view.to_lowercase();
                page.run(&format!("location.hash = '#/{path}'; done(null)")).await;
                settled(page, view).await;
                let beyond = "done(document.documentElement.scrollWidth - innerWidth)";
                assert_eq!(page.run(beyond).await, json!(0), "{view} is wider than {width} in {scheme}");
                // A changed layout is drawn one frame later.
                page.run("requestAnimationFrame(() => requestAnimationFrame(() => done(null)))").await;
                let picture = picture_file(&format!("window-{path}-{width}-{scheme}"));
                std::fs::write(picture, page.screenshot().await).unwrap();
            }
        }
        scene.end().await;
    }
}

#[tokio::test]
async fn it_is_closed_by_the_keyboard() {
    let stage = Stage::set(&json!({})).await;
    let screen = &stage.desktop.screen;
    stage.tray.click("Open").await;
    let window = screen.window("Codex Proxy").await;
    screen.focus(&window).await;
    until("the end of the window", async || {
        // The page may not be there yet when the window is.
        screen.press("ctrl+w");
        screen.windows().await.is_empty().then_some(())
    })
    .await;
    stage.ready().await;
    stage.quit().await;
}

#[tokio::test]
async fn the_menu_leads_to_the_guides_for_clients() {
    let scene = Scene::set(Setup::fake(&json!({}))).await;
    scene.window.wait_for_text("Ready").await;
    scene.tray.click("Set up a client…").await;
    let there = || async { (scene.window.title().await == "Clients – Codex Proxy").then_some(()) };
    until("the guides", async || there().await).await;
    scene.window.press("Home").await;
    scene.tray.click("Set up a client…").await;
    until("the guides once more", async || there().await).await;
    scene.end().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_is_seen_at_once() {
    let scene = Scene::set(Setup::fake(&json!({}))).await;
    scene.window.press("Workers").await;
    let first = scene.window.app.control_ok("/status", None).await["workers"][0]["pid"].as_u64().unwrap();
    scene.window.wait_for_text(&first.to_string()).await;
    signal(first, Signal::KILL);
    until("another process in the view", async || {
        let second = scene.window.app.control_ok("/status", None).await["workers"][0]["pid"].as_u64()?;
        let text = scene.window.text().await;
        (second != first && text.contains(&second.to_string())).then_some(())
    })
    .await;
    scene.end().await;
}

#[tokio::test]
async fn the_same_page_is_there_over_http() {
    let app = Setup::fake(&json!({})).start().await;
    let token = std::fs::read_to_string(app.data_dir().join("control-token")).unwrap();
    let browser = Browser::open().await;
    browser.go(&app.root_url(&format!("/ui/#token={}", token.trim()))).await;
    visit(&browser, "browser").await;
    assert!(!browser.url().await.contains(token.trim()), "the token stays in the address");
    browser.close().await;
    app.stop().await;
}
