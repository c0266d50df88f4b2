//! What the window keeps from one time to the next: its size, its place, the size of its texts.

use e2e::desktop::{Desktop, Webview, Window};
use e2e::harness::Setup;
use e2e::patience::until;
use serde_json::{Value, json};

use super::Scene;
use crate::tray::Stage;

/// The application's preferences as they are in its file.
fn preferences(desktop: &Desktop) -> Option<Value> {
    let file = desktop.session.dir().join("config/codex-proxy/app.json");
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

#[tokio::test]
async fn it_opens_where_and_as_large_as_it_was() {
    let stage = Stage::set(&json!({})).await;
    let screen = &stage.desktop.screen;
    let open = async || {
        stage.tray.click("Open").await;
        let window = screen.window("Codex Proxy").await;
        screen.focus(&window).await;
        window
    };
    let close = async |window: &Window| {
        screen.close(window);
        screen.no_window().await;
    };
    let window = open().await;
    screen.put(&window, [120, 90, 700, 500]);
    let placed =
        until("the place", async || screen.place(&window).filter(|place| place[2..] == [700, 500])).await;
    close(&window).await;
    until("the place in the file", async || {
        (preferences(&stage.desktop)?["window"]["width"] == 700).then_some(())
    })
    .await;
    // Not only the next time: it must not creep over the screen.
    for _ in 0..3 {
        let window = open().await;
        until("the same place", async || (screen.place(&window)? == placed).then_some(())).await;
        close(&window).await;
    }
    stage.ready().await;
    stage.quit().await;
}

#[tokio::test]
async fn the_keys_for_the_size_of_texts_work_and_the_size_stays() {
    let scene = Scene::set(Setup::fake(&json!({}))).await;
    let page = &scene.window;
    page.wait_for_text("Ready").await;
    let width = async || page.run("done(innerWidth)").await.as_u64().unwrap();
    let usual = width().await;
    let window = scene.desktop.screen.window("Codex Proxy").await;
    scene.desktop.screen.focus(&window).await;
    for (keys, percent) in [("ctrl+plus", 110), ("ctrl+plus", 125), ("ctrl+minus", 110), ("ctrl+0", 100)] {
        scene.desktop.screen.press(keys);
        until(keys, async || {
            let kept = preferences(&scene.desktop)?["zoom"] == percent;
            (kept && width().await.abs_diff(usual * 100 / percent) <= 1).then_some(())
        })
        .await;
    }
    scene.end().await;

    let desktop = Desktop::start().await;
    desktop.prefer(&json!({"zoom": 150}));
    let tray = desktop.tray().await;
    let window = Webview::open(&desktop, &tray, Setup::fake(&json!({}))).await;
    window.wait_for_text("Ready").await;
    until("larger texts", async || {
        let width = window.run("done(innerWidth)").await.as_u64()?;
        (width.abs_diff(usual * 100 / 150) <= 1).then_some(())
    })
    .await;
    window.quit(&tray).await;
    desktop.end().await;
}

#[tokio::test]
async fn preferences_are_chosen_in_the_window() {
    let scene = Scene::set(Setup::fake(&json!({}))).await;
    let page = &scene.window;
    page.press("Settings").await;
    page.wait_for_text("Notices on the desktop").await;
    page.run("document.querySelector('fieldset input[type=checkbox]').click(); done(null)").await;
    until("the choice in the file", async || {
        (preferences(&scene.desktop)?["notify"]["signed_out"] == false).then_some(())
    })
    .await;
    let login = "[...document.querySelectorAll('label')].find((label) => label.textContent.includes('when I log in')).control";
    // It cannot be changed while the page still waits for the answer to the choice before.
    let disabled = format!("done({login}.disabled)");
    until("the box to be free", async || (page.run(&disabled).await == json!(false)).then_some(())).await;
    page.run(&format!("{login}.click(); done(null)")).await;
    scene
        .tray
        .wait_for_menu("starting at login", |menu| {
            menu.find("Start at login").and_then(|item| item.checked) == Some(true)
        })
        .await;
    // What is chosen in the menu is seen in the window.
    scene.tray.click("Start at login").await;
    until("the choice of the menu", async || {
        (page.run(&format!("done({login}.checked)")).await == json!(false)).then_some(())
    })
    .await;
    scene.end().await;
}
