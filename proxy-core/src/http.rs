//! The HTTP server: the routes, and the steps that each request and each response passes.
//!
//! Order: request id → `Host` and `Origin` → CORS → route → key → handler. The error of each step passes the
//! same steps on its way out, so that a page in a browser can read it.

mod body;
mod caller;
mod control;
pub mod error;
pub mod guard;
mod headers;
mod health;
pub mod in_process;
pub mod login;
mod metrics;
mod models;
mod origins;
mod paths;
mod segment;
pub mod server;
pub mod share;
mod sse;
mod stored;
pub mod test_routes;
mod turns;
mod ui;
mod usage;
pub mod websocket;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures_util::FutureExt;
use http::header::{AUTHORIZATION, CACHE_CONTROL, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use ipnet::IpNet;
use tracing::Instrument as _;

use crate::control::ControlHandle;
use crate::dispatch::Dispatcher;
use crate::exchange::Exchanges;
use crate::keys::KeyRing;
use crate::recording::{Arrival, Recorder};
use crate::request_log::RefusalReason;
use crate::secret::redact::{redact_path, redact_within};
use crate::secret::{AdmittedKey, ApiKey};
use crate::telemetry::Metrics;
use crate::telemetry::request::{About, Observed};
use caller::Caller;
use error::{Error, Refused};
use guard::Guard;
use protocol::openai;
use protocol::openai::chat::Chat;
use protocol::openai::responses::{Compaction, Responses};
use protocol::turn::TurnError;
use stored::{chats, conversations, responses};
use websocket::Sockets;

#[cfg(any(test, feature = "fuzzing"))]
pub use body::fuzz as fuzz_body;
pub use origins::{Origins, Pattern};

/// What the operator decides about the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on.
    pub host: IpAddr,
    /// TCP port to listen on; 0 takes any free one.
    pub port: u16,
    /// `name` or `name:port` entries that `Host` may hold besides the loopback names, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Reverse proxies whose forwarding headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Cross-origin access by browsers.
    pub cors: Cors,
    /// Whether `/v1/models` needs a key.
    pub protect_models: bool,
    /// Whether `/v1/responses` is served at all.
    pub enable_responses: bool,
    /// Time between two `: keepalive` comments on a silent stream, if there are any.
    pub keepalive: Option<Duration>,
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
    /// Whether `/metrics` is served.
    pub enable_metrics: bool,
    /// Whether `/v1/usage` answers without a key.
    pub usage_allow_unauth: bool,
    /// The maximum number of streamed answers at one time; 0 for no limit.
    pub max_streams: usize,
    /// The routes for tests, if they are served.
    pub tests: Option<test_routes::Config>,
}

/// Cross-origin resource sharing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Whether CORS headers are sent and preflights answered here.
    pub enabled: bool,
    /// Who may call.
    pub origins: Origins,
}

/// What the handlers share.
pub struct App {
    /// The server's settings.
    pub config: Config,
    /// The translation's settings.
    pub openai: openai::Config,
    /// Runs turns.
    pub dispatcher: Dispatcher,
    /// Answers requests.
    pub exchanges: Exchanges,
    /// The API keys.
    pub keys: KeyRing,
    /// Reads and changes the state of the proxy.
    pub control: ControlHandle,
    /// The token that clients of the control API have to show.
    pub control_token: ApiKey,
    /// The open WebSockets.
    pub sockets: Sockets,
    /// Counts requests.
    pub metrics: Metrics,
    /// When the proxy started, in seconds since the epoch.
    pub started: u64,
}

impl App {
    /// The key that a request shows, if it is accepted.
    fn admitted_key(&self, headers: &HeaderMap) -> Option<AdmittedKey> {
        self.keys.pass(shown_key(headers)?)
    }
}

/// The maximum number of characters of a path that are logged.
const MAX_PATH: usize = 500;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's id, in its extensions.
#[derive(Debug, Clone)]
struct RequestId(String);

/// The whole service, for a server that listens on `port`.
pub fn service(app: &Arc<App>, port: u16) -> Router {
    let guard = Guard::new(port, app.config.allowed_hosts.clone(), app.config.cors.clone());
    let edge_state = Arc::new(Edge {
        guard,
        trusted_proxies: app.config.trusted_proxies.clone(),
        metrics: app.metrics.clone(),
        recorder: app.exchanges.recorder().clone(),
    });
    let api = api(app);
    let routes = Router::new()
        .merge(api.clone())
        .nest("/v1", api)
        .nest("/control", control::routes(app))
        .nest("/__test", test_routes::routes(app))
        .merge(ui::routes())
        .route("/healthz", open("GET, HEAD", get(health::healthz)))
        .route("/readyz", open("GET, HEAD", get(health::readyz)))
        .route("/livez", open("GET, HEAD", get(health::livez)))
        .route("/metrics", open("GET, HEAD", get(metrics::show)))
        .route_layer(middleware::from_fn(note_route))
        .fallback(|uri: Uri| async move { Error::UnknownRoute(uri.path().to_owned()) })
        .with_state(app.clone());
    // As the fallback of an outer router, so that `edge` runs before a route is chosen.
    Router::new().fallback_service(routes).layer(middleware::from_fn_with_state(edge_state, edge))
}

