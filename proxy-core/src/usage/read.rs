//! Reads answers from the database.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock, RwLockWriteGuard};

use rusqlite::{Connection, Transaction, params};

use super::database::open_reader;
use super::event::UsageEvent;
use super::known_keys::{self, KnownKey};
use super::query::{Bucket, Edges, Group, Summary, UsageQuery};
use super::rows::{Kind, SLOT_MS, event_columns, event_of, int, slot_of, sum_columns, sums_of};
use super::state::{self, RAW_SINCE};
use super::today::Today;
use super::totals::{Sums, Totals};
use crate::secret::KeyId;

/// The maximum number of idle connections that are kept.
const IDLE: usize = 4;

/// A pool of connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Locked for reading by each query, and for writing while another file replaces the database: Windows
    /// cannot rename a file that is open.
    in_use: RwLock<()>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, idle: Mutex::default(), in_use: RwLock::default() }
    }

    /// Runs a query with a connection from the pool.
    pub(super) fn with<T>(
        &self,
        ask: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let _in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        let idle = self.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.file)?,
        };
        // A connection that has met an error is not used again.
        let answer = ask(&mut connection)?;
        let mut idle = self.lock();
        if idle.len() < IDLE {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// Drops the idle connections, because the file was replaced.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Waits for all running queries, and blocks new ones until the guard is dropped.
    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        self.clear();
        alone
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to `limit` events after number `after`, oldest first.
pub(super) fn events_after(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<UsageEvent>> {
    let sql = concat!("SELECT ", event_columns!(), " FROM usage_event WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut query = connection.prepare_cached(sql)?;
    query.query_map(params![int(after), int(limit as u64)], event_of)?.collect()
}

/// The newest `limit` events, oldest first.
pub(super) fn last_events(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<UsageEvent>> {
    let sql = concat!("SELECT ", event_columns!(), " FROM usage_event ORDER BY id DESC LIMIT ?1");
    let mut query = connection.prepare_cached(sql)?;
    let mut events: Vec<UsageEvent> =
        query.query_map(params![int(limit as u64)], event_of)?.collect::<Result<_, _>>()?;
    events.reverse();
    Ok(events)
}

/// Up to `limit` events of a time range after a position, ordered by time and then by number.
pub(super) fn events_between(
    connection: &Connection,
    start_ms: i64,
    end_ms: i64,
    after: (i64, u64),
    limit: usize,
) -> rusqlite::Result<Vec<UsageEvent>> {
    let sql = concat!(
        "SELECT ",
        event_columns!(),
        " FROM usage_event WHERE ts_ms >= ?1 AND ts_ms < ?2 AND (ts_ms, id) > (?3, ?4) \
         ORDER BY ts_ms, id LIMIT ?5"
    );
    let mut query = connection.prepare_cached(sql)?;
    let values = params![start_ms.max(after.0), end_ms, after.0, int(after.1), int(limit as u64)];
    query.query_map(values, event_of)?.collect()
}

/// Adds the sums of the day from the database to `today`.
pub(super) fn seed_today(connection: &Connection, today: &mut Today) -> rusqlite::Result<()> {
    let (start_ms, end_ms) = today.range();
    for (name, sums) in by_name(connection, Kind::Key, start_ms, end_ms)? {
        today.seed(&name, &sums);
    }
    Ok(())
}

/// Answers a query for sums.
pub(super) fn summary(
    connection: &mut Connection,
    query: &UsageQuery,
    keys: &[KnownKey],
) -> rusqlite::Result<Summary> {
    // In one transaction, so that all statements read the same state.
    let transaction = connection.transaction()?;
    let kind = match query.group {
        Group::Hour | Group::Day => Kind::All,
        Group::Model => Kind::Model,
        Group::Key => Kind::Key,
        Group::Client => Kind::Client,
    };
    let parts = match query.edges() {
        Some(edges) => by_time(&transaction, &edges)?,
        None => {
            let sums = by_name(&transaction, kind, query.start_ms, query.end_ms)?;
            let shown = match query.group {
                Group::Key => Some(Shown::of_keys(&transaction, keys)?),
                Group::Hour | Group::Day | Group::Model | Group::Client => None,
            };
            names(sums, shown.as_ref())
        }
    };
    let mut totals = Sums::default();
    for (_, sums) in &parts {
        totals.add(sums);
    }
    Ok(Summary {
        object: "usage",
        start: query.start_ms.div_euclid(1000),
        end: query.end_ms.div_euclid(1000),
        tz: query.tz_name(),
        group: query.group.as_str(),
        totals: totals.into(),
        data: parts.into_iter().map(|(part, sums)| Bucket { totals: sums.into(), ..part }).collect(),
    })
}

type Part = (Bucket, Sums);

fn part(bucket: String, range_ms: Option<(i64, i64)>) -> Bucket {
    let (start, end) = range_ms.map(|(start, end)| (start.div_euclid(1000), end.div_euclid(1000))).unzip();
    Bucket { bucket, key_id: None, start, end, totals: Totals::default() }
}

/// The names that are shown for the ids of keys.
struct Shown(HashMap<KeyId, String>);

impl Shown {
    /// The current or last name of each key.
    fn of_keys(connection: &Connection, keys: &[KnownKey]) -> rusqlite::Result<Self> {
        let mut names = known_keys::names(connection)?;
        names.extend(keys.iter().map(|key| (key.id.clone(), key.name.as_str().to_owned())));
        Ok(Self(names))
    }

    fn part(&self, name: String) -> Bucket {
        match KeyId::parse(&name) {
            Ok(id) => Bucket {
                bucket: self.0.get(&id).cloned().unwrap_or(name),
                key_id: Some(id),
                ..part(String::new(), None)
            },
            Err(_) => part(name, None),
        }
    }
}

fn names(sums: HashMap<String, Sums>, shown: Option<&Shown>) -> Vec<Part> {
    let bucket = |name: String| match shown {
        Some(shown) => shown.part(name),
        None => part(name, None),
    };
    let mut parts: Vec<Part> = sums.into_iter().map(|(name, sums)| (bucket(name), sums)).collect();
    let tokens = |sums: &Sums| sums.input_tokens.saturating_add(sums.output_tokens);
    parts.sort_by(|(a, first), (b, second)| {
        tokens(second)
            .cmp(&tokens(first))
            .then(second.requests.cmp(&first.requests))
            .then(a.bucket.cmp(&b.bucket))
            .then(a.key_id.cmp(&b.key_id))
    });
    parts
}

/// The sums of each hour or day.
fn by_time(transaction: &Transaction<'_>, edges: &Edges) -> rusqlite::Result<Vec<Part>> {
    let mut sums = vec![Sums::default(); edges.parts()];
    let mut add = |ms: i64, more: &Sums| {
        if let Some(sum) = edges.part_of(ms).and_then(|at| sums.get_mut(at)) {
            sum.add(more);
        }
    };
    let plan = Plan::of(transaction, edges.all())?;
    for (first, end) in plan.whole() {
        let sql = concat!(
            "SELECT slot, ",
            sum_columns!(),
            " FROM usage_sum WHERE kind = 0 AND slot >= ?1 AND slot < ?2 AND name = ''"
        );
        let mut query = transaction.prepare_cached(sql)?;
        let mut rows = query.query(params![first, end])?;
        while let Some(row) = rows.next()? {
            add(row.get::<_, i64>(0)? * SLOT_MS, &sums_of(row, 1)?);
        }
    }
    for (start_ms, end_ms) in plan.cut() {
        for_each_between(transaction, start_ms, end_ms, |event| add(event.ts_ms, &Sums::of(event)))?;
    }
    let parts = sums.into_iter().enumerate().filter_map(|(at, sums)| {
        let (name, start_ms, end_ms) = edges.part(at)?;
        Some((part(name.to_owned(), Some((start_ms, end_ms))), sums))
    });
    Ok(parts.collect())
}

/// The sums of each name.
fn by_name(
    connection: &Connection,
    kind: Kind,
    start_ms: i64,
    end_ms: i64,
) -> rusqlite::Result<HashMap<String, Sums>> {
    let mut sums: HashMap<String, Sums> = HashMap::new();
    let plan = Plan::of(connection, &[start_ms, end_ms])?;
    for (first, end) in plan.whole() {
        let sql = concat!(
            "SELECT name, ",
            sum_columns!(),
            " FROM usage_sum WHERE kind = ?1 AND slot >= ?2 AND slot < ?3"
        );
        let mut query = connection.prepare_cached(sql)?;
        let mut rows = query.query(params![kind.number(), first, end])?;
        while let Some(row) = rows.next()? {
            let (name, more) = (row.get_ref(0)?.as_str()?, sums_of(row, 1)?);
            match sums.get_mut(name) {
                Some(sum) => sum.add(&more),
                None => {
                    sums.insert(name.to_owned(), more);
                }
            }
        }
    }
    for (start_ms, end_ms) in plan.cut() {
        for_each_between(connection, start_ms, end_ms, |event| {
            sums.entry(kind.name_of(event).to_owned()).or_default().add(&Sums::of(event));
        })?;
    }
    Ok(sums)
}

fn for_each_between(
    connection: &Connection,
    start_ms: i64,
    end_ms: i64,
    mut each: impl FnMut(&UsageEvent),
) -> rusqlite::Result<()> {
    let sql = concat!("SELECT ", event_columns!(), " FROM usage_event WHERE ts_ms >= ?1 AND ts_ms < ?2");
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query(params![start_ms, end_ms])?;
    while let Some(row) = rows.next()? {
        each(&event_of(row)?);
    }
    Ok(())
}

/// How a time range is read: a slot that lies in one part from its sums, a slot that an edge divides from its
/// events.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    start_ms: i64,
    end_ms: i64,
    /// The slots that contain an edge, in order.
    cuts: Vec<i64>,
}

impl Plan {
    fn of(connection: &Connection, edges: &[i64]) -> rusqlite::Result<Self> {
        let raw_since = state::state(connection, RAW_SINCE)?.and_then(|since| since.parse::<i64>().ok());
        let mut plan = Self {
            start_ms: edges.first().copied().unwrap_or(0),
            end_ms: edges.last().copied().unwrap_or(0),
            cuts: Vec::new(),
        };
        // If the events have been removed, a slot counts for the part in which it begins.
        let rounded = |ms: i64| if ms % SLOT_MS == 0 { ms } else { (slot_of(ms) + 1) * SLOT_MS };
        let gone = |ms: i64| raw_since.is_some_and(|since| slot_of(ms) * SLOT_MS < since);
        if gone(plan.start_ms) {
            plan.start_ms = rounded(plan.start_ms);
        }
        if gone(plan.end_ms) {
            plan.end_ms = rounded(plan.end_ms);
        }
        plan.cuts =
            edges.iter().filter(|ms| **ms % SLOT_MS != 0 && !gone(**ms)).map(|ms| slot_of(*ms)).collect();
        plan.cuts.dedup();
        Ok(plan)
    }

    /// The ranges of whole slots, as the first slot and the slot after the last.
    fn whole(&self) -> Vec<(i64, i64)> {
        let mut stretches = Vec::with_capacity(self.cuts.len() + 1);
        let mut from = slot_of(self.start_ms + SLOT_MS - 1);
        for cut in &self.cuts {
            stretches.push((from, *cut));
            from = cut + 1;
        }
        stretches.push((from, slot_of(self.end_ms)));
        stretches.retain(|(from, end)| from < end);
        stretches
    }

    /// The time ranges that are read from the events.
    fn cut(&self) -> impl Iterator<Item = (i64, i64)> {
        self.cuts
            .iter()
            .map(|slot| ((slot * SLOT_MS).max(self.start_ms), ((slot + 1) * SLOT_MS).min(self.end_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(start_ms: i64, end_ms: i64, cuts: &[i64]) -> Plan {
        Plan { start_ms, end_ms, cuts: cuts.to_vec() }
    }

    #[test]
    fn whole_slots_and_cut_ones_cover_a_stretch_exactly_once() {
        let s = SLOT_MS;
        assert_eq!(plan(0, 3 * s, &[]).whole(), [(0, 3)]);
        let both = plan(5, 3 * s + 7, &[0, 3]);
        assert_eq!(both.whole(), [(1, 3)]);
        assert_eq!(both.cut().collect::<Vec<_>>(), [(5, s), (3 * s, 3 * s + 7)]);
        let one = plan(5, 9, &[0]);
        assert_eq!(one.whole(), []);
        assert_eq!(one.cut().collect::<Vec<_>>(), [(5, 9)]);
        let inner = plan(0, 4 * s, &[2]);
        assert_eq!(inner.whole(), [(0, 2), (3, 4)]);
    }
}
