//! Another program uses the port: the window says so and helps, and stays on the same page.

use e2e::desktop::{Desktop, Webview};
use e2e::harness::Setup;
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::test]
async fn another_port_is_taken_and_the_view_stays() {
    let other = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = other.local_addr().unwrap().port();
    let desktop = Desktop::start().await;
    let tray = desktop.tray().await;
    // In the file, as the environment's word would stand above what the window changes.
    let config = desktop.home().parent().unwrap().join("config").join("codex-proxy");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("config.toml"), format!("port = {port}\n")).unwrap();
    let setup = Setup::fake(&json!({})).env("PORT", "");
    let window = Webview::opened_without_a_proxy(&desktop, setup).await;
    tray.wait_for_icon("broken").await;
    window.wait_for_text(&port.to_string()).await;
    window.run("location.hash = '/keys'; done(null)").await;
    window.wait_for_text("Use another port").await;
    desktop.picture("port-taken");
    window.press("Try again").await;
    window.wait_for_text("Use another port").await;
    window.press("Use another port").await;
    let window = window.listening().await;
    assert!(window.app.port() > port, "{}", window.app.base_url);
    tray.wait_for_icon("ready").await;
    window.wait_for_text("PROXY_API_KEY").await;
    assert!(window.url().await.ends_with("#/keys"), "{}", window.url().await);
    let text = std::fs::read_to_string(config.join("config.toml")).unwrap();
    assert_eq!(text, format!("port = {}\n", window.app.port()));
    drop(other);
    window.quit(&tray).await;
    desktop.end().await;
}
