//! *Remove my data*, from the start to the end.

use std::fs;

use e2e::desktop::{Desktop, Webview};
use e2e::harness::Setup;
use e2e::patience::until;
use serde_json::json;

#[tokio::test]
async fn all_data_is_removed_and_the_application_ends() {
    let mut desktop = Desktop::start().await;
    desktop.session.start_keyring();
    let notifications = desktop.notifications().await;
    desktop.prefer(&json!({"notify": {"limits": false}}));
    fs::create_dir_all(desktop.autostart()).unwrap();
    let entry = desktop.autostart().join("io.github.codex-proxy.desktop");
    fs::write(&entry, "[Desktop Entry]\nType=Application\nName=Codex Proxy\nExec=true\n").unwrap();
    let setup = Setup::fake(&json!({})).env("PROXY_API_KEY", "").env("PROXY_KEYCHAIN", "auto");
    let window = Webview::opened(&desktop, setup).await;
    window.wait_for_text("Ready").await;
    assert_eq!(desktop.session.secrets().len(), 1, "the key is in the keyring");
    let data = window.app.data_dir().to_owned();
    assert!(desktop.session.dir().join("data/io.github.codex-proxy").exists(), "the web view has files");
    fs::write(data.join("letter.txt"), "mine").unwrap();

    window.run("location.hash = '/settings/about'; done(null)").await;
    window.wait_for_text("Remove my data").await;
    window.press("Remove my data…").await;
    window.wait_for_text("1 API key in the system's keychain").await;
    let text = window.text().await;
    assert!(text.contains("proxy.db") && text.contains("letter.txt"), "{text}");
    desktop.picture("remove-data");
    window.run_last("document.querySelector('dialog button.danger').click()").await;
    let notice = notifications.wait_for("the end", |notice| notice.summary == "Your data is removed").await;
    assert!(notice.body.contains("uninstall"), "{notice:?}");

    let left = |dir: &std::path::Path| -> Vec<_> {
        fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(left(&data), ["letter.txt"], "what is not the proxy's stays");
    assert_eq!(desktop.session.secrets(), [""; 0], "no key is left in the keyring");
    assert!(!entry.exists(), "it does not start at login any more");
    window.ended(&desktop).await;
    for dir in ["config/codex-proxy", "data/io.github.codex-proxy", "cache/io.github.codex-proxy"] {
        let is_gone = || !desktop.session.dir().join(dir).exists();
        until(&format!("the end of {dir}"), async || is_gone().then_some(())).await;
    }
    notifications.end().await;
    desktop.end().await;
}