/// The routes that answer with and without `/v1`.
fn api(app: &Arc<App>) -> Router<Arc<App>> {
    let keyed = |methods: &'static str, routes: MethodRouter<Arc<App>>| {
        open(methods, routes).layer(middleware::from_fn_with_state(app.clone(), require_key))
    };
    let listing = |routes| {
        if app.config.protect_models {
            keyed("GET, HEAD", routes)
        } else {
            open("GET, HEAD", routes).layer(middleware::from_fn_with_state(app.clone(), refuse_wrong_key))
        }
    };
    let counted = |routes| {
        if app.config.usage_allow_unauth { open("GET, HEAD", routes) } else { keyed("GET, HEAD", routes) }
    };
    let mut router = Router::new()
        .route("/models", listing(get(models::list)))
        .route("/models/{*id}", listing(get(models::get)))
        .route("/usage", counted(get(usage::sums)))
        .route("/usage/raw", counted(get(usage::raw)))
        .route(
            "/chat/completions",
            keyed("GET, HEAD, POST", get(chats::all).post(turns::create::<Chat>).head(present)),
        )
        .route(
            "/chat/completions/{id}",
            keyed("GET, HEAD, POST, DELETE", get(chats::get).post(chats::update).delete(chats::delete)),
        )
        .route("/chat/completions/{id}/messages", keyed("GET, HEAD", get(chats::messages)))
        .route("/verify", keyed("GET, HEAD, POST", get(present).post(present)));
    if app.config.enable_responses {
        let create = post(turns::create::<Responses>).get(websocket::open).head(present);
        router = router
            .route("/responses", keyed("POST, HEAD", create))
            .route(
                "/responses/{id}",
                keyed("GET, HEAD, DELETE", get(responses::get).delete(responses::delete)),
            )
            .route("/responses/compact", keyed("POST", post(turns::create::<Compaction>)))
            .route("/responses/input_tokens", keyed("POST", post(turns::count)))
            .route("/responses/{id}/input_items", keyed("GET, HEAD", get(responses::input_items)))
            .route("/responses/{id}/cancel", keyed("POST", post(responses::cancel)))
            .route("/conversations", keyed("POST", post(conversations::create)))
            .route(
                "/conversations/{id}",
                keyed(
                    "GET, HEAD, POST, DELETE",
                    get(conversations::get).post(conversations::update).delete(conversations::delete),
                ),
            )
            .route(
                "/conversations/{id}/items",
                keyed("GET, HEAD, POST", get(conversations::items).post(conversations::add_items)),
            )
            .route(
                "/conversations/{id}/items/{item}",
                keyed("GET, HEAD, DELETE", get(conversations::item).delete(conversations::delete_item)),
            );
    }
    router
}

/// A route that lists its methods in a 405 response.
fn open(methods: &'static str, routes: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    routes.fallback(move || async move { Error::MethodNotAllowed(methods) })
}

async fn present() -> StatusCode {
    StatusCode::OK
}

/// The status and the code with which a failed turn is recorded.
pub fn outcome(error: &TurnError) -> (u16, Option<&'static str>) {
    let error = Error::from(error.clone());
    (error.status().as_u16(), error.code())
}

/// What the edge needs.
struct Edge {
    guard: Guard,
    trusted_proxies: Vec<IpNet>,
    metrics: Metrics,
    recorder: Recorder,
}

/// Records which declared route was chosen.
async fn note_route(request: Request, next: Next) -> Response {
    if let (Some(about), Some(route)) =
        (request.extensions().get::<About>(), request.extensions().get::<MatchedPath>())
    {
        about.route(route.as_str());
    }
    next.run(request).await
}

