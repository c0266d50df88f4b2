//! Queries to the usage store: a time range, its time zone and the grouping of the answer.

pub mod chat;
mod time;

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::totals::Totals;
use crate::secret::KeyId;

pub(super) use time::{Edges, iso};

/// A query for sums.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageQuery {
    /// The first millisecond of the range, since the epoch.
    pub start_ms: i64,
    /// The first millisecond after the range, since the epoch.
    pub end_ms: i64,
    /// The time zone of the hours and days.
    pub tz: TimeZone,
    /// The grouping of the answer.
    pub group: Group,
}

/// How an answer is grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// By the hours of the zone's clock.
    Hour,
    /// By the days of the zone's calendar.
    Day,
    /// By the model that answered.
    Model,
    /// By the API key.
    Key,
    /// By the family of clients.
    Client,
}

impl Group {
    const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Model, Self::Key, Self::Client];

    /// The value of the parameter `group`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Model => "model",
            Self::Key => "key",
            Self::Client => "client",
        }
    }
}

/// The parameters of a query, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// The beginning: an ISO 8601 date or date-time, or seconds or milliseconds since the epoch.
    pub start: Option<Cow<'a, str>>,
    /// The end (exclusive), in the same formats.
    pub end: Option<Cow<'a, str>>,
    /// `hour`, `day`, `model`, `key` or `client`.
    pub group: Option<Cow<'a, str>>,
    /// The IANA name of a time zone.
    pub tz: Option<Cow<'a, str>>,
}

/// An invalid parameter, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// The name of the parameter.
    pub param: &'static str,
    /// What is wrong with the parameter and what to write instead.
    pub message: String,
}

/// The maximum number of hours or days in an answer.
const MOST_BUCKETS: usize = 10_000;

impl UsageQuery {
    /// Parses the parameters. `system` is the time zone if none is named.
    ///
    /// Without `start` and `end`, the range is the last seven days of the calendar, including all of today;
    /// without `start`, it is the seven days up to `end`. A date means its beginning. A time without an offset
    /// is in the time zone of the query.
    ///
    /// # Errors
    /// If a parameter cannot be parsed, the end is not after the start, or the answer would be too long.
    pub fn parse(parameters: &Parameters<'_>, now: Timestamp, system: &TimeZone) -> Result<Self, QueryError> {
        let tz = match parameters.tz.as_deref().map(str::trim) {
            None | Some("") => system.clone(),
            Some(name) => TimeZone::get(name).map_err(|_| QueryError {
                param: "tz",
                message: format!(
                    "There is no time zone '{}'. Use a name such as Europe/Berlin or UTC.",
                    excerpt(name)
                ),
            })?,
        };
        let group = match parameters.group.as_deref().map(str::trim) {
            None | Some("") => Group::Day,
            Some(name) => {
                let found = Group::ALL.into_iter().find(|group| group.as_str().eq_ignore_ascii_case(name));
                found.ok_or_else(|| QueryError {
                    param: "group",
                    message: format!("'{}' is no group. Use hour, day, model, key or client.", excerpt(name)),
                })?
            }
        };
        let read = |param, text: &Option<Cow<'_, str>>| match text.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => time::instant(param, text, &tz).map(Some),
        };
        let end = read("end", &parameters.end)?;
        let start = read("start", &parameters.start)?;
        let end_ms = end.unwrap_or_else(|| time::days_around(now.as_millisecond(), 1, 0, &tz).1);
        // One millisecond before the end, so that an end at midnight means the seven days before it.
        let start_ms = start.unwrap_or_else(|| time::days_around(end_ms.saturating_sub(1), 1, 6, &tz).0);
        let query = Self { start_ms, end_ms, tz, group };
        if end_ms <= start_ms {
            return Err(QueryError {
                param: if parameters.end.is_some() { "end" } else { "start" },
                message: format!(
                    "The end ({}) is not after the start ({}). The end itself does not count: for one day, give the \
                     next day as the end.",
                    iso(end_ms, &query.tz),
                    iso(start_ms, &query.tz)
                ),
            });
        }
        query.check_length()?;
        Ok(query)
    }

    /// The name of the time zone, or its offset if it has no name.
    pub fn tz_name(&self) -> String {
        tz_name(&self.tz)
    }

    /// The edges of the hours or days in the answer. `None` if it is not grouped by time.
    pub(super) fn edges(&self) -> Option<Edges> {
        let unit = self.unit()?;
        Some(Edges::of(self.start_ms, self.end_ms, unit, &self.tz))
    }

    fn unit(&self) -> Option<time::Unit> {
        match self.group {
            Group::Hour => Some(time::Unit::Hour),
            Group::Day => Some(time::Unit::Day),
            Group::Model | Group::Key | Group::Client => None,
        }
    }

    /// Refuses an answer with too many parts before it is computed.
    fn check_length(&self) -> Result<(), QueryError> {
        let Some(unit) = self.unit() else { return Ok(()) };
        let length = self.end_ms.saturating_sub(self.start_ms) / unit.shortest_ms();
        if usize::try_from(length).is_ok_and(|parts| parts <= MOST_BUCKETS) {
            return Ok(());
        }
        let instead = if self.group == Group::Hour { "group=day or " } else { "" };
        Err(QueryError {
            param: if self.group == Group::Hour { "group" } else { "start" },
            message: format!(
                "From {} to {} there are more than {MOST_BUCKETS} {}s. Use {instead}a shorter time.",
                iso(self.start_ms, &self.tz),
                iso(self.end_ms, &self.tz),
                self.group.as_str()
            ),
        })
    }
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Always `usage`.
    pub object: &'static str,
    /// The beginning, in seconds since the epoch.
    pub start: i64,
    /// The end (exclusive), in seconds since the epoch.
    pub end: i64,
    /// The name of the time zone.
    pub tz: String,
    /// How `data` is grouped.
    pub group: &'static str,
    /// The sums over the whole range.
    pub totals: Totals,
    /// The parts: hours and days in order, without gaps; names by their tokens, the largest first.
    pub data: Vec<Bucket>,
}

/// One part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Bucket {
    /// The beginning of the hour or day in ISO 8601 with the offset of the time zone, or the name.
    pub bucket: String,
    /// The id of the key, if the answer is grouped by key and the id is known. The name is the current or the
    /// last name of the key; two keys may have had the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The first second of an hour or a day, since the epoch.
    pub start: Option<i64>,
    /// The first second after an hour or a day, since the epoch.
    pub end: Option<i64>,
    /// The sums of the part.
    #[serde(flatten)]
    pub totals: Totals,
}

pub(super) fn tz_name(tz: &TimeZone) -> String {
    match tz.iana_name() {
        Some(name) => name.to_owned(),
        None => tz.to_fixed_offset().map_or_else(|_| "local".to_owned(), |offset| offset.to_string()),
    }
}

fn excerpt(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(60).map(clean).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
