//! The sums of the current local day, in memory.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::event::UsageEvent;
use super::rows::Kind;
use super::totals::Sums;
use crate::secret::KeyId;

/// The local day and the sums of its events.
#[derive(Debug)]
pub(super) struct Today {
    tz: TimeZone,
    start_ms: i64,
    end_ms: i64,
    sums: Sums,
    /// By the id of the key, or its name if the id is unknown.
    tokens_by_key: HashMap<String, u64>,
}

impl Today {
    /// A day around `now`, without events.
    pub(super) fn at(now: Timestamp, tz: TimeZone) -> Self {
        let (start_ms, end_ms) = day_around(now, &tz);
        Self { tz, start_ms, end_ms, sums: Sums::default(), tokens_by_key: HashMap::new() }
    }

    /// The first millisecond of the day, and of the next day.
    pub(super) fn range(&self) -> (i64, i64) {
        (self.start_ms, self.end_ms)
    }

    /// Whether `now` is in this day.
    pub(super) fn covers(&self, now: Timestamp) -> bool {
        (self.start_ms..self.end_ms).contains(&now.as_millisecond())
    }

    /// Counts an event if it belongs to this day.
    pub(super) fn add(&mut self, event: &UsageEvent) {
        if (self.start_ms..self.end_ms).contains(&event.ts_ms) {
            self.seed(Kind::Key.name_of(event), &Sums::of(event));
        }
    }

    /// Adds the sums of a key from the database, by its id or its name.
    pub(super) fn seed(&mut self, key: &str, sums: &Sums) {
        self.sums.add(sums);
        let counted = sums.input_tokens.saturating_add(sums.output_tokens);
        let tokens = counted.saturating_add(sums.estimated_tokens);
        match self.tokens_by_key.get_mut(key) {
            Some(sum) => *sum = sum.saturating_add(tokens),
            None => {
                self.tokens_by_key.insert(key.to_owned(), tokens);
            }
        }
    }

    /// The sums of the whole day.
    pub(super) fn sums(&self) -> Sums {
        self.sums
    }

    /// The tokens that a key has used on this day.
    pub(super) fn tokens(&self, key: &KeyId) -> u64 {
        self.tokens_by_key.get(key.as_str()).copied().unwrap_or(0)
    }

    /// The time zone of the day.
    pub(super) fn tz(&self) -> &TimeZone {
        &self.tz
    }
}

/// The local day that contains `now`, in milliseconds since the epoch.
fn day_around(now: Timestamp, tz: &TimeZone) -> (i64, i64) {
    let date = now.to_zoned(tz.clone()).date();
    let start =
        |date: jiff::civil::Date| date.to_zoned(tz.clone()).map(|day| day.timestamp().as_millisecond());
    let next = date.checked_add(Span::new().days(1)).and_then(start);
    (start(date).unwrap_or(i64::MIN), next.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_23_24_or_25_hours() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (now, hours) in
            [("2026-03-29T12:00:00Z", 23), ("2026-06-01T22:30:00Z", 24), ("2026-10-25T00:30:00Z", 25)]
        {
            let now: Timestamp = now.parse().unwrap();
            let today = Today::at(now, berlin.clone());
            assert!(today.covers(now));
            assert_eq!(today.end_ms - today.start_ms, hours * 3_600_000, "{now}");
        }
    }

    #[test]
    fn only_events_of_the_day_count() {
        let mut today = Today::at("2026-06-01T12:00:00Z".parse().unwrap(), TimeZone::UTC);
        let (start, end) = today.range();
        for ts_ms in [start - 1, start, end - 1, end] {
            today.add(&UsageEvent {
                ts_ms,
                key_id: KeyId::parse("key_1").ok(),
                input_tokens: 3,
                output_tokens: 2,
                ..UsageEvent::default()
            });
        }
        assert_eq!(
            (
                today.sums().requests,
                today.tokens(&KeyId::parse("key_1").unwrap()),
                today.tokens(&KeyId::parse("key_2").unwrap())
            ),
            (2, 10, 0)
        );
    }
}
