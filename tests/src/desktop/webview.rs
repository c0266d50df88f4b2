//! The application's window, driven by WebKitWebDriver as a person would use it.

use std::net::TcpListener;
use std::ops::Deref;

use reqwest::Method;
use serde_json::json;

use super::{Desktop, Tray};
use crate::harness::{Proxy, Setup, app_path};
use crate::patience::until;
use crate::sse;
use crate::webdriver::WebDriver;

/// The tray application with its window open, both under WebDriver; [`Webview::close`] it at the end.
#[derive(Debug)]
pub struct Webview {
    /// The driver's process. What the application prints is in its log, and its proxy answers requests.
    pub app: Proxy,
    page: WebDriver,
}

impl Webview {
    /// Starts the application over what `setup` says and chooses Open in the tray.
    pub async fn open(desktop: &Desktop, tray: &Tray, setup: Setup) -> Self {
        Self::begin(desktop, setup, &["--hidden"], tray.click("Open")).await
    }

    /// Starts the application over what `setup` says, which opens its window by itself.
    pub async fn opened(desktop: &Desktop, setup: Setup) -> Self {
        Self::begin(desktop, setup, &[], async {}).await
    }

    async fn begin(
        desktop: &Desktop,
        setup: Setup,
        arguments: &[&str],
        open: impl Future<Output = ()>,
    ) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a port is free").port();
        let setup = desktop.app(setup).program("WebKitWebDriver".into());
        let setup = setup.env("TAURI_WEBVIEW_AUTOMATION", "true").arg(&format!("--port={port}"));
        let driver = setup.spawn();
        let address = format!("http://127.0.0.1:{port}");
        let client = sse::client();
        until("WebKitWebDriver", async || {
            client.request(Method::GET, format!("{address}/status")).send().await.ok()
        })
        .await;
        let options = json!({"webkitgtk:browserOptions": {"binary": app_path(), "args": arguments}});
        let (page, ()) = tokio::join!(WebDriver::begin(&address, &options), open);
        Self { app: driver.listening().await, page }
    }

    /// Ends the application and the driver.
    pub async fn close(self) {
        let Self { mut app, page } = self;
        page.end().await;
        app.kill().await;
    }
}

impl Deref for Webview {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        &self.page
    }
}
