//! The application's window, which WebKitWebDriver controls like a user.

use std::env;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::json;

use super::{Desktop, Tray};
use crate::harness::{Proxy, Setup, app_path};
use crate::patience::until;
use crate::root::Root;
use crate::sse;
use crate::webdriver::WebDriver;

/// The tray application with its window open, both under WebDriver; [`Webview::quit`] at the end.
#[derive(Debug)]
pub struct Webview {
    /// The driver's process. Its log contains the application's output. The application's proxy answers requests.
    pub app: Proxy,
    page: WebDriver,
    place: Place,
}

/// The paths of the application and the driver.
#[derive(Debug)]
struct Place {
    /// The command that starts the driver, with its first arguments.
    driver: (PathBuf, Vec<String>),
    /// The application, as the driver finds it.
    app: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self { driver: (on_path("WebKitWebDriver"), Vec::new()), app: app_path() }
    }
}

impl Webview {
    /// Starts the application with the environment of `setup` and chooses Open in the tray.
    pub async fn open(desktop: &Desktop, tray: &Tray, setup: Setup) -> Self {
        Self::begin(desktop, setup, Place::default(), &["--hidden"], tray.click("Open"))
            .await
            .listening()
            .await
    }

    /// Starts the application with the environment of `setup`. It opens its window by itself.
    pub async fn opened(desktop: &Desktop, setup: Setup) -> Self {
        Self::begin(desktop, setup, Place::default(), &[], async {}).await.listening().await
    }

    /// The same, but the proxy does not start yet; [`Self::listening`] waits for it.
    pub async fn opened_without_a_proxy(desktop: &Desktop, setup: Setup) -> Self {
        Self::begin(desktop, setup, Place::default(), &[], async {}).await
    }

    /// Starts the application that is installed in `root`, which opens its window by itself.
    pub async fn opened_in(root: &Root, desktop: &Desktop, setup: Setup) -> Self {
        let driver = (root.entry(), vec!["/usr/bin/WebKitWebDriver".to_owned()]);
        let place = Place { driver, app: PathBuf::from("/usr/bin/codex-proxy-app") };
        Self::begin(desktop, setup, place, &[], async {}).await.listening().await
    }

    /// Waits until the proxy listens.
    pub async fn listening(self) -> Self {
        Self { app: self.app.listening().await, ..self }
    }

    /// Waits until the application, which was asked to quit, has ended. Then ends the driver.
    pub async fn ended(self, desktop: &Desktop) {
        let Self { mut app, page: _, place } = self;
        let name = place.app.display().to_string();
        let is_gone = || !desktop.running().iter().any(|line| line.starts_with(&name));
        until("the end of the application", async || is_gone().then_some(())).await;
        app.kill().await;
    }

    async fn begin(
        desktop: &Desktop,
        setup: Setup,
        place: Place,
        arguments: &[&str],
        open: impl Future<Output = ()>,
    ) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("a port is free").port();
        let (driver, first) = &place.driver;
        let setup =
            first.iter().fold(desktop.app(setup).program(driver.clone()), |setup, one| setup.arg(one));
        let setup = setup.env("TAURI_WEBVIEW_AUTOMATION", "true").arg(&format!("--port={port}"));
        let driver = setup.spawn();
        let address = format!("http://127.0.0.1:{port}");
        let client = sse::client();
        until("WebKitWebDriver", async || {
            client.request(Method::GET, format!("{address}/status")).send().await.ok()
        })
        .await;
        let options = json!({"webkitgtk:browserOptions": {"binary": place.app, "args": arguments}});
        let (page, ()) = tokio::join!(WebDriver::begin(&address, &options), open);
        Self { app: driver, page, place }
    }

    /// Chooses Quit in the tray, waits for the end of the application, and ends the driver.
    pub async fn quit(self, tray: &Tray) {
        let Self { mut app, page: _, place: _ } = self;
        tray.click("Quit").await;
        tray.empty().await;
        app.kill().await;
    }
}

impl Deref for Webview {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        &self.page
    }
}

fn on_path(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is missing: run `cargo xtask setup`"))
}
