//! A headless Chromium that ChromeDriver controls like a user.

use std::ops::Deref;
use std::process::Stdio;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::webdriver::WebDriver;

/// A browser with one window; [`Browser::close`] it at the end.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    page: WebDriver,
    _profile: TempDir,
}

impl Browser {
    /// Opens a browser with an empty profile.
    pub async fn open() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}: run `cargo xtask setup`"));
        let mut lines = BufReader::new(driver.stdout.take().expect("stdout is piped")).lines();
        let port = loop {
            let line = lines.next_line().await.expect("chromedriver prints text").expect("it says its port");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // Its later output is not read. A full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let data = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &data,
        ];
        let options = json!({"browserName": "chrome", "goog:chromeOptions": {"args": arguments}});
        let page = WebDriver::begin(&format!("http://127.0.0.1:{port}"), &options).await;
        Self { driver, page, _profile: profile }
    }

    /// Every address in the window's history, oldest first.
    pub async fn history(&self) -> Vec<String> {
        let ask = json!({"cmd": "Page.getNavigationHistory", "params": {}});
        let history = self.page.call(Method::POST, "/goog/cdp/execute", Some(&ask)).await;
        let entries = history["entries"].as_array().unwrap_or_else(|| panic!("no history: {history}"));
        entries.iter().filter_map(|entry| entry["url"].as_str()).map(str::to_owned).collect()
    }

    /// Closes the browser.
    pub async fn close(self) {
        let Self { mut driver, page, _profile } = self;
        page.end().await;
        driver.kill().await.expect("the driver can be ended");
    }
}

impl Deref for Browser {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        &self.page
    }
}
