//! The observation of a request: a span around its log lines, a trace, and its metrics.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::{Body, Frame, SizeHint};
use tracing::Span;
use tracing::field::{Empty, display};

use super::metrics::{Metrics, RequestMeter, known_method};
use super::trace;

/// An observed request. Its span and its time end when this and the body of the answer are dropped.
#[derive(Debug)]
pub struct Observed {
    meter: RequestMeter,
    about: About,
    method: &'static str,
}

/// Lets handlers add facts about their request. It is in the extensions of the request.
#[derive(Debug, Clone)]
pub struct About {
    log: Span,
    trace: Option<Span>,
    route: Arc<OnceLock<Arc<str>>>,
}

impl About {
    /// Sets the declared route.
    pub fn route(&self, route: &str) {
        if self.route.set(Arc::from(route)).is_ok() {
            self.log.record("route", display(route));
        }
    }

    /// Sets the scheme and the address of the client.
    pub fn caller(&self, scheme: &'static str, address: Option<IpAddr>) {
        if let Some(trace) = &self.trace {
            trace::caller(trace, scheme, address);
        }
    }

    /// Sets the name of the API key.
    pub fn key(&self, name: &str) {
        self.log.record("key", display(name));
    }

    /// Sets the model that will answer.
    pub fn model(&self, model: &str) {
        self.log.record("model", display(model));
    }

    /// The span in which the request is processed.
    pub fn span(&self) -> &Span {
        self.trace.as_ref().unwrap_or(&self.log)
    }
}

impl Observed {
    /// Begins to observe a request.
    pub fn begin(metrics: &Metrics, id: &str, method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let method = known_method(method.as_str());
        let log = tracing::info_span!(
            "request",
            request_id = %id,
            %method,
            route = Empty,
            key = Empty,
            model = Empty,
            trace_id = Empty
        );
        let trace = trace::request(&log, id, method, path, headers);
        if let Some(trace) = &trace
            && !log.is_disabled()
        {
            log.record("trace_id", display(trace::id(trace)));
        }
        let about = About { log, trace, route: Arc::default() };
        Self { meter: metrics.request(method), about, method }
    }

    /// The part for handlers.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Sets the status of the answer.
    pub fn answered(&mut self, status: u16) {
        let route = self.about.route.get().map(AsRef::as_ref);
        self.meter.answered(route, status);
        if let Some(trace) = &self.about.trace {
            trace::answered(trace, self.method, route, status);
        }
    }

    /// Wraps the body of the answer. The request lasts until its end.
    pub fn body<B>(self, body: B) -> ObservedBody<B> {
        ObservedBody { body, observed: self }
    }
}

/// The body of the answer to an observed request.
#[derive(Debug)]
pub struct ObservedBody<B> {
    body: B,
    observed: Observed,
}

impl<B: Body<Data = Bytes> + Unpin> Body for ObservedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let _entered = this.observed.about.span().enter();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
