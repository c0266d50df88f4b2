//! The errors of the HTTP server, and the only place that maps each error to a status.

#[cfg(test)]
mod documented;
mod refused;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

pub(super) use refused::Refused;
pub use socket::SocketError;

use super::headers;
use super::paths::way_out;
use crate::account::AccountError;
use crate::budget::Exhausted;
use crate::control::keys::{KeysError, KeysErrorKind};
use crate::exchange::{Count, Refusal};
use crate::response_store::StoreError;
use crate::secret::redact::{redact_path, redact_within};
use crate::throttle::Throttled;
use protocol::openai::error::{ErrorBody, RequestError, RequestErrorKind, turn_error_body};
use protocol::turn::{TurnError, TurnErrorKind};

/// The content codings that a request's body may have.
pub(super) const SUPPORTED_CODINGS: &str = "zstd, br, gzip, deflate";

/// The maximum number of characters of an error message: a value from the client may be as long as its request.
const MAX_TOLD: usize = 2000;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An error that ends a request before its answer has begun.
#[derive(Debug)]
pub enum Error {
    /// The request cannot become a turn.
    Request(RequestError),
    /// The turn failed.
    Turn(TurnError),
    /// An operation on the account failed.
    Account(AccountError),
    /// No key was sent, or a wrong one.
    Unauthorized {
        /// Whether a key was sent.
        is_shown: bool,
    },
    /// The token of the control API is missing or wrong, or the request comes from another machine.
    ControlDenied,
    /// A person has paused the proxy.
    Paused,
    /// The key has reached its limit.
    Throttled(Throttled),
    /// The maximum number of streamed answers is reached.
    TooManyStreams(Count),
    /// An operation on the API keys failed.
    Keys(KeysError),
    /// A `Host` that is not a name of this proxy.
    ForbiddenHost(String),
    /// An `Origin` that may not use this proxy.
    ForbiddenOrigin(String),
    /// A page of another site sends a request without an origin.
    CrossSite,
    /// A header that decides on a request is present more than once.
    Repeated(HeaderName),
    /// The bytes are not a valid HTTP request; with the status to send.
    Unreadable(StatusCode),
    /// No such route.
    UnknownRoute(String),
    /// The route does not have this method; it has these.
    MethodNotAllowed(&'static str),
    /// The body is larger than this many bytes.
    BodyTooLarge(usize),
    /// The body did not arrive in time, or ended too early.
    BodyIncomplete,
    /// The body has more than this many bytes once it is unpacked.
    UnpackedTooLarge(usize),
    /// The body is not in the format that its `Content-Encoding` names; with a sentence that explains it.
    BrokenCoding(String),
    /// The proxy cannot unpack this `Content-Encoding`.
    UnsupportedCoding(String),
    /// A WebSocket does not take the request.
    Socket(SocketError),
    /// The `Content-Type` of the body is not JSON.
    UnsupportedMediaType(String),
    /// Another operation that is running prevents this one.
    Conflict(String),
    /// A file of this machine could not be read or written.
    File(String),
    /// The usage cannot be read.
    UsageUnavailable,
    /// Stored responses cannot be read or written.
    StoreUnavailable(Arc<StoreError>),
    /// A fault of the proxy itself.
    Internal,
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}

impl From<KeysError> for Error {
    fn from(error: KeysError) -> Self {
        Self::Keys(error)
    }
}

impl From<Exhausted> for Error {
    fn from(error: Exhausted) -> Self {
        Refusal::from(error).into()
    }
}

impl From<TurnError> for Error {
    fn from(error: TurnError) -> Self {
        Self::Turn(error)
    }
}

impl From<AccountError> for Error {
    fn from(error: AccountError) -> Self {
        Self::Account(error)
    }
}

impl Error {
    /// The HTTP status of the error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Request(error) => match error.kind {
                RequestErrorKind::ModelNotFound | RequestErrorKind::NotFound => StatusCode::NOT_FOUND,
                RequestErrorKind::PromptTooLong => StatusCode::FORBIDDEN,
                RequestErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                RequestErrorKind::ContextLengthExceeded
                | RequestErrorKind::InvalidJson
                | RequestErrorKind::InvalidType
                | RequestErrorKind::InvalidValue
                | RequestErrorKind::MissingParameter
                | RequestErrorKind::Unsupported
                | RequestErrorKind::PreviousResponseNotFound
                | RequestErrorKind::InvalidImage => StatusCode::BAD_REQUEST,
            },
            Self::Turn(error) => turn_status(error.kind),
            Self::Throttled(_) | Self::TooManyStreams(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Account(error) => account_code(error).0,
            Self::Keys(error) => match error.kind {
                KeysErrorKind::Unknown => StatusCode::NOT_FOUND,
                KeysErrorKind::InvalidName => StatusCode::BAD_REQUEST,
                KeysErrorKind::Conflict => StatusCode::CONFLICT,
                KeysErrorKind::Keychain => StatusCode::SERVICE_UNAVAILABLE,
                KeysErrorKind::Storage => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Unauthorized { .. } | Self::ControlDenied => StatusCode::UNAUTHORIZED,
            Self::ForbiddenHost(_) | Self::ForbiddenOrigin(_) | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Repeated(_) => StatusCode::BAD_REQUEST,
            Self::Unreadable(status) => *status,
            Self::UnknownRoute(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge(_) | Self::UnpackedTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BrokenCoding(_) | Self::Socket(_) => StatusCode::BAD_REQUEST,
            Self::BodyIncomplete => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedCoding(_) | Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Paused | Self::UsageUnavailable | Self::StoreUnavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::File(_) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `code` of the error, as in OpenAI's API.
    pub fn code(&self) -> Option<&'static str> {
        self.body().code
    }

    /// The body of the response, as JSON.
    pub fn bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Wrapped {
            error: ErrorBody,
        }
        serde_json::to_vec(&Wrapped { error: self.told() }).unwrap_or_default()
    }

    /// The `error` object that a client reads.
    pub(super) fn told(&self) -> ErrorBody {
        let mut error = self.body();
        if self.repeats_the_client() {
            error.message = redact_within(&error.message, MAX_TOLD);
            error.param = error.param.map(|param| redact_within(&param, MAX_TOLD));
        }
        error
    }

    /// Whether its message may contain text of the client or of the upstream, which may be a key in the wrong
    /// place.
    fn repeats_the_client(&self) -> bool {
        match self {
            // The address of the sign-in page must stay complete.
            Self::Turn(error) => error.kind != TurnErrorKind::LoginRequired,
            Self::Request(_)
            | Self::Keys(_)
            | Self::Account(_)
            | Self::UnknownRoute(_)
            | Self::UnsupportedCoding(_)
            | Self::UnsupportedMediaType(_)
            | Self::Conflict(_)
            | Self::File(_) => true,
            // The guard has masked these before it shortened them.
            Self::ForbiddenHost(_) | Self::ForbiddenOrigin(_) => false,
            Self::Unauthorized { .. }
            | Self::ControlDenied
            | Self::Throttled(_)
            | Self::TooManyStreams(_)
            | Self::CrossSite
            | Self::Repeated(_)
            | Self::Unreadable(_)
            | Self::MethodNotAllowed(_)
            | Self::BodyTooLarge(_)
            | Self::UnpackedTooLarge(_)
            | Self::BrokenCoding(_)
            | Self::BodyIncomplete
            | Self::Socket(_)
            | Self::UsageUnavailable
            | Self::StoreUnavailable(_)
            | Self::Paused
            | Self::Internal => false,
        }
    }

    fn body(&self) -> ErrorBody {
        let body = |kind, code, message: String| ErrorBody {
            message,
            kind,
            param: None,
            code: Some(code),
            remedy: None,
        };
        let invalid = "invalid_request_error";
        match self {
            Self::Request(error) => error.body(),
            Self::Turn(error) => turn_error_body(error),
            Self::Throttled(error) => {
                let code = match error {
                    Throttled::Rate { .. } => "rate_limit_exceeded",
                    Throttled::Budget { .. } => "token_budget_exceeded",
                };
                body("rate_limit_error", code, error.to_string())
            }
            // With the words that clients of this limit expect.
            Self::TooManyStreams(_) => {
                body("rate_limit_error", "concurrency_exceeded", "too many concurrent streams".into())
            }
            Self::Account(error) => body(invalid, account_code(error).1, error.to_string()),
            Self::Unauthorized { is_shown } => {
                let what = if *is_shown {
                    "This API key is none of this proxy's, or it is disabled."
                } else {
                    "No API key was given."
                };
                body(
                    invalid,
                    "invalid_api_key",
                    format!(
                        "{what} Send `Authorization: Bearer <key>` with one of this proxy's keys: \
                         `codex-proxy keys list` names them and `codex-proxy keys show NAME` prints one; PROXY_API_KEY, \
                         where it is set, is one of them."
                    ),
                )
            }
            Self::Paused => body(
                "server_error",
                "proxy_paused",
                "Codex Proxy is paused, so it answers no requests. Choose Resume in its window or in the tray's menu."
                    .into(),
            ),
            Self::ControlDenied => body(
                invalid,
                "invalid_control_token",
                "The control API is for programs on this machine that send `Authorization: Bearer <token>` with the \
                 content of the file `control-token` in the proxy's data directory. It does not answer by way of a \
                 reverse proxy, nor by a public name."
                    .into(),
            ),
            Self::Keys(error) => keys_body(error),
            Self::ForbiddenHost(host) => body(
                invalid,
                "forbidden_host",
                format!(
                    "The Host '{host}' is not this proxy's. Use http://127.0.0.1:<port>, or list the name in \
                     PROXY_ALLOWED_HOSTS."
                ),
            ),
            Self::ForbiddenOrigin(origin) => body(
                invalid,
                "forbidden_origin",
                format!(
                    "The origin '{origin}' may not use this proxy. If it should, list it in \
                     PROXY_CORS_ALLOWED_ORIGINS."
                ),
            ),
            Self::CrossSite => body(
                invalid,
                "forbidden_origin",
                "A page of another site has asked for this without naming its origin. If the page may use this proxy, \
                 have it call with fetch(), and list its origin in PROXY_CORS_ALLOWED_ORIGINS. To look at this \
                 yourself, enter the address in the browser."
                    .into(),
            ),
            Self::Repeated(name) => body(
                invalid,
                "repeated_header",
                format!("The header `{name}` is there more than once. Send it once."),
            ),
            Self::Unreadable(status) => {
                let (code, message) = unreadable(*status);
                body(invalid, code, message.into())
            }
            Self::UnknownRoute(path) => body(
                invalid,
                "unknown_url",
                format!(
                    "Unknown request URL: {}. This proxy serves /v1/responses, /v1/chat/completions and /v1/models.{}",
                    redact_path(path),
                    way_out(path),
                ),
            ),
            Self::MethodNotAllowed(allowed) => {
                body(invalid, "method_not_allowed", format!("This URL takes {allowed} only."))
            }
            Self::BodyTooLarge(limit) => body(
                invalid,
                "request_too_large",
                format!("The request body is larger than {limit} bytes. Send less, or raise PROXY_MAX_BODY_BYTES."),
            ),
            Self::UnpackedTooLarge(limit) => body(
                invalid,
                "request_too_large",
                format!(
                    "The request body has more than {limit} bytes when it is unpacked. Send less, or raise \
                     PROXY_MAX_BODY_BYTES."
                ),
            ),
            Self::BrokenCoding(message) => body(invalid, "invalid_content_encoding", message.clone()),
            Self::UnsupportedCoding(got) => body(
                invalid,
                "unsupported_content_encoding",
                format!("{got}. Send the body as it is, or as one of {}.", SUPPORTED_CODINGS),
            ),
            Self::BodyIncomplete => {
                body(invalid, "request_incomplete", "The request body did not arrive completely.".into())
            }
            Self::Socket(error) => {
                ErrorBody { param: error.param(), ..body(invalid, error.code(), error.to_string()) }
            }
            Self::UnsupportedMediaType(got) => body(
                invalid,
                "unsupported_media_type",
                format!("{got}. Send plain JSON with `Content-Type: application/json`."),
            ),
            Self::Conflict(message) => body(invalid, "conflict", message.clone()),
            Self::File(message) => body("server_error", "file_error", message.clone()),
            Self::UsageUnavailable => body(
                "server_error",
                "usage_unavailable",
                "The usage database cannot be read at present. The proxy's log says why.".into(),
            ),
            Self::StoreUnavailable(_) => body(
                "server_error",
                "store_unavailable",
                "Stored responses cannot be used at present; the proxy's log says why. Requests with the whole \
                 transcript go on to work."
                    .into(),
            ),
            Self::Internal => body(
                "server_error",
                "internal_error",
                "Codex Proxy failed to handle this request. Its log says why.".into(),
            ),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        if let Self::Throttled(error) = self {
            return Some(error.wait());
        }
        if let Self::TooManyStreams(_) = self {
            return Some(Duration::from_secs(1));
        }
        if let Self::Turn(error) = self { error.retry_after } else { None }
    }
}

fn unreadable(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::URI_TOO_LONG => {
            ("url_too_long", "The URL is longer than 65534 bytes. Send what is long in the body.")
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "headers_too_large",
            "There are more than 100 headers, or they are longer than 400 KiB. Send fewer, and what is long in the body.",
        ),
        _ => (
            "malformed_request",
            "This is no HTTP/1.1 request that can be read: its first line or a header is malformed. Use http, not \
             https, with an HTTP client.",
        ),
    }
}

fn account_code(error: &AccountError) -> (StatusCode, &'static str) {
    match error {
        AccountError::NoWorker(_) => (StatusCode::SERVICE_UNAVAILABLE, "worker_not_ready"),
        AccountError::Unsupported(_) => (StatusCode::BAD_REQUEST, "unsupported"),
        AccountError::Refused(_) => (StatusCode::BAD_GATEWAY, "codex_refused"),
        AccountError::SignIn(_) => (StatusCode::CONFLICT, "sign_in_failed"),
        AccountError::Slow => (StatusCode::GATEWAY_TIMEOUT, "codex_timeout"),
        AccountError::NoLimits => (StatusCode::NOT_FOUND, "no_limits"),
        AccountError::Import(_) | AccountError::NoDefault | AccountError::GivenHome => {
            (StatusCode::BAD_REQUEST, "import_failed")
        }
    }
}

fn keys_body(error: &KeysError) -> ErrorBody {
    let (kind, param, code) = match error.kind {
        KeysErrorKind::Unknown => ("invalid_request_error", None, "key_not_found"),
        KeysErrorKind::InvalidName => ("invalid_request_error", Some("name".to_owned()), "invalid_key_name"),
        KeysErrorKind::Conflict => ("invalid_request_error", None, "key_conflict"),
        KeysErrorKind::Keychain => ("server_error", None, "keychain_unavailable"),
        KeysErrorKind::Storage => ("server_error", None, "key_storage_failed"),
    };
    ErrorBody { message: error.message.clone(), kind, param, code: Some(code), remedy: None }
}

fn turn_status(kind: TurnErrorKind) -> StatusCode {
    match kind {
        TurnErrorKind::LoginRequired => StatusCode::UNAUTHORIZED,
        // A 429 makes some clients hang and others retry at once; a 403 is shown at once by all.
        TurnErrorKind::UsageLimitReached | TurnErrorKind::Forbidden => StatusCode::FORBIDDEN,
        TurnErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        TurnErrorKind::ContextLengthExceeded
        | TurnErrorKind::Unsupported
        | TurnErrorKind::BadRequest
        | TurnErrorKind::ContentFiltered => StatusCode::BAD_REQUEST,
        TurnErrorKind::ModelNotFound => StatusCode::NOT_FOUND,
        TurnErrorKind::Overloaded | TurnErrorKind::WorkerNotReady | TurnErrorKind::WorkerExited => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        TurnErrorKind::Upstream => StatusCode::BAD_GATEWAY,
        TurnErrorKind::RequestTimeout | TurnErrorKind::IdleTimeout => StatusCode::GATEWAY_TIMEOUT,
        TurnErrorKind::Cancelled | TurnErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.bytes()));
        if let Some(refusal) = self.refusal() {
            response.extensions_mut().insert(Refused { refusal, code: self.code() });
        }
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=api"));
        }
        if let Some(delay) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(delay.as_secs_f64().ceil().max(1.0) as u64));
        }
        if let Self::TooManyStreams(count) = self {
            headers.extend(headers::streams(count));
        }
        if let Self::Paused = self {
            // OpenAI's libraries read this header: a retry is of no use.
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Self::UnsupportedCoding(_) = self {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(SUPPORTED_CODINGS));
        }
        if let Self::MethodNotAllowed(allowed) = self {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

#[cfg(test)]
mod tests;
