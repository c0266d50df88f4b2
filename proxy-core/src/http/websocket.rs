//! `GET /v1/responses` as a WebSocket: the handshake.
//!
//! The order of the files: [`connection`] reads frames ([`frame`]), gives them to their lanes ([`lanes`]), and writes
//! the events of their responses ([`response`]).

mod connection;
mod frame;
mod lanes;
mod response;
mod steering;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use yawc::{DeflatePool, IncomingUpgrade, Options};

use super::error::Error;
use super::{App, turns};
use crate::budget::Budget;
use crate::keys::ShownKey;
use crate::telemetry::request::About;
use connection::{Connection, Terms};
#[cfg(any(test, feature = "fuzzing"))]
pub use frame::fuzz::fuzz;
use protocol::openai::error::{RequestError, RequestErrorKind};

/// The most bytes that all connections remember together.
const MAX_REMEMBERED: usize = 256 << 20;

/// The size of the buffers of a connection while it is idle.
const BUFFER: usize = 1024;

/// The size in bytes from which a frame is packed.
const PACKED_FROM: usize = 256;

/// The number of idle packers that all connections share.
const PACKERS: usize = 8;

/// The subprotocol that carries the key of a page in a browser, which cannot set headers.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// What all WebSockets share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sockets {
    open: TaskTracker,
    closing: CancellationToken,
    memory: Budget,
    packers: DeflatePool,
}

impl Sockets {
    /// No WebSockets. They end when `closing` is cancelled.
    pub fn new(closing: CancellationToken) -> Self {
        Self {
            open: TaskTracker::new(),
            closing,
            memory: Budget::new(MAX_REMEMBERED),
            packers: DeflatePool::new(PACKERS),
        }
    }

    /// The tasks of the open ones.
    pub fn open(&self) -> TaskTracker {
        self.open.clone()
    }

    /// Nothing is kept for packing from one frame to the next, so that an idle connection needs no memory for it.
    fn options(&self, limit: usize) -> Options {
        // The library refuses what is as large as the limit.
        let limit = limit.saturating_add(1);
        Options::default()
            .with_limits(limit, limit)
            .with_low_latency_compression()
            .server_no_context_takeover()
            .client_no_context_takeover()
            .with_compression_threshold(PACKED_FROM)
            .with_deflate_pool(self.packers.clone())
            .with_read_buffer_capacity(BUFFER)
            .with_write_buffer_capacity(BUFFER)
    }
}

/// Opens a WebSocket.
pub(super) async fn open(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    if !parts.headers.contains_key(UPGRADE) {
        return Error::MethodNotAllowed("POST, HEAD").into_response();
    }
    let shown = super::shown_key(&parts.headers).map(ShownKey::new);
    let Some(shown) = shown else { return Error::Internal.into_response() };
    let output_mode = match turns::output_mode(&parts.headers) {
        Ok(output_mode) => output_mode,
        Err(error) => return error.into_response(),
    };
    let options = app.sockets.options(app.config.max_body_bytes);
    let upgrade = IncomingUpgrade::from_request_parts(&mut parts, &()).await.ok();
    let Some((response, socket)) = upgrade.and_then(|upgrade| upgrade.upgrade(options).ok()) else {
        let message = "This is no handshake of a WebSocket of version 13 over HTTP/1.1.".to_owned();
        return Error::from(RequestError { kind: RequestErrorKind::InvalidValue, message, param: None })
            .into_response();
    };
    let mut response = response.map(Body::new);
    if let Some(protocol) = protocol(&parts.headers) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    parts.headers.remove(SEC_WEBSOCKET_PROTOCOL);
    parts.headers.remove(AUTHORIZATION);
    parts.extensions.remove::<About>();
    let keys = app.keys.clone();
    let terms = Terms {
        exchanges: app.exchanges.clone(),
        metrics: app.metrics.clone(),
        parts,
        output_mode,
        pass: Box::new(move || keys.pass_again(&shown)),
        closing: app.sockets.closing.clone(),
        memory: app.sockets.memory.clone(),
    };
    app.sockets.open.spawn(async move {
        match socket.await {
            Ok(socket) => Box::pin(Connection::new(socket, terms).serve()).await,
            Err(error) => tracing::debug!(%error, "a WebSocket was not opened"),
        }
    });
    response
}

/// The key that a page in a browser offers as a subprotocol.
pub(super) fn protocol_key(headers: &HeaderMap) -> Option<&[u8]> {
    protocols(headers).find_map(|protocol| protocol.strip_prefix(KEY_PROTOCOL)).map(str::as_bytes)
}

/// The subprotocol that is answered: the first that is no setting of OpenAI's, such as a key. A browser wants one of
/// those that its page has offered.
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let first = protocols(headers).find(|protocol| !protocol.starts_with("openai-"))?;
    HeaderValue::from_str(first).ok()
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|protocol| !protocol.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(values: &[&str]) -> HeaderMap {
        let pair = |value: &&str| (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(value).unwrap());
        values.iter().map(pair).collect()
    }

    #[test]
    fn a_key_may_be_a_subprotocol_and_is_never_answered() {
        for values in [
            &["realtime, openai-insecure-api-key.cp-1, openai-beta.realtime-v1"][..],
            &["openai-insecure-api-key.cp-1,realtime"],
            &["openai-insecure-api-key.cp-1", " realtime"],
        ] {
            let headers = offering(values);
            assert_eq!(protocol_key(&headers), Some(&b"cp-1"[..]), "{values:?}");
            assert_eq!(protocol(&headers).unwrap(), "realtime", "{values:?}");
        }
        assert_eq!(protocol(&offering(&["openai-insecure-api-key.cp-1"])), None);
        assert_eq!(protocol_key(&offering(&["realtime"])), None);
        assert_eq!(protocol(&HeaderMap::new()), None);
    }
}
