//! Errors, and their messages.

use e2e::desktop::Desktop;
use e2e::harness::Setup;
use e2e::patience::until;
use e2e::processes::{gone, signal};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Stage;

/// A Codex whose first process works, but later ones do not.
fn works_once() -> Value {
    json!({"faults": [{"at": "start", "fault": "exit", "code": 3, "runs": (2..60).collect::<Vec<u32>>()}]})
}

#[tokio::test]
async fn a_worker_that_is_killed_comes_back_and_nobody_is_bothered() {
    let stage = Stage::set(&json!({})).await;
    stage.ready().await;
    let old = stage.worker().await.unwrap();
    signal(old, Signal::KILL);
    until("another worker", async || stage.worker().await.filter(|pid| *pid != old)).await;
    gone(old).await;
    stage.ready().await;
    assert!(stage.notifications.all().is_empty(), "{:#?}", stage.notifications.all());
    stage.quit().await;
}

#[tokio::test]
async fn a_worker_that_does_not_come_back_is_told_of_once() {
    let stage = Stage::set(&works_once()).await;
    stage.ready().await;
    signal(stage.worker().await.unwrap(), Signal::KILL);
    stage.tray.wait_for_icon("broken").await;
    let menu = stage.tray.wait_for_menu("the trouble", |menu| menu.starting("Not working").is_some()).await;
    assert!(menu.labels()[1].contains('3'), "the exit code is the reason that is known:\n{menu}");
    let told = stage.notifications.wait_for("of it", |one| one.summary == "Codex is not working").await;
    assert!(!told.body.is_empty(), "{told:?}");
    // It is tried again some times, and that is no news.
    let restarts =
        || async { stage.app.control_ok("/status", None).await["workers"][0]["restarts"].as_u64() };
    let before = restarts().await;
    until("more tries", async || (restarts().await > before.map(|before| before + 1)).then_some(())).await;
    assert_eq!(stage.notifications.all().len(), 1, "{:#?}", stage.notifications.all());
    stage.quit().await;
}

#[tokio::test]
async fn a_missing_codex_is_told_of_and_set_up_is_offered() {
    let desktop = Desktop::start().await;
    let (tray, notifications) = (desktop.tray().await, desktop.notifications().await);
    let setup = Setup::over(String::new().into()).env("CODEX_BIN", "").unready();
    let mut app = desktop.app(setup).start().await;
    desktop.screen.window("Codex Proxy").await;
    tray.wait_for_icon("broken").await;
    tray.wait_for_menu("the trouble", |menu| menu.labels()[1].contains("no Codex")).await;
    tray.click("Quit").await;
    assert!(app.exit().await.success(), "{}", app.log_text());
    assert!(notifications.all().is_empty(), "the window says it: {:#?}", notifications.all());
    desktop.end().await;
}

#[tokio::test]
async fn a_taken_port_is_told_of_and_tried_again() {
    let other = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let desktop = Desktop::start().await;
    let (tray, notifications) = (desktop.tray().await, desktop.notifications().await);
    let mut app = desktop.app(Setup::fake(&json!({}))).env("PORT", &port).arg("--hidden").spawn();
    tray.wait_for_icon("broken").await;
    let menu = tray.wait_for_menu("the reason", |menu| menu.find("Not running").is_some()).await;
    assert!(menu.labels()[1].contains(&port), "{menu}");
    for off in ["Copy API key", "Copy base URL", "Restart workers"] {
        assert!(menu.find(off).is_some_and(|item| !item.enabled), "{menu}");
    }
    let told = notifications.wait_for("of it", |one| one.summary.contains("not running")).await;
    assert!(told.body.contains(&port), "{told:?}");
    drop(other);
    tray.click("Try again").await;
    tray.wait_for_icon("ready").await;
    let menu = tray.wait_for_menu("a proxy", |menu| menu.starting("Ready at").is_some()).await;
    assert!(menu.labels()[0].contains(&port) && menu.find("Try again").is_none(), "{menu}");
    tray.click("Quit").await;
    assert!(app.exit().await.success(), "{}", app.log_text());
    desktop.end().await;
}

#[tokio::test]
async fn settings_that_are_wrong_are_told_of() {
    let desktop = Desktop::start().await;
    let tray = desktop.tray().await;
    let mut app = desktop.app(Setup::fake(&json!({}))).env("PORT", "seventy").arg("--hidden").spawn();
    tray.wait_for_icon("broken").await;
    let menu = tray.wait_for_menu("the reason", |menu| menu.find("Not running").is_some()).await;
    assert!(menu.labels()[1].contains("PORT"), "{menu}");
    tray.click("Quit").await;
    assert!(app.exit().await.success(), "{}", app.log_text());
    desktop.end().await;
}
