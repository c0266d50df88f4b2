//! A client of the proxy for measurements: one persistent connection, one streamed response at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The body of every request.
const BODY: &str = r#"{"model":"codex-5","input":"Say hello.","stream":true}"#;

/// One connection to the proxy.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    bearer: String,
}

/// The duration of one streamed response.
pub(crate) struct Timing {
    pub(crate) first_token: Duration,
    pub(crate) total: Duration,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, key: &str) -> Result<Self> {
        let connection = TcpStream::connect(address).await.context("cannot connect to the proxy")?;
        connection.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(connection)).await?;
        // If it fails, the request that waits for it fails too.
        tokio::spawn(connection);
        Ok(Self { sender, address, bearer: format!("Bearer {key}") })
    }

    /// The status of a GET.
    pub(crate) async fn status(&mut self, path: &str) -> Result<StatusCode> {
        let request = Request::get(path)
            .header("host", self.address.to_string())
            .header("authorization", &self.bearer)
            .body(Full::default())?;
        self.sender.ready().await.context("the proxy closed the connection")?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }

    /// The answer to a request with a JSON body that is answered with 200.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let request = Request::post(path)
            .header("host", self.address.to_string())
            .header("authorization", &self.bearer)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        self.sender.ready().await.context("the proxy closed the connection")?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            bail!("{path} was answered with {status}: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).context("the proxy sent no JSON")
    }

    /// A whole streamed response.
    pub(crate) async fn respond(&mut self) -> Result<Timing> {
        let begin = Instant::now();
        let mut stream = self.open().await?;
        let first_token = begin.elapsed();
        stream.until("response.completed").await?;
        let total = begin.elapsed();
        stream.drain().await?;
        Ok(Timing { first_token, total })
    }

    /// A streamed response up to its first token.
    pub(crate) async fn open(&mut self) -> Result<Stream> {
        let request = Request::post("/v1/responses")
            .header("host", self.address.to_string())
            .header("authorization", &self.bearer)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(BODY.as_bytes())))?;
        self.sender.ready().await.context("the proxy closed the connection")?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = response.into_body().collect().await?.to_bytes();
            bail!("the proxy answered {status}: {}", String::from_utf8_lossy(&body));
        }
        let mut stream = Stream { body: response.into_body(), buffer: Vec::new() };
        stream.until("response.output_text.delta").await?;
        Ok(stream)
    }
}

/// A response that is being received.
pub(crate) struct Stream {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Stream {
    /// Reads up to and including an event of this type.
    async fn until(&mut self, event: &str) -> Result<()> {
        loop {
            while let Some(frame) = self.next_frame() {
                match event_of(&frame) {
                    Some(found) if found == event => return Ok(()),
                    Some("error" | "response.failed" | "response.incomplete") => {
                        bail!("the stream failed: {}", String::from_utf8_lossy(&frame))
                    }
                    Some(_) | None => {}
                }
            }
            let Some(chunk) = self.body.frame().await.transpose()? else {
                bail!("the stream ended before `{event}`");
            };
            if let Ok(data) = chunk.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// Reads to the end, so that the connection can be used again.
    pub(crate) async fn drain(self) -> Result<()> {
        self.body.collect().await.context("the stream broke")?;
        Ok(())
    }

    fn next_frame(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        Some(self.buffer.drain(..end + 2).collect())
    }
}

fn event_of(frame: &[u8]) -> Option<&str> {
    let mut lines = frame.split(|byte| *byte == b'\n');
    let name = lines.find_map(|line| line.strip_prefix(b"event:"))?;
    str::from_utf8(name).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_is_named_by_its_line() {
        assert_eq!(event_of(b"event: response.created\ndata: {}\n\n"), Some("response.created"));
        assert_eq!(event_of(b": keepalive\n\n"), None);
        assert_eq!(event_of(b"data: [DONE]\n\n"), None);
    }
}
