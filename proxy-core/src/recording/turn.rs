//! The part of a recording that is about one turn: its tokens, its span, and its part in the metrics.

use tracing::Span;

use super::Recording;
use crate::telemetry::metrics::TurnMeter;
use crate::telemetry::{Metrics, trace};
use crate::threads::ThreadSource;
use protocol::turn::{Finish, TurnError, TurnErrorKind, TurnEvent, Usage};

/// Counts the tokens of one turn and captures its lines. It may exist longer than the client waits for the turn.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct TurnTokens {
    recording: Recording,
    turn: usize,
}

/// The recording of one turn while the client waits for it. Dropping it ends its span and its part in the metrics.
#[derive(Debug)]
pub struct TurnRecording {
    tokens: TurnTokens,
    meter: TurnMeter,
    span: Span,
    _dispatch: Span,
}

impl TurnTokens {
    pub(super) fn new(recording: Recording, turn: usize) -> Self {
        Self { recording, turn }
    }

    /// The vendor's count of tokens so far. The last count is the final one.
    pub fn counted(&self, usage: Usage) {
        self.recording.counted(self.turn, usage);
    }

    /// Whether the lines that are written to Codex are captured.
    pub fn captures_lines(&self) -> bool {
        self.recording.capture().is_some()
    }

    /// Captures a line that is written to Codex.
    pub fn line(&self, line: &str) {
        if let Some(capture) = self.recording.capture() {
            capture.sent(line);
        }
    }
}

impl TurnRecording {
    pub(super) fn start(
        metrics: &Metrics,
        tokens: TurnTokens,
        model: &str,
        streamed: bool,
        source: ThreadSource,
        dispatch: Span,
    ) -> Self {
        metrics.thread(source);
        let span = trace::turn(&dispatch, model, streamed, source.as_str());
        Self { tokens, meter: metrics.turn(streamed), span, _dispatch: dispatch }
    }

    /// The counter of the turn's tokens.
    pub fn tokens(&self) -> TurnTokens {
        self.tokens.clone()
    }

    /// The estimated usage of the turn; it counts if the vendor reports none.
    pub fn estimate(&self, usage: Usage) {
        self.tokens.recording.estimated(self.tokens.turn, usage);
    }

    /// An event that the client is about to get.
    pub fn see(&mut self, event: &TurnEvent) {
        let recording = &self.tokens.recording;
        match event {
            TurnEvent::Started | TurnEvent::Retrying { .. } | TurnEvent::Withdrawn { .. } => {}
            TurnEvent::TextDelta { .. }
            | TurnEvent::RefusalDelta { .. }
            | TurnEvent::SummaryDelta { .. }
            | TurnEvent::ReasoningTextDelta { .. } => {
                recording.piece();
                self.meter.first_byte();
            }
            TurnEvent::ToolCall { .. } => {
                recording.piece();
                recording.tool_call();
                self.meter.first_byte();
            }
            TurnEvent::MessageStarted { .. }
            | TurnEvent::Annotation { .. }
            | TurnEvent::MessageDone { .. }
            | TurnEvent::ReasoningStarted { .. }
            | TurnEvent::ReasoningDone { .. }
            | TurnEvent::WebSearchStarted { .. }
            | TurnEvent::WebSearchDone { .. }
            | TurnEvent::Compaction { .. }
            | TurnEvent::Compacted { .. } => self.meter.first_byte(),
            TurnEvent::Usage(usage) => {
                if usage.estimated {
                    self.estimate(*usage);
                }
                trace::turn_usage(&self.span, usage.input, usage.cached, usage.output);
            }
            TurnEvent::Finished(finish) => self.end(Ok(finish_name(*finish))),
            TurnEvent::Failed(error) => self.end(Err(failure_name(error))),
        }
    }

    fn end(&mut self, end: Result<&'static str, &'static str>) {
        self.meter.ended(match end {
            Ok(reason) | Err(reason) => reason,
        });
        trace::turn_ended(&self.span, end);
    }
}

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
        Finish::Steered => "steered",
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
