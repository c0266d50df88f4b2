//! Every line of the menu.

use std::fs;
use std::process::Command;

use e2e::desktop::{Desktop, MenuItem};
use e2e::harness::{Setup, app_path};
use e2e::patience::until;
use e2e::processes::gone;
use serde_json::json;

use super::{Stage, two_at_once, verify};
use crate::surface::Surface;

/// The clipboard type that tells other programs not to store the content.
const SECRET: &str = "x-kde-passwordManagerHint";

fn with_own_key() -> Setup {
    Setup::fake(&json!({})).env("PROXY_API_KEY", "")
}

#[tokio::test]
async fn a_ready_proxy_shows_its_address_and_what_can_be_done() {
    let stage = Stage::set(&json!({})).await;
    stage.ready().await;
    let menu = stage.tray.menu().await;
    let ready = format!("Ready at {}", stage.app.base_url);
    let labels = [
        ready.as_str(),
        "No sign-in needed",
        "Open",
        "Set up a client…",
        "Copy API key",
        "Copy base URL",
        "Restart workers",
        "Pause",
        "Notifications",
        "Start at login",
        "Quit",
    ];
    assert_eq!(menu.labels(), labels, "{menu}");
    let off: Vec<&str> = menu
        .children
        .iter()
        .filter(|item| !item.enabled && !item.separator)
        .map(|item| &*item.label)
        .collect();
    assert_eq!(off, labels[..2], "{menu}");
    assert_eq!(stage.desktop.screen.windows().await, [], "no window comes by itself");
    stage.quit().await;
}

#[tokio::test]
async fn the_menu_is_in_the_language_of_the_system() {
    let stage = Stage::with(Setup::fake(&json!({})).env("LANG", "de_DE.UTF-8")).await;
    let ready = format!("Bereit unter {}", stage.app.base_url);
    let menu = stage.tray.wait_for_menu(&ready, |menu| menu.labels().first() == Some(&ready.as_str())).await;
    let labels = [
        ready.as_str(),
        "Keine Anmeldung nötig",
        "Öffnen",
        "Programm einrichten …",
        "API-Schlüssel kopieren",
        "Basis-URL kopieren",
        "Worker neu starten",
        "Anhalten",
        "Mitteilungen",
        "Beim Anmelden starten",
        "Beenden",
    ];
    assert_eq!(menu.labels(), labels, "{menu}");
    stage.tray.click("Basis-URL kopieren").await;
    stage.notifications.wait_for("of the copy", |one| one.summary == "Basis-URL kopiert").await;
    stage.tray.click("Beenden").await;
    stage.ended().await;
}

#[tokio::test]
async fn requests_are_seen_while_they_are_answered() {
    let stage = Stage::set(&two_at_once()).await;
    stage.ready().await;
    let first = Surface::Chat.ask("one");
    let one = Surface::Chat.answer(&stage.app, &first);
    let busy = async {
        let line = format!("Working on 1 request at {}", stage.app.base_url);
        stage.tray.wait_for_menu(&line, |menu| menu.labels()[0] == line).await;
        stage.tray.wait_for_icon("busy").await;
        // Who asks, and which model.
        stage.tray.wait_for_menu("what runs", |menu| menu.labels()[1].contains(" · ")).await;
        Surface::Responses.answer(&stage.app, &Surface::Responses.ask("two")).await
    };
    let (one, two) = tokio::join!(one, busy);
    assert_eq!((Surface::Chat.text(&one), Surface::Responses.text(&two)), ("Hello".into(), "Hello".into()));
    stage.ready().await;
    stage.quit().await;
}

#[tokio::test]
async fn a_copied_key_is_marked_as_secret_works_and_is_in_no_log() {
    let stage = Stage::with(with_own_key().env("PROXY_LOG", "trace")).await;
    stage.tray.click("Copy API key").await;
    let screen = &stage.desktop.screen;
    let key = until("a key on the clipboard", async || screen.clipboard_text().await).await;
    assert!(screen.clipboard_types().await.contains(&SECRET.to_owned()));
    assert_eq!(verify(&stage.app, &key).await, 200);
    assert_eq!(verify(&stage.app, &format!("{key}x")).await, 401);
    assert!(!stage.app.log_text().contains(&key), "the key is in the log");
    let told = stage.notifications.wait_for("of the copy", |one| one.summary == "API key copied").await;
    assert_eq!(told.body, "In 60 seconds it is removed from the clipboard.");
    assert!(stage.notifications.all().iter().all(|one| !format!("{one:?}").contains(&key)));

    stage.tray.click("Copy base URL").await;
    let url = stage.app.base_url.clone();
    until("the address on the clipboard", async || (screen.clipboard_text().await? == url).then_some(()))
        .await;
    assert!(!screen.clipboard_types().await.contains(&SECRET.to_owned()), "an address is no secret");
    let told =
        stage.notifications.wait_for("of the other copy", |one| one.summary == "Base URL copied").await;
    assert_eq!(told.body, url);
    stage.quit().await;
}

