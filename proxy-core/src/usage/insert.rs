//! Inserts events and their sums into the database, in one transaction.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::event::{LAST_ID, UsageEvent};
use super::known_keys;
use super::rows::OTHER;
use super::rows::{Kind, add_sums, insert_event, int, slot_of, sum_columns, sums_of, uint};
use super::state::{self, RAW_SINCE, SUMMED};
use super::totals::Sums;
use crate::secret::KeyId;

/// The maximum number of names of one kind in one slot; further names are summed as `other`.
const NAMES: i64 = 256;
/// The maximum number of cached slots and names that are known to have a row.
const REMEMBERED: usize = 10_000;

/// Inserts events.
#[derive(Debug, Default)]
pub(super) struct Inserter {
    /// Rows of sums that exist already.
    known: HashSet<(Kind, i64, String)>,
    /// Keys with a stored name.
    named: HashSet<KeyId>,
}

impl Inserter {
    /// Inserts the events that are not in the database yet, and adds them to the sums. On an error, nothing is
    /// changed.
    pub(super) fn insert<'a>(
        &mut self,
        connection: &mut Connection,
        events: impl IntoIterator<Item = &'a UsageEvent>,
    ) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut sums, mut last) = (HashMap::new(), 0);
        let (mut named, mut is_unassigned) = (Vec::new(), false);
        for event in events {
            last = last.max(event.id);
            if insert_event(&transaction, event)? {
                sum_up(&mut sums, event, &Kind::EACH);
                is_unassigned |= event.key_id.is_none() && !event.key.is_empty();
            }
            if let Some(id) = event.key_id.as_ref().filter(|id| !self.named.contains(*id)) {
                known_keys::note_first_name(&transaction, id, &event.key)?;
                named.push(id.clone());
            }
        }
        if is_unassigned {
            transaction.execute("DELETE FROM usage_state WHERE name = ?1", [known_keys::ASSIGNED])?;
        }
        let new = self.add(&transaction, &sums)?;
        note_summed(&transaction, last)?;
        transaction.commit()?;
        self.remember(new);
        self.named.extend(named);
        Ok(())
    }

    /// Computes the sums of one slot from these events again, for each kind whose sums count fewer events.
    pub(super) fn recount(
        &mut self,
        connection: &mut Connection,
        slot: i64,
        events: &[UsageEvent],
    ) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut sums = HashMap::new();
        for kind in Kind::EACH {
            let known: i64 = transaction.query_row(
                "SELECT coalesce(sum(requests), 0) FROM usage_sum WHERE kind = ?1 AND slot = ?2",
                params![kind.number(), slot],
                |row| row.get(0),
            )?;
            if uint(known) < events.len() as u64 {
                let sql = "DELETE FROM usage_sum WHERE kind = ?1 AND slot = ?2";
                transaction.execute(sql, params![kind.number(), slot])?;
                events.iter().for_each(|event| sum_up(&mut sums, event, &[kind]));
            }
        }
        let new = self.add(&transaction, &sums)?;
        transaction.commit()?;
        self.remember(new);
        Ok(())
    }

    /// Adds events to the sums. Returns the rows that exist after this.
    fn add(
        &self,
        transaction: &Transaction<'_>,
        sums: &SumsByName<'_>,
    ) -> rusqlite::Result<Vec<(Kind, i64, String)>> {
        let mut new = Vec::new();
        for ((kind, slot, name), sums) in sums {
            let name = self.admit(transaction, *kind, *slot, name, &mut new)?;
            add_sums(transaction, *kind, *slot, name, sums)?;
        }
        Ok(new)
    }

    fn remember(&mut self, new: Vec<(Kind, i64, String)>) {
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
        self.known.extend(new);
    }

    /// The name under which a slot counts `name`. The number of names in a slot is limited.
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

type SumsByName<'a> = HashMap<(Kind, i64, &'a str), Sums>;

fn sum_up<'a>(sums: &mut SumsByName<'a>, event: &'a UsageEvent, kinds: &[Kind]) {
    let (slot, of_event) = (slot_of(event.ts_ms), Sums::of(event));
    for kind in kinds {
        sums.entry((*kind, slot, kind.name_of(event))).or_default().add(&of_event);
    }
}

/// Inserts events that the sums contain already, or will contain after [`Inserter::recount`].
pub(super) fn insert_uncounted<'a>(
    connection: &mut Connection,
    events: impl IntoIterator<Item = &'a UsageEvent>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for event in events {
        insert_event(&transaction, event)?;
        if let Some(id) = &event.key_id {
            known_keys::note_first_name(&transaction, id, &event.key)?;
        }
    }
    transaction.commit()
}

/// Gives events with an invalid number the next free numbers.
pub(super) fn renumber(connection: &mut Connection) -> rusqlite::Result<()> {
    let last: Option<i64> = connection.query_row("SELECT max(id) FROM usage_event", [], |row| row.get(0))?;
    if last.is_none_or(|last| last <= int(LAST_ID)) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let limit = int(LAST_ID);
    let sql = "SELECT coalesce(max(id), 0) FROM usage_event WHERE id <= ?1";
    let last: i64 = transaction.query_row(sql, [limit], |row| row.get(0))?;
    let odd = {
        let mut query = transaction.prepare("SELECT id FROM usage_event WHERE id > ?1 ORDER BY id")?;
        query.query_map([limit], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?
    };
    for (id, new) in odd.iter().zip(last + 1..) {
        transaction.execute("UPDATE usage_event SET id = ?2 WHERE id = ?1", [*id, new])?;
    }
    transaction.commit()?;
    let events = odd.len();
    tracing::warn!(
        events,
        "usage events had numbers that cannot be counted on from; they were given new ones"
    );
    Ok(())
}

/// Stores that events up to this number are in the sums.
fn note_summed(connection: &Connection, id: u64) -> rusqlite::Result<()> {
    let known = state::state(connection, SUMMED)?.and_then(|known| known.parse::<u64>().ok());
    if known.is_none_or(|known| known < id) {
        state::set_state(connection, SUMMED, &id.to_string())
    } else {
        Ok(())
    }
}

/// The largest number of an event.
pub(super) fn last_id(connection: &Connection) -> rusqlite::Result<u64> {
    let id: Option<i64> = connection.query_row("SELECT max(id) FROM usage_event", [], |row| row.get(0))?;
    Ok(id.map_or(0, uint))
}

/// The number of an event as an SQLite integer.
pub(super) fn number_of(event: &UsageEvent) -> i64 {
    int(event.id)
}

/// Reads the sums of a slot, to find damage.
pub(super) fn check_slot(connection: &Connection, slot: i64) -> rusqlite::Result<()> {
    const SQL: &str = concat!("SELECT ", sum_columns!(), " FROM usage_sum WHERE kind = ?1 AND slot = ?2");
    for kind in Kind::EACH {
        let mut query = connection.prepare_cached(SQL)?;
        let sums = query.query_map(params![kind.number(), slot], |row| sums_of(row, 0))?;
        sums.collect::<rusqlite::Result<Vec<Sums>>>()?;
    }
    Ok(())
}

/// Removes some events that are older than `before_ms`, with numbers up to `id`. The newest event stays, because
/// the next number follows it. Returns how many were removed.
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
        state::set_state(&transaction, RAW_SINCE, &before_ms.to_string())?;
    }
    transaction.commit()?;
    Ok(removed)
}
