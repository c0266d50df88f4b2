//! The sign-in pages, on a port of their own.
//!
//! No other site can begin a sign-in: if it sends a browser here, the browser gets a page with a button.

mod page;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{HOST, LOCATION, ORIGIN, REFERER};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::is_forwarded;
use super::guard::Guard;
use super::{Cors, Origins, server};
use crate::account::{CallbackRefusal, Listener, Method as SignInMethod};
use crate::control::ControlHandle;
use crate::control::api::{Account, AccountState, LoginMethod};
use page::Page;

/// After a sign-in, the pages stay open for this time, so that the browser can load the result.
const LINGER: Duration = Duration::from_secs(60);

/// If the port is taken, the next try is after this time.
const RETRY: Duration = Duration::from_secs(5);

/// The maximum time for running requests once the pages are closed.
const DRAIN: Duration = Duration::from_secs(2);

/// What the operator decides about the sign-in pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// When the pages are served.
    pub mode: Mode,
    /// Address to listen on.
    pub host: IpAddr,
    /// TCP port to listen on; 0 takes any free one.
    pub port: u16,
    /// `name` or `name:port` entries that `Host` may hold besides the loopback names, in lower case.
    pub allowed_hosts: Vec<String>,
}

/// When the sign-in pages are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// While no account is signed in.
    Needed,
    /// Always.
    Always,
    /// Never.
    Off,
}

impl Mode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::Needed, Self::Always, Self::Off];

    /// The name of the mode in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::Always => "always",
            Self::Off => "off",
        }
    }
}

/// Serves the pages whenever they are needed, until `stop`.
pub async fn run(control: ControlHandle, config: Config, stop: CancellationToken) {
    if config.mode != Mode::Off {
        stop.run_until_cancelled(keep(&control, &config, &stop)).await;
    }
}

async fn keep(control: &ControlHandle, config: &Config, stop: &CancellationToken) {
    let mut port = config.port;
    let mut told = false;
    if port != 0 {
        control.set_login_listener(Listener { url: Some(url(config, port)), problem: None });
    }
    loop {
        until(control, |account| is_needed(config, account)).await;
        let address = SocketAddr::new(config.host, port);
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            // Any port is suitable, so do not wait for the old one.
            Err(_) if config.port == 0 && port != 0 => {
                port = 0;
                continue;
            }
            Err(error) => {
                let problem = problem(address, &error);
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!("{problem}");
                }
                let url = (port != 0).then(|| url(config, port));
                control.set_login_listener(Listener { url, problem: Some(problem) });
                tokio::select! {
                    () = sleep(RETRY) => {}
                    () = until(control, |account| !is_needed(config, account)) => {
                        let url = (port != 0).then(|| self::url(config, port));
                        control.set_login_listener(Listener { url, problem: None });
                    }
                }
                continue;
            }
        };
        told = false;
        port = listener.local_addr().map_or(port, |address| address.port());
        let url = url(config, port);
        tracing::info!(url, "people sign in on this page");
        control.set_login_listener(Listener { url: Some(url), problem: None });
        serve(control, config, listener, port, stop).await;
        // Cancellation closes the pages; opening them again at once would never let the outer wait be polled.
        if stop.is_cancelled() {
            return;
        }
        tracing::debug!("the sign-in pages are closed");
    }
}

/// Serves the pages until they have not been needed for [`LINGER`].
async fn serve(
    control: &ControlHandle,
    config: &Config,
    listener: TcpListener,
    port: u16,
    stop: &CancellationToken,
) {
    let closing = stop.child_token();
    let service = service(control.clone(), config, port);
    let mut serving =
        std::pin::pin!(server::serve(listener, service, TaskTracker::new(), closing.clone(), DRAIN));
    let unneeded = async {
        loop {
            until(control, |account| !is_needed(config, account)).await;
            let end = Instant::now() + LINGER;
            tokio::select! {
                () = sleep_until(end) => return,
                () = until(control, |account| is_needed(config, account)) => {}
            }
        }
    };
    tokio::select! {
        _ = &mut serving => return,
        () = unneeded => {}
    }
    closing.cancel();
    serving.await;
}