#[tokio::test]
async fn a_key_is_taken_back_from_the_clipboard_and_nothing_else_is() {
    let stage = async || {
        let desktop = Desktop::start().await;
        desktop.prefer(&json!({"clipboard_seconds": 10}));
        Stage::on(desktop, with_own_key()).await
    };
    let (replaced, kept) = tokio::join!(stage(), stage());
    // What is copied last is cleared last.
    for stage in [&replaced, &kept] {
        stage.tray.click("Copy API key").await;
        until("a key on the clipboard", async || stage.desktop.screen.clipboard_text().await).await;
    }
    replaced.desktop.screen.copy("somebody else's").await;
    until("an empty clipboard", async || {
        kept.desktop.screen.clipboard_text().await.is_none_or(|text| text.is_empty()).then_some(())
    })
    .await;
    kept.quit().await;
    assert_eq!(replaced.desktop.screen.clipboard_text().await.as_deref(), Some("somebody else's"));
    replaced.quit().await;
}

#[tokio::test]
async fn workers_are_restarted() {
    let stage = Stage::set(&json!({})).await;
    stage.ready().await;
    let old = stage.worker().await.unwrap();
    stage.tray.click("Restart workers").await;
    let new = until("another worker", async || stage.worker().await.filter(|pid| *pid != old)).await;
    gone(old).await;
    stage.ready().await;
    assert_eq!(stage.worker().await, Some(new));
    stage.quit().await;
}

#[tokio::test]
async fn starting_at_login_is_switched_on_and_off() {
    let stage = Stage::set(&json!({})).await;
    let is_on = |menu: &MenuItem| menu.find("Start at login").and_then(|item| item.checked);
    stage.tray.wait_for_menu("starting at login off", |menu| is_on(menu) == Some(false)).await;
    let folder = stage.desktop.autostart();
    assert!(!folder.exists(), "nobody has asked for it");
    stage.tray.click("Start at login").await;
    stage.tray.wait_for_menu("starting at login on", |menu| is_on(menu) == Some(true)).await;
    // The menu's mark turns over with the click, a moment before the file is written.
    let (entry, text) = until("the entry", async || {
        let mut entries = fs::read_dir(&folder).ok()?.map(|entry| entry.unwrap().path());
        let (entry, None) = (entries.next()?, entries.next()) else { panic!("more than one entry") };
        let text = fs::read_to_string(&entry).ok()?;
        text.contains("Exec=").then_some((entry, text))
    })
    .await;
    let entry = &entry;
    let command = text.lines().find_map(|line| line.strip_prefix("Exec=")).unwrap();
    assert_eq!(command.replace('"', ""), format!("{} --hidden", app_path().display()), "{text}");
    assert!(text.contains("Name=Codex Proxy"), "{text}");
    let check = Command::new("desktop-file-validate").arg(entry).output().unwrap();
    assert!(check.status.success(), "{}\n{text}", String::from_utf8_lossy(&check.stdout));

    stage.tray.click("Start at login").await;
    stage.tray.wait_for_menu("starting at login off", |menu| is_on(menu) == Some(false)).await;
    assert!(!entry.exists());
    stage.quit().await;
}

#[tokio::test]
async fn what_is_notified_is_chosen_and_kept() {
    const BROKEN: &str = "When something is broken";
    let on = |menu: &MenuItem| menu.find(BROKEN).and_then(|item| item.checked);
    let missing = || Setup::over("/nowhere/codex".into()).unready();
    let desktop = Desktop::start().await;
    let (tray, notifications) = (desktop.tray().await, desktop.notifications().await);
    let mut app = desktop.app(missing()).arg("--hidden").start().await;
    notifications.wait_for("of a missing Codex", |one| one.summary.contains("Codex")).await;
    let menu = tray.wait_for_menu("notifications", |menu| menu.find("Notifications").is_some()).await;
    assert_eq!(on(&menu), Some(true), "{menu}");
    tray.click(BROKEN).await;
    tray.wait_for_menu("none of what is broken", |menu| on(menu) == Some(false)).await;
    tray.click("Quit").await;
    assert!(app.exit().await.success());
    tray.empty().await;

    let seen = notifications.all().len();
    let mut app = desktop.app(missing()).arg("--hidden").start().await;
    let menu = tray.wait_for_menu("the trouble", |menu| menu.starting("Not working").is_some()).await;
    assert_eq!(on(&menu), Some(false), "{menu}");
    tray.click("Quit").await;
    assert!(app.exit().await.success());
    assert_eq!(notifications.all().len(), seen, "{:#?}", notifications.all());
    desktop.end().await;
}

#[tokio::test]
async fn open_shows_the_window_and_set_up_its_guides() {
    let stage = Stage::set(&json!({})).await;
    let screen = &stage.desktop.screen;
    for line in ["Open", "Set up a client…"] {
        stage.tray.click(line).await;
        let window = screen.window("Codex Proxy").await;
        stage.tray.click(line).await;
        screen.focus(&window).await;
        assert_eq!(screen.windows().await, std::slice::from_ref(&window), "one window is enough");
        screen.close(&window);
        screen.no_window().await;
    }
    stage.ready().await;
    stage.quit().await;
}
