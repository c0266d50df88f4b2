//! The client of the npm registry.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, IF_RANGE, RANGE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{RequestBuilder, Response, StatusCode};
use rustls::ClientConfig;
use url::Url;

use super::error::CodexError;
use super::metadata::{Archive, PACKAGE, Packument, Place};
use super::platform::Platform;
use super::registry::Registry;

const CONNECT_TIME: Duration = Duration::from_secs(20);
/// The longest silence between two pieces of an answer.
const IDLE_TIME: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 5;
/// The size limit of a package's description, in bytes; that of Codex has some hundred kilobytes.
const MAX_METADATA: usize = 64 << 20;
/// The number of tries of a request that may succeed the next time.
const TRIES: u32 = 3;
/// The media type of the short description, which is enough to install.
const INSTALL_METADATA: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8";

/// A client of one registry.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    registry: Registry,
}

impl Client {
    /// HTTP proxies are those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    pub(super) async fn new(registry: Registry) -> Result<Self, CodexError> {
        let failed = |error: &dyn std::fmt::Display| CodexError::Internal(format!("no HTTP client: {error}"));
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(crate::tls::roots().await)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("codex-proxy/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(redirect))
            .connect_timeout(CONNECT_TIME)
            .read_timeout(IDLE_TIME)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self { http, registry })
    }

    /// The registry's description of Codex.
    pub(super) async fn packument(&self) -> Result<Packument, CodexError> {
        self.describe(PACKAGE).await
    }

    /// The archive of a version for this system.
    pub(super) async fn archive(
        &self,
        packument: &Packument,
        version: &str,
        platform: Platform,
    ) -> Result<Archive, CodexError> {
        match packument.place(version, platform, self.registry.url.as_str())? {
            Place::Here(archive) => Ok(archive),
            Place::Elsewhere { package, version } => {
                self.describe(&package).await?.archive(&package, &version)
            }
        }
    }

    /// Requests an archive from byte `from` on, if the server's tag of it is still `tag`.
    ///
    /// A mirror may give addresses of archives at another registry. If that registry cannot be reached, the same
    /// path is tried on the mirror itself; the content is checked by its digest in both cases. The error shows
    /// whether a server was reached.
    pub(super) async fn download(
        &self,
        url: &Url,
        from: u64,
        tag: Option<&str>,
    ) -> Result<Response, Unanswered> {
        match self.ask(url, from, tag).send().await {
            Ok(response) => Ok(response),
            Err(error) => match self.mirrored(url) {
                Some(mirror) if error.is_connect() => {
                    tracing::info!(
                        host = host(url),
                        "cannot reach the host of the archive; trying the host of the registry"
                    );
                    self.ask(&mirror, from, tag).send().await.map_err(|error| Unanswered::of(&mirror, &error))
                }
                _ => Err(Unanswered::of(url, &error)),
            },
        }
    }

    fn ask(&self, url: &Url, from: u64, tag: Option<&str>) -> RequestBuilder {
        let mut request = self.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            if let Some(tag) = tag {
                request = request.header(IF_RANGE, tag);
            }
        }
        request
    }

    fn mirrored(&self, url: &Url) -> Option<Url> {
        let own = &self.registry.url;
        (own.origin() != url.origin()).then(|| own.join(url.path().trim_start_matches('/')).ok()).flatten()
    }

    async fn describe(&self, package: &str) -> Result<Packument, CodexError> {
        let bad = |why: String| CodexError::BadMetadata { what: package.to_owned(), why };
        let path = package.replace('/', "%2f");
        let url = self.registry.url.join(&path).map_err(|error| bad(error.to_string()))?;
        let mut tries = 1;
        let response = loop {
            let sent = self.get(&url).header(ACCEPT, INSTALL_METADATA).send().await;
            let passing = match &sent {
                Ok(response) => is_passing(response.status()),
                Err(error) => !error.is_connect() && !error.is_redirect(),
            };
            if !passing || tries == TRIES {
                break sent.map_err(|error| offline(&url, &error))?;
            }
            tokio::time::sleep(Duration::from_secs(1) * tries).await;
            tries += 1;
        };
        let mut response = check(response, package)?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| offline(&url, &error))? {
            if body.len() + piece.len() > MAX_METADATA {
                return Err(CodexError::TooLarge { what: "its description", limit: MAX_METADATA as u64 });
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))
    }

    /// A request with credentials only if it goes to the registry itself.
    fn get(&self, url: &Url) -> RequestBuilder {
        let request = self.http.get(url.clone());
        let own = &self.registry.url;
        let is_own = url.origin() == own.origin() && url.path().starts_with(own.path());
        let credentials = self.registry.credentials.as_ref().filter(|_| is_own);
        match credentials.map(|credentials| HeaderValue::from_str(credentials.expose())) {
            Some(Ok(mut value)) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            Some(Err(_)) => {
                tracing::warn!("the registry's token in npm's configuration cannot be sent in a header");
                request
            }
            None => request,
        }
    }
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// No server could be reached.
    Unreachable(CodexError),
    /// A server was reached, but the answer was cut off.
    Cut(CodexError),
}

impl Unanswered {
    fn of(url: &Url, error: &reqwest::Error) -> Self {
        let hopeless = error.is_connect() || error.is_redirect() || error.is_builder();
        if hopeless { Self::Unreachable(offline(url, error)) } else { Self::Cut(offline(url, error)) }
    }
}

/// Follows a few redirects, and none from https to http. The HTTP client itself removes credentials from a
/// redirect to another host.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else if from_https && attempt.url().scheme() != "https" {
        attempt.error("a redirect from https to http")
    } else {
        attempt.follow()
    }
}

/// Whether the same request may succeed the next time.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

/// The answer, unless it is a refusal.
pub(super) fn check(response: Response, what: &str) -> Result<Response, CodexError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(CodexError::Refused { host: host(response.url()), status: status.as_u16(), what: what.to_owned() })
}

/// The error of a request without a complete answer.
pub(super) fn offline(url: &Url, error: &reqwest::Error) -> CodexError {
    let mut reason = if error.is_timeout() { "it did not answer in time".to_owned() } else { String::new() };
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.contains(&text) {
            let separator = if reason.is_empty() { "" } else { ": " };
            reason = format!("{reason}{separator}{text}");
        }
        cause = error.source();
    }
    CodexError::Offline { host: host(url), reason }
}

/// The host and port of a URL, the only parts that a message may show.
pub(super) fn host(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or("the npm registry"))
}
