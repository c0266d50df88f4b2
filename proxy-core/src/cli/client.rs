//! The client of the control API of the running proxy.
//!
//! Answers are parsed into the types of [`crate::control::api`], and also kept as they were received, for
//! `--json`: the running proxy may be older or newer than this program.
//!
//! It connects directly to the address that the proxy has written down, without a proxy of the environment. The
//! control token is sent only to the process that holds the lock of the data directory.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure::Failure;
use crate::control::api::{ErrorBody, Status};
use crate::event_stream::{Reader, ServerEvent};
use crate::instance;
use crate::secret::ApiKey;

const CONNECT: Duration = Duration::from_secs(5);
/// The time limit for an answer. Signing in with a key and moving keys to a keychain may take long.
const ANSWER: Duration = Duration::from_secs(90);
/// The maximum silence of the event stream. The proxy sends its state every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// The maximum length of an answer in bytes. Only an export is longer, and it is streamed.
const MAX_ANSWER: usize = 64 << 20;
const MAX_EVENT: usize = 8 << 20;

/// The client of the running proxy.
#[derive(Debug, Clone)]
pub(super) struct Client {
    address: SocketAddr,
    token: ApiKey,
    pid: u32,
}

impl Client {
    /// Creates a client for the proxy that uses this data directory.
    pub(super) fn find(data_dir: &Path) -> Result<Self, Failure> {
        let holder = instance::running(data_dir).map_err(|error| {
            Failure::new(format!("cannot see whether a proxy runs on {}: {error}", data_dir.display()))
        })?;
        let Some(holder) = holder else { return Err(Failure::not_running(data_dir)) };
        let Some(address) = holder.address else {
            return Err(Failure::with_next(
                format!("process {} has the data directory, but does not listen yet", holder.pid),
                "Try again in a moment.",
            ));
        };
        let file = data_dir.join("control-token");
        let text = fs::read_to_string(&file).map_err(|error| {
            Failure::with_next(
                format!("cannot read the control token in {}: {error}", file.display()),
                "Run this as the user who runs the proxy.",
            )
        })?;
        let token = ApiKey::parse(text.trim())
            .map_err(|reason| Failure::new(format!("{} holds no control token: {reason}", file.display())))?;
        Ok(Self { address: reachable(address), token, pid: holder.pid })
    }

    /// The address of the proxy.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The control token.
    pub(super) fn token(&self) -> &ApiKey {
        &self.token
    }

    /// The id of the proxy's process.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a GET to a path under `/control`.
    pub(super) async fn get<T>(&self, path: &str) -> Result<Answer<T>, Failure> {
        self.call(Method::GET, path).await
    }

    /// The same, parsed into its type.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.get(path).await?.read()
    }

    /// Sends a request to a path under `/control`. An empty answer is `null`.
    pub(super) async fn call<T>(&self, method: Method, path: &str) -> Result<Answer<T>, Failure> {
        self.answer(method, path, None).await
    }

    /// The same, with a body.
    pub(super) async fn send<T>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        let body = serde_json::to_string(body).map_err(|error| {
            Failure::new(format!("the request to /control{path} cannot be made: {error}"))
        })?;
        self.answer(method, path, Some(Zeroizing::new(body))).await
    }

    async fn answer<T>(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<String>>,
    ) -> Result<Answer<T>, Failure> {
        let answer = self.open(method, path, body).await?;
        let bytes = gather(answer.into_body()).await?;
        if bytes.is_empty() {
            return Ok(Answer { sent: Value::Null, kind: PhantomData });
        }
        let sent = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(format!("the proxy's answer to /control{path} is no JSON: {error}"))
        })?;
        Ok(Answer { sent, kind: PhantomData })
    }

    /// The answer to a GET, as a stream.
    pub(super) async fn stream(&self, path: &str) -> Result<Response<Incoming>, Failure> {
        self.open(Method::GET, path, None).await
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<String>>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut headers = HeaderMap::new();
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| Failure::new("the control token cannot be sent"))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let body = body.map(|body| body.as_str().to_owned()).unwrap_or_default();
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answer = self.plain(method, &format!("/control{path}"), headers, body).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        Err(refusal(status, &gather(answer.into_body()).await?))
    }

    /// A stream with the current state of the proxy and each change.
    pub(super) async fn events(&self) -> Result<Events, Failure> {
        let answer = self.stream("/events").await?;
        Ok(Events { body: answer.into_body(), reader: Reader::default(), waiting: VecDeque::new() })
    }

    /// Sends a request to any path with only these headers, and returns any answer.
    pub(super) async fn plain(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: String,
    ) -> Result<Response<Incoming>, Failure> {
        let address = self.address;
        let unreachable = |reason: String| {
            Failure::with_next(
                format!("the proxy (process {}) does not answer at {address}: {reason}", self.pid),
                "See what it is doing with `codex-proxy logs`.",
            )
        };
        let late = || unreachable("it takes too long".to_owned());
        let socket = timeout(CONNECT, TcpStream::connect(address)).await.map_err(|_| late())?;
        let socket = socket.map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(socket)).await.map_err(|error| unreachable(error.to_string()))?;
        // An error of the connection also shows in its answer, or in the missing answer.
        tokio::spawn(async move { drop(connection.await) });
        let host =
            HeaderValue::try_from(address.to_string()).map_err(|error| unreachable(error.to_string()))?;
        headers.entry(HOST).or_insert(host);
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() =
            path.parse().map_err(|error| Failure::new(format!("cannot ask for {path}: {error}")))?;
        *request.headers_mut() = headers;
        let answer = timeout(ANSWER, sender.send_request(request)).await.map_err(|_| late())?;
        answer.map_err(|error| unreachable(error.to_string()))
    }
}

