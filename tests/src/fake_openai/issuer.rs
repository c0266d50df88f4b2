//! OpenAI's sign-in and accounts, for a real Codex that is configured to use them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use super::recorded::Recorded;

/// The e-mail address of all accounts here.
pub const EMAIL: &str = "person@example.com";

/// The person who signs in, and the tokens for that person.
#[derive(Clone, Debug)]
pub struct Person {
    /// The e-mail address.
    pub email: String,
    /// The id of the account.
    pub account: String,
    /// The refresh token.
    pub refresh_token: String,
    /// The prefix of codes.
    pub code: String,
    /// The text in the place of a token's signature.
    pub signature: String,
    /// The lifetime of a token in seconds, from its creation.
    pub lifetime: i64,
}

impl Person {
    /// An unsigned token with the claims that Codex reads.
    pub fn token(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "email": self.email, "exp": now().saturating_add_signed(self.lifetime),
            "https://api.openai.com/auth": {
                "chatgpt_plan_type": "plus", "chatgpt_user_id": "user-1", "chatgpt_account_id": self.account,
            },
        });
        format!("{}.{}.{}", part(&json!({"alg": "none"})), part(&claims), self.signature)
    }
}

impl Default for Person {
    fn default() -> Self {
        Self {
            email: EMAIL.to_owned(),
            account: "acct-1".to_owned(),
            refresh_token: "refresh".to_owned(),
            code: "code-".to_owned(),
            signature: "x".to_owned(),
            lifetime: 3600,
        }
    }
}

/// The person's answer on the sign-in page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Yes.
    Given,
    /// No.
    Denied,
    /// No answer: the page stays open.
    Open,
}

/// A running issuer; it stops when dropped.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    person: Person,
    tokens: Vec<String>,
    consent: Consent,
    redirect_port: Option<u16>,
    token_error: bool,
    no_refresh: bool,
    approved: bool,
    codes: HashMap<String, String>,
    next_code: usize,
    usage: Value,
    requests: Vec<Recorded>,
}

