//! A proxy that logs everything, and its surroundings. All secrets in them are known.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use e2e::fake_npm::FakeNpm;
use e2e::fake_openai::issuer::{Issuer, Person, auth_json_of};
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{Proxy, Setup};
use http_body_util::BodyExt as _;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::marks::Canaries;
use super::places;
use crate::sign_in::parameter;

/// Characters that every encoding writes differently.
pub(crate) const API_KEY: &str = r#"cp/canary+of=the:operator"\and?of&his%clients<4711>"#;

pub(crate) struct World {
    pub(crate) upstream: FakeOpenAi,
    pub(crate) issuer: Issuer,
    pub(crate) registry: FakeNpm,
    pub(crate) proxy: Proxy,
    pub(crate) home: TempDir,
    pub(crate) person: Person,
    pub(crate) api_key: String,
    /// A key that the proxy has made.
    pub(crate) made_key: String,
    pub(crate) openai_key: String,
    pub(crate) control_token: String,
    pub(crate) canaries: Canaries,
    spans: Arc<Mutex<Vec<u8>>>,
    leaks: Vec<String>,
}

pub(crate) fn person() -> Person {
    Person {
        email: "canary.person.4711@example.com".to_owned(),
        account: "acct-canary-0123456789-4711".to_owned(),
        refresh_token: "rt_canary.0123456789abcdef0123456789abcdef.4711".to_owned(),
        code: "ac_canary0123456789abcdef4711-".to_owned(),
        signature: "canary-signature-of-a-token-0123456789-4711".to_owned(),
        ..Person::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let (upstream, issuer, registry) =
            (FakeOpenAi::start().await, Issuer::start().await, FakeNpm::start().await);
        upstream.fall_back_to(Script::text("Hello"));
        let person = person();
        issuer.set_person(person.clone());
        let home = tempfile::tempdir().unwrap();
        let npm_token = "npm_canary0123456789abcdef0123456789abcdef4711";
        let npmrc = format!("//{}:_authToken={npm_token}\n", registry.url().trim_start_matches("http://"));
        std::fs::write(home.path().join(".npmrc"), npmrc).unwrap();
        let (spans, collector) = collect().await;

        let mut canaries = Canaries::default();
        let otlp =
            ["otlp-canary-token-0123456789-4711", "otlp-canary-password-4711", "otlp-canary-query-4711"];
        for (name, text) in [
            ("API key of the operator", API_KEY),
            ("npm token", npm_token),
            ("OTLP token", otlp[0]),
            ("OTLP password", otlp[1]),
            ("OTLP query", otlp[2]),
            ("OpenAI key", "sk-proj-canary0123456789abcdefghijklmnop-4711"),
            ("e-mail", &person.email),
            ("account id", &person.account),
            ("refresh token", &person.refresh_token),
            ("signature of a token", &person.signature),
            ("code", person.code.trim_end_matches('-')),
            ("unknown code", "canary-code-of-nobody-4711"),
            ("unknown state", "canary-state-of-nobody-4711"),
        ] {
            canaries.add(name, text);
        }
        let endpoint = collector.replace("http://", &format!("http://me:{}@", otlp[1]));
        let setup = Setup::with_sign_in(&upstream, &issuer);
        // As in a home of the proxy's own, Codex is to keep no log there.
        std::fs::create_dir(setup.codex_home().join("logs_2.sqlite")).unwrap();
        let proxy = setup
            .env("TZ", "UTC")
            .env("PROXY_LOG", "trace")
            .env("PROXY_MAX_BODY_BYTES", "65536")
            .env("RUST_BACKTRACE", "full")
            .env("PROXY_API_KEY", API_KEY)
            .env("PROXY_WORKER_COUNT", "2")
            .env("PROXY_LOGIN_LISTENER", "always")
            .env("PROXY_ENABLE_METRICS", "true")
            .env("PROXY_TEST_ENDPOINTS", "true")
            .env("STREAM_RELEASE_FILE", &home.path().join("released").display().to_string())
            .env("PROXY_NPM_REGISTRY", &registry.url())
            .env("HOME", &home.path().display().to_string())
            .env("TOKEN_LOG_PATH", &home.path().join("tokens.jsonl").display().to_string())
            .env("PROXY_LOG_FILE_MAX_MB", "10000")
            .env("PROXY_ENABLE_OTEL", "true")
            .env("PROXY_OTEL_EXPORTER_URL", &format!("{endpoint}/v1/traces?token={}", otlp[2]))
            .env("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization=Bearer%20{}", otlp[0]))
            .start()
            .await;
        let control_token = std::fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();
        let control_token = control_token.trim().to_owned();
        canaries.add("control token", &control_token);
        let mut world = Self {
            upstream,
            issuer,
            registry,
            proxy,
            home,
            person,
            api_key: API_KEY.to_owned(),
            made_key: String::new(),
            openai_key: "sk-proj-canary0123456789abcdefghijklmnop-4711".to_owned(),
            control_token,
            canaries,
            spans,
            leaks: Vec::new(),
        };
        world.wait_for_account("signed_out").await;
        world.made_key = world.make_key("client").await;
        world
    }

    async fn make_key(&mut self, name: &str) -> String {
        self.control(Method::POST, "/keys", Some(&json!({"name": name})), &[]).await;
        let path = format!("/keys/{name}/reveal");
        let request = self.proxy.control(Method::POST, &path);
        let answer: Value =
            serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        let key = answer["secret"].as_str().unwrap().to_owned();
        self.canaries.add(&format!("key {name}"), &key);
        key
    }

    /// A request to the control API that is allowed; the answer may hold only the named secrets.
    pub(crate) async fn control(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        shown: &[&str],
    ) -> (u16, String) {
        let mut request = self.proxy.control(method.clone(), path);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        self.send(&format!("{method} /control{path}"), request, &self.canaries.except(shown)).await
    }

    /// A request to a path under `/v1` with the operator's key.
    pub(crate) async fn v1(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        shown: &[&str],
    ) -> (u16, String) {
        let mut request = self.proxy.bare(method.clone(), &format!("{}{path}", self.proxy.base_url));
        request = request.bearer_auth(&self.api_key);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        self.send(&format!("{method} /v1{path}"), request, &self.canaries.except(shown)).await
    }

    /// Sends it and looks at all of the answer.
    pub(crate) async fn send(
        &mut self,
        name: &str,
        request: RequestBuilder,
        canaries: &Canaries,
    ) -> (u16, String) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let head = format!("{:?}", answer.headers());
        let body = answer.bytes().await.unwrap();
        let finder = canaries.finder();
        self.found(finder.find(&format!("the head of {name} ({status})"), head.as_bytes()));
        self.found(finder.find(&format!("the answer to {name} ({status})"), &body));
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    pub(crate) fn found(&mut self, leaks: Vec<String>) {
        for leak in leaks {
            if self.leaks.len() < 100 && !self.leaks.contains(&leak) {
                self.leaks.push(leak);
            }
        }
    }

    /// The address of the sign-in page.
    pub(crate) async fn page(&self) -> String {
        let account =
            self.proxy.wait_for_account("the page", |account| account["sign_in_url"].is_string()).await;
        account["sign_in_url"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get_page(&mut self, url: &str) {
        let request = self.proxy.bare(Method::GET, url);
        // Where the browser is sent on to is in the head.
        let canaries = self.canaries.except(&["state"]);
        self.send(url.split('?').next().unwrap(), request, &canaries).await;
    }

    /// Begins a sign-in, whose answer is meant for a browser.
    pub(crate) async fn login(&mut self, method: &str) -> Value {
        let body = json!({"method": method});
        let (status, login) =
            self.control(Method::POST, "/account/login", Some(&body), &["state", "e-mail"]).await;
        assert_eq!(status, 200, "{login}");
        let login: Value = serde_json::from_str(&login).unwrap();
        if let Some(url) = login["auth_url"].as_str() {
            self.canaries.add("state", &parameter(url, "state"));
        }
        login
    }

    /// The address to which OpenAI's page sends the browser back.
    pub(crate) async fn consent(&self, login: &Value) -> String {
        let url = login["auth_url"].as_str().unwrap();
        let answer = self.proxy.bare(Method::GET, url).send().await.unwrap();
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    pub(crate) async fn sign_in(&mut self) {
        let page = self.page().await;
        let login = self.login("browser").await;
        let answered = self.consent(&login).await;
        let query = answered.split_once('?').unwrap().1;
        self.get_page(&format!("{page}auth/callback?{query}")).await;
        self.wait_for_account("signed_in").await;
        self.note_tokens();
        self.get_page(&format!("{page}success")).await;
        self.get_page(&page).await;
    }

    /// The tokens that were given out are secrets too.
    pub(crate) fn note_tokens(&mut self) {
        for token in self.issuer.tokens() {
            self.canaries.add("token", &token);
            self.canaries.add("claims of a token", token.split('.').nth(1).unwrap());
        }
    }

    pub(crate) async fn wait_for_account(&self, state: &str) {
        self.proxy.wait_for_account(state, |account| account["state"] == state).await;
    }

    /// The account in every place that shows it.
    pub(crate) async fn look_at_account(&mut self, shown: &[&str]) {
        for path in
            ["/account", "/status", "/limits", "/limits/history", "/limits?refresh=true", "/account/usage"]
        {
            self.control(Method::GET, path, None, shown).await;
        }
    }

    pub(crate) async fn restart_workers(&mut self) {
        let before = places::children(&self.proxy);
        self.control(Method::POST, "/workers/restart", None, &[]).await;
        let mut poll = tokio::time::interval(std::time::Duration::from_millis(50));
        let replaced = async {
            while places::children(&self.proxy).is_subset(&before) {
                poll.tick().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), replaced)
            .await
            .expect("workers are replaced");
    }

    /// What other users can see of the running processes.
    pub(crate) fn look_at_processes(&mut self) {
        let found = places::processes(&self.proxy, &self.canaries.finder());
        self.found(found);
    }

    /// An `auth.json` outside of the proxy's reach.
    pub(crate) fn sign_in_file(&mut self) -> PathBuf {
        let text = auth_json_of(&self.person);
        let parsed: Value = serde_json::from_str(&text).unwrap();
        let token = parsed["tokens"]["access_token"].as_str().unwrap();
        self.canaries.add("token", token);
        let file = self.home.path().join("other-auth.json");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Ends the proxy and searches everywhere.
    pub(crate) async fn end(mut self) {
        let running = self.files(self.proxy.codex_home(), self.proxy.data_dir());
        self.found(running);
        let Self { proxy, home, canaries, spans, mut leaks, .. } = self;
        let (said, [codex_home, data]) = proxy.stop_and_keep().await;
        let finder = canaries.finder();
        leaks.extend(files(&canaries, codex_home.path(), data.path(), home.path()));
        leaks.extend(finder.find("the proxy's output", said.as_bytes()));
        let spans = spans.lock().unwrap().clone();
        assert!(spans.len() > 1000, "only {} bytes of spans have come", spans.len());
        leaks.extend(finder.find("what the collector received", &spans));
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
        for logged in ["TRACE hyper", "DEBUG proxy_core"] {
            assert!(said.contains(logged), "there is no {logged} in {} bytes of log", said.len());
        }
    }

    fn files(&self, codex_home: &Path, data: &Path) -> Vec<String> {
        files(&self.canaries, codex_home, data, self.home.path())
    }
}

fn files(canaries: &Canaries, codex_home: &Path, data: &Path, home: &Path) -> Vec<String> {
    let places = [(data, places::OF_DATA), (codex_home, places::OF_CODEX), (home, places::OF_PERSON)];
    places.into_iter().flat_map(|(dir, meant)| places::files(dir, canaries, meant)).collect()
}

/// A collector of traces that keeps the bodies.
async fn collect() -> (Arc<Mutex<Vec<u8>>>, String) {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = Router::new().fallback(take).with_state(bodies.clone());
    tokio::spawn(async move { axum::serve(listener, service).await });
    (bodies, url)
}

async fn take(State(bodies): State<Arc<Mutex<Vec<u8>>>>, request: Request) {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    bodies.lock().unwrap().extend_from_slice(&body);
}
