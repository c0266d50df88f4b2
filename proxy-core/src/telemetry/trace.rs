//! OTLP traces: a request, its dispatch to a worker, and its turn.
//!
//! The spans here have a separate target, which the log leaves out. Without an exporter, no subscriber uses this
//! target, and such a span costs only the check of a flag.

mod export;
mod sampler;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Status, TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use url::Url;

pub use sampler::SamplerName;

use super::Logging;
use crate::secret::redact::{percent_decoded, redact};
use export::{Client, Told};

/// The target of every span here.
pub(super) const TARGET: &str = "proxy_core::trace";

/// The maximum time for one delivery, and for the last delivery at the end of the process.
const DELIVERY: Duration = Duration::from_secs(10);
const LAST_DELIVERY: Duration = Duration::from_secs(3);

/// Whether this process has an exporter.
static ON: AtomicBool = AtomicBool::new(false);

/// What the operator decides about traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The complete URL to which traces are sent.
    pub endpoint: Hidden<Url>,
    /// Additional headers.
    pub headers: Hidden<Vec<(String, String)>>,
    /// The name of the service.
    pub service_name: String,
    /// Additional attributes of the service.
    pub attributes: Vec<(String, String)>,
    /// Which traces are sent.
    pub sampler: SamplerName,
    /// The ratio of traces that is sent, for samplers that use one.
    pub ratio: f64,
}

impl Eq for Config {}

/// A value that may contain a token, and so is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden<T>(pub T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The HTTP client could not be created.
    #[error("the exporter's HTTP client could not be set up: {0}")]
    Client(String),
    /// The exporter could not be created.
    #[error(transparent)]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// The exporter, which works on its own thread.
#[derive(Debug)]
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Sends the remaining spans, within a time limit.
    pub(super) fn end(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_DELIVERY) {
            tracing::warn!(%error, "the last traces may not have been sent");
        }
    }
}

/// Creates the layer that turns spans into traces, and their exporter.
pub(super) fn layer(config: &Config) -> Result<(Logging, Exporter), TraceError> {
    let (endpoint, headers) = destination(config);
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new(DELIVERY)?)
        .with_headers(headers)
        .with_endpoint(endpoint.as_str())
        .with_timeout(DELIVERY)
        .build()?;
    let attributes = config.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let resource = Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_service_name(config.service_name.clone())
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Told::new(exporter))
        .with_sampler(config.sampler.sampler(config.ratio))
        .with_resource(resource)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("codex-proxy"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO));
    Ok((Box::new(layer), Exporter(provider)))
}

/// The URL and the headers for spans. A name and a password in the address are moved to a header, because a
/// library that logs the address would log them too.
fn destination(config: &Config) -> (Url, HashMap<String, String>) {
    let (mut url, mut headers): (_, HashMap<_, _>) =
        (config.endpoint.0.clone(), config.headers.0.iter().cloned().collect());
    let named = !url.username().is_empty() || url.password().is_some();
    if named {
        let pair = [url.username(), url.password().unwrap_or_default()].map(percent_decoded);
        // This cannot fail, because the address has a host.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        if !headers.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
            headers.insert("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair.join(":"))));
        }
    }
    (url, headers)
}

pub(super) fn switch_on() {
    ON.store(true, Ordering::Relaxed);
}

/// The server span of a request, a part of the trace in its headers; `None` without an exporter.
pub(super) fn request(
    parent: &Span,
    id: &str,
    method: &'static str,
    path: &str,
    headers: &http::HeaderMap,
) -> Option<Span> {
    if !ON.load(Ordering::Relaxed) {
        return None;
    }
    let span = tracing::info_span!(
        target: TARGET, parent: parent, "request", otel.kind = "server"
    );
    let caller =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
    if caller.span().span_context().is_valid()
        && let Err(error) = span.set_parent(caller)
    {
        tracing::debug!(%error, "the caller's trace could not be continued");
    }
    // The semantic conventions define the name for unknown methods.
    span.set_attribute("http.request.method", if method == "OTHER" { "_OTHER" } else { method });
    span.set_attribute("url.path", path.to_owned());
    span.set_attribute("codex_proxy.request_id", id.to_owned());
    if let Some(agent) = headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok()) {
        span.set_attribute("user_agent.original", redact(agent).into_owned());
    }
    Some(span)
}

/// Sets where the request came from.
pub(super) fn caller(span: &Span, scheme: &'static str, address: Option<IpAddr>) {
    span.set_attribute("url.scheme", scheme);
    if let Some(address) = address {
        span.set_attribute("client.address", address.to_string());
    }
}

