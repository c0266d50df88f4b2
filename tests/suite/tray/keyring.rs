//! Keys in the desktop's keyring, in a locked one, and in none.

use e2e::desktop::Desktop;
use e2e::harness::Setup;
use e2e::patience::until;
use e2e::secret_service::files_with;
use serde_json::json;

use super::{Stage, verify};

fn with_keychain() -> Setup {
    Setup::fake(&json!({})).env("PROXY_API_KEY", "").env("PROXY_KEYCHAIN", "auto")
}

async fn copied_key(stage: &Stage) -> String {
    stage.tray.click("Copy API key").await;
    until("a key on the clipboard", async || stage.desktop.screen.clipboard_text().await).await
}

#[tokio::test]
async fn a_key_is_copied_from_the_keyring() {
    let mut desktop = Desktop::start().await;
    desktop.session.start_keyring();
    let stage = Stage::on(desktop, with_keychain()).await;
    let key = copied_key(&stage).await;
    assert_eq!((stage.desktop.session.secrets(), verify(&stage.app, &key).await), (vec![key.clone()], 200));
    assert_eq!(files_with(stage.app.data_dir(), &key), [""; 0]);
    assert_eq!(files_with(stage.desktop.session.dir(), &key), [""; 0]);
    stage.quit().await;
}

#[tokio::test]
async fn without_a_keyring_the_key_comes_from_the_file() {
    let stage = Stage::with(with_keychain()).await;
    let key = copied_key(&stage).await;
    assert_eq!((files_with(stage.app.data_dir(), &key).len(), verify(&stage.app, &key).await), (1, 200));
    stage.quit().await;
}

#[tokio::test]
async fn a_keyring_that_is_locked_at_the_start_is_left_alone() {
    let mut desktop = Desktop::start().await;
    desktop.session.start_keyring();
    desktop.session.lock();
    let prompter = desktop.session.prompter();
    let stage = Stage::on(desktop, with_keychain()).await;
    stage.ready().await;
    let key = copied_key(&stage).await;
    assert_eq!(verify(&stage.app, &key).await, 200);
    assert_eq!(prompter.asked(), [""; 0]);
    stage.quit().await;
}

#[tokio::test]
async fn copying_from_a_locked_keyring_asks_for_its_password_and_holds_up_nothing() {
    let mut desktop = Desktop::start().await;
    desktop.session.start_keyring();
    let stage = Stage::on(desktop, with_keychain()).await;
    let key = copied_key(&stage).await;
    stage.desktop.screen.copy("nothing").await;
    stage.desktop.session.lock();
    let prompter = stage.desktop.session.prompter();
    stage.tray.click("Copy API key").await;
    until("a prompt", async || (!prompter.asked().is_empty()).then_some(())).await;
    assert_eq!(stage.desktop.screen.clipboard_text().await.as_deref(), Some("nothing"));
    assert_eq!(verify(&stage.app, &key).await, 200);
    stage.ready().await;
    // The prompt is still open, but the application ends.
    stage.quit().await;
}

#[tokio::test]
async fn copying_without_anybody_to_ask_is_refused_in_words() {
    let mut desktop = Desktop::start().await;
    desktop.session.start_keyring();
    let stage = Stage::on(desktop, with_keychain()).await;
    stage.ready().await;
    stage.desktop.session.lock();
    stage.tray.click("Copy API key").await;
    let told = stage.notifications.wait_for("of it", |one| one.summary == "Nothing was copied").await;
    assert!(told.body.contains("locked"), "{told:?}");
    assert_eq!(stage.desktop.screen.clipboard_text().await, None);
    stage.quit().await;
}