/// An answer as it was received, to be parsed into a `T`.
pub(super) struct Answer<T> {
    sent: Value,
    kind: PhantomData<fn() -> T>,
}

impl<T> Answer<T> {
    /// The JSON as it was received.
    pub(super) fn sent(&self) -> &Value {
        &self.sent
    }

    /// Parses the answer. Unknown fields are ignored.
    ///
    /// # Errors
    /// If a field has another type than in `T`.
    pub(super) fn read(self) -> Result<T, Failure>
    where
        T: DeserializeOwned,
    {
        serde_json::from_value(self.sent).map_err(|error| {
            Failure::with_next(
                format!("the proxy's answer is not understood: {error}"),
                "Is it of another version? Compare `codex-proxy --version` with `codex-proxy status --json`.",
            )
        })
    }

    /// The answer that the control API would give, if no proxy is running.
    ///
    /// # Errors
    /// If the value has no JSON form, such as a path that is not UTF-8.
    pub(super) fn of(value: &T) -> Result<Self, Failure>
    where
        T: Serialize,
    {
        let sent = serde_json::to_value(value)
            .map_err(|error| Failure::new(format!("cannot make JSON: {error}")))?;
        Ok(Self { sent, kind: PhantomData })
    }
}

/// A stream of the states of the proxy.
#[derive(Debug)]
pub(super) struct Events {
    body: Incoming,
    reader: Reader,
    /// Events that were received together with one that was already returned.
    waiting: VecDeque<ServerEvent>,
}

impl Events {
    /// Waits for the next state.
    pub(super) async fn next(&mut self) -> Result<Answer<Status>, Failure> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                // The same stream contains events about requests.
                if event.event != "status" {
                    continue;
                }
                let sent = serde_json::from_str(&event.data)
                    .map_err(|error| Failure::new(format!("an event of the proxy is no JSON: {error}")))?;
                return Ok(Answer { sent, kind: PhantomData });
            }
            let frame = timeout(SILENCE, self.body.frame()).await;
            let frame = frame.map_err(|_| Failure::new("the proxy has fallen silent"))?;
            let Some(frame) = frame else { return Err(ended()) };
            let frame = frame.map_err(|_| ended())?;
            if let Ok(data) = frame.into_data() {
                self.waiting.extend(self.reader.read(&data));
            }
            if self.reader.held() > MAX_EVENT {
                return Err(Failure::new("the proxy sends an event without an end"));
            }
        }
    }
}

fn ended() -> Failure {
    Failure::with_next("the proxy has ended", "Start it again with `codex-proxy run`.")
}

async fn gather(mut body: Incoming) -> Result<Vec<u8>, Failure> {
    let broken = |reason: String| Failure::new(format!("the proxy's answer broke off: {reason}"));
    let mut bytes = Vec::new();
    loop {
        let frame = timeout(ANSWER, body.frame()).await;
        let Some(frame) = frame.map_err(|_| broken("it takes too long".to_owned()))? else {
            return Ok(bytes);
        };
        if let Ok(data) = frame.map_err(|error| broken(error.to_string()))?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > MAX_ANSWER {
            return Err(broken("it is too long".to_owned()));
        }
    }
}

/// Reads the whole body of an answer.
pub(super) async fn body_of(answer: Response<Incoming>) -> Result<Vec<u8>, Failure> {
    gather(answer.into_body()).await
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let ErrorBody { error } = serde_json::from_slice(body).unwrap_or_default();
    if status == StatusCode::NOT_FOUND && error.code.as_deref() == Some("unknown_url") {
        return Failure::with_next(
            error.message,
            "The running proxy may be of another version: see `codex-proxy status`.",
        );
    }
    if error.message.is_empty() {
        return Failure::new(format!("the proxy refused with status {status}"));
    }
    Failure::new(error.message)
}

/// The address at which this machine reaches a proxy that listens on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl From<instance::InstanceError> for Failure {
    fn from(error: instance::InstanceError) -> Self {
        Self::new(error.to_string())
    }
}

/// A failure with an [`io::Error`] that is not about the output.
pub(super) fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_listens_everywhere_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:11435", "127.0.0.1:11435"),
            ("[::]:1", "[::1]:1"),
            ("127.0.0.1:2", "127.0.0.1:2"),
            ("192.0.2.1:3", "192.0.2.1:3"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap(), "{listens}");
        }
    }

    #[test]
    fn refusals_say_what_the_proxy_says() {
        let body = br#"{"error":{"message":"there is no key `x`","type":"invalid_request_error","param":null,"code":"key_not_found"}}"#;
        assert_eq!(refusal(StatusCode::NOT_FOUND, body).to_string(), "there is no key `x`");
        let strange = refusal(StatusCode::BAD_GATEWAY, b"<html>").to_string();
        assert!(strange.contains("502"), "{strange}");
    }
}
