//! Signing in and out, and the plan's limits, through the real Codex and a real browser.
//!
//! Codex waits for browsers on fixed ports, so these tests run one after another.

mod believed;
#[cfg(target_os = "linux")]
mod replaced;
mod ways;

use e2e::browser::Browser;
use e2e::fake_openai::issuer::{Consent, EMAIL, Issuer};
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use url::Url;

use crate::surface::{BOTH, Surface, error_code};

/// A proxy over a signed-out Codex, and the world around it.
pub(crate) struct Stage {
    pub(crate) upstream: FakeOpenAi,
    pub(crate) issuer: Issuer,
    pub(crate) proxy: Proxy,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::with(|setup| setup).await
    }

    pub(crate) async fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let (upstream, issuer) = (FakeOpenAi::start().await, Issuer::start().await);
        upstream.fall_back_to(Script::text("Hello"));
        let proxy = change(Setup::with_sign_in(&upstream, &issuer).env("TZ", "UTC")).start().await;
        proxy.wait_for_account("the account", |account| account["state"] == "signed_out").await;
        Self { upstream, issuer, proxy }
    }

    /// The sign-in page, when it is available.
    pub(crate) async fn page(&self) -> String {
        let account =
            self.proxy.wait_for_account("the page", |account| account["sign_in_url"].is_string()).await;
        account["sign_in_url"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn login(&self, method: &str) -> Value {
        self.proxy.control_ok("/account/login", Some(&json!({"method": method}))).await
    }

    pub(crate) async fn signed_in(&self) -> Value {
        self.proxy.wait_for_account("a sign-in", |account| account["state"] == "signed_in").await
    }

    /// Signs in as a browser would, without one.
    pub(crate) async fn sign_in(&self) {
        let login = self.login("browser").await;
        self.come_back(&login).await;
    }

    /// Consents, and comes back from the vendor.
    pub(crate) async fn come_back(&self, login: &Value) {
        let callback = self.consent(login).await;
        let answer = self.get(&callback).await;
        assert_eq!(answer.status(), 302);
        self.get(answer.headers()["location"].to_str().unwrap()).await;
        self.signed_in().await;
    }

    /// The address to which OpenAI's page sends the browser back.
    pub(crate) async fn consent(&self, login: &Value) -> String {
        let answer = self.get(login["auth_url"].as_str().unwrap()).await;
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, url: &str) -> Response {
        self.proxy.bare(Method::GET, url).send().await.unwrap()
    }

    /// Asks on a surface. Returns the status and the body.
    pub(crate) async fn ask(&self, surface: Surface) -> (u16, Value) {
        let (status, body) = sse::json(self.proxy.post(surface.path(), &surface.ask("hi"))).await;
        (status.as_u16(), body)
    }

    pub(crate) async fn is_served(&self) {
        for surface in BOTH {
            let (status, body) = self.ask(surface).await;
            assert_eq!(status, 200, "{body}\n{}", self.proxy.log_text());
            assert_eq!(surface.text(&body), "Hello");
        }
    }

    pub(crate) async fn is_refused(&self) -> Value {
        let mut last = Value::Null;
        for surface in BOTH {
            let (status, body) = self.ask(surface).await;
            assert_eq!((status, error_code(&body).as_str()), (401, "login_required"), "{body}");
            last = body["error"].clone();
        }
        last
    }

    /// Ends the proxy, and asserts that nothing secret or personal was logged.
    pub(crate) async fn end(self) {
        let log = self.proxy.stop().await;
        for secret in [EMAIL, "code-", "id_token", "eyJ", "state=", "ABCD-EFGH", "sk-test"] {
            assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        }
        assert!(log.matches("people sign in on this page").count() < 4, "the pages stay closed:\n{log}");
    }
}

/// A parameter of a URL.
pub(crate) fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    found.unwrap_or_else(|| panic!("no {name} in {url}"))
}

/// The port that Codex waits on.
pub(crate) fn codex_port(login: &Value) -> u16 {
    let redirect = parameter(login["auth_url"].as_str().unwrap(), "redirect_uri");
    Url::parse(&redirect).unwrap().port().unwrap()
}

