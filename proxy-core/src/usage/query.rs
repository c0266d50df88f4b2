//! What is asked of the usage store: a stretch of time, its zone and how it is divided.

pub mod chat;
mod time;

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::totals::Totals;
use crate::secret::KeyId;

pub(super) use time::{Edges, iso};

/// A question about sums.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageQuery {
    /// The first millisecond since the epoch that counts.
    pub start_ms: i64,
    /// The first millisecond that no longer counts.
    pub end_ms: i64,
    /// Whose hours and days.
    pub tz: TimeZone,
    /// How the answer is divided.
    pub group: Group,
}

/// How an answer is divided.
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

    /// As it is written in a query.
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

/// The parameters of a question, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// The beginning: an ISO 8601 date or date-time, or seconds or milliseconds since the epoch.
    pub start: Option<Cow<'a, str>>,
    /// The end, which no longer counts, written likewise.
    pub end: Option<Cow<'a, str>>,
    /// `hour`, `day`, `model`, `key` or `client`.
    pub group: Option<Cow<'a, str>>,
    /// The IANA name of a time zone.
    pub tz: Option<Cow<'a, str>>,
}

/// A parameter that says nothing, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// The parameter.
    pub param: &'static str,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// Most hours or days in an answer.
const MOST_BUCKETS: usize = 10_000;

impl UsageQuery {
    /// Reads the parameters. `system` is the zone where none is named.
    ///
    /// Without `start` and `end` it is about the last seven days of the calendar, today included and to its end;
    /// without `start` about the seven days up to `end`. A date stands for its beginning, and a time without an
    /// offset is one of the zone's.
    ///
    /// # Errors
    /// When a parameter cannot be understood, the end is not after the start, or the answer would be too long.
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

    /// The zone's name, or its offset where it has none.
    pub fn tz_name(&self) -> String {
        tz_name(&self.tz)
    }

    /// Where the hours or days of the answer begin and end. `None` if it is not divided by time.
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

    /// Refuses an answer of too many parts before it is computed.
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

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Always `usage`.
    pub object: &'static str,
    /// The beginning, in seconds since the epoch.
    pub start: i64,
    /// The end, which no longer counts, in seconds since the epoch.
    pub end: i64,
    /// The zone's name.
    pub tz: String,
    /// How `data` is divided.
    pub group: &'static str,
    /// Everything together.
    pub totals: Totals,
    /// The parts: hours and days in their order, without gaps; names by their tokens, the most first.
    pub data: Vec<Bucket>,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Bucket {
    /// The beginning of the hour or day in ISO 8601 with the zone's offset, or the name.
    pub bucket: String,
    /// The id of the key, where it is divided by key and the id is known. The name is the one that the key has now, or
    /// had last; two keys may have had the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The first second that counts, for an hour or a day.
    pub start: Option<i64>,
    /// The first second that no longer counts, for an hour or a day.
    pub end: Option<i64>,
    /// What its requests came to.
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
