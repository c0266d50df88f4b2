//! The start and the end of the application.

use std::net::TcpListener;

use e2e::desktop::Desktop;
use e2e::harness::{Setup, app_path, proxy_path};
use e2e::patience::until;
use e2e::processes::{gone, is_gone, signal};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Stage, two_at_once};
use crate::surface::Surface;

#[tokio::test]
async fn sigterm_ends_it_with_all_that_it_started() {
    let stage = Stage::set(&json!({})).await;
    stage.tray.click("Open").await;
    stage.desktop.screen.window("Codex Proxy").await;
    let worker = stage.worker().await.unwrap();
    signal(stage.app.pid().unwrap().as_raw_nonzero().get().unsigned_abs(), Signal::TERM);
    stage.ended().await;
    assert!(is_gone(worker));
}

#[tokio::test]
async fn a_killed_application_leaves_no_worker() {
    let Stage { mut app, tray, desktop, .. } = Stage::set(&json!({})).await;
    let status = app.control_ok("/status", None).await;
    app.kill().await;
    gone(status["workers"][0]["pid"].as_u64().unwrap()).await;
    tray.empty().await;
    desktop.end().await;
}

#[tokio::test]
async fn quit_waits_for_the_last_answers() {
    let stage = Stage::set(&two_at_once()).await;
    stage.ready().await;
    let first = Surface::Chat.ask("one");
    let one = Surface::Chat.answer(&stage.app, &first);
    let quit = async {
        stage.tray.wait_for_icon("busy").await;
        // The other one is on its way before the end begins, so that both are answered.
        let second = Surface::Chat.ask("two");
        let two = Surface::Chat.answer(&stage.app, &second);
        let (two, ()) = tokio::join!(two, stage.tray.click("Quit"));
        two
    };
    let (one, two) = tokio::join!(one, quit);
    assert_eq!([Surface::Chat.text(&one), Surface::Chat.text(&two)], ["Hello", "Hello"]);
    stage.ended().await;
}

#[tokio::test]
async fn quit_again_does_not_wait() {
    let stage = Stage::set(&json!({"scenarios": {"default": [{"step": "hang"}]}})).await;
    stage.ready().await;
    let request = stage.app.post("/responses", &Surface::Responses.ask("hi")).send();
    let quit = async {
        stage.tray.wait_for_icon("busy").await;
        stage.tray.click("Quit").await;
        let line = "Finishing the last requests…";
        stage.tray.wait_for_menu(line, |menu| menu.labels()[0] == line).await;
        stage.tray.click("Quit").await;
    };
    // The result of the request does not matter.
    let (_, ()) = tokio::join!(request, quit);
    stage.ended().await;
}

#[tokio::test]
async fn a_second_one_shows_the_window_of_the_first_and_ends() {
    let stage = Stage::set(&json!({})).await;
    let again = async |arguments: &[&str]| stage.app.beside(&app_path(), arguments).output().await.unwrap();
    let hidden = again(&["--hidden"]).await;
    assert!(hidden.status.success(), "{hidden:?}");
    assert_eq!(stage.desktop.screen.windows().await, []);
    let shown = again(&[]).await;
    assert!(shown.status.success(), "{shown:?}");
    stage.desktop.screen.window("Codex Proxy").await;
    assert_eq!(stage.tray.len(), 1);
    stage.ready().await;
    stage.quit().await;
}

#[tokio::test]
async fn it_quits_when_it_is_asked_by_the_command_line_or_by_a_second_one() {
    for (program, argument) in [(proxy_path(), "quit"), (app_path(), "--quit")] {
        let stage = Stage::set(&json!({})).await;
        stage.ready().await;
        let asked = stage.app.beside(&program, &[argument]).output().await.unwrap();
        assert!(asked.status.success(), "{asked:?}");
        stage.ended().await;
    }
}

#[tokio::test]
async fn one_whose_proxy_does_not_run_quits_too_and_none_is_started_for_that() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let desktop = Desktop::start().await;
    let tray = desktop.tray().await;
    let setup = desktop.app(Setup::fake(&json!({}))).env("PORT", &port);
    let mut app = setup.arg("--hidden").spawn();
    tray.wait_for_icon("broken").await;
    for _ in 0..2 {
        let asked = app.beside(&app_path(), &["--quit"]).output().await.unwrap();
        assert!(asked.status.success(), "{asked:?}");
        assert!(app.exit().await.success(), "{}", app.log_text());
    }
    tray.empty().await;
    desktop.end().await;
}

