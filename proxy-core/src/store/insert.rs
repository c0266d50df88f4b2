//! Events and their sums into the database, in one transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::rows::{Kind, add_sums, insert_event, int, slot_of, uint};
use super::totals::Sums;
use super::usage::UsageEvent;

/// Names of one kind in one slot; what comes after them is summed up as `other`.
const NAMES: i64 = 256;
/// Slots and names that are remembered to have a row.
const REMEMBERED: usize = 10_000;
const OTHER: &str = "other";

/// Inserts events.
#[derive(Debug, Default)]
pub(super) struct Inserter {
    /// Rows of sums that are there already.
    known: HashSet<(Kind, i64, String)>,
}

impl Inserter {
    /// Inserts those events that are not there yet, and adds them to the sums. All of it happens or nothing.
    pub(super) fn insert<'a>(
        &mut self,
        connection: &mut Connection,
        events: impl IntoIterator<Item = &'a UsageEvent>,
    ) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut sums: HashMap<(Kind, i64, &str), Sums> = HashMap::new();
        for event in events {
            if !insert_event(&transaction, event)? {
                continue;
            }
            let (slot, of_event) = (slot_of(event.ts_ms), Sums::of(event));
            for kind in Kind::EACH {
                sums.entry((kind, slot, kind.name_of(event))).or_default().add(&of_event);
            }
        }
        let mut new = Vec::new();
        for ((kind, slot, name), sums) in &sums {
            let name = self.admit(&transaction, *kind, *slot, name, &mut new)?;
            add_sums(&transaction, *kind, *slot, name, sums)?;
        }
        transaction.commit()?;
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        self.known.extend(new);
        Ok(())
    }

    /// The name under which a slot sums up `name`: there is a bound to how many it has.
    fn admit<'a>(
        &self,
        transaction: &Transaction<'_>,
        kind: Kind,
        slot: i64,
        name: &'a str,
        new: &mut Vec<(Kind, i64, String)>,
    ) -> rusqlite::Result<&'a str> {
        let key = (kind, slot, name.to_owned());
        if self.known.contains(&key) {
            return Ok(name);
        }
        let mut known = transaction
            .prepare_cached("SELECT 1 FROM usage_sum WHERE kind = ?1 AND slot = ?2 AND name = ?3")?;
        if !known.exists(params![kind.number(), slot, name])? {
            let mut count =
                transaction.prepare_cached("SELECT count(*) FROM usage_sum WHERE kind = ?1 AND slot = ?2")?;
            let count: i64 = count.query_row(params![kind.number(), slot], |row| row.get(0))?;
            if count >= NAMES {
                return Ok(OTHER);
            }
        }
        new.push(key);
        Ok(name)
    }
}

/// The greatest number that an event has.
pub(super) fn last_id(connection: &Connection) -> rusqlite::Result<u64> {
    let id: Option<i64> = connection.query_row("SELECT max(id) FROM usage_event", [], |row| row.get(0))?;
    Ok(id.map_or(0, uint))
}

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

/// Removes some events that are older than `before_ms`, with numbers up to `id`. The newest event stays: its number
/// says where to go on counting. Returns how many were removed.
pub(super) fn remove_old(
    connection: &mut Connection,
    before_ms: i64,
    id: u64,
    most: usize,
) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let removed = transaction.execute(
        "DELETE FROM usage_event WHERE id IN (SELECT id FROM usage_event WHERE ts_ms < ?1 AND id <= ?2 \
         AND id < (SELECT max(id) FROM usage_event) ORDER BY ts_ms LIMIT ?3)",
        params![before_ms, int(id), int(most as u64)],
    )?;
    if removed > 0 {
        set_state(&transaction, RAW_SINCE, &before_ms.to_string())?;
    }
    transaction.commit()?;
    Ok(removed)
}

/// The name of the state that holds the time before which events may have been removed.
pub(super) const RAW_SINCE: &str = "raw_since_ms";
