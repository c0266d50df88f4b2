//! The state that the writer keeps in the database from one start to the next, as named values.

use rusqlite::{Connection, OptionalExtension as _};

/// The state with the number up to which events are in the sums. A rebuild needs it to know what a damaged
/// database had counted.
pub(super) const SUMMED: &str = "summed_id";
/// The state with the time before which events may have been removed.
pub(super) const RAW_SINCE: &str = "raw_since_ms";
/// The states with the path of the usage log file, and with the last number in it.
pub(super) const LOG_PATH: &str = "log_path";
pub(super) const LOG_ID: &str = "log_id";

/// Reads a state; `None` if it is not set.
pub(super) fn state(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut query = connection.prepare_cached("SELECT value FROM usage_state WHERE name = ?1")?;
    query.query_row([name], |row| row.get(0)).optional()
}

/// Sets a state.
pub(super) fn set_state(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO usage_state VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute([name, value]).map(drop)
}