#[tokio::test]
async fn a_tray_that_comes_late_gets_the_icon_and_so_does_the_next_one() {
    let desktop = Desktop::start().await;
    let mut app = desktop.app(Setup::fake(&json!({}))).arg("--hidden").start().await;
    for _ in 0..2 {
        let tray = desktop.tray().await;
        let line = format!("Ready at {}", app.base_url);
        tray.wait_for_menu(&line, |menu| menu.labels()[0] == line).await;
        tray.end().await;
    }
    let tray = desktop.tray().await;
    tray.click("Quit").await;
    assert!(app.exit().await.success(), "{}", app.log_text());
    desktop.end().await;
}

#[tokio::test]
async fn without_a_tray_it_serves_and_can_be_opened() {
    let desktop = Desktop::start().await;
    let app = desktop.app(Setup::fake(&json!({}))).arg("--hidden").start().await;
    let answer = Surface::Chat.answer(&app, &Surface::Chat.ask("hi")).await;
    assert!(!Surface::Chat.text(&answer).is_empty());
    assert_eq!(desktop.screen.windows().await, [], "it was asked to stay hidden");
    let second = app.beside(&app_path(), &[]).output().await.unwrap();
    assert!(second.status.success(), "{second:?}");
    desktop.screen.window("Codex Proxy").await;
    app.stop().await;
    desktop.end().await;
}

#[tokio::test]
async fn without_a_bus_it_serves() {
    let desktop = Desktop::start().await;
    let nowhere = format!("unix:path={}/none", desktop.home().display());
    let setup = desktop.app(Setup::fake(&json!({}))).env("DBUS_SESSION_BUS_ADDRESS", &nowhere);
    let app = setup.arg("--hidden").start().await;
    let answer = Surface::Chat.answer(&app, &Surface::Chat.ask("hi")).await;
    assert!(!Surface::Chat.text(&answer).is_empty());
    let log = app.stop().await;
    assert!(!log.contains("panicked"), "{log}");
    desktop.end().await;
}

#[tokio::test]
async fn without_a_display_it_serves_and_says_so() {
    let desktop = Desktop::start().await;
    for display in ["", ":65535"] {
        let app = desktop.app(Setup::fake(&json!({}))).env("DISPLAY", display).start().await;
        let answer = Surface::Chat.answer(&app, &Surface::Chat.ask("hi")).await;
        assert!(!Surface::Chat.text(&answer).is_empty());
        let log = app.stop().await;
        assert!(log.contains("there is no display") && log.contains("codex-proxy"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
    desktop.end().await;
}

#[tokio::test]
async fn one_proxy_is_enough_for_a_data_directory() {
    let setup = Setup::fake(&json!({}));
    let headless = Setup::fake(&json!({})).program(proxy_path()).start().await;
    let data = headless.data_dir().display().to_string();
    let desktop = Desktop::start().await;
    let (tray, notifications) = (desktop.tray().await, desktop.notifications().await);
    let mut app = desktop.app(setup).env("PROXY_DATA_DIR", &data).arg("--hidden").spawn();
    let menu = tray.wait_for_menu("the reason", |menu| menu.find("Not running").is_some()).await;
    assert!(menu.find("Try again").is_some_and(|item| item.enabled), "{menu}");
    assert!(menu.labels()[1].contains("Another Codex Proxy"), "{menu}");
    tray.wait_for_icon("broken").await;
    let told = notifications.wait_for("of it", |one| one.summary.contains("not running")).await;
    assert!(told.body.contains("nother Codex Proxy"), "{told:?}");
    headless.stop().await;
    assert_eq!(told.actions, ["try_again", "Try again"]);
    until("another try", async || {
        notifications.press(&told, "try_again").await;
        tray.menu().await.find("Not running").is_none().then_some(())
    })
    .await;
    tray.wait_for_menu("a proxy", |menu| menu.starting("Ready at").is_some()).await;
    tray.wait_for_icon("ready").await;
    tray.click("Quit").await;
    assert!(app.exit().await.success());
    assert_eq!(notifications.all().len(), 1, "{:#?}", notifications.all());
    desktop.end().await;
}

#[tokio::test]
async fn the_command_line_reaches_its_proxy() {
    let stage = Stage::set(&json!({})).await;
    stage.ready().await;
    let output = stage.app.beside(&proxy_path(), &["status", "--json"]).output().await.unwrap();
    let status: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!((output.status.code(), &status["address"]), (Some(0), &json!(stage.app.base_url)), "{status}");
    stage.quit().await;
}

#[tokio::test]
async fn a_second_start_of_the_headless_proxy_is_refused() {
    let stage = Stage::set(&json!({})).await;
    let output = stage.app.beside(&proxy_path(), &[]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("another Codex Proxy"), "{said}");
    until("an application that still serves", async || stage.worker().await).await;
    stage.quit().await;
}
