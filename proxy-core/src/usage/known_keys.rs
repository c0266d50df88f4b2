//! The API keys in the usage: events are counted by the id of the key and shown under its last name.
//!
//! Events of earlier versions have only the name of their key. [`assign`] gives them once the id of the key with
//! that name, if the key existed when they were recorded: an earlier key with the same name is a different key.
//! All other events keep their name and have no id.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::rows::{Kind, OTHER, SLOT_MS, UNKNOWN, move_sums, slot_of};
use super::state::{self, RAW_SINCE};
use crate::secret::{KeyId, KeyName};

/// The properties of an API key that the usage needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The id of the key.
    pub id: KeyId,
    /// The current name of the key.
    pub name: KeyName,
    /// The creation time in seconds since the epoch. If it is unknown, the key gets no events that have no id.
    pub created_at: Option<u64>,
}

/// The prefix of the states that hold the last name of a key.
const KEY_NAME: &str = "key_name:";
/// The first name after all of these states, in their sort order.
const AFTER_KEY_NAMES: &str = "key_name;";
/// The state that is set once [`assign`] has processed every event without an id.
pub(super) const ASSIGNED: &str = "keys_assigned";

/// Stores the current names of the keys. Writes nothing if nothing has changed.
pub(super) fn note_names(connection: &mut Connection, keys: &[KnownKey]) -> rusqlite::Result<()> {
    let noted = names(connection)?;
    let now = keys.iter().map(|key| (key.id.clone(), key.name.as_str().to_owned()));
    let changed: HashMap<KeyId, String> = now.filter(|(id, name)| noted.get(id) != Some(name)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    set_names(&transaction, &changed)?;
    transaction.commit()
}

/// Stores the last names of keys.
pub(super) fn set_names(connection: &Connection, names: &HashMap<KeyId, String>) -> rusqlite::Result<()> {
    names.iter().try_for_each(|(id, name)| state::set_state(connection, &state_of(id), name))
}

/// Stores the name of a key unless one is stored already: the event may have been recorded before a change of
/// the name.
pub(super) fn note_first_name(connection: &Connection, id: &KeyId, name: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO usage_state VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
    connection.prepare_cached(sql)?.execute([&*state_of(id), name]).map(drop)
}

/// The last name of each key that was ever counted or listed.
pub(super) fn names(connection: &Connection) -> rusqlite::Result<HashMap<KeyId, String>> {
    let sql = "SELECT name, value FROM usage_state WHERE name > ?1 AND name < ?2";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([KEY_NAME, AFTER_KEY_NAMES])?;
    let mut names = HashMap::new();
    while let Some(row) = rows.next()? {
        let (state, name): (String, String) = (row.get(0)?, row.get(1)?);
        if let Some(Ok(id)) = state.strip_prefix(KEY_NAME).map(KeyId::parse) {
            names.insert(id, name);
        }
    }
    Ok(names)
}

fn state_of(id: &KeyId) -> String {
    format!("{KEY_NAME}{id}")
}

/// Assigns the events without an id, and their sums, to the keys that have the same names and existed at that
/// time. Each event is processed only once.
pub(super) fn assign(connection: &mut Connection, keys: &[KnownKey]) -> rusqlite::Result<()> {
    if keys.is_empty() || state::state(connection, ASSIGNED)?.is_some() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let raw_since = state::state(&transaction, RAW_SINCE)?.and_then(|since| since.parse().ok());
    for name in unassigned(&transaction)? {
        let folded = name.to_lowercase();
        let key = keys.iter().find(|key| key.name.as_str().to_lowercase() == folded);
        let Some((key, created_at)) = key.and_then(|key| Some((key, key.created_at?))) else { continue };
        let created_ms = i64::try_from(created_at.saturating_mul(1000)).unwrap_or(i64::MAX);
        let from_ms = begin(&transaction, &name, created_ms, raw_since)?;
        transaction.execute(
            "UPDATE usage_event SET key_id = ?1 WHERE key = ?2 AND key_id IS NULL AND ts_ms >= ?3",
            params![key.id.as_str(), name, from_ms],
        )?;
        move_sums(&transaction, Kind::Key, slot_of(from_ms), &name, key.id.as_str())?;
    }
    state::set_state(&transaction, ASSIGNED, "1")?;
    transaction.commit()
}

/// The names of keys whose ids are unknown.
fn unassigned(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT key FROM usage_event WHERE key_id IS NULL AND key <> '' \
               UNION SELECT name FROM usage_sum WHERE kind = ?1";
    let mut query = transaction.prepare(sql)?;
    let mut names: Vec<String> =
        query.query_map([Kind::Key.number()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    // The sums under these two names belong to more than one key.
    names.retain(|name| KeyId::parse(name).is_err() && ![OTHER, UNKNOWN].contains(&name.as_str()));
    Ok(names)
}

/// The time from which this name means the key that was created at `created_ms`. It is the beginning of a
/// quarter of an hour, because sums cannot be divided. The quarter in which the key was created belongs to the
/// key, unless there is, or may have been, an event with this name before the key.
fn begin(
    transaction: &Transaction<'_>,
    name: &str,
    created_ms: i64,
    raw_since: Option<i64>,
) -> rusqlite::Result<i64> {
    let first_ms = slot_of(created_ms).saturating_mul(SLOT_MS);
    if first_ms == created_ms {
        return Ok(first_ms);
    }
    let sql = "SELECT 1 FROM usage_event WHERE ts_ms >= ?1 AND ts_ms < ?2 AND key = ?3 AND key_id IS NULL";
    let came_before = transaction.prepare(sql)?.exists(params![first_ms, created_ms, name])?;
    let is_gone = raw_since.is_some_and(|since| first_ms < since);
    Ok(if came_before || is_gone { first_ms.saturating_add(SLOT_MS) } else { first_ms })
}