impl Issuer {
    /// Starts on a free loopback port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let inner = Arc::new(Mutex::new(Inner {
            person: Person::default(),
            tokens: Vec::new(),
            consent: Consent::Given,
            redirect_port: None,
            token_error: false,
            no_refresh: false,
            approved: false,
            codes: HashMap::new(),
            next_code: 0,
            usage: usage(12, true),
            requests: Vec::new(),
        }));
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serving on loopback");
        });
        Self { address, inner, server }
    }

    /// The address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address with another host name, which browsers treat as another site.
    pub fn other_site(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// The base URL of the accounts, for Codex's configuration.
    pub fn accounts_url(&self) -> String {
        format!("{}/backend-api/", self.url())
    }

    /// Sets the person who signs in from now on.
    pub fn set_person(&self, person: Person) {
        let mut inner = self.lock();
        inner.usage["email"] = person.email.clone().into();
        inner.usage["account_id"] = person.account.clone().into();
        inner.person = person;
    }

    /// The access and id tokens that were given out so far.
    pub fn tokens(&self) -> Vec<String> {
        self.lock().tokens.clone()
    }

    /// Sets the answer of the person on the sign-in page.
    pub fn consent(&self, consent: Consent) {
        self.lock().consent = consent;
    }

    /// Redirects browsers to this port from now on, instead of the requested one.
    pub fn redirect_to(&self, port: u16) {
        self.lock().redirect_port = Some(port);
    }

    /// Sets whether every code is refused.
    pub fn refuse_codes(&self, refuse: bool) {
        self.lock().token_error = refuse;
    }

    /// The person has entered the device's code.
    pub fn approve_device(&self) {
        self.lock().approved = true;
    }

    /// Sets the rest of the plan: see [`usage`].
    pub fn set_usage(&self, usage: Value) {
        self.lock().usage = usage;
    }

    /// Refuses to renew tokens from now on.
    pub fn refuse_to_refresh(&self) {
        self.lock().no_refresh = true;
    }

    /// All requests so far, in order: sign-ins, accounts, and telemetry. Requests to other hosts are included,
    /// as `CONNECT`, if the client uses this server as its proxy.
    pub fn requests(&self) -> Vec<Recorded> {
        self.lock().requests.clone()
    }

    /// The paths of the requests so far, in order.
    pub fn seen(&self) -> Vec<String> {
        let path = |request: &Recorded| request.path.split('?').next().unwrap_or_default().to_owned();
        self.lock().requests.iter().map(path).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test thread panics while it holds the lock")
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A plan with this much of its short window used.
pub fn usage(used_percent: u32, allowed: bool) -> Value {
    json!({
        "plan_type": "plus", "account_id": "acct-1", "user_id": "user-1", "email": EMAIL,
        "rate_limit": {
            "allowed": allowed, "limit_reached": !allowed,
            "primary_window": {
                "used_percent": used_percent, "limit_window_seconds": 18_000, "reset_after_seconds": 12_000,
                "reset_at": now() + 12_000,
            },
            "secondary_window": {
                "used_percent": 40, "limit_window_seconds": 604_800, "reset_after_seconds": 300_000,
                "reset_at": now() + 300_000,
            },
        },
    })
}

/// An `auth.json` as it is after a sign-in here.
pub fn auth_json() -> String {
    auth_json_of(&Person::default())
}

/// The same for another person.
pub fn auth_json_of(person: &Person) -> String {
    let token = person.token();
    json!({
        "auth_mode": "chatgpt", "OPENAI_API_KEY": null,
        "tokens": {
            "id_token": token, "access_token": token, "refresh_token": person.refresh_token,
            "account_id": person.account,
        },
        "last_refresh": jiff::Timestamp::now().to_string(),
    })
    .to_string()
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let mut inner = inner.lock().expect("no test thread panics while it holds the lock");
    inner.requests.push(Recorded::http(&parts, body.clone()));
    match path.as_str() {
        "/oauth/authorize" => authorize(&mut inner, &query),
        "/oauth/token" => exchange(&mut inner, &body),
        "/api/accounts/deviceauth/usercode" => {
            json_response(200, &json!({"device_auth_id": "dev-1", "user_code": "ABCD-EFGH", "interval": "1"}))
        }
        "/api/accounts/deviceauth/token" if inner.approved => {
            let code = new_code(&mut inner, format!("http://{}/deviceauth/callback", host(&parts)));
            let answer = json!({"authorization_code": code, "code_challenge": "c", "code_verifier": "v"});
            json_response(200, &answer)
        }
        "/api/accounts/deviceauth/token" => json_response(403, &json!({})),
        "/backend-api/wham/accounts/check" => json_response(200, &accounts(&inner.person.account)),
        "/backend-api/wham/usage" => json_response(200, &inner.usage),
        "/backend-api/wham/profiles/me" => json_response(200, &profile()),
        "/backend-api/wham/settings/user" | "/backend-api/codex/analytics-events/events" => {
            json_response(200, &json!({}))
        }
        "/link" => html(&format!("<a id=\"go\" href=\"{}\">go</a>", query["to"])),
        _ => json_response(404, &json!({"error": "not found"})),
    }
}

fn authorize(inner: &mut Inner, query: &HashMap<String, String>) -> Response {
    let asked = query["redirect_uri"].clone();
    let mut to = Url::parse(&asked).expect("Codex asks for a URL");
    if let Some(port) = inner.redirect_port {
        to.set_port(Some(port)).expect("it has a host");
    }
    match inner.consent {
        Consent::Open => return html("Do you agree?"),
        Consent::Given => {
            let code = new_code(inner, asked);
            to.query_pairs_mut().append_pair("code", &code);
        }
        Consent::Denied => {
            to.query_pairs_mut()
                .append_pair("error", "access_denied")
                .append_pair("error_description", "The person said <no>");
        }
    }
    to.query_pairs_mut().append_pair("state", &query["state"]);
    let response = Response::builder().status(302).header("location", to.as_str()).body(Body::empty());
    response.expect("a URL is a valid header")
}

/// A code is valid once, and only for its redirect address.
fn exchange(inner: &mut Inner, body: &[u8]) -> Response {
    if let Ok(asked) = serde_json::from_slice::<Value>(body) {
        return refresh(inner, &asked);
    }
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let granted = match form.get("grant_type").map(String::as_str) {
        Some("authorization_code") => {
            let asked = form.get("code").and_then(|code| inner.codes.remove(code));
            asked.is_some() && asked.as_ref() == form.get("redirect_uri") && !inner.token_error
        }
        _ => false,
    };
    if !granted {
        return json_response(
            400,
            &json!({"error": "invalid_grant", "error_description": "not a good code"}),
        );
    }
    tokens(inner)
}

/// A person who was signed in here before stays signed in.
fn refresh(inner: &mut Inner, asked: &Value) -> Response {
    if inner.no_refresh || asked["refresh_token"] != inner.person.refresh_token.as_str() {
        let error = json!({"code": "refresh_token_invalidated", "message": "sign in again"});
        return json_response(401, &json!({"error": error}));
    }
    tokens(inner)
}

fn tokens(inner: &mut Inner) -> Response {
    let token = inner.person.token();
    inner.tokens.push(token.clone());
    let refresh = &inner.person.refresh_token;
    json_response(200, &json!({"id_token": token, "access_token": token, "refresh_token": refresh}))
}

fn new_code(inner: &mut Inner, redirect: String) -> String {
    inner.next_code += 1;
    let code = format!("{}{}", inner.person.code, inner.next_code);
    inner.codes.insert(code.clone(), redirect);
    code
}

fn host(parts: &http::request::Parts) -> &str {
    parts.headers["host"].to_str().expect("Codex names the host")
}

fn accounts(account: &str) -> Value {
    json!({
        "accounts": [{
            "id": account, "name": "Personal", "structure": "personal", "plan_type": "plus",
            "workspace_backend_origin": "https://chatgpt.com", "account_routing_override": "NO_CONSTRAINT",
            "is_deactivated": false,
        }],
        "account_ordering": [account],
    })
}

fn profile() -> Value {
    json!({"stats": {
        "lifetime_tokens": 100, "peak_daily_tokens": 50, "longest_running_turn_sec": 3,
        "current_streak_days": 1, "longest_streak_days": 2,
        "daily_usage_buckets": [{"start_date": "2026-11-20", "tokens": 7}],
    }})
}

fn json_response(status: u16, body: &Value) -> Response {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).expect("a static head is valid")
}

fn html(body: &str) -> Response {
    let response = Response::builder().header("content-type", "text/html");
    response.body(Body::from(format!("<!doctype html>{body}"))).expect("a static head is valid")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
