//! The tray application. Each test has its own desktop.

mod keyring;
mod life;
mod menu;
mod sign_in;
mod trouble;

use e2e::desktop::{Desktop, Notifications, Tray};
use e2e::harness::{Proxy, Setup};
use http::Method;
use serde_json::{Value, json};

/// The application, and the desktop it is on.
pub(crate) struct Stage {
    pub(crate) app: Proxy,
    pub(crate) tray: Tray,
    pub(crate) notifications: Notifications,
    pub(crate) desktop: Desktop,
}

impl Stage {
    /// The application over a fake Codex with this scenario, ready, on a desktop that has everything.
    pub(crate) async fn set(scenario: &Value) -> Self {
        Self::with(Setup::fake(scenario)).await
    }

    /// The same, with the environment of `setup`.
    pub(crate) async fn with(setup: Setup) -> Self {
        let desktop = Desktop::start().await;
        Self::on(desktop, setup).await
    }

    /// The same on this desktop.
    pub(crate) async fn on(desktop: Desktop, setup: Setup) -> Self {
        let (tray, notifications) = (desktop.tray().await, desktop.notifications().await);
        let app = desktop.app(setup).arg("--hidden").start().await;
        tray.item().await;
        Self { app, tray, notifications, desktop }
    }

    /// Chooses Quit, and asserts that nothing is left behind and nothing secret was logged or notified.
    pub(crate) async fn quit(self) {
        self.tray.click("Quit").await;
        self.ended().await;
    }

    /// The same after something else has ended the application.
    pub(crate) async fn ended(mut self) {
        let status = self.app.exit().await;
        assert!(status.success(), "the application ended with {status}\n{}", self.app.log_text());
        self.tray.empty().await;
        for notification in self.notifications.all() {
            assert!(!format!("{notification:?}").contains("sk-"), "{notification:?}");
        }
        assert!(!self.app.log_text().contains("panicked"), "{}", self.app.log_text());
        self.desktop.end().await;
    }

    /// Waits until the menu and the icon show that the proxy is ready.
    pub(crate) async fn ready(&self) {
        let line = format!("Ready at {}", self.app.base_url);
        self.tray.wait_for_menu(&line, |menu| menu.labels().first() == Some(&line.as_str())).await;
        self.tray.wait_for_icon("ready").await;
    }

    /// The process of the first worker.
    pub(crate) async fn worker(&self) -> Option<u64> {
        let status = self.app.control_ok("/status", None).await;
        status["workers"][0]["pid"].as_u64()
    }
}

/// The script of a fake Codex that answers only after two requests have arrived.
pub(crate) fn two_at_once() -> Value {
    json!({"scenarios": {"default": [{"step": "barrier", "turns": 2}, {"step": "text", "deltas": ["Hello"]}]}})
}

/// The status that a client with this key gets.
pub(crate) async fn verify(app: &Proxy, key: &str) -> u16 {
    let request = app.bare(Method::GET, &app.root_url("/verify")).bearer_auth(key);
    request.send().await.unwrap().status().as_u16()
}

/// Does the same as a browser in which the user agrees on the opened page.
pub(crate) async fn follow(app: &Proxy, page: &str) {
    let mut next = page.to_owned();
    loop {
        let answer = app.bare(Method::GET, &next).send().await.unwrap();
        match answer.headers().get("location") {
            Some(to) => next = answer.url().join(to.to_str().unwrap()).unwrap().to_string(),
            None => break assert!(answer.status().is_success(), "{next}: {}", answer.status()),
        }
    }
}
