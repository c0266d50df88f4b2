//! Parses times in the formats of people and programs, and computes the hours and days of a time zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::{QueryError, excerpt};

/// A number from here on is in milliseconds: in seconds it would be after the year 5000.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
/// The range that both the database and the calendar support.
const FIRST_MS: i64 = 0;
const LAST_MS: i64 = 253_370_764_800_000;

/// Reads a point in time.
pub(super) fn instant(param: &'static str, text: &str, tz: &TimeZone) -> Result<i64, QueryError> {
    let error = |message: String| QueryError { param, message };
    let unreadable = || {
        error(format!(
            "'{}' is no time. Use a date (2026-03-01), a date and time (2026-03-01T14:30, with or without an offset), \
             or seconds or milliseconds since 1970.",
            excerpt(text)
        ))
    };
    let ms = match epoch(text) {
        Some(ms) => ms,
        None => calendar(text, tz).ok_or_else(unreadable)?,
    };
    if (FIRST_MS..=LAST_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(error(format!("'{}' is not between the years 1970 and 9998.", excerpt(text))))
    }
}

/// Parses a number of seconds, with or without a fraction, or of milliseconds.
fn epoch(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().unwrap_or(i64::MAX);
    if whole >= MILLISECONDS_FROM {
        return Some(whole);
    }
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(whole * 1000 + thousandths.parse::<i64>().unwrap_or(0))
}

fn calendar(text: &str, tz: &TimeZone) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    // The `+` of an offset becomes a space in a query string that was not encoded correctly.
    if let Some((time, offset)) = text.rsplit_once(' ')
        && time.contains(['T', 't', ' '])
        && let Ok(time) = format!("{time}+{offset}").parse::<Timestamp>()
    {
        return Some(time.as_millisecond());
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() == "2026-03-01".len()
    {
        return start_of_day(date, tz);
    }
    let time: DateTime = text.parse().ok()?;
    Some(time.to_zoned(tz.clone()).ok()?.timestamp().as_millisecond())
}

/// The range from the beginning of the day `back` days before the day of `ms` to the beginning of the day
/// `ahead` days after it.
pub(super) fn days_around(ms: i64, ahead: i64, back: i64, tz: &TimeZone) -> (i64, i64) {
    let date = date_at(ms, tz);
    let day = |days: i64| {
        let date = Span::new().try_days(days).and_then(|span| date.checked_add(span)).ok();
        date.and_then(|date| start_of_day(date, tz))
    };
    (day(-back).unwrap_or(FIRST_MS).max(FIRST_MS), day(ahead).unwrap_or(LAST_MS).min(LAST_MS))
}

/// A time in ISO 8601 with the offset of the time zone.
pub(in crate::usage) fn iso(ms: i64, tz: &TimeZone) -> String {
    let zoned = timestamp(ms).to_zoned(tz.clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The beginning of a day: midnight, or the next valid time if the clock skips midnight.
fn start_of_day(date: Date, tz: &TimeZone) -> Option<i64> {
    Some(date.to_zoned(tz.clone()).ok()?.timestamp().as_millisecond())
}

fn date_at(ms: i64, tz: &TimeZone) -> Date {
    timestamp(ms).to_zoned(tz.clone()).date()
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A unit of the calendar of a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Hour,
    Day,
}

impl Unit {
    /// The minimum length of the unit in milliseconds, except around a change of the clock.
    pub(super) fn shortest_ms(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 23 * 3_600_000,
        }
    }

    /// The beginning of the unit that contains `ms`.
    fn start(self, ms: i64, tz: &TimeZone) -> i64 {
        match self {
            Self::Day => {
                let date = date_at(ms, tz);
                start_of_day(date, tz).filter(|start| *start <= ms).unwrap_or(ms)
            }
            Self::Hour => {
                let offset = offset_ms(ms, tz);
                let full = (ms + offset).div_euclid(3_600_000) * 3_600_000 - offset;
                // The clock may have been changed since the full hour.
                match tz.preceding(timestamp(ms.saturating_add(1))).next() {
                    Some(change) => full.max(change.timestamp().as_millisecond().min(ms)),
                    None => full,
                }
            }
        }
    }

    /// The beginning of the unit after the one that contains `ms`; it is always later than `ms`.
    fn next(self, ms: i64, tz: &TimeZone) -> i64 {
        match self {
            Self::Day => {
                let mut date = date_at(ms, tz);
                // A time zone may skip a whole day. Such a day begins when the next one does.
                while let Ok(next) = date.tomorrow() {
                    match start_of_day(next, tz) {
                        Some(start) if start > ms => return start,
                        Some(_) => date = next,
                        None => break,
                    }
                }
                i64::MAX
            }
            Self::Hour => {
                let offset = offset_ms(ms, tz);
                let full = ((ms + offset).div_euclid(3_600_000) + 1) * 3_600_000 - offset;
                if offset_ms(full - 1, tz) == offset {
                    return full;
                }
                let changes = tz.following(timestamp(ms)).map(|change| change.timestamp().as_millisecond());
                changes.into_iter().find(|change| offset_ms(*change, tz) != offset).unwrap_or(full).min(full)
            }
        }
    }
}

fn offset_ms(ms: i64, tz: &TimeZone) -> i64 {
    i64::from(tz.to_offset(timestamp(ms)).seconds()) * 1000
}

/// The edges of the hours or days of a time range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::usage) struct Edges {
    /// The edges of the parts, the first and last one cut to the range: one more than there are parts.
    edges: Vec<i64>,
    /// The label of each part: the beginning of the complete hour or day.
    names: Vec<String>,
}

impl Edges {
    pub(super) fn of(start_ms: i64, end_ms: i64, unit: Unit, tz: &TimeZone) -> Self {
        let (mut edges, mut names) = (vec![start_ms], vec![iso(unit.start(start_ms, tz), tz)]);
        let mut edge = unit.next(start_ms, tz);
        while edge < end_ms {
            edges.push(edge);
            names.push(iso(edge, tz));
            edge = unit.next(edge, tz);
        }
        edges.push(end_ms);
        Self { edges, names }
    }

    /// The number of parts.
    pub(in crate::usage) fn parts(&self) -> usize {
        self.names.len()
    }

    /// The label, the beginning and the end of a part.
    pub(in crate::usage) fn part(&self, at: usize) -> Option<(&str, i64, i64)> {
        Some((self.names.get(at)?, *self.edges.get(at)?, *self.edges.get(at + 1)?))
    }

    /// The index of the part that contains a time.
    pub(in crate::usage) fn part_of(&self, ms: i64) -> Option<usize> {
        let at = self.edges.partition_point(|edge| *edge <= ms).checked_sub(1)?;
        (at < self.parts()).then_some(at)
    }

    /// All edges, including those of the range.
    pub(in crate::usage) fn all(&self) -> &[i64] {
        &self.edges
    }
}

/// Formats a time so that [`instant`] parses it to exactly the same time.
pub(super) fn iso_exact(ms: i64) -> String {
    timestamp(ms).to_string()
}
