//! Maps events and sums to rows of the database.

use rusqlite::{Connection, Row, ToSql, params, params_from_iter};

use super::event::UsageEvent;
use super::totals::{FIELDS, Sums};
use crate::secret::KeyId;
use crate::threads::ThreadSource;

/// The name under which a slot counts names that exceed its limit.
pub(super) const OTHER: &str = "other";

/// The length of a slot, which has one row of sums, in milliseconds. The offset of every time zone is a multiple
/// of it.
pub(super) const SLOT_MS: i64 = 900_000;

/// The slot that contains a time.
pub(super) fn slot_of(ts_ms: i64) -> i64 {
    ts_ms.div_euclid(SLOT_MS)
}

/// The property by which events are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    All,
    Model,
    Key,
    Client,
}

impl Kind {
    pub(super) const EACH: [Self; 4] = [Self::All, Self::Model, Self::Key, Self::Client];

    pub(super) fn number(self) -> i64 {
        match self {
            Self::All => 0,
            Self::Model => 1,
            Self::Key => 2,
            Self::Client => 3,
        }
    }

    /// The name under which an event is summed. For [`Kind::Key`] it is the id of the key, or its name if the id
    /// is unknown.
    pub(super) fn name_of(self, event: &UsageEvent) -> &str {
        let name = match self {
            Self::All => return "",
            Self::Model => &*event.effective_model,
            Self::Key => event.key_id.as_ref().map_or(&*event.key, KeyId::as_str),
            Self::Client => &*event.client,
        };
        if name.is_empty() { UNKNOWN } else { name }
    }
}

/// The name under which events without a name are summed.
pub(super) const UNKNOWN: &str = "unknown";

/// The columns of an event, in the order of [`event_of`] and [`insert_event`].
macro_rules! event_columns {
    () => {
        "id, ts_ms, route, method, surface, request_id, key, client, user_agent, requested_model, \
         effective_model, effort, stream, status, error_code, input_tokens, cached_tokens, cache_write_tokens, \
         output_tokens, reasoning_tokens, estimated, tool_calls, ttft_ms, duration_ms, worker, thread, \
         request_bytes, response_bytes, service_tier, key_id"
    };
}

/// The columns of sums, in the order of [`Sums::to_array`].
macro_rules! sum_columns {
    () => {
        "requests, errors, cancelled, input_tokens, cached_tokens, cache_write_tokens, output_tokens, \
         reasoning_tokens, estimated_requests, estimated_tokens, ttft_sum_ms, ttft_count, duration_sum_ms"
    };
}

/// The clause that adds to sums that exist already.
macro_rules! or_add {
    () => {
        " ON CONFLICT (kind, slot, name) DO UPDATE SET \
         requests = requests + excluded.requests, errors = errors + excluded.errors, \
         cancelled = cancelled + excluded.cancelled, input_tokens = input_tokens + excluded.input_tokens, \
         cached_tokens = cached_tokens + excluded.cached_tokens, \
         cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens, \
         output_tokens = output_tokens + excluded.output_tokens, \
         reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens, \
         estimated_requests = estimated_requests + excluded.estimated_requests, \
         estimated_tokens = estimated_tokens + excluded.estimated_tokens, \
         ttft_sum_ms = ttft_sum_ms + excluded.ttft_sum_ms, ttft_count = ttft_count + excluded.ttft_count, \
         duration_sum_ms = duration_sum_ms + excluded.duration_sum_ms"
    };
}

pub(super) use {event_columns, sum_columns};

const INSERT_EVENT: &str = concat!(
    "INSERT INTO usage_event (",
    event_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
     ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30) ON CONFLICT (id) DO NOTHING"
);

const ADD_SUMS: &str = concat!(
    "INSERT INTO usage_sum (kind, slot, name, ",
    sum_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    or_add!()
);

/// Adds the sums of `name`, from a slot on, to those of `to`, and removes them.
pub(super) fn move_sums(
    connection: &Connection,
    kind: Kind,
    from_slot: i64,
    name: &str,
    to: &str,
) -> rusqlite::Result<()> {
    const ADD: &str = concat!(
        "INSERT INTO usage_sum (kind, slot, name, ",
        sum_columns!(),
        ") SELECT kind, slot, ?4, ",
        sum_columns!(),
        " FROM usage_sum WHERE kind = ?1 AND slot >= ?2 AND name = ?3",
        or_add!()
    );
    let remove = "DELETE FROM usage_sum WHERE kind = ?1 AND slot >= ?2 AND name = ?3";
    let kind = kind.number();
    connection.execute(ADD, params![kind, from_slot, name, to])?;
    connection.execute(remove, params![kind, from_slot, name]).map(drop)
}

