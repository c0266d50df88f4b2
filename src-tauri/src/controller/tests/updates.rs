//! Tests of updates, including those that were undone.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;
use crate::trial;

fn newer(version: &str) -> Newer {
    Newer { version: version.into(), notes: Some("### Added".into()) }
}

async fn update_in_window(bench: &Bench) -> serde_json::Value {
    let (reply, answer) = oneshot::channel();
    bench.send(Event::StateAsked(reply)).await;
    serde_json::to_value(answer.await.unwrap()).unwrap()["update"].clone()
}

#[tokio::test]
async fn an_open_window_shows_what_is_new_and_gets_no_notice_as_well() {
    let mut bench = Bench::run(&Made { has_updates: true, hidden: true, ..Made::default() });
    bench.expect(Did::CheckedForUpdates).await;
    bench.send(Event::UpdatesChecked(Ok(None))).await;
    bench.send(Event::WindowOpened).await;
    assert_eq!(update_in_window(&bench).await["phase"], "none");
    bench.click(Action::CheckForUpdates).await;
    bench.expect(Did::Told("changed".into())).await;
    bench.send(Event::UpdatesChecked(Err("no route".into()))).await;
    assert_eq!(update_in_window(&bench).await["problem"], "No route.");
    bench.click(Action::CheckForUpdates).await;
    bench.send(Event::UpdatesChecked(Ok(Some(newer("2.0.0"))))).await;
    let update = update_in_window(&bench).await;
    let expected = json!({"phase": "ready", "version": "2.0.0", "notes": "### Added", "problem": null});
    assert_eq!(update, expected);
    let rest = bench.quit().await;
    let told = |did: &Did| matches!(did, Did::Notified(title, _) if title.contains("looked for"));
    assert!(!rest.iter().any(told), "{rest:?}");
}

#[tokio::test]
async fn updates_are_looked_for_told_of_once_and_installed_on_demand() {
    let mut bench = Bench::run(&Made { has_updates: true, hidden: true, ..Made::default() });
    bench.expect(Did::CheckedForUpdates).await;
    bench.send(Event::UpdatesChecked(Ok(Some(newer("2.0.0"))))).await;
    bench.expect(Did::Notified("Codex Proxy 2.0.0 is ready".into(), Notice::update("2.0.0").body)).await;

    bench.click(Action::CheckForUpdates).await;
    bench.expect(Did::CheckedForUpdates).await;
    bench.send(Event::UpdatesChecked(Err("no route".into()))).await;
    bench
        .expect(Did::Notified(
            "Updates cannot be looked for".into(),
            "No route. Choose Check for updates to try again.".into(),
        ))
        .await;

    bench.send(Event::UpdatesChecked(Ok(Some(newer("2.0.0"))))).await;
    bench.click(Action::InstallUpdate).await;
    let again = bench.find(|did| {
        if let Did::Notified(title, _) = did {
            Some(Some(title.clone()))
        } else {
            matches!(did, Did::Installed(_)).then_some(None)
        }
    });
    assert_eq!(again.await, None, "an update is told of once");
    bench.send(Event::UpdateInstalled(Err("not signed".into()))).await;
    bench
        .expect(Did::Notified(
            "The update cannot be installed".into(),
            "Not signed. This version goes on; choose Check for updates to try again.".into(),
        ))
        .await;
    bench.send(Event::UpdateInstalled(Ok(Ending::Restart))).await;
    bench.expect(Did::Exited(Ending::Restart)).await;
}

/// Creates the state that the previous version finds after it was restored.
fn taken_back(dir: &Path, version: &str) -> PathBuf {
    let folder = trial::folder(&dir.join("data"));
    std::fs::create_dir_all(&folder).unwrap();
    let back = json!({
        "from": env!("CARGO_PKG_VERSION"), "to": version, "package": "file", "program": "/opt/app", "arguments": [],
        "served": true, "installer": null, "reason": "it ended before it served",
    });
    std::fs::write(folder.join("back.json"), back.to_string()).unwrap();
    folder
}

#[tokio::test]
async fn an_update_that_was_taken_back_is_told_of_once_and_offered_to_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let folder = taken_back(dir.path(), "2.0.0");
    let mut bench = Bench::run_in(dir, &Made { has_updates: true, hidden: true, ..Made::default() });
    let this = env!("CARGO_PKG_VERSION");
    assert_eq!(bench.notice().await.0, format!("Version 2.0.0 did not start, so {this} is back"));
    bench.expect(Did::CheckedForUpdates).await;
    bench.send(Event::UpdatesChecked(Ok(Some(newer("2.0.0"))))).await;
    let line = "Version 2.0.0 did not start".to_owned();
    let shown = bench.find(|did| {
        if let Did::Notified(title, _) = did {
            return Some(title.clone());
        }
        matches!(did, Did::Tray(_, menu) if menu.contains(&line)).then(|| line.clone())
    });
    assert_eq!(shown.await, line, "it is not offered");
    bench.started().await;
    bench.click(Action::CheckForUpdates).await;
    bench.expect(Did::CheckedForUpdates).await;
    assert!(!folder.exists(), "a good start clears it away");
    bench.send(Event::UpdatesChecked(Ok(Some(newer("2.0.0"))))).await;
    bench.expect(Did::Notified("Codex Proxy 2.0.0 is ready".into(), Notice::update("2.0.0").body)).await;
    bench.send(Event::UpdatesChecked(Ok(Some(newer("2.0.1"))))).await;
    bench.expect(Did::Notified("Codex Proxy 2.0.1 is ready".into(), Notice::update("2.0.1").body)).await;
}

#[tokio::test]
async fn the_package_of_an_update_does_not_end_the_application_before_it_is_installed() {
    let mut bench = Bench::run(&Made { has_updates: true, hidden: true, ..Made::default() });
    bench.started().await;
    bench.send(Event::UpdatesChecked(Ok(Some(newer("2.0.0"))))).await;
    bench.click(Action::InstallUpdate).await;
    bench.expect(Did::Installed(true)).await;
    bench.send(Event::RestartAsked).await;
    bench.send(Event::UpdateInstalled(Ok(Ending::Update))).await;
    bench.expect(Did::Exited(Ending::Update)).await;
}
