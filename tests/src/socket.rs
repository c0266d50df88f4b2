//! A client of the proxy's WebSocket, of another library than the proxy's.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderName, HeaderValue, Request, Response};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::Proxy;

const PATIENCE: Duration = Duration::from_secs(60);

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// The answer to the handshake.
    pub opened: Response<()>,
}

impl Socket {
    /// Opens one with the proxy's key.
    pub async fn open(proxy: &Proxy) -> Self {
        let key = format!("Bearer {}", proxy.key);
        Self::try_open(proxy, "/v1/responses", &[("authorization", &key)]).await.expect("the handshake")
    }

    /// Opens one at this path, with these headers.
    ///
    /// # Errors
    /// With the answer of a proxy that refuses it.
    pub async fn try_open(
        proxy: &Proxy,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Box<Response<Vec<u8>>>> {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("the proxy listens");
        match tokio_tungstenite::client_async(handshake(proxy, path, headers), stream).await {
            Ok((stream, opened)) => Ok(Self { stream, opened: opened.map(drop) }),
            Err(Error::Http(refused)) => Err(Box::new(refused.map(Option::unwrap_or_default))),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Opens one with the proxy's key, if the proxy is still there.
    pub async fn open_if_there(proxy: &Proxy) -> Option<Self> {
        let key = format!("Bearer {}", proxy.key);
        let request = handshake(proxy, "/v1/responses", &[("authorization", &key)]);
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.ok()?;
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((stream, opened)) => Some(Self { stream, opened: opened.map(drop) }),
            Err(Error::Http(refused)) => panic!("the handshake was refused: {}", refused.status()),
            Err(_) => None,
        }
    }

    /// Sends a `response.create` with these members, if the proxy is still there.
    pub async fn create_if_there(&mut self, body: &Value) -> Option<()> {
        let mut body = body.clone();
        body["type"] = "response.create".into();
        self.stream.send(Message::text(body.to_string())).await.ok()
    }

    /// The next event, if the proxy is still there.
    pub async fn next_if_there(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
            match next.unwrap_or_else(|_| panic!("no frame within {PATIENCE:?}"))? {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")));
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_))) => {
                    panic!("{other:?} in place of an event")
                }
                Err(_) => return None,
            }
        }
    }

    /// Sends a text frame.
    pub async fn say(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.expect("the proxy reads");
    }

    /// Sends a `response.create` with these members.
    pub async fn create(&mut self, body: &Value) {
        let mut body = body.clone();
        body["type"] = "response.create".into();
        self.say(&body.to_string()).await;
    }

    /// The next event.
    pub async fn next(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Text(text) => {
                    return serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                    panic!("{other:?} in place of an event")
                }
            }
        }
    }

    async fn message(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        let next = next.unwrap_or_else(|_| panic!("no frame within {PATIENCE:?}"));
        next.expect("the connection is open").expect("a frame that can be read")
    }

    /// All events of the next response, up to its last.
    pub async fn events(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let ends = ["response.completed", "response.incomplete", "response.failed"];
            let is_refusal = event["type"] == "error" && event["status"].is_u64();
            let is_last = is_refusal || ends.iter().any(|end| event["type"] == *end);
            events.push(event);
            if is_last {
                return events;
            }
        }
    }

    /// The last event of the next response.
    pub async fn last(&mut self) -> Value {
        self.events().await.pop().expect("there is one")
    }

    /// The next response, which has to complete.
    pub async fn response(&mut self) -> Value {
        let mut last = self.last().await;
        assert_eq!(last["type"], "response.completed", "{last}");
        last["response"].take()
    }

    /// The code and the reason of the close frame, which has to be the next frame.
    pub async fn closed(mut self) -> (u16, String) {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
                Message::Ping(_) | Message::Pong(_) => {}
                other
                @ (Message::Text(_) | Message::Binary(_) | Message::Close(None) | Message::Frame(_)) => {
                    panic!("{other:?} in place of a close frame")
                }
            }
        }
    }
}

fn handshake(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let url = format!("ws://127.0.0.1:{}{path}", proxy.port());
    let mut request: Request<()> = url.into_client_request().expect("a URL");
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name of a header");
        request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value of a header"));
    }
    request
}