/// Inserts an event if it does not exist yet. Returns whether it was new.
pub(super) fn insert_event(connection: &Connection, event: &UsageEvent) -> rusqlite::Result<bool> {
    let (id, status) = (int(event.id), i64::from(event.status));
    let (input, output) = (int(event.input_tokens), int(event.output_tokens));
    let (cached, cache_write) = (int(event.cached_tokens), int(event.cache_write_tokens));
    let (reasoning, tool_calls) = (int(event.reasoning_tokens), int(event.tool_calls));
    let (ttft, duration) = (event.ttft_ms.map(int), int(event.duration_ms));
    let (worker, thread) = (event.worker.map(int), event.thread.as_str());
    let (request, response) = (int(event.request_bytes), int(event.response_bytes));
    let key_id = event.key_id.as_ref().map(KeyId::as_str);
    let values: [&dyn ToSql; 30] = [
        &id,
        &event.ts_ms,
        &event.route,
        &event.method,
        &event.surface,
        &event.request_id,
        &event.key,
        &event.client,
        &event.user_agent,
        &event.requested_model,
        &event.effective_model,
        &event.effort,
        &event.stream,
        &status,
        &event.error_code,
        &input,
        &cached,
        &cache_write,
        &output,
        &reasoning,
        &event.estimated,
        &tool_calls,
        &ttft,
        &duration,
        &worker,
        &thread,
        &request,
        &response,
        &event.service_tier,
        &key_id,
    ];
    Ok(connection.prepare_cached(INSERT_EVENT)?.execute(&values[..])? == 1)
}

/// Reads an event from a row with [`event_columns`].
pub(super) fn event_of(row: &Row<'_>) -> rusqlite::Result<UsageEvent> {
    Ok(UsageEvent {
        id: uint(row.get(0)?),
        ts_ms: row.get(1)?,
        route: row.get(2)?,
        method: row.get(3)?,
        surface: row.get(4)?,
        request_id: row.get(5)?,
        key: row.get(6)?,
        client: row.get(7)?,
        user_agent: row.get(8)?,
        requested_model: row.get(9)?,
        effective_model: row.get(10)?,
        effort: row.get(11)?,
        stream: row.get(12)?,
        status: row.get(13)?,
        error_code: row.get(14)?,
        input_tokens: uint(row.get(15)?),
        cached_tokens: uint(row.get(16)?),
        cache_write_tokens: uint(row.get(17)?),
        output_tokens: uint(row.get(18)?),
        reasoning_tokens: uint(row.get(19)?),
        estimated: row.get(20)?,
        tool_calls: uint(row.get(21)?),
        ttft_ms: row.get::<_, Option<i64>>(22)?.map(uint),
        duration_ms: uint(row.get(23)?),
        worker: row.get::<_, Option<i64>>(24)?.map(uint),
        thread: ThreadSource::of(row.get_ref(25)?.as_str()?),
        request_bytes: uint(row.get(26)?),
        response_bytes: uint(row.get(27)?),
        service_tier: row.get(28)?,
        key_id: row.get::<_, Option<String>>(29)?.and_then(|id| KeyId::parse(&id).ok()),
    })
}

/// Adds to the sums of a slot.
pub(super) fn add_sums(
    connection: &Connection,
    kind: Kind,
    slot: i64,
    name: &str,
    sums: &Sums,
) -> rusqlite::Result<()> {
    let (kind, sums) = (kind.number(), sums.to_array().map(int));
    let first: [&dyn ToSql; 3] = [&kind, &slot, &name];
    let values = first.into_iter().chain(sums.iter().map(|sum| sum as &dyn ToSql));
    connection.prepare_cached(ADD_SUMS)?.execute(params_from_iter(values)).map(drop)
}

/// Reads the sums from a row in which [`sum_columns`] begin at column `first`.
pub(super) fn sums_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Sums> {
    let mut sums = [0; FIELDS];
    for (column, sum) in sums.iter_mut().enumerate() {
        *sum = uint(row.get(first + column)?);
    }
    Ok(Sums::from_array(sums))
}

/// Converts to SQLite's signed integers; [`UsageEvent::normalise`] keeps all numbers far below their maximum.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts a number that [`int`] has written.
pub(super) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