#[tokio::test]
async fn a_person_signs_in_and_the_waiting_client_is_served() {
    let stage = Stage::with(|setup| setup.env("PROXY_WORKER_COUNT", "2")).await;
    let page = stage.page().await;
    let refusal = stage.is_refused().await;
    assert!(refusal["message"].as_str().unwrap().contains(&page), "{refusal}");
    assert!(refusal["auth_url"].as_str().unwrap().contains("/oauth/authorize?"), "{refusal}");
    let login = stage.login("browser").await;
    assert_eq!(refusal["login_id"], login["id"], "there is one sign-in, and everybody is told of it");

    let browser = Browser::open().await;
    browser.go(&page).await;
    let account = stage.signed_in().await;
    let expected = json!({
        "state": "signed_in", "method": "chatgpt", "email": EMAIL, "plan": "plus", "workspace": "Personal",
        "login": null, "sign_in_url": page, "problem": null,
    });
    assert_eq!(account, expected);
    let told = stage.proxy.control_ok("/diagnostics", None).await;
    let account = &told["status"]["account"];
    assert_eq!((&account["state"], &account["email"]), (&json!("signed_in"), &Value::Null));
    assert!(!told.to_string().contains(EMAIL), "the diagnostics name the person: {told}");
    for _ in 0..4 {
        stage.is_served().await;
    }
    assert!(stage.issuer.seen().iter().any(|path| path == "/oauth/token"));
    assert!(browser.url().await.starts_with("http://127.0.0.1:1455/"), "Codex itself was called back");
    browser.close().await;
    stage.end().await;
}

#[tokio::test]
async fn the_callback_may_come_to_the_proxys_own_port() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    stage.issuer.redirect_to(Url::parse(&page).unwrap().port().unwrap());
    let browser = Browser::open().await;
    browser.go(&page).await;
    assert_eq!(browser.url().await, format!("{page}success"));
    assert!(browser.text().await.contains("You are signed in"), "{}", browser.text().await);
    assert!(!browser.source().await.contains("eyJ"), "no page shows a token");
    for address in browser.history().await {
        assert!(!address.contains("code=") && !address.contains("token"), "{address} stays in the history");
    }
    assert_eq!(stage.proxy.control_ok("/account", None).await["email"], EMAIL);
    stage.is_served().await;
    browser.close().await;
    stage.end().await;
}

#[tokio::test]
async fn a_denied_consent_is_told_and_can_be_tried_again() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    stage.issuer.redirect_to(Url::parse(&page).unwrap().port().unwrap());
    stage.issuer.consent(Consent::Denied);
    let browser = Browser::open().await;
    browser.go(&page).await;
    assert_eq!(browser.url().await, format!("{page}failed"));
    let text = browser.text().await;
    assert!(text.contains("You are not signed in") && text.contains("The person said <no>"), "{text}");
    let account = stage.proxy.control_ok("/account", None).await;
    assert_eq!((&account["state"], &account["login"]), (&json!("signed_out"), &Value::Null), "{account}");
    assert!(account["problem"].as_str().unwrap().contains("The person said"), "{account}");

    stage.issuer.consent(Consent::Given);
    browser.click("button").await;
    browser.wait_for_url("the page of success", |url| url.ends_with("/success")).await;
    assert_eq!(stage.signed_in().await["problem"], Value::Null);
    stage.is_served().await;
    browser.close().await;
    stage.end().await;
}

#[tokio::test]
async fn what_comes_straight_to_codex_counts_too() {
    let stage = Stage::set().await;
    stage.issuer.consent(Consent::Denied);
    let login = stage.login("browser").await;
    let callback = stage.consent(&login).await;
    stage.get(&callback).await;
    let is_told =
        |account: &Value| account["problem"].as_str().is_some_and(|problem| problem.contains("said"));
    stage.proxy.wait_for_account("the denial", is_told).await;
    stage.issuer.consent(Consent::Given);
    stage.sign_in().await;
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn a_callback_counts_once_and_only_for_its_own_sign_in() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    let get = |query: String| stage.get_owned(format!("{page}auth/callback?{query}"));
    assert_eq!(get("code=x&state=y".into()).await.status(), 410, "nothing waits");

    let login = stage.login("browser").await;
    let callback = stage.consent(&login).await;
    let (code, state) = (parameter(&callback, "code"), parameter(&callback, "state"));
    for query in [format!("code={code}&state=wrong"), format!("code={code}"), String::new()] {
        let answer = get(query.clone()).await;
        assert_eq!(answer.status(), 400, "{query}");
        assert!(answer.text().await.unwrap().contains("another sign-in"));
    }
    let account = stage.proxy.control_ok("/account", None).await;
    assert_eq!(account["login"]["id"], login["id"], "wrong answers leave the sign-in as it was");

    let query = format!("code={code}&state={state}");
    let head = stage.proxy.bare(Method::HEAD, &format!("{page}auth/callback?{query}")).send().await.unwrap();
    assert_eq!(head.status(), 405, "a look is no callback");
    let answer = get(query.clone()).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (303, &"/success".parse().unwrap())
    );
    stage.signed_in().await;
    assert_eq!(get(query).await.status(), 410, "a link that was used");
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn a_code_that_the_vendor_refuses_is_told() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    stage.issuer.redirect_to(Url::parse(&page).unwrap().port().unwrap());
    stage.issuer.refuse_codes(true);
    let login = stage.login("browser").await;
    let callback = stage.consent(&login).await;
    let answer = stage.get(&callback).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &"/failed".parse().unwrap()));
    let account = stage.proxy.control_ok("/account", None).await;
    assert_eq!(account["state"], "signed_out", "{account}");
    assert!(account["problem"].as_str().unwrap().contains("Start it again"), "{account}");
    stage.issuer.refuse_codes(false);
    stage.sign_in_here(&page).await;
    stage.end().await;
}

