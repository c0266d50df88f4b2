//! The views of a record: the stored event, the entry for people, and the metrics.
//!
//! The entry in the request log is made from the usage event, so that a request looks the same after the next
//! start.

use std::time::Duration;

use super::record::{Record, Tally};
use crate::client_family;
use crate::request_log::{RequestEntry, RequestState};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Tokens;
use crate::usage::event::{CANCELLED, UsageEvent};

impl Record {
    /// The event to store.
    pub(super) fn usage_event(&self) -> UsageEvent {
        let (arrival, reading, end) = (&self.arrival, &self.reading, self.end.as_ref());
        let mut event = UsageEvent {
            ts_ms: self.ts_ms,
            route: arrival.route.clone(),
            method: arrival.method.clone(),
            surface: arrival.surface.to_owned(),
            request_id: arrival.id.clone(),
            key: arrival.key.as_ref().map(|key| key.name.as_str().to_owned()).unwrap_or_default(),
            key_id: arrival.key.as_ref().map(|key| key.id.clone()),
            client: client_family::of(&arrival.user_agent).to_owned(),
            user_agent: arrival.user_agent.clone(),
            requested_model: reading.requested_model.clone(),
            effective_model: reading.effective_model.clone(),
            effort: reading.effort.map(str::to_owned),
            service_tier: reading.service_tier.map(str::to_owned),
            stream: reading.stream,
            status: end.map_or(0, |end| end.status),
            error_code: end.and_then(|end| end.error_code.clone()),
            tool_calls: self.tool_calls,
            ttft_ms: self.first_piece.map(millis),
            duration_ms: end.map_or(0, |end| millis(end.took)),
            worker: self.worker.map(|worker| worker as u64),
            thread: self.source.unwrap_or_default(),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            ..UsageEvent::default()
        };
        for tally in &self.turns {
            let Some(usage) = tally.counted.or(tally.estimated) else { continue };
            event.input_tokens += usage.input;
            event.cached_tokens += usage.cached;
            event.cache_write_tokens += usage.cache_write;
            event.output_tokens += usage.output;
            event.reasoning_tokens += usage.reasoning;
            event.estimated |= tally.counted.is_none();
        }
        event
    }

    /// Adds the tokens of `event`, which belongs to this record, to the metrics.
    pub(super) fn count(&self, event: &UsageEvent, metrics: &Metrics) {
        if self.turns.is_empty() {
            return;
        }
        for (kind, count) in [
            (Tokens::Input, event.input_tokens),
            (Tokens::Cached, event.cached_tokens),
            (Tokens::CacheWrite, event.cache_write_tokens),
            (Tokens::Output, event.output_tokens),
            (Tokens::Reasoning, event.reasoning_tokens),
        ] {
            metrics.tokens(kind, &self.counted_as, count);
        }
        self.compare(metrics);
    }

    /// Compares what the proxy has counted with what the vendor reports for the same prompt.
    fn compare(&self, metrics: &Metrics) {
        let (Some(counted), [Tally { counted: Some(usage), .. }, ..]) =
            (self.expected_input, self.turns.as_slice())
        else {
            return;
        };
        let reported = usage.input;
        tracing::debug!(
            counted,
            reported,
            model = self.counted_as,
            "the input tokens of a request that was counted"
        );
        metrics.token_count(counted, reported);
    }
}

/// The list entry of a request that is over.
pub(super) fn state_of(event: &UsageEvent) -> RequestState {
    match event.status {
        CANCELLED => RequestState::Cancelled,
        status if status >= 400 || event.error_code.is_some() => RequestState::Failed,
        _ => RequestState::Done,
    }
}

/// The part of a stored event that is shown to people.
pub(super) fn entry(event: &UsageEvent, state: RequestState) -> RequestEntry {
    let over = state != RequestState::Running;
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    RequestEntry {
        id: event.request_id.clone(),
        at: event.ts_ms.try_into().unwrap_or_default(),
        method: event.method.clone(),
        route: event.route.clone(),
        surface: event.surface.clone(),
        key: given(&event.key),
        client: event.client.clone(),
        user_agent: event.user_agent.clone(),
        address: None,
        status: over.then_some(event.status),
        error_code: event.error_code.clone(),
        requested_model: given(&event.requested_model),
        effective_model: given(&event.effective_model),
        effort: event.effort.clone(),
        service_tier: event.service_tier.clone(),
        stream: event.stream,
        request_bytes: event.request_bytes,
        response_bytes: event.response_bytes,
        ttft_ms: event.ttft_ms,
        duration_ms: over.then_some(event.duration_ms),
        input_tokens: event.input_tokens,
        cached_tokens: event.cached_tokens,
        output_tokens: event.output_tokens,
        estimated: event.estimated,
        tool_calls: event.tool_calls.try_into().unwrap_or(u32::MAX),
        thread: event.worker.map(|_| event.thread.as_str().to_owned()),
        worker: event.worker.and_then(|worker| worker.try_into().ok()),
        state,
        has_capture: false,
        refusal: None,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
