//! What the writer has to remember from one start to the next, by name, in the database.

use rusqlite::{Connection, OptionalExtension as _};

/// The name of the state that holds the number up to which events are in the sums: it says what a damaged database had
/// counted.
pub(super) const SUMMED: &str = "summed_id";
/// The name of the state that holds the time before which events may have been removed.
pub(super) const RAW_SINCE: &str = "raw_since_ms";
/// The state that holds the path of the usage log file, and the last number in it.
pub(super) const LOG_PATH: &str = "log_path";
pub(super) const LOG_ID: &str = "log_id";

/// Something the writer has to remember.
pub(super) fn state(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let mut query = connection.prepare_cached("SELECT value FROM usage_state WHERE name = ?1")?;
    query.query_row([name], |row| row.get(0)).optional()
}

/// Remembers something.
pub(super) fn set_state(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO usage_state VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute([name, value]).map(drop)
}