fn is_needed(config: &Config, account: &Account) -> bool {
    config.mode == Mode::Always
        || account.login.is_some()
        || matches!(account.state, AccountState::SignedOut | AccountState::SigningIn)
}

async fn until(control: &ControlHandle, condition: impl Fn(&Account) -> bool) {
    let mut changes = control.watch();
    loop {
        changes.mark_seen();
        if condition(&control.account()) {
            return;
        }
        if !changes.changed().await {
            return std::future::pending().await;
        }
    }
}

/// The address of the pages.
fn url(config: &Config, port: u16) -> String {
    let host = if config.host.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { config.host };
    format!("http://{}/", SocketAddr::new(host, port))
}

fn problem(address: SocketAddr, error: &std::io::Error) -> String {
    let ways =
        "choose another with PROXY_LOGIN_PORT, or sign in with a code: `codex-proxy login --device-code`";
    if error.kind() == std::io::ErrorKind::AddrInUse {
        return format!(
            "The port {} of the sign-in page is taken by another program. Close that, {ways}.",
            address.port()
        );
    }
    format!("The sign-in page cannot be served on {address}: {error}. Correct PROXY_LOGIN_HOST, {ways}.")
}

struct Pages {
    control: ControlHandle,
    guard: Guard,
}

fn service(control: ControlHandle, config: &Config, port: u16) -> Router {
    let cors = Cors { enabled: false, origins: Origins::Any };
    let pages = Arc::new(Pages { control, guard: Guard::new(port, config.allowed_hosts.clone(), cors) });
    Router::new()
        .route("/", get(root))
        .route("/start", post(start))
        .route("/auth/callback", get(callback))
        .route("/success", get(success))
        .route("/failed", get(failed))
        .fallback(|| async { Page::new(StatusCode::NOT_FOUND, "No such page").link("/", "Sign in") })
        .method_not_allowed_fallback(|| async {
            Page::new(StatusCode::METHOD_NOT_ALLOWED, "Not here").link("/", "Sign in")
        })
        .layer(middleware::from_fn_with_state(pages.clone(), edge))
        .with_state(pages)
}

