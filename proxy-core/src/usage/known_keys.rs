//! The keys that usage is counted for: by their ids, and shown under their last names.
//!
//! Events of earlier versions have only the name of their key. [`assign`] gives them the id of the key that has that
//! name, once, if the key was there already when they were recorded: an earlier key of the same name is another. What
//! is left keeps its name and has no id.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::rows::{Kind, OTHER, SLOT_MS, UNKNOWN, move_sums, slot_of};
use super::state::{self, RAW_SINCE};
use crate::secret::{KeyId, KeyName};

/// A key, as the usage has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Its id.
    pub id: KeyId,
    /// Its name now.
    pub name: KeyName,
    /// When it was made, in seconds since the epoch. Events without an id are never those of a key of which this is
    /// not known.
    pub created_at: Option<u64>,
}

/// The beginning of the names of states that hold the last name of a key.
const KEY_NAME: &str = "key_name:";
/// What follows all of them in their order.
const AFTER_KEY_NAMES: &str = "key_name;";
/// The state that says that every event without an id was looked through.
pub(super) const ASSIGNED: &str = "keys_assigned";

/// Remembers the names that the keys have now. Nothing is written where nothing has changed.
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

/// Remembers the last names of keys.
pub(super) fn set_names(connection: &Connection, names: &HashMap<KeyId, String>) -> rusqlite::Result<()> {
    names.iter().try_for_each(|(id, name)| state::set_state(connection, &state_of(id), name))
}

/// Remembers the name of a key unless one is known: an event may have the name of before a change.
pub(super) fn note_first_name(connection: &Connection, id: &KeyId, name: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO usage_state VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
    connection.prepare_cached(sql)?.execute([&*state_of(id), name]).map(drop)
}

/// The last name of every key that has been counted or known.
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

/// Gives events without an id, and their sums, to the keys that have their names and were there when they were
/// recorded. Events that were looked through once are not looked through again.
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

/// The names of keys whose ids are not known.
fn unassigned(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT key FROM usage_event WHERE key_id IS NULL AND key <> '' \
               UNION SELECT name FROM usage_sum WHERE kind = ?1";
    let mut query = transaction.prepare(sql)?;
    let mut names: Vec<String> =
        query.query_map([Kind::Key.number()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    // Sums under these two are of more than one key.
    names.retain(|name| KeyId::parse(name).is_err() && ![OTHER, UNKNOWN].contains(&name.as_str()));
    Ok(names)
}

/// From when on what has this name is the key's that was made at `created_ms`: the beginning of a quarter of an hour, as
/// sums cannot be divided. The one in which the key was made is the key's unless something of the same name came
/// before, or may have.
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
