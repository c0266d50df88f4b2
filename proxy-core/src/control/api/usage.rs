//! `/control/usage`.

use serde::{Deserialize, Serialize};

/// The sums are the usage store's own.
use crate::usage::Totals;

words! {
    /// How an answer about usage is divided.
    UsageGroup {
        /// By the hours of the zone's clock.
        Hour = "hour",
        /// By the days of the zone's calendar.
        Day = "day",
        /// By the model that answered.
        Model = "model",
        /// By the name of the API key.
        Key = "key",
        /// By the family of clients.
        Client = "client",
    }
}

/// The answer of `GET /control/usage`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Usage {
    /// Always `usage`.
    #[cfg_attr(test, ts(type = "'usage'"))]
    pub object: String,
    /// The beginning.
    pub start: i64,
    /// The end, which no longer counts.
    pub end: i64,
    /// The time zone's name.
    pub tz: String,
    /// How `data` is divided.
    pub group: UsageGroup,
    /// Everything together.
    pub totals: Totals,
    /// The parts: hours and days in their order, without gaps; names by their tokens, the most first.
    pub data: Vec<UsageBucket>,
}

/// A part of an answer about usage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct UsageBucket {
    /// The beginning of the hour or day in ISO 8601 with the zone's offset, or the name.
    pub bucket: String,
    /// The id of the key, where it is divided by key and the id is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The first second that counts, for an hour or a day.
    pub start: Option<i64>,
    /// The first second that no longer counts, for an hour or a day.
    pub end: Option<i64>,
    /// The sums over its requests.
    #[serde(flatten)]
    pub totals: Totals,
}
