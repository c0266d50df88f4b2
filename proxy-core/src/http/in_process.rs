//! The control API for the program that the proxy runs in: the same routes as over HTTP, without a connection.
//! Events are in [`crate::control::ControlHandle::events`]; the only stream here is the answer to a prompt that
//! is tried in the window.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::ConnectInfo;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use tower::ServiceExt as _;

use crate::control::api::{ErrorBody, ErrorObject};
use crate::event_stream::Reader;
use crate::secret::ApiKey;

use crate::event_stream::ServerEvent;

/// Calls the control API of a proxy in the same process. Cheap to clone.
///
/// It never returns the text of a key: the caller is a web view, which must not have one.
#[derive(Debug, Clone)]
pub struct ControlApi {
    service: Router,
    host: HeaderValue,
    authorization: HeaderValue,
}

/// An answer with an error status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refusal {
    /// The HTTP status of the answer.
    pub status: u16,
    /// What is wrong.
    pub error: Box<ErrorObject>,
}

impl Refusal {
    /// A refusal in the shape of the API's own.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let kind = if status.is_server_error() { "api_error" } else { "invalid_request_error" };
        let error = ErrorObject {
            message: message.into(),
            kind: kind.to_owned(),
            code: Some(code.to_owned()),
            ..ErrorObject::default()
        };
        Self { status: status.as_u16(), error: Box::new(error) }
    }
}

impl ControlApi {
    /// The API of the `service` that listens on `port` and lets `token` in.
    pub(crate) fn new(service: Router, port: u16, token: &ApiKey) -> Self {
        // Keys are printable ASCII. If one were not, the header would be empty and the API would refuse the
        // call.
        let header = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        let host = header(format!("127.0.0.1:{port}"));
        let mut authorization = header(format!("Bearer {}", token.expose()));
        authorization.set_sensitive(true);
        Self { service, host, authorization }
    }

    /// Sends one request and returns the JSON of its answer; `None` if it has no body.
    ///
    /// # Errors
    /// With the answer, if its status is an error.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Value>, Refusal> {
        let answer = read(self.download(method, path, body).await?).await?;
        if answer.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&answer).map(Some).map_err(|_| {
            let message = format!("The answer of {path} is a file, not JSON; save it instead.");
            Refusal::new(StatusCode::NOT_ACCEPTABLE, "not_json", message)
        })
    }

    /// Writes the answer of a GET to `file`, in place of what is there, as it comes: it may be larger than the memory.
    ///
    /// # Errors
    /// With the answer, if its status is an error; if the file cannot be written, which is then as it was.
    pub async fn save(&self, path: &str, file: &Path) -> Result<(), Refusal> {
        let answer = self.download(Method::GET, path, None).await?.into_body().into_data_stream();
        let answer = answer.map(|chunk| chunk.map_err(|error| broken_off(&error)));
        let unwritten = |error: io::Error| {
            let message = format!("{} cannot be written: {error}. Choose another place.", file.display());
            Refusal::new(StatusCode::CONFLICT, "cannot_write", message)
        };
        futures_util::pin_mut!(answer);
        let directory = file.parent().unwrap_or(Path::new("."));
        let (draft, place) = NamedTempFile::new_in(directory).map_err(unwritten)?.into_parts();
        let mut draft = tokio::fs::File::from_std(draft);
        while let Some(chunk) = answer.next().await {
            draft.write_all(&chunk?).await.map_err(unwritten)?;
        }
        draft.sync_all().await.map_err(unwritten)?;
        drop(draft);
        place.persist(file).map_err(|error| unwritten(error.error))
    }

    async fn download(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, Refusal> {
        let response = self.send(method, path, body).await?;
        if is_stream(&response) {
            let message = format!("The answer of {path} is a stream of events, which does not end.");
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, "is_a_stream", message));
        }
        Ok(response)
    }

    /// Sends one request that is answered by a stream of events. Dropping the stream stops the work behind it.
    ///
    /// # Errors
    /// With the answer, if it is not a stream.
    pub async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<impl Stream<Item = ServerEvent> + Send + Unpin + use<>, Refusal> {
        let response = self.send(method, path, body).await?;
        if !is_stream(&response) {
            let message = format!("The answer of {path} is no stream of events.");
            return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, "is_no_stream", message));
        }
        Ok(Box::pin(events(response.into_body().into_data_stream())))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, Refusal> {
        if gives_out_a_key(&method, path) {
            let message = "A key's text is not shown here; copying the key puts it on the clipboard.";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "not_in_the_window", message));
        }
        if !path.starts_with("/control/") {
            let message = format!("{path} is no path of the control API.");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "unknown_url", message));
        }
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.host.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .extension(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).map_err(|error| {
            let message = format!("This is no request of the control API: {error}.");
            Refusal::new(StatusCode::BAD_REQUEST, "invalid_value", message)
        })?;
        let response = match self.service.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }
}

/// Whether the request returns the text of a key. Empty segments are skipped. A path with an escaped letter matches no
/// route, so it needs no check.
fn gives_out_a_key(method: &Method, path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    *method == Method::POST && parts.starts_with(&["control", "keys"]) && parts.ends_with(&["reveal"])
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

async fn read(response: Response) -> Result<Bytes, Refusal> {
    let collected = response.into_body().collect().await.map_err(|error| broken_off(&error))?;
    Ok(collected.to_bytes())
}

fn broken_off(error: &axum::Error) -> Refusal {
    Refusal::new(StatusCode::BAD_GATEWAY, "broken_off", format!("The answer broke off: {error}. Try again."))
}

async fn refusal(response: Response) -> Refusal {
    let status = response.status();
    let body = match read(response).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error }) => Refusal { status: status.as_u16(), error: Box::new(error) },
        Err(_) => Refusal::new(status, "unknown_error", format!("The proxy answered {status}.")),
    }
}

fn events(body: BodyDataStream) -> impl Stream<Item = ServerEvent> + Send {
    let read = stream::unfold((body, Reader::default()), |(mut body, mut reader)| async move {
        // A body that ends early ends the stream, as the end of a connection does.
        let chunk = body.next().await?.ok()?;
        Some((stream::iter(reader.read(&chunk)), (body, reader)))
    });
    read.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_way_of_writing_it_gives_out_a_key() {
        for path in [
            "/control/keys/default/reveal",
            "/control/keys/default/reveal/",
            "/control/keys/default/reveal//?x=1",
            "/control//keys/default/reveal",
            "//control/keys//default//reveal",
            "/control/keys/a%2Fb/reveal?",
        ] {
            assert!(gives_out_a_key(&Method::POST, path), "{path}");
        }
        assert!(!gives_out_a_key(&Method::POST, "/control/keys/reveal/rotate"));
        assert!(!gives_out_a_key(&Method::GET, "/control/keys"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_path_to_a_key_gets_past(path in any::<String>(), name in "[a-z%0-9/]{0,12}", slashes in "/{1,3}") {
            gives_out_a_key(&Method::POST, &path);
            let reveal = format!("{slashes}control{slashes}keys{slashes}{name}{slashes}reveal{slashes}?{path}");
            prop_assert!(gives_out_a_key(&Method::POST, &reveal), "{}", reveal);
        }
    }
}