#[tokio::test]
async fn a_closed_browser_leaves_the_sign_in_to_the_next() {
    let stage = Stage::set().await;
    stage.issuer.consent(Consent::Open);
    let page = stage.page().await;
    let browser = Browser::open().await;
    browser.go(&page).await;
    let first = browser.url().await;
    assert!(first.starts_with(&stage.issuer.url()), "{first}");
    browser.close().await;
    let account = stage.proxy.control_ok("/account", None).await;
    assert_eq!(account["state"], "signing_in", "{account}");
    let login = stage.login("browser").await;
    assert_eq!(login, account["login"]);
    assert_eq!(login["auth_url"], first.as_str());
    assert_eq!(stage.is_refused().await["login_id"], login["id"]);

    let (status, cancelled) = sse::json(stage.proxy.control(Method::DELETE, "/account/login")).await;
    assert_eq!((status.as_u16(), &cancelled["state"]), (200, &json!("signed_out")), "{cancelled}");
    assert_ne!(stage.login("browser").await["id"], login["id"]);
    stage.issuer.consent(Consent::Given);
    stage.sign_in_here(&page).await;
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn another_site_cannot_begin_a_sign_in() {
    let stage = Stage::set().await;
    let page = stage.page().await;
    stage.issuer.redirect_to(Url::parse(&page).unwrap().port().unwrap());
    let browser = Browser::open().await;
    browser.go(&format!("{}/link?to={page}", stage.issuer.other_site())).await;
    browser.click("#go").await;
    browser.wait_for_url("the page", |url| url == page).await;
    assert!(browser.text().await.contains("Sign in to Codex"), "{}", browser.text().await);
    assert_eq!(stage.proxy.control_ok("/account", None).await["state"], "signed_out");

    let start = format!("{page}start");
    let post = |origin: Option<&'static str>| {
        let request = stage.proxy.bare(Method::POST, &start);
        origin
            .map_or_else(|| stage.proxy.bare(Method::POST, &start), |origin| request.header("origin", origin))
    };
    for origin in [Some("http://evil.example"), Some("null"), Some("http://localhost:1"), None] {
        assert_eq!(post(origin).send().await.unwrap().status(), 403, "{origin:?}");
    }
    for host in ["evil.example", "127.0.0.1:1", "127.0.0.1.evil.example"] {
        let answer = stage.proxy.bare(Method::GET, &page).header("host", host).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{host}");
    }
    let framed =
        stage.proxy.bare(Method::GET, &page).header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(framed.status(), 200);
    assert_eq!(framed.headers()["x-frame-options"], "DENY");
    assert!(framed.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("referer", "https://evil.example/"),
        ("referer", "http://127.0.0.1:1/"),
    ] {
        let sent = stage.proxy.bare(Method::GET, &page).header(name, value).send().await.unwrap();
        assert_eq!(sent.status(), 200, "{name} {value}");
        assert!(sent.text().await.unwrap().contains("<button"), "{name} {value}");
    }
    assert_eq!(stage.proxy.control_ok("/account", None).await["login"], Value::Null);

    browser.click("button").await;
    browser.wait_for_url("the page of success", |url| url.ends_with("/success")).await;
    stage.is_served().await;
    browser.close().await;
    stage.end().await;
}

impl Stage {
    async fn get_owned(&self, url: String) -> Response {
        self.get(&url).await
    }

    /// Signs in through the proxy's own pages, without a browser.
    pub(crate) async fn sign_in_here(&self, page: &str) {
        self.issuer.redirect_to(Url::parse(page).unwrap().port().unwrap());
        let answer = self.get(page).await;
        assert_eq!(answer.status(), 302, "a client that says nothing about itself is a person's");
        let answer = self.get(answer.headers()["location"].to_str().unwrap()).await;
        let answer = self.get(answer.headers()["location"].to_str().unwrap()).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["location"]),
            (303, &"/success".parse().unwrap())
        );
        let text = self.get(&format!("{page}success")).await.text().await.unwrap();
        assert!(text.contains("You are signed in"), "{text}");
    }
}
