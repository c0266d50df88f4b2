//! Sends traces with our own HTTP client, and limits the log lines about failures.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{Builder, Runtime};

use super::TraceError;

/// The time between two log lines about a failure that lasts.
const REMINDER: Duration = Duration::from_secs(300);

/// The maximum length of an answer in bytes; the answers of collectors are short.
const LONGEST_ANSWER: usize = 64 * 1024;

/// An HTTP client with its own runtime: the thread of the exporter does not belong to the proxy's runtime, and
/// its last delivery happens after that runtime has ended. It follows no redirects and uses no proxy of the
/// environment.
pub(super) struct Client {
    runtime: Runtime,
    client: reqwest::Client,
}

impl Client {
    pub(super) fn new(timeout: Duration) -> Result<Self, TraceError> {
        let failed = |error: &dyn fmt::Display| TraceError::Client(error.to_string());
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().map_err(|error| failed(&error))?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(timeout)
            .build()
            .map_err(|error| failed(&error))?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        Ok(Self { runtime, client })
    }
}

/// TLS with the root certificates of Mozilla and of the platform, and with an explicit provider instead of the
/// process default.
fn tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Blocks only the thread of the exporter, which has no other work.
        self.runtime.block_on(async {
            // The URL may contain a token.
            let hidden = reqwest::Error::without_url;
            let mut answer = self.client.execute(request.try_into()?).await.map_err(hidden)?;
            let mut built = Response::builder().status(answer.status());
            if let Some(headers) = built.headers_mut() {
                *headers = std::mem::take(answer.headers_mut());
            }
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(hidden)? {
                let room = LONGEST_ANSWER - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == LONGEST_ANSWER {
                    break;
                }
            }
            Ok(built.body(body.into())?)
        })
    }
}

/// An exporter that logs the begin of a failure, a reminder from time to time, and the end of the failure.
#[derive(Debug)]
pub(super) struct Told<E> {
    exporter: E,
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Debug)]
struct Trouble {
    lost: usize,
    told: Instant,
}

impl<E> Told<E> {
    pub(super) fn new(exporter: E) -> Self {
        Self { exporter, trouble: Mutex::new(None) }
    }

    fn tell(&self, result: &OTelSdkResult, spans: usize) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = result else {
            if let Some(Trouble { lost, .. }) = trouble.take() {
                tracing::info!(lost, "traces can be sent again");
            }
            return;
        };
        match &mut *trouble {
            None => {
                tracing::warn!(%error, "traces cannot be sent; requests are not affected");
                *trouble = Some(Trouble { lost: spans, told: Instant::now() });
            }
            Some(trouble) => {
                trouble.lost += spans;
                if trouble.told.elapsed() >= REMINDER {
                    tracing::warn!(%error, lost = trouble.lost, "traces still cannot be sent");
                    trouble.told = Instant::now();
                }
            }
        }
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.tell(&result, spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
