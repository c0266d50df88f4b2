//! Restarting the application.

use e2e::harness::Setup;
use e2e::patience::until;
use serde_json::json;

use super::Scene;

#[tokio::test]
async fn it_comes_back_with_its_window_and_a_new_proxy() {
    let scene = Scene::set(Setup::fake(&json!({}))).await;
    scene.window.wait_for_text("Ready").await;
    let page = || scene.desktop.processes().into_iter().find(|(_, line)| line.contains("WebKitWebProcess"));
    let (old, old_page) = (format!("Ready at {}", scene.window.app.base_url), page());
    scene.window.run_last("window.__TAURI__.core.invoke('restart_app', {})").await;
    scene.tray.empty().await;
    let ready = |menu: &e2e::desktop::MenuItem| {
        menu.starting("Ready at ").filter(|line| line.label != old).map(|line| line.label.clone())
    };
    let menu = scene.tray.wait_for_menu("another proxy", |menu| ready(menu).is_some()).await;
    assert_eq!(scene.tray.len(), 1, "the first has gone");
    scene.desktop.screen.window("Codex Proxy").await;
    until("another page", async || page().filter(|page| Some(page) != old_page.as_ref())).await;
    let models = ready(&menu).unwrap().trim_start_matches("Ready at ").to_owned() + "/models";
    assert_eq!(reqwest::get(models).await.unwrap().status(), 200);
    scene.end().await;
}