/// The id of the trace of a span.
pub(super) fn id(span: &Span) -> String {
    span.context().span().span_context().trace_id().to_string()
}

/// Sets the result of a request.
pub(super) fn answered(span: &Span, method: &'static str, route: Option<&str>, status: u16) {
    let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    span.context().span().update_name(name);
    if let Some(route) = route {
        span.set_attribute("http.route", route.to_owned());
    }
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_attribute("error.type", status.to_string());
        span.set_status(Status::error(""));
    }
}

/// The span of the dispatch of a request to a worker, a child of the current span.
pub fn dispatch() -> Span {
    tracing::info_span!(target: TARGET, "dispatch", otel.kind = "internal")
}

/// Sets the worker that runs the turn.
pub fn placed(dispatch: &Span, worker: usize) {
    if !dispatch.is_disabled() {
        dispatch.set_attribute("codex_proxy.worker", i64::try_from(worker).unwrap_or(i64::MAX));
    }
}

/// The span of a turn, a child of `dispatch`.
pub fn turn(dispatch: &Span, model: &str, streamed: bool, thread: &'static str) -> Span {
    let span = tracing::info_span!(
        target: TARGET, parent: dispatch, "turn", otel.kind = "client", otel.name = format!("chat {model}")
    );
    if !span.is_disabled() {
        span.set_attribute("gen_ai.operation.name", "chat");
        span.set_attribute("gen_ai.provider.name", "openai");
        span.set_attribute("gen_ai.request.model", model.to_owned());
        span.set_attribute("gen_ai.response.model", model.to_owned());
        span.set_attribute("gen_ai.request.stream", streamed);
        span.set_attribute("codex_proxy.thread", thread);
    }
    span
}

/// Sets the tokens that a turn has used.
pub fn turn_usage(turn: &Span, input: u64, cached: u64, output: u64) {
    if !turn.is_disabled() {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        turn.set_attribute("gen_ai.usage.input_tokens", number(input));
        turn.set_attribute("gen_ai.usage.cache_read.input_tokens", number(cached));
        turn.set_attribute("gen_ai.usage.output_tokens", number(output));
    }
}

/// Sets the end of a turn: a reason, or the kind of an error.
pub fn turn_ended(turn: &Span, end: Result<&'static str, &'static str>) {
    if turn.is_disabled() {
        return;
    }
    match end {
        Ok(reason) => {
            let reasons = opentelemetry::Value::Array(vec![opentelemetry::StringValue::from(reason)].into());
            turn.set_attribute("gen_ai.response.finish_reasons", reasons);
        }
        Err(kind) => {
            turn.set_attribute("error.type", kind);
            turn.set_status(Status::error(""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str) -> Config {
        Config {
            endpoint: Hidden(endpoint.parse().unwrap()),
            headers: Hidden(vec![("authorization".to_owned(), "Bearer very-secret".to_owned())]),
            service_name: "codex-proxy".to_owned(),
            attributes: Vec::new(),
            sampler: SamplerName::AlwaysOn,
            ratio: 1.0,
        }
    }

    #[test]
    fn tokens_are_not_printed() {
        let shown = format!("{:?}", config("https://user:pass@collector.example/v1/traces"));
        assert!(!shown.contains("secret") && !shown.contains("pass"), "{shown}");
    }

    #[test]
    fn a_password_in_the_address_becomes_a_header() {
        let (url, headers) = destination(&config("https://me:p%40ss@collector.example/v1/traces?x=y"));
        assert_eq!(url.as_str(), "https://collector.example/v1/traces?x=y");
        assert_eq!(headers["authorization"], "Bearer very-secret", "what was set goes before it");
        let bare =
            Config { headers: Hidden(Vec::new()), ..config("http://me:p%40ss@127.0.0.1:4318/v1/traces") };
        let (url, headers) = destination(&bare);
        assert_eq!(url.as_str(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(headers["authorization"], "Basic bWU6cEBzcw==");
    }

    #[test]
    fn an_exporter_over_tls_needs_no_provider_of_the_process() {
        let (_layer, exporter) = layer(&config("https://127.0.0.1:9/v1/traces")).unwrap();
        exporter.end();
    }

    #[test]
    fn without_an_exporter_a_request_has_no_span() {
        assert!(request(&Span::none(), "req_1", "GET", "/", &http::HeaderMap::new()).is_none());
        assert!(dispatch().is_disabled());
    }
}
