//! Sums over events.

use serde::{Deserialize, Serialize};

use super::event::{CANCELLED, UsageEvent};

/// Sums that can be added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) cancelled: u64,
    pub(super) input_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) cache_write_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) reasoning_tokens: u64,
    pub(super) estimated_requests: u64,
    pub(super) estimated_tokens: u64,
    pub(super) ttft_sum_ms: u64,
    pub(super) ttft_count: u64,
    pub(super) duration_sum_ms: u64,
}

/// The number of sums; the database has a column for each.
pub(super) const FIELDS: usize = 13;

impl Sums {
    pub(super) fn of(event: &UsageEvent) -> Self {
        let cancelled = event.status == CANCELLED;
        let counted = |tokens: u64| if event.estimated { 0 } else { tokens };
        Self {
            requests: 1,
            errors: u64::from(event.status >= 400 && !cancelled),
            cancelled: u64::from(cancelled),
            input_tokens: counted(event.input_tokens),
            cached_tokens: counted(event.cached_tokens),
            cache_write_tokens: counted(event.cache_write_tokens),
            output_tokens: counted(event.output_tokens),
            reasoning_tokens: counted(event.reasoning_tokens),
            estimated_requests: u64::from(event.estimated),
            estimated_tokens: if event.estimated { event.total_tokens() } else { 0 },
            ttft_sum_ms: event.ttft_ms.unwrap_or(0),
            ttft_count: u64::from(event.ttft_ms.is_some()),
            duration_sum_ms: event.duration_ms,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut sums = self.to_array();
        for (sum, more) in sums.iter_mut().zip(other.to_array()) {
            *sum = sum.saturating_add(more);
        }
        *self = Self::from_array(sums);
    }

    /// The sums in the order of the columns of the database.
    pub(super) fn to_array(self) -> [u64; FIELDS] {
        [
            self.requests,
            self.errors,
            self.cancelled,
            self.input_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.estimated_requests,
            self.estimated_tokens,
            self.ttft_sum_ms,
            self.ttft_count,
            self.duration_sum_ms,
        ]
    }

    pub(super) fn from_array(sums: [u64; FIELDS]) -> Self {
        let [
            requests,
            errors,
            cancelled,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            estimated_requests,
            estimated_tokens,
            ttft_sum_ms,
            ttft_count,
            duration_sum_ms,
        ] = sums;
        Self {
            requests,
            errors,
            cancelled,
            input_tokens,
            cached_tokens,
            cache_write_tokens,
            output_tokens,
            reasoning_tokens,
            estimated_requests,
            estimated_tokens,
            ttft_sum_ms,
            ttft_count,
            duration_sum_ms,
        }
    }
}

/// What some requests came to. Tokens are the vendor's own counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Totals {
    /// All requests.
    pub requests: u64,
    /// Those that failed; a client that went away is no failure.
    pub errors: u64,
    /// Those whose client went before the end.
    pub cancelled: u64,
    /// Tokens of prompts, cached ones included.
    pub input_tokens: u64,
    /// Tokens of prompts that were read from the upstream's cache.
    pub cached_tokens: u64,
    /// Tokens of prompts that were written to the upstream's cache.
    pub cache_write_tokens: u64,
    /// Tokens of answers, those of reasoning included.
    pub output_tokens: u64,
    /// Tokens of reasoning.
    pub reasoning_tokens: u64,
    /// Tokens of prompts and answers.
    pub total_tokens: u64,
    /// Requests whose tokens are estimated, because the vendor did not say; the sums above leave them out.
    pub estimated_requests: u64,
    /// The tokens of those.
    pub estimated_tokens: u64,
    /// Mean milliseconds to the first piece of an answer.
    pub avg_ttft_ms: Option<u64>,
    /// Mean milliseconds to the end of a request.
    pub avg_duration_ms: Option<u64>,
}

impl From<Sums> for Totals {
    fn from(sums: Sums) -> Self {
        let mean = |sum: u64, count: u64| sum.saturating_add(count / 2).checked_div(count);
        Self {
            requests: sums.requests,
            errors: sums.errors,
            cancelled: sums.cancelled,
            input_tokens: sums.input_tokens,
            cached_tokens: sums.cached_tokens,
            cache_write_tokens: sums.cache_write_tokens,
            output_tokens: sums.output_tokens,
            reasoning_tokens: sums.reasoning_tokens,
            total_tokens: sums.input_tokens.saturating_add(sums.output_tokens),
            estimated_requests: sums.estimated_requests,
            estimated_tokens: sums.estimated_tokens,
            avg_ttft_ms: mean(sums.ttft_sum_ms, sums.ttft_count),
            avg_duration_ms: mean(sums.duration_sum_ms, sums.requests),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_cancellations_and_means_are_counted_apart() {
        let mut sums = Sums::default();
        assert_eq!((Totals::from(sums).avg_ttft_ms, Totals::from(sums).avg_duration_ms), (None, None));
        for (status, ttft_ms, duration_ms) in [(200, Some(10), 100), (500, None, 3), (499, Some(21), 50)] {
            sums.add(&Sums::of(&UsageEvent { status, ttft_ms, duration_ms, ..UsageEvent::default() }));
        }
        let totals = Totals::from(sums);
        assert_eq!((totals.requests, totals.errors, totals.cancelled), (3, 1, 1));
        assert_eq!((totals.avg_ttft_ms, totals.avg_duration_ms), (Some(16), Some(51)));
    }
}
