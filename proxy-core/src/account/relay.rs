//! Forwards a browser's callback to the port where Codex waits for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, LOCATION};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// The timeout of the callback: Codex gets the tokens from the vendor before it answers.
const LIMIT: Duration = Duration::from_secs(60);

/// The size limit of Codex's pages, in bytes; real ones are a few kilobytes.
const MAX_PAGE: usize = 1 << 20;

/// Why a callback did not reach Codex.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error("nobody waits for it on port {0} any more: {1}")]
    Connect(u16, std::io::Error),
    #[error("Codex did not answer in time")]
    Slow,
    #[error("Codex's answer could not be read: {0}")]
    Http(#[from] hyper::Error),
    #[error("the callback cannot be passed on: {0}")]
    Request(#[from] http::Error),
}

/// Forwards the callback's query. Codex answers a valid one with a redirect to its own success page. The address
/// of that page holds a token, and the sign-in is complete only after the page has been fetched. So the proxy
/// fetches it, and the browser never gets it.
pub(super) async fn deliver(port: u16, query: &str) -> Result<(), RelayError> {
    let work = async {
        let answer = get(port, &format!("/auth/callback?{query}")).await?;
        if let Some(page) = page_of_success(port, &answer) {
            get(port, &page).await?;
        }
        Ok(())
    };
    timeout(LIMIT, work).await.unwrap_or(Err(RelayError::Slow))
}

async fn get(port: u16, target: &str) -> Result<Response<()>, RelayError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address).await.map_err(|error| RelayError::Connect(port, error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::get(target)
        .header(HOST, address.to_string())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let (head, body): (_, Incoming) = sender.send_request(request).await?.into_parts();
    // The end of the body shows that Codex has finished the request; its content is for a browser.
    if let Err(error) = Limited::new(body, MAX_PAGE).collect().await {
        tracing::debug!(error, "codex's page was cut off");
    }
    Ok(Response::from_parts(head, ()))
}

/// The target of Codex's redirect, if it is Codex itself.
fn page_of_success<T>(port: u16, answer: &Response<T>) -> Option<String> {
    let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())?;
    let base = Url::parse(&format!("http://127.0.0.1:{port}/")).ok()?;
    let url = base.join(location.to_str().ok()?).ok()?;
    let own = url.scheme() == "http"
        && matches!(url.host_str(), Some("127.0.0.1" | "localhost"))
        && url.port_or_known_default() == Some(port);
    own.then(|| url[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn no_location_leads_elsewhere(
            location in "(https?:|)(//(localhost|127\\.0\\.0\\.1|a\\.example)(:1455)?)?/?[ -~]{0,20}",
            path in "(/[a-z0-9]{1,6}){1,3}",
            query in "([a-z]{1,4}=[a-zA-Z0-9]{0,6})?",
        ) {
            let answer = |location: &str| Response::builder().status(302).header(LOCATION, location).body(()).unwrap();
            if let Some(target) = page_of_success(1455, &answer(&location)) {
                prop_assert!(target.starts_with('/') && !target.contains([' ', '#', '\r', '\n']), "{}", target);
            }
            let target = if query.is_empty() { path } else { format!("{path}?{query}") };
            let own = format!("http://localhost:1455{target}#fragment");
            prop_assert_eq!(page_of_success(1455, &answer(&own)), Some(target));
        }
    }

    #[test]
    fn only_codex_itself_is_followed() {
        let cases = [
            (302, "http://localhost:1455/success?id_token=x", Some("/success?id_token=x")),
            (302, "http://127.0.0.1:1455/success", Some("/success")),
            (302, "/success?a=b#c", Some("/success?a=b")),
            (302, "http://127.0.0.1:1456/success", None),
            (302, "https://127.0.0.1:1455/success", None),
            (302, "https://vendor.example/open", None),
            (200, "/success", None),
        ];
        for (status, location, expected) in cases {
            let answer = Response::builder().status(status).header(LOCATION, location).body(()).unwrap();
            assert_eq!(page_of_success(1455, &answer).as_deref(), expected, "{status} {location}");
        }
    }
}
