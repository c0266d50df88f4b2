//! A WebDriver client for any browser.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::patience::{PATIENCE, until};
use crate::sse;

/// The name of an element's id in WebDriver.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session with a browser; [`WebDriver::end`] it.
#[derive(Debug)]
pub struct WebDriver {
    session: String,
    client: Client,
}

impl WebDriver {
    /// Begins a session with the driver at `address`.
    pub async fn begin(address: &str, capabilities: &Value) -> Self {
        let unbegun = Self { session: format!("{address}/session"), client: sse::client() };
        let options = json!({"capabilities": {"alwaysMatch": capabilities}});
        let begun = unbegun.call(Method::POST, "", Some(&options)).await;
        let id = begun["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {begun}"));
        Self { session: format!("{}/{id}", unbegun.session), client: unbegun.client }
    }

    /// Opens an address and waits until the page, or the one that it redirects to, has loaded.
    pub async fn go(&self, url: &str) {
        self.call(Method::POST, "/url", Some(&json!({"url": url}))).await;
    }

    /// The address of the page now.
    pub async fn url(&self) -> String {
        self.call(Method::GET, "/url", None).await.as_str().unwrap_or_default().to_owned()
    }

    /// The title of the page.
    pub async fn title(&self) -> String {
        self.call(Method::GET, "/title", None).await.as_str().unwrap_or_default().to_owned()
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        self.text_of("body").await
    }

    /// The text of the first element that the CSS selector finds.
    pub async fn text_of(&self, selector: &str) -> String {
        let element = self.find(selector).await;
        let text = self.call(Method::GET, &format!("/element/{element}/text"), None).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The page's source.
    pub async fn source(&self) -> String {
        self.call(Method::GET, "/source", None).await.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks the first element that the CSS selector finds.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.click_element(&element).await;
    }

    /// Clicks the button or link with this name, once there is one.
    pub async fn press(&self, name: &str) {
        let path = format!("//*[self::button or self::a or self::summary][normalize-space() = {name:?}]");
        let ask = json!({"using": "xpath", "value": path});
        let element = until(&format!("a button {name:?}"), async || {
            let found = self.call(Method::POST, "/elements", Some(&ask)).await;
            found[0][ELEMENT].as_str().map(str::to_owned)
        })
        .await;
        self.click_element(&element).await;
    }

    /// Types into the first element that the CSS selector finds.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.call(Method::POST, &format!("/element/{element}/value"), Some(&json!({"text": text}))).await;
    }

    /// The value that an asynchronous function with this body, run in the page, passes to its argument `done`.
    pub async fn run(&self, body: &str) -> Value {
        let script = format!("const done = arguments[0]; {body}");
        self.call(Method::POST, "/execute/async", Some(&json!({"script": script, "args": []}))).await
    }

    /// Runs this in the page, and ignores the answer: the page is destroyed, so the driver may be unable to
    /// answer.
    pub async fn run_last(&self, body: &str) {
        let request = self.client.post(format!("{}/execute/sync", self.session)).timeout(PATIENCE);
        let script = json!({"script": body, "args": []}).to_string();
        drop(request.header("content-type", "application/json").body(script).send().await);
    }

    /// How many elements the CSS selector finds.
    pub async fn count(&self, selector: &str) -> usize {
        self.all(selector).await.len()
    }

    /// A picture of the page, as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let picture = self.call(Method::GET, "/screenshot", None).await;
        STANDARD.decode(picture.as_str().unwrap_or_default()).expect("WebDriver sends base64")
    }

    /// Makes the window this big.
    pub async fn resize(&self, width: u32, height: u32) {
        self.call(Method::POST, "/window/rect", Some(&json!({"width": width, "height": height}))).await;
    }

    /// Waits until the address of the page matches.
    pub async fn wait_for_url(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        until(&format!("{what} as the address of the page"), async || {
            let url = self.url().await;
            condition(&url).then_some(url)
        })
        .await
    }

    /// Waits until this text is visible on the page.
    pub async fn wait_for_text(&self, text: &str) -> String {
        until(&format!("{text:?} on the page"), async || {
            let seen = self.text().await;
            seen.contains(text).then_some(seen)
        })
        .await
    }

    /// Ends the session, and the browser with it.
    pub async fn end(self) {
        self.call(Method::DELETE, "", None).await;
    }

    async fn click_element(&self, element: &str) {
        // An element that is not drawn yet cannot be clicked.
        until("an element that is drawn", async || {
            let click = format!("/element/{element}/click");
            let (status, answer) = self.ask(Method::POST, &click, Some(&json!({}))).await;
            let is_drawn = answer["value"]["error"] != "element not interactable";
            assert!(status == 200 || !is_drawn, "WebDriver {click}: {answer}");
            is_drawn.then_some(())
        })
        .await;
    }

    /// Waits for the first element that the CSS selector finds.
    async fn find(&self, selector: &str) -> String {
        until(&format!("a {selector} on the page"), async || self.all(selector).await.into_iter().next())
            .await
    }

    async fn all(&self, selector: &str) -> Vec<String> {
        let ask = json!({"using": "css selector", "value": selector});
        let found = self.call(Method::POST, "/elements", Some(&ask)).await;
        let found = found.as_array().unwrap_or_else(|| panic!("no list of elements: {found}"));
        found.iter().filter_map(|element| element[ELEMENT].as_str()).map(str::to_owned).collect()
    }

    /// Calls a method of the session.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert_eq!(status, 200, "WebDriver {path}: {answer}");
        answer["value"].clone()
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.session)).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        sse::json(request).await
    }
}
