//! The usage of requests: sums, single events and their export.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use super::ControlHandle;
use super::api::{Usage, UsageBucket, UsageGroup};
use crate::usage::StoreError;
use crate::usage::query::{Bucket, Group};

use crate::usage::export::{Export, Format, RawEvent};
use crate::usage::query::{Parameters, QueryError, Summary, UsageQuery};
use crate::usage::{Page, UsageSink};

/// Why a usage query failed.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The query is not valid.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The store cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The thread that read the store has panicked.
    #[error("the usage store was interrupted")]
    Interrupted,
}

/// A page of events in the form of the API.
#[derive(Debug, Serialize)]
pub struct PageObject<'a> {
    object: &'static str,
    data: Vec<RawEvent<'a>>,
    first_id: Option<u64>,
    last_id: Option<u64>,
    has_more: bool,
}

impl<'a> From<&'a Page> for PageObject<'a> {
    fn from(page: &'a Page) -> Self {
        Self {
            object: "list",
            data: page.events.iter().map(RawEvent::from).collect(),
            first_id: page.events.first().map(|event| event.id),
            last_id: page.events.last().map(|event| event.id),
            has_more: page.has_more,
        }
    }
}

/// The maximum number of pieces of an export that wait for a slow reader.
const PIECES: usize = 4;

impl ControlHandle {
    /// The sink that records the usage of requests.
    pub fn usage_sink(&self) -> UsageSink {
        self.0.usage.sink()
    }

    /// Parses the parameters of a usage query. The default time zone is that of the system.
    ///
    /// # Errors
    /// If a parameter cannot be parsed.
    pub fn usage_query(&self, parameters: &Parameters<'_>) -> Result<UsageQuery, QueryError> {
        UsageQuery::parse(parameters, Timestamp::now(), self.0.usage.tz())
    }

    /// The sums for a query.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn usage(&self, query: UsageQuery) -> Result<Summary, UsageError> {
        let store = self.0.usage.clone();
        run(move || store.summary(&query)).await
    }

    /// The sums for a query, in the form of the control API.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn usage_summary(&self, query: UsageQuery) -> Result<Usage, UsageError> {
        let group = query.group.into();
        let Summary { object, start, end, tz, totals, data, .. } = self.usage(query).await?;
        let data = data.into_iter().map(UsageBucket::from).collect();
        Ok(Usage { object: object.to_owned(), start, end, tz, group, totals, data })
    }

    /// The newest `limit` events, or the first `limit` events after number `after`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn usage_page(&self, limit: usize, after: Option<u64>) -> Result<Page, UsageError> {
        let store = self.0.usage.clone();
        run(move || store.page(limit, after)).await
    }

    /// Every event in the time range of a query, in pieces. For a slow reader, only a few pieces are read in
    /// advance.
    pub fn usage_export(
        &self,
        query: &UsageQuery,
        format: Format,
    ) -> mpsc::Receiver<Result<Vec<u8>, StoreError>> {
        let (sender, receiver) = mpsc::channel(PIECES);
        let mut export = Export::new(self.0.usage.clone(), query, format);
        tokio::task::spawn_blocking(move || {
            loop {
                let (piece, last) = match export.next_piece() {
                    Ok(Some(piece)) => (Ok(piece), false),
                    Ok(None) => return,
                    Err(error) => (Err(error), true),
                };
                // The reader was dropped, so it needs no more.
                if sender.blocking_send(piece).is_err() || last {
                    return;
                }
            }
        });
        receiver
    }
}

impl From<Bucket> for UsageBucket {
    fn from(Bucket { bucket, key_id, start, end, totals }: Bucket) -> Self {
        Self { bucket, key_id: key_id.map(|id| id.to_string()), start, end, totals }
    }
}

impl From<Group> for UsageGroup {
    fn from(group: Group) -> Self {
        match group {
            Group::Hour => Self::Hour,
            Group::Day => Self::Day,
            Group::Model => Self::Model,
            Group::Key => Self::Key,
            Group::Client => Self::Client,
        }
    }
}

/// Reads the parameters of a query string. If one is given twice, the last value counts.
pub fn parameters<'a>(pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Parameters<'a> {
    let mut parameters = Parameters::default();
    for (name, value) in pairs {
        match &*name {
            "start" => parameters.start = Some(value),
            "end" => parameters.end = Some(value),
            "group" => parameters.group = Some(value),
            "tz" => parameters.tz = Some(value),
            _ => {}
        }
    }
    parameters
}

/// Runs a query to the store on a thread that may block.
async fn run<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, UsageError> {
    let answer = tokio::task::spawn_blocking(ask).await.map_err(|_| UsageError::Interrupted)?;
    Ok(answer?)
}