/// Lets in only requests that name this machine, and protects the pages from other pages.
async fn edge(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response {
    let meant = pages.guard.check(request.method(), request.uri(), request.headers()).is_ok();
    let by_way_of_another = is_forwarded(request.headers()) || request.version() < Version::HTTP_11;
    let mut response = match (meant, by_way_of_another) {
        (true, false) => next.run(request).await,
        (true, true) => Page::new(StatusCode::FORBIDDEN, "Not through a reverse proxy")
            .text(
                "This page asks for no key, so it answers browsers on this computer only. Open it there, or sign in \
                 with a code: codex-proxy login --device-code.",
            )
            .into_response(),
        (false, _) => Page::new(StatusCode::FORBIDDEN, "Not from here")
            .text(
                "This page answers on this computer's own address only. Behind another name, list it in \
                 PROXY_ALLOWED_HOSTS.",
            )
            .into_response(),
    };
    page::protect(response.headers_mut());
    response
}

async fn root(State(pages): State<Arc<Pages>>, method: Method, headers: HeaderMap) -> Response {
    let account = pages.control.account();
    let other = "Sign in with this browser";
    match (account.state, account.login) {
        (AccountState::NotNeeded, _) => Page::new(StatusCode::OK, "No sign-in is needed")
            .text("The model provider that Codex is set up for works without one.")
            .into_response(),
        (AccountState::Unknown, None) => {
            Page::new(StatusCode::SERVICE_UNAVAILABLE, "Codex is still starting")
                .text("This page looks again by itself.")
                .again(2)
                .into_response()
        }
        (AccountState::SignedIn, None) => Page::new(StatusCode::OK, "You are signed in")
            .text("Codex Proxy can be used.")
            .button("Sign in to another account")
            .into_response(),
        (_, Some(login)) if login.method == LoginMethod::DeviceCode => {
            let page = login.verification_url.as_deref().unwrap_or_default();
            let code = login.user_code.map(|code| code.0).unwrap_or_default();
            Page::new(StatusCode::OK, "Sign in with the code")
                .text(&format!("Open {page} in any browser and enter the code {code}."))
                .button(other)
                .into_response()
        }
        _ if method == Method::GET && came_by_themselves(&headers) => begin(&pages, StatusCode::FOUND).await,
        _ => Page::new(StatusCode::OK, "Sign in to Codex")
            .text("Codex Proxy uses your ChatGPT account. You will be taken to its sign-in page.")
            .button("Sign in")
            .into_response(),
    }
}

/// Begins a sign-in, after a click on the button. Only our own page may call it.
async fn start(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    if !is_our_page(&headers) {
        return Page::new(StatusCode::FORBIDDEN, "Not from here")
            .text("A sign-in can only be begun on this page itself.")
            .link("/", "Go to the sign-in page")
            .into_response();
    }
    begin(&pages, StatusCode::SEE_OTHER).await
}

async fn begin(pages: &Pages, status: StatusCode) -> Response {
    let login = match pages.control.log_in(SignInMethod::Browser).await {
        Ok(login) => login,
        Err(error) => {
            return Page::new(StatusCode::SERVICE_UNAVAILABLE, "The sign-in could not be begun")
                .text(&error.to_string())
                .button("Try again")
                .into_response();
        }
    };
    redirect(status, login.auth_url.as_ref().map_or("/", |url| url.0.as_str()))
}

/// The address to which OpenAI sends the browser back. It holds a code, so the browser is redirected at once.
async fn callback(State(pages): State<Arc<Pages>>, method: Method, RawQuery(query): RawQuery) -> Response {
    if method != Method::GET {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match pages.control.login_callback(query.unwrap_or_default()).await {
        Ok(()) if pages.control.account().state == AccountState::SignedIn => {
            redirect(StatusCode::SEE_OTHER, "/success")
        }
        Ok(()) => redirect(StatusCode::SEE_OTHER, "/failed"),
        Err(refusal) => {
            let status = match refusal {
                CallbackRefusal::NoLogin | CallbackRefusal::Used => StatusCode::GONE,
                CallbackRefusal::WrongState => StatusCode::BAD_REQUEST,
            };
            Page::new(status, "This sign-in cannot be completed")
                .text(&refusal.to_string())
                .button("Start again")
                .into_response()
        }
    }
}

async fn success(State(pages): State<Arc<Pages>>) -> Response {
    match pages.control.account().state {
        AccountState::SignedIn => Page::new(StatusCode::OK, "You are signed in")
            .text("Codex Proxy can be used now. You can close this page.")
            .into_response(),
        AccountState::SigningIn => Page::new(StatusCode::OK, "One moment")
            .text("The sign-in is being completed. This page looks again by itself.")
            .again(1)
            .into_response(),
        AccountState::Unknown | AccountState::NotNeeded | AccountState::SignedOut | AccountState::Other => {
            redirect(StatusCode::SEE_OTHER, "/failed")
        }
    }
}

async fn failed(State(pages): State<Arc<Pages>>) -> Response {
    let account = pages.control.account();
    if account.state == AccountState::SignedIn && account.problem.is_none() {
        return redirect(StatusCode::SEE_OTHER, "/success");
    }
    let problem = account.problem.unwrap_or_else(|| "Nobody is signed in.".to_owned());
    Page::new(StatusCode::OK, "You are not signed in").text(&problem).button("Try again").into_response()
}

fn redirect(status: StatusCode, to: &str) -> Response {
    let mut response = status.into_response();
    match HeaderValue::from_str(to) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

/// Whether the person opened the page, and not another site or a prefetch of the browser. Browsers that send no
/// site are trusted.
fn came_by_themselves(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_ours = |site: &HeaderValue| site.to_str().is_ok_and(|site| is_page_of(site, host));
    let named_by_others =
        [ORIGIN, REFERER].iter().any(|name| headers.get_all(name).iter().any(|site| !is_ours(site)));
    let says = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let guess = ["sec-purpose", "purpose", "x-moz"].iter().any(|name| headers.contains_key(*name));
    let from_here = matches!(says("sec-fetch-site"), None | Some(b"none" | b"same-origin"));
    let as_a_page = matches!(says("sec-fetch-dest"), None | Some(b"document"));
    from_here && as_a_page && !guess && !named_by_others
}

/// Whether a URL or an origin has the host of this request.
fn is_page_of(url: &str, host: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    rest.split(['/', '?', '#'])
        .next()
        .is_some_and(|authority| authority.eq_ignore_ascii_case(host) && !host.is_empty())
}

/// Whether our own page sent a form: browsers send the origin of the page, which has to be the host of this
/// request.
fn is_our_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let (Some(origin), Some(host)) = (text(ORIGIN), text(HOST)) else { return false };
    let same = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) == Some(host);
    same && matches!(site, None | Some(b"same-origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    const OURS: &str = "127.0.0.1:1435";

    #[test]
    fn only_people_begin_a_sign_in_by_coming() {
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[], true),
            (&[("sec-fetch-site", "none"), ("sec-fetch-dest", "document")], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none"), ("sec-fetch-dest", "iframe")], false),
            (&[("sec-fetch-site", "none"), ("sec-purpose", "prefetch;prerender")], false),
            (&[("sec-fetch-site", "")], false),
            (&[("host", OURS), ("origin", "https://evil.example")], false),
            (&[("host", OURS), ("origin", "null")], false),
            (&[("host", OURS), ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "none")], false),
            (&[("host", OURS), ("referer", "https://evil.example/127.0.0.1:1435/")], false),
            (&[("host", OURS), ("referer", "http://127.0.0.1:1435.evil.example/")], false),
            (&[("host", OURS), ("referer", "http://127.0.0.1:1435@evil.example/")], false),
            (&[("host", OURS), ("referer", "http://127.0.0.1:11435/ui/")], false),
            (&[("host", OURS), ("referer", "app://obsidian.md/")], false),
            (&[("host", OURS), ("referer", "http://127.0.0.1:1435/failed?x")], true),
            (&[("host", OURS), ("origin", "http://127.0.0.1:1435"), ("sec-fetch-site", "same-origin")], true),
        ];
        for (pairs, expected) in cases {
            assert_eq!(came_by_themselves(&headers(pairs)), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn only_our_page_has_the_button() {
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[("host", "127.0.0.1:1435"), ("origin", "http://127.0.0.1:1435")], true),
            (
                &[
                    ("host", "localhost:1435"),
                    ("origin", "http://localhost:1435"),
                    ("sec-fetch-site", "same-origin"),
                ],
                true,
            ),
            (&[("host", "127.0.0.1:1435"), ("origin", "http://localhost:1435")], false),
            (&[("host", "127.0.0.1:1435"), ("origin", "http://127.0.0.1:8080")], false),
            (&[("host", "127.0.0.1:1435"), ("origin", "null")], false),
            (&[("host", "127.0.0.1:1435")], false),
            (
                &[
                    ("host", "127.0.0.1:1435"),
                    ("origin", "http://127.0.0.1:1435"),
                    ("sec-fetch-site", "cross-site"),
                ],
                false,
            ),
        ];
        for (pairs, expected) in cases {
            assert_eq!(is_our_page(&headers(pairs)), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_taken_port_is_told_with_the_ways_on() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1435));
        let told = problem(address, &std::io::ErrorKind::AddrInUse.into());
        for part in ["1435", "PROXY_LOGIN_PORT", "--device-code"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
