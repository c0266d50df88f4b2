//! What is measured of a turn as its events pass.

use std::time::Duration;

use tracing::Span;

use crate::telemetry::metrics::TurnMeter;
use crate::telemetry::{Metrics, trace};
use protocol::turn::{Catalogue, Finish, Turn, TurnError, TurnErrorKind, TurnEvent};

/// A turn's span and its part in the metrics. Both end when it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    meter: TurnMeter,
    turn: Span,
    model: String,
    _dispatch: Span,
}

impl Watch {
    pub(super) fn start(
        metrics: &Metrics,
        dispatch: Span,
        catalogue: &Catalogue,
        turn: &Turn,
        streamed: bool,
    ) -> Self {
        // What a client calls a model could be anything.
        let known = catalogue.get(&turn.spec.model).map_or("other", |model| model.id.as_str());
        metrics.thread(false);
        Self {
            meter: metrics.turn(streamed),
            turn: trace::turn(&dispatch, known, streamed),
            model: known.to_owned(),
            _dispatch: dispatch,
        }
    }

    /// The model in metrics and traces: one of the catalogue, or "other".
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// An event that the client is about to see.
    pub(super) fn see(&mut self, event: &TurnEvent) {
        match event {
            TurnEvent::Started | TurnEvent::Retrying { .. } | TurnEvent::Withdrawn { .. } => {}
            TurnEvent::MessageStarted { .. }
            | TurnEvent::TextDelta { .. }
            | TurnEvent::Annotation { .. }
            | TurnEvent::RefusalDelta { .. }
            | TurnEvent::MessageDone { .. }
            | TurnEvent::ReasoningStarted { .. }
            | TurnEvent::SummaryDelta { .. }
            | TurnEvent::ReasoningTextDelta { .. }
            | TurnEvent::ReasoningDone { .. }
            | TurnEvent::ToolCall { .. }
            | TurnEvent::WebSearchStarted { .. }
            | TurnEvent::WebSearchDone { .. } => self.meter.first_byte(),
            TurnEvent::Usage(usage) => trace::turn_usage(&self.turn, usage.input, usage.cached, usage.output),
            TurnEvent::Finished(finish) => self.end(Ok(finish_name(*finish))),
            TurnEvent::Failed(error) => self.end(Err(failure_name(error))),
        }
    }

    fn end(&mut self, end: Result<&'static str, &'static str>) {
        self.meter.ended(match end {
            Ok(reason) | Err(reason) => reason,
        });
        trace::turn_ended(&self.turn, end);
    }
}

/// A request has waited for its place.
pub(super) fn waited(metrics: &Metrics, wait: Duration) {
    metrics.queue_wait(wait);
}

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

fn failure_name(error: &TurnError) -> &'static str {
    match error.kind {
        TurnErrorKind::LoginRequired => "login_required",
        TurnErrorKind::UsageLimitReached => "usage_limit_reached",
        TurnErrorKind::RateLimited => "rate_limited",
        TurnErrorKind::ContextLengthExceeded => "context_length_exceeded",
        TurnErrorKind::Unsupported => "unsupported",
        TurnErrorKind::BadRequest => "bad_request",
        TurnErrorKind::Forbidden => "forbidden",
        TurnErrorKind::ContentFiltered => "content_filtered",
        TurnErrorKind::ModelNotFound => "model_not_found",
        TurnErrorKind::Overloaded => "overloaded",
        TurnErrorKind::WorkerNotReady => "worker_not_ready",
        TurnErrorKind::WorkerExited => "worker_exited",
        TurnErrorKind::Upstream => "upstream",
        TurnErrorKind::RequestTimeout => "request_timeout",
        TurnErrorKind::IdleTimeout => "idle_timeout",
        TurnErrorKind::Cancelled => "cancelled",
        TurnErrorKind::Internal => "internal",
    }
}
