//! Times as people and programs write them, and the hours and days of a zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::{QueryError, excerpt};

/// From here on a number is milliseconds: as seconds it would be past the year 5000.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
/// What the database and the calendar hold for sure.
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

/// A number of seconds, with a fraction or without, or of milliseconds.
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
    // The `+` of an offset becomes a space in a query string that was not encoded with care.
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

/// From the beginning of the day `back` days before the one that holds `ms`, to the beginning of the day `ahead`
/// days after it.
pub(super) fn days_around(ms: i64, ahead: i64, back: i64, tz: &TimeZone) -> (i64, i64) {
    let date = date_at(ms, tz);
    let day = |days: i64| {
        let date = Span::new().try_days(days).and_then(|span| date.checked_add(span)).ok();
        date.and_then(|date| start_of_day(date, tz))
    };
    (day(-back).unwrap_or(FIRST_MS).max(FIRST_MS), day(ahead).unwrap_or(LAST_MS).min(LAST_MS))
}

/// A time in ISO 8601 with the zone's offset.
pub(in crate::usage) fn iso(ms: i64, tz: &TimeZone) -> String {
    let zoned = timestamp(ms).to_zoned(tz.clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The beginning of a day: midnight, or what the clock shows instead where it skips midnight.
fn start_of_day(date: Date, tz: &TimeZone) -> Option<i64> {
    Some(date.to_zoned(tz.clone()).ok()?.timestamp().as_millisecond())
}

fn date_at(ms: i64, tz: &TimeZone) -> Date {
    timestamp(ms).to_zoned(tz.clone()).date()
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A unit of a zone's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Hour,
    Day,
}

impl Unit {
    /// No unit but those around a change of the clock is shorter.
    pub(super) fn shortest_ms(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 23 * 3_600_000,
        }
    }

    /// The beginning of the unit that holds `ms`.
    fn start(self, ms: i64, tz: &TimeZone) -> i64 {
        match self {
            Self::Day => {
                let date = date_at(ms, tz);
                start_of_day(date, tz).filter(|start| *start <= ms).unwrap_or(ms)
            }
            Self::Hour => {
                let offset = offset_ms(ms, tz);
                let full = (ms + offset).div_euclid(3_600_000) * 3_600_000 - offset;
                // The clock may have been changed since the hour struck.
                match tz.preceding(timestamp(ms.saturating_add(1))).next() {
                    Some(change) => full.max(change.timestamp().as_millisecond().min(ms)),
                    None => full,
                }
            }
        }
    }

    /// The beginning of the unit after the one that begins at or holds `ms`; it is later than `ms`.
    fn next(self, ms: i64, tz: &TimeZone) -> i64 {
        match self {
            Self::Day => {
                let mut date = date_at(ms, tz);
                // A zone may skip a whole day, which then begins when the next one does.
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

/// Where the hours or days of a stretch of time begin and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::usage) struct Edges {
    /// The parts' edges, the first and last cut to the stretch: one more than there are parts.
    edges: Vec<i64>,
    /// What each part is called: the beginning of the whole hour or day.
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

    /// How many parts there are.
    pub(in crate::usage) fn parts(&self) -> usize {
        self.names.len()
    }

    /// The name, the beginning and the end of a part.
    pub(in crate::usage) fn part(&self, at: usize) -> Option<(&str, i64, i64)> {
        Some((self.names.get(at)?, *self.edges.get(at)?, *self.edges.get(at + 1)?))
    }

    /// The part that a time lies in.
    pub(in crate::usage) fn part_of(&self, ms: i64) -> Option<usize> {
        let at = self.edges.partition_point(|edge| *edge <= ms).checked_sub(1)?;
        (at < self.parts()).then_some(at)
    }

    /// Every edge, those of the stretch included.
    pub(in crate::usage) fn all(&self) -> &[i64] {
        &self.edges
    }
}

/// A time that [`instant`] reads as exactly this.
pub(super) fn iso_exact(ms: i64) -> String {
    timestamp(ms).to_string()
}
