//! Meters for requests and turns. A measurement ends when its meter is dropped.

use std::sync::Arc;
use std::time::Instant;

use super::{Metrics, ReasonLabels, RequestLabels, RouteLabels};

/// The meter of one request.
#[derive(Debug)]
pub struct RequestMeter {
    metrics: Metrics,
    method: &'static str,
    started: Instant,
    route: Option<Arc<str>>,
    status: &'static str,
}

impl RequestMeter {
    pub(super) fn start(metrics: Metrics, method: &'static str) -> Self {
        if let Some(inner) = &metrics.inner {
            inner.requests_in_flight.inc();
        }
        Self { metrics, method, started: Instant::now(), route: None, status: "cancelled" }
    }

    /// Sets the status of the answer and the declared `route`, if there is one. Without this call, the request
    /// counts as cancelled by its client.
    pub fn answered(&mut self, route: Option<&str>, status: u16) {
        if self.metrics.is_on() {
            self.route = route.map(Arc::from);
            self.status = match status / 100 {
                1 => "1xx",
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                _ => "5xx",
            };
        }
    }
}

impl Drop for RequestMeter {
    fn drop(&mut self) {
        let Some(inner) = &self.metrics.inner else { return };
        inner.requests_in_flight.dec();
        let route = self.route.take().unwrap_or_else(|| Arc::from("unmatched"));
        let labels = RouteLabels { route: route.clone(), method: self.method };
        inner.request_seconds.get_or_create(&labels).observe(self.started.elapsed().as_secs_f64());
        let labels = RequestLabels { route, method: self.method, status: self.status };
        inner.requests.get_or_create(&labels).inc();
    }
}

/// The meter of one turn.
#[derive(Debug)]
pub struct TurnMeter {
    metrics: Metrics,
    streamed: bool,
    started: Instant,
    has_begun: bool,
    reason: &'static str,
}

impl TurnMeter {
    pub(super) fn start(metrics: Metrics, streamed: bool) -> Self {
        if let Some(inner) = &metrics.inner {
            inner.turns_running.inc();
        }
        Self { metrics, streamed, started: Instant::now(), has_begun: false, reason: "client_gone" }
    }

    /// Records the first output of the model. Later calls have no effect.
    pub fn first_byte(&mut self) {
        if let Some(inner) = &self.metrics.inner
            && !self.has_begun
        {
            self.has_begun = true;
            if self.streamed {
                inner.stream_ttfb_ms.observe(self.started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }

    /// Sets the reason of the end. Without this call, the turn counts as cancelled by its client.
    pub fn ended(&mut self, reason: &'static str) {
        self.reason = reason;
    }
}

impl Drop for TurnMeter {
    fn drop(&mut self) {
        let Some(inner) = &self.metrics.inner else { return };
        inner.turns_running.dec();
        let took = self.started.elapsed().as_secs_f64();
        let labels = ReasonLabels { reason: self.reason };
        inner.turn_seconds.observe(took);
        inner.turn_end.get_or_create(&labels).inc();
        if self.streamed {
            inner.stream_duration_ms.observe(took * 1e3);
            inner.stream_end.get_or_create(&labels).inc();
        }
    }
}