/// The outermost step of each request, whatever the result is.
async fn edge(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let (started, guard) = (Instant::now(), &edge.guard);
    let id = format!("req_{}", uuid::Uuid::new_v4().simple());
    let (method, headers) = (request.method().clone(), request.headers().clone());
    // A client may have put its key into the path by mistake. The log must not contain it.
    let path = redact_within(&redact_path(request.uri().path()), MAX_PATH);
    let caller = Caller::of(request.version(), &headers, request.extensions(), &edge.trusted_proxies);
    let mut observed = Observed::begin(&edge.metrics, &id, &method, &path, &headers);
    let about = observed.about().clone();
    about.caller(caller.scheme, caller.address);
    request.extensions_mut().insert(about.clone());
    let allowed = guard.check(&method, request.uri(), &headers);
    let mut response = match allowed.and_then(|()| guard.check_forwarded(&caller.hosts)) {
        Err(refusal) => refusal.into_response(),
        Ok(()) if method == Method::OPTIONS => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            guard.add_preflight(&headers, response.headers_mut());
            response
        }
        Ok(()) => {
            as_routes_are_written(&mut request);
            request.extensions_mut().insert(RequestId(id.clone()));
            request.extensions_mut().insert(caller.clone());
            match AssertUnwindSafe(next.run(request)).catch_unwind().instrument(about.span().clone()).await {
                Ok(response) => response,
                Err(_) => {
                    about.span().in_scope(|| tracing::error!(path, "a handler panicked; this is a bug"));
                    Error::Internal.into_response()
                }
            }
        }
    };
    if let Some(refused) = response.extensions_mut().remove::<Refused>()
        && (refused.refusal.reason != RefusalReason::UnknownRoute || method == Method::POST)
    {
        // Listed with the requests, so that a person who sets up a client can see the mistake.
        let route = path.clone();
        let user_agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let user_agent = String::from_utf8_lossy(user_agent).into_owned();
        let arrival = Arrival {
            route,
            method: method.to_string(),
            id: id.clone(),
            user_agent,
            address: caller.address,
            ..Arrival::default()
        };
        edge.recorder.refuse(arrival, refused.refusal, response.status().as_u16(), refused.code);
    }
    let out = response.headers_mut();
    guard.add_cors(&headers, out);
    if let Ok(value) = HeaderValue::from_str(&id) {
        out.insert(REQUEST_ID, value);
    }
    for (name, value) in guard::SHIELD {
        out.entry(name).or_insert(HeaderValue::from_static(value));
    }
    out.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // The span is entered, because the JSON lines leave out a parent that an event only names.
    about.span().in_scope(|| {
        let (status, ms) = (response.status().as_u16(), started.elapsed().as_millis());
        // Whoever follows the log reads it every two seconds. Those lines would soon be all that it says.
        if path == "/control/logs" && response.status().is_success() {
            tracing::trace!(path, status, ms, "answered");
        } else {
            tracing::debug!(path, status, ms, "answered");
        }
    });
    observed.answered(response.status().as_u16());
    response.map(|body| Body::new(observed.body(body)))
}

/// Rewrites the path to the form of the routes. The path of the window keeps its last slash: its relative paths
/// start there.
fn as_routes_are_written(request: &mut Request<Body>) {
    let uri = request.uri();
    if uri.path().starts_with(ui::ROOT) {
        return;
    }
    let Some(mut rewritten) = paths::rewritten(uri.path()) else { return };
    if let Some(query) = uri.query() {
        rewritten.push('?');
        rewritten.push_str(query);
    }
    if let Ok(uri) = rewritten.parse() {
        *request.uri_mut() = uri;
    }
}

/// Lets a request in only with an accepted key, and puts the key into its extensions. The body has not been read
/// yet.
async fn require_key(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match app.admitted_key(request.headers()) {
        Some(key) => {
            if let Some(about) = request.extensions().get::<About>() {
                about.key(key.name.as_str());
            }
            request.extensions_mut().insert(key);
            next.run(request).await
        }
        None => unauthorized(request.headers()).into_response(),
    }
}

/// Refuses a wrong key also where no key is needed. A client tests its settings with the list of models, and has
/// to see that its key is wrong.
async fn refuse_wrong_key(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let error = unauthorized(request.headers());
    if matches!(error, Error::Unauthorized { is_shown: true })
        && app.admitted_key(request.headers()).is_none()
    {
        return error.into_response();
    }
    next.run(request).await
}

/// The error for a wrong key or for a missing key.
fn unauthorized(headers: &HeaderMap) -> Error {
    Error::Unauthorized { is_shown: shown_key(headers).is_some_and(|key| !key.is_empty()) }
}

/// The API key that a request shows, as OpenAI's clients do.
fn shown_key(headers: &HeaderMap) -> Option<&[u8]> {
    bearer(headers).or_else(|| websocket::protocol_key(headers))
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}
