//! The upstream of a signed-in user on this machine: it records everything that Codex sends, and answers just
//! enough for Codex to continue.

mod answer;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{self, FromRequestParts as _, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::SinkExt as _;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, StatusCode};
use protocol::codex::upstream::Request;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use yawc::{Frame, HttpWebSocket, IncomingUpgrade, OpCode, Options};

pub(super) use answer::ACCOUNT;
use answer::Conversation;

/// A running mirror. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Mirror {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: AbortOnDropHandle<()>,
}

/// The record of all requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Recording {
    /// The requests to the model, in the order of arrival.
    pub(super) asked: Vec<Asked>,
    /// Every connection and request, also those in `asked`.
    pub(super) reached: Vec<Reached>,
}

/// A request to the model, together with the content of earlier ones that it continues.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// The request; its `input` is complete.
    pub(super) body: Value,
    /// Bytes of the request as it was sent.
    pub(super) bytes: u64,
    /// Whether the request only prepares the next one and gets no answer.
    pub(super) is_warm_up: bool,
}

/// A connection or request that Codex has tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    /// `GET`, `POST`, …; `CONNECT` for a host that is not the mirror.
    pub(super) method: String,
    /// Its path here, or the address of another host.
    pub(super) target: String,
    /// Bytes of its body.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Shared {
    recording: Mutex<Recording>,
    conversation: Mutex<Conversation>,
    /// The list of models that the mirror offers.
    models: Bytes,
}

/// The size limit of a request in bytes, larger than any request of a proof.
const MAX_BODY: usize = 64 * 1024 * 1024;

impl Mirror {
    /// Starts a mirror on a free port; `models` is the catalogue that it offers.
    pub(super) async fn start(models: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            recording: Mutex::default(),
            conversation: Mutex::default(),
            models: models.into(),
        });
        let router = Router::new().fallback(take_in).with_state(shared.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the mirror of a proof has ended");
            }
        });
        Ok(Self { address, shared, _server: AbortOnDropHandle::new(server) })
    }

    /// The address where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The record so far.
    pub(super) fn recording(&self) -> Recording {
        self.shared.recording().clone()
    }
}

impl Shared {
    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reached(&self, parts: &Parts, bytes: usize) {
        let target = match parts.uri.authority() {
            Some(elsewhere) => elsewhere.to_string(),
            None => parts.uri.path().to_owned(),
        };
        let method = parts.method.to_string();
        self.recording().reached.push(Reached { method, target, bytes: bytes as u64 });
    }

    /// Handles a request to the model. Returns the events of the answer.
    fn ask(&self, text: &str) -> Vec<Value> {
        let mut conversation = self.conversation.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, events) = conversation.ask(Request::read(text), text.len() as u64);
        drop(conversation);
        self.recording().asked.extend(asked);
        events
    }
}

async fn take_in(State(shared): State<Arc<Shared>>, request: extract::Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.uri.authority().is_some() {
        shared.reached(&parts, 0);
        return StatusCode::FORBIDDEN.into_response();
    }
    let is_model = parts.uri.path().ends_with("/responses");
    let options = Options::default().with_limits(MAX_BODY, MAX_BODY);
    if is_model
        && let Ok(upgrade) = IncomingUpgrade::from_request_parts(&mut parts, &()).await
        && let Ok((response, socket)) = upgrade.upgrade(options)
    {
        shared.reached(&parts, 0);
        tokio::spawn(async move {
            if let Ok(socket) = socket.await {
                converse(socket, shared).await;
            }
        });
        return response.map(Body::new);
    }
    let body = match to_bytes(Body::new(body), MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    shared.reached(&parts, body.len());
    if is_model && parts.method == Method::POST {
        let frames = shared.ask(&String::from_utf8_lossy(&body)).into_iter().map(|event| {
            let name = event["type"].as_str().unwrap_or_default();
            format!("event: {name}\ndata: {event}\n\n")
        });
        return ([(CONTENT_TYPE, "text/event-stream")], frames.collect::<String>()).into_response();
    }
    let answer = match parts.uri.path() {
        path if path.ends_with("/models") => shared.models.clone(),
        path => answer::account(path).to_string().into(),
    };
    ([(CONTENT_TYPE, "application/json")], answer).into_response()
}

/// How long a connection from Codex may be idle.
const IDLE: Duration = Duration::from_secs(120);

async fn converse(mut socket: HttpWebSocket, shared: Arc<Shared>) {
    while let Ok(Ok(frame)) = tokio::time::timeout(IDLE, socket.next_frame()).await {
        match frame.opcode() {
            OpCode::Text | OpCode::Binary => {}
            // The library answers pings and the end itself; after the end there is no next frame.
            OpCode::Ping | OpCode::Pong | OpCode::Continuation | OpCode::Close => continue,
        }
        for event in shared.ask(&String::from_utf8_lossy(frame.payload())) {
            if socket.send(Frame::text(event.to_string())).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn say(mirror: &Mirror, request: &str) -> String {
        let mut stream = TcpStream::connect(mirror.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 64];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn whatever_is_meant_for_another_host_is_written_down_and_refused() {
        let mirror = Mirror::start("{}".to_owned()).await.unwrap();
        for request in [
            "CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\n",
            "GET http://example.org/x HTTP/1.1\r\nhost: example.org\r\n\r\n",
        ] {
            assert!(say(&mirror, request).await.starts_with("HTTP/1.1 403"), "{request}");
        }
        let reached: Vec<_> =
            mirror.recording().reached.into_iter().map(|one| (one.method, one.target)).collect();
        let expected = [("CONNECT", "example.org:443"), ("GET", "example.org")];
        assert_eq!(reached, expected.map(|(method, target)| (method.to_owned(), target.to_owned())));
    }

    #[tokio::test]
    async fn a_request_without_a_web_socket_is_answered_too() {
        let mirror = Mirror::start("{}".to_owned()).await.unwrap();
        let body = r#"{"model":"m","input":[1]}"#;
        let request =
            format!("POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        assert!(say(&mirror, &request).await.starts_with("HTTP/1.1 200"));
        let recording = mirror.recording();
        assert_eq!(recording.asked[0].body, json!({"model": "m", "input": [1]}));
        assert_eq!(recording.reached[0].bytes, body.len() as u64);
    }
}
