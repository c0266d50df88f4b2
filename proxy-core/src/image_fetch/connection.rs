//! One connection with one request and one answer.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_ok;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::image::{self, Allowance, Collector};
use super::target::Target;
use super::{DataUrl, FetchError, RedirectError, tls};

/// The time after which the next address is tried in parallel (RFC 8305).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The maximum number of addresses of a host that are tried.
const MAX_ATTEMPTS: usize = 16;
/// The maximum number of bytes that are read in advance; it also limits the head of the answer.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The relevant content of an answer.
pub(super) enum Answer {
    /// The image.
    Image(DataUrl),
    /// A redirect, with the value of the `Location` header.
    Redirect(Vec<u8>),
}

/// Connects to one of `addresses`, which are checked and not empty; there is no further lookup.
pub(super) async fn dial(addresses: &[SocketAddr], host: &str) -> Result<TcpStream, FetchError> {
    let attempts = (0u32..).zip(addresses.iter().take(MAX_ATTEMPTS)).map(|(turn, address)| {
        Box::pin(async move {
            if turn > 0 {
                tokio::time::sleep(ATTEMPT_DELAY * turn).await;
            }
            TcpStream::connect(address).await
        })
    });
    match select_ok(attempts).await {
        Ok((stream, _)) => Ok(stream),
        Err(source) => Err(connect_error(host, source)),
    }
}

/// Opens a TLS session for the name in the URL.
pub(super) async fn secure(
    tls: &TlsConnector,
    stream: TcpStream,
    target: &Target,
) -> Result<TlsStream<TcpStream>, FetchError> {
    let name = match target.url_host() {
        Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::V4(*ip)),
        Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::V6(*ip)),
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_owned();
            ServerName::try_from(name).map_err(|e| connect_error(target.host(), tls::invalid_name(e)))?
        }
    };
    tls.connect(name, stream).await.map_err(|source| connect_error(target.host(), source))
}

/// Sends the request and reads the answer.
pub(super) async fn exchange<S>(
    stream: S,
    target: &Target,
    allowance: Allowance<'_>,
) -> Result<Answer, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |source| FetchError::Answer { host: target.host().to_owned(), source };
    let request = request(target)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BUFFER_BYTES)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        read(response, allowance, broken).await
    };
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        // If the connection fails, reading the answer fails too. If it has ended normally, a part of the body
        // may still have to be read. In both cases the answer decides.
        _ = connection => {}
    }
    answer.await
}

fn connect_error(host: &str, source: io::Error) -> FetchError {
    FetchError::Connect { host: host.to_owned(), source }
}

fn request(target: &Target) -> Result<Request<Empty<Bytes>>, FetchError> {
    Request::get(target.path_and_query())
        .header(HOST, target.authority())
        .header(USER_AGENT, "codex-proxy")
        .header(ACCEPT, "image/png, image/jpeg, image/webp, image/gif")
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| FetchError::BadUrl { reason: "contains characters that HTTP cannot carry" })
}

async fn read(
    response: Response<Incoming>,
    allowance: Allowance<'_>,
    broken: impl Fn(hyper::Error) -> FetchError,
) -> Result<Answer, FetchError> {
    match response.status() {
        StatusCode::OK => {}
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            let location =
                response.headers().get(LOCATION).ok_or(FetchError::Redirects(RedirectError::NoLocation))?;
            return Ok(Answer::Redirect(location.as_bytes().to_vec()));
        }
        other => return Err(FetchError::Status(other.as_u16())),
    }
    image::check_headers(response.headers())?;
    let mut body = response.into_body();
    let mut image = Collector::new(allowance, http_body::Body::size_hint(&body).exact())?;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(&broken)?.into_data() {
            image.push(&data)?;
        }
    }
    image.finish().map(Answer::Image)
}
