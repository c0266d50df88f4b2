//! A headless Chromium, driven by ChromeDriver as a person would use it.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::sse;

const PATIENCE: Duration = Duration::from_secs(60);

/// The name of an element's id in WebDriver.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; [`Browser::close`] it at the end.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
    client: Client,
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
        // What it says later is not read; a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let data = format!("--user-data-dir={}", profile.path().display());
        let client = sse::client();
        let base = format!("http://127.0.0.1:{port}/session");
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
        let options = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": arguments},
        }}});
        let browser = Self { driver, session: base, client, _profile: profile };
        let begun = browser.call(Method::POST, "", Some(&options)).await;
        let id = begun["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {begun}"));
        let session = format!("{}/{id}", browser.session);
        Self { session, ..browser }
    }

    /// Goes to an address and waits until the page there, or the one it leads to, has loaded.
    pub async fn go(&self, url: &str) {
        self.call(Method::POST, "/url", Some(&json!({"url": url}))).await;
    }

    /// The address of the page now.
    pub async fn url(&self) -> String {
        self.call(Method::GET, "/url", None).await.as_str().unwrap_or_default().to_owned()
    }

    /// The text of the page as a person sees it.
    pub async fn text(&self) -> String {
        let body = self.find("body").await;
        let text = self.call(Method::GET, &format!("/element/{body}/text"), None).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The page's source.
    pub async fn source(&self) -> String {
        self.call(Method::GET, "/source", None).await.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks the first element that the CSS selector finds.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.call(Method::POST, &format!("/element/{element}/click"), Some(&json!({}))).await;
    }

    /// Waits until the address of the page is as it should be.
    pub async fn wait_for_url(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let mut poll = tokio::time::interval(Duration::from_millis(50));
        let waiting = async {
            loop {
                poll.tick().await;
                let url = self.url().await;
                if condition(&url) {
                    return url;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(url) => url,
            Err(_) => {
                panic!("waited in vain for {what}; the page is {}: {}", self.url().await, self.text().await)
            }
        }
    }

    /// Every address in the window's history, oldest first.
    pub async fn history(&self) -> Vec<String> {
        let ask = json!({"cmd": "Page.getNavigationHistory", "params": {}});
        let history = self.call(Method::POST, "/goog/cdp/execute", Some(&ask)).await;
        let entries = history["entries"].as_array().unwrap_or_else(|| panic!("no history: {history}"));
        entries.iter().filter_map(|entry| entry["url"].as_str()).map(str::to_owned).collect()
    }

    /// Closes the browser.
    pub async fn close(mut self) {
        self.call(Method::DELETE, "", None).await;
        self.driver.kill().await.expect("the driver can be ended");
    }

    async fn find(&self, selector: &str) -> String {
        let ask = json!({"using": "css selector", "value": selector});
        let found = self.call(Method::POST, "/element", Some(&ask)).await;
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector}: {found}")).to_owned()
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let mut request = self.client.request(method, format!("{}{path}", self.session)).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let (status, answer) = sse::json(request).await;
        assert_eq!(status, 200, "WebDriver {path}: {answer}");
        answer["value"].clone()
    }
}
