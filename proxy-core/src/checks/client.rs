//! The HTTP client of the checks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rustls::ClientConfig;
use serde_json::Value;
use url::Url;

use super::{LOOK, Problem, cut};
use crate::secret::ApiKey;

const CONNECT: Duration = Duration::from_secs(15);
/// The maximum length of an answer in bytes.
const MOST_BYTES: usize = 8 << 20;

/// A deployment to check.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name of the deployment in messages.
    pub name: String,
    http: reqwest::Client,
    base: Url,
    key: Option<ApiKey>,
    /// The model to use; without one, the first in the list.
    model: Option<String>,
}

/// Why the client could not be created.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The text is not the address of a web server.
    #[error("{0} is not an address that starts with http:// or https://")]
    Address(String),
    /// A separate host name needs an address that is a number.
    #[error("--server-name is only for an origin with an IP address, such as https://127.0.0.1")]
    Host,
    /// TLS cannot be used.
    #[error("the HTTP client could not be set up: {0}")]
    Client(String),
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Problem> {
        serde_json::from_str(&self.text).map_err(|error| {
            Problem::new(format!("the answer is not JSON ({error}): {}", cut(&self.text)), PATH)
        })
    }

    /// The body of an answer with status 200, as JSON.
    pub(super) fn good(&self) -> Result<Value, Problem> {
        if self.status == StatusCode::OK { self.json() } else { Err(self.refused()) }
    }

    /// The problem of an answer with an unexpected status.
    pub(super) fn refused(&self) -> Problem {
        let next = match self.status.as_u16() {
            401 if self.text.contains("login_required") => {
                "Sign in: `codex-proxy login` on the proxy's machine."
            }
            401 => "Give a key of this proxy with --key-file. `codex-proxy keys list` lists the keys.",
            403 if self.text.contains("forbidden_host") => "Add the host name to PROXY_ALLOWED_HOSTS.",
            403 if self.text.contains("usage_limit") => "Wait until the plan's limit resets.",
            404 | 405 => PATH,
            502 | 504 => {
                "The reverse proxy cannot reach the proxy. Check that the proxy runs, and that the reverse proxy has the right address."
            }
            503 => {
                "No worker is ready: see `codex-proxy status` and `codex-proxy doctor` on the proxy's machine."
            }
            _ => LOOK,
        };
        Problem::new(format!("the status is {}: {}", self.status.as_u16(), cut(&self.text)), next)
    }

    /// The text of a header.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

const PATH: &str = "Check that this is the address of a Codex Proxy. Give it without a path, or with /v1.";

impl Target {
    /// A deployment at an address. `host` is the host name of the requests, if the address is only a number.
    ///
    /// # Errors
    /// If the address is not valid, or the HTTP client cannot be created.
    pub async fn new(
        name: &str,
        address: &str,
        host: Option<&str>,
        key: Option<ApiKey>,
        model: Option<String>,
    ) -> Result<Self, TargetError> {
        let failed = |error: &dyn std::fmt::Display| TargetError::Client(error.to_string());
        let not_one = || TargetError::Address(address.to_owned());
        let mut base = Url::parse(address).map_err(|_| not_one())?;
        if !["http", "https"].contains(&base.scheme()) || base.host_str().is_none() {
            return Err(not_one());
        }
        let path = base.path().trim_end_matches('/').trim_end_matches("/v1").trim_end_matches('/').to_owned();
        base.set_path(&format!("{path}/"));
        base.set_query(None);
        base.set_fragment(None);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(crate::tls::roots().await)
            .with_no_client_auth();
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("codex-proxy-check/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT);
        let number = base.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if let Some(host) = host {
            let (Some(ip), Some(port)) = (number, base.port_or_known_default()) else {
                return Err(TargetError::Host);
            };
            base.set_host(Some(host)).map_err(|_| TargetError::Address(host.to_owned()))?;
            // As with `curl --resolve`: the requests contain the name, and the connection goes to the number.
            client = client.resolve(host, SocketAddr::new(ip, port)).no_proxy();
        } else if number.is_some_and(|ip| ip.is_loopback()) {
            client = client.no_proxy();
        }
        let http = client.build().map_err(|error| failed(&error))?;
        Ok(Self { name: name.to_owned(), http, base, key, model })
    }

    /// Whether there is a key for the requests.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// A request without a key.
    pub(super) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.base.join(path.trim_start_matches('/')).unwrap_or_else(|_| self.base.clone());
        self.http.request(method, url)
    }

    /// A request with the key.
    pub(super) fn keyed(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.bare(method, path);
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    /// Sends a POST with JSON and the key, and returns the answer.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, Problem> {
        let request = self.keyed(Method::POST, path).header("content-type", "application/json");
        send(request.body(body.to_string())).await
    }

    /// The model to use.
    pub(super) async fn model(&self) -> Result<String, Problem> {
        if let Some(model) = &self.model {
            return Ok(model.clone());
        }
        let models = send(self.keyed(Method::GET, "/v1/models")).await?.good()?;
        super::text_of(&models["data"][0]["id"], "the first model's `id`")
    }
}

/// Sends a request and reads the whole answer.
pub(super) async fn send(request: RequestBuilder) -> Result<Answer, Problem> {
    let unreachable = |error: reqwest::Error| {
        let reason =
            std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).last();
        let reason = reason.map(ToString::to_string).unwrap_or_default();
        Problem::new(format!("there is no answer: {reason}"), REACH)
    };
    let mut response: Response = request.send().await.map_err(unreachable)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST_BYTES {
            return Err(Problem::new("the answer does not end", PATH));
        }
    }
    Ok(Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() })
}

const REACH: &str = "Is the proxy running, and reachable at this address from here? A certificate must be one that this system \
                     trusts; SSL_CERT_FILE names further ones.";
