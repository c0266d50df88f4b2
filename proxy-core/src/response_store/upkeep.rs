//! What concerns the data of all keys: counts, export, removal.

use std::time::{Duration, Instant};

use protocol::openai::responses::stored_item;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::database::{self, Database};
use super::error::StoreError;
use super::{
    ResponseStore, Shared, StoreState, Writer, blocking, chats, conversations, int, items, now, responses,
};
use crate::secret::KeyId;

/// The time between two removals after saves.
const PRUNE: Duration = Duration::from_secs(60);
/// How many entries are removed in one transaction: the next save waits for it.
const BATCH: u64 = 64;
const HOUR: Duration = Duration::from_secs(3600);

/// What the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// The number of responses.
    pub responses: u64,
    /// The number of conversations.
    pub conversations: u64,
    /// The number of stored chat completions.
    pub chats: u64,
    /// The bytes of its files.
    pub bytes: u64,
    /// When the oldest of them was created, in seconds since 1970.
    pub oldest: Option<u64>,
    /// When the newest of them was created, in seconds since 1970.
    pub newest: Option<u64>,
}

/// Responses that are over and not deleted: those that may be removed.
macro_rules! removable {
    () => {
        "deleted = 0 AND status NOT IN ('queued', 'in_progress')"
    };
}

impl ResponseStore {
    /// What the store has, of all keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        if !self.has_file()? {
            return Ok(Stats::default());
        }
        let bytes = database::bytes_on_disk(&self.0.file);
        let counted = self.read_kept(|connection| Ok(count(connection)?));
        Ok(Stats { bytes, ..counted.await? })
    }

    /// Passes everything that is stored on, of all keys, as one JSON object each. Returns how many they are. `write`
    /// is called on a thread that may block.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn export(&self, mut write: impl FnMut(Value) + Send + 'static) -> Result<u64, StoreError> {
        self.export_while(move |entry| {
            write(entry);
            true
        })
        .await
    }

    /// The same, as long as `write` returns true.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn export_while(
        &self,
        mut write: impl FnMut(Value) -> bool + Send + 'static,
    ) -> Result<u64, StoreError> {
        if !self.has_file()? {
            return Ok(0);
        }
        let shared = self.0.clone();
        blocking(move || {
            let mut exported = 0;
            for next in [next_response, next_conversation, next_chat] {
                let mut after = 0;
                // One transaction for each, so that a slow reader holds nothing up.
                while let Some((number, entry)) = shared.readers.with(|connection| next(connection, after))? {
                    if !write(entry) {
                        return Ok(exported);
                    }
                    (after, exported) = (number, exported + 1);
                }
            }
            Ok(exported)
        })
        .await
    }

    /// Removes what is too old, then the oldest until the rest is small enough. Returns how many responses,
    /// conversations and chat completions it were. Responses that still run stay, and so do the items that younger
    /// responses continue.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        if !self.has_file()? {
            return Ok(0);
        }
        let mut removed = 0;
        loop {
            // Saves may come in between.
            let some = self.upkeep(|shared, writer| shared.prune_some(writer)).await?;
            removed += some;
            if some < BATCH {
                break;
            }
        }
        self.upkeep(move |shared, writer| {
            if let Some(age) = shared.config.max_age {
                for (seconds, path) in database::asides(&shared.file) {
                    if seconds < now().saturating_sub(age.as_secs()) {
                        database::remove_file(&path)?;
                    }
                }
            }
            shared.database(writer)?.shrink()?;
            shared.wipe(writer);
            writer.pruned_at = Some(Instant::now());
            Ok(removed)
        })
        .await
    }

    /// Removes what is too old now and each hour, until the proxy ends.
    pub async fn look_after(self, ending: CancellationToken) {
        let mut hours = tokio::time::interval(HOUR);
        while ending.run_until_cancelled(hours.tick()).await.is_some() {
            match self.prune().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "stored responses past their time were removed"),
                // What the store is out of use for was said at the start.
                Err(StoreError::Unavailable(_)) => return,
                Err(error) => tracing::warn!(%error, "stored responses past their time could not be removed"),
            }
        }
    }

    /// Removes everything of all keys, also damaged databases that were set aside, and gives the space back at once,
    /// even on a full disk. Returns how many responses, conversations and chat completions it were.
    ///
    /// # Errors
    /// When a file cannot be removed, or a new database cannot be begun.
    pub async fn clear(&self) -> Result<u64, StoreError> {
        if !self.has_file()? {
            return Ok(0);
        }
        self.0.lately().clear();
        self.upkeep(|shared, writer| {
            let counted = shared.readers.with(|connection| Ok(count(connection)?)).unwrap_or_default();
            let _alone = shared.readers.alone();
            writer.database = None;
            database::remove(&shared.file)?;
            for (_, path) in database::asides(&shared.file) {
                database::remove_file(&path)?;
            }
            writer.unwiped = false;
            if shared.config.enabled {
                writer.database = Some(Database::open(&shared.file)?);
            }
            Ok(counted.responses + counted.conversations + counted.chats)
        })
        .await
    }

    /// Removes everything of a key that was deleted, and keeps nothing of it any more. Returns how many responses,
    /// conversations and chat completions it were.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_key(&self, owner: &KeyId) -> Result<u64, StoreError> {
        if !self.has_file()? {
            return Ok(0);
        }
        self.0.lately().forget_key(owner.clone());
        let owner = owner.clone();
        self.upkeep(move |shared, writer| {
            let removed = shared.change(writer, |transaction| forget(transaction, owner.as_str()))?;
            shared.wipe(writer);
            Ok(removed)
        })
        .await
    }

    /// Whether there is a database, whether or not anything new is kept in it.
    fn has_file(&self) -> Result<bool, StoreError> {
        match self.state() {
            StoreState::On => Ok(true),
            StoreState::Off => Ok(self.0.file.exists()),
            StoreState::Broken(reason) => Err(StoreError::Unavailable(reason)),
        }
    }

    /// Runs `act` as the only writer.
    async fn upkeep<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &mut Writer) -> Result<T, StoreError> + Send + 'static,
    {
        let mut writer = self.0.writer.clone().lock_owned().await;
        if let StoreState::Broken(reason) = self.state() {
            return Err(StoreError::Unavailable(reason));
        }
        let shared = self.0.clone();
        blocking(move || act(&shared, &mut writer)).await
    }
}

impl Shared {
    /// Removes a few entries after a save if it is time, or if there is too much.
    pub(super) fn tidy(&self, writer: &mut Writer) {
        let is_due = writer.pruned_at.is_none_or(|at| at.elapsed() >= PRUNE);
        let is_full = || {
            let used = writer.database.as_ref().map(Database::used);
            self.config.max_bytes.is_some_and(|most| matches!(used, Some(Ok(used)) if used > most))
        };
        if !is_due && !is_full() {
            return;
        }
        let pruned = self.prune_some(writer);
        if pruned.as_ref().is_ok_and(|removed| *removed > 0) || writer.unwiped {
            self.wipe(writer);
        }
        match pruned {
            // The next save goes on.
            Ok(BATCH..) => {}
            Ok(_) => writer.pruned_at = Some(Instant::now()),
            Err(error) => {
                writer.pruned_at = Some(Instant::now());
                tracing::warn!(%error, "stored responses past their time could not be removed");
            }
        }
    }

    /// Removes at most [`BATCH`] entries that are too old or too many. Returns how many it were.
    fn prune_some(&self, writer: &mut Writer) -> Result<u64, StoreError> {
        let mut removed = 0;
        if let Some(age) = self.config.max_age {
            let before = now().saturating_sub(age.as_secs());
            removed = self.change(writer, |transaction| remove_oldest(transaction, before, BATCH))?;
        }
        let Some(most) = self.config.max_bytes else { return Ok(removed) };
        if self.database(writer)?.used()? <= most {
            return Ok(removed);
        }
        // A little more than necessary, so that not each save has to remove something.
        let enough = most - most / 20;
        while removed < BATCH && self.database(writer)?.used()? > enough {
            match self.change(writer, |transaction| remove_oldest(transaction, u64::MAX, 8))? {
                0 => break,
                some => removed += some,
            }
        }
        Ok(removed)
    }
}

/// Removes up to `limit` of the oldest entries from before a time. Returns how many it were.
fn remove_oldest(transaction: &Transaction<'_>, before: u64, limit: u64) -> Result<u64, StoreError> {
    let sql = concat!(
        "SELECT 0, number, created_at AS time FROM (SELECT number, created_at FROM response WHERE ",
        removable!(),
        " AND created_at < ?1 ORDER BY created_at, number LIMIT ?2) \
         UNION ALL SELECT 1, number, used_at FROM (SELECT number, used_at FROM conversation \
         WHERE used_at < ?1 ORDER BY used_at, number LIMIT ?2) \
         UNION ALL SELECT 2, number, created_at FROM (SELECT number, created_at FROM chat \
         WHERE created_at < ?1 ORDER BY created_at, number LIMIT ?2) \
         ORDER BY time, number LIMIT ?2"
    );
    let mut query = transaction.prepare_cached(sql)?;
    let found = query.query_map(params![int(before), int(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let oldest: Vec<(i64, i64)> = found.collect::<Result<_, _>>()?;
    for (kind, number) in &oldest {
        match kind {
            0 => responses::retire(transaction, *number)?,
            1 => conversations::remove(transaction, *number)?,
            _ => {
                transaction.prepare_cached("DELETE FROM chat WHERE number = ?1")?.execute([number])?;
            }
        }
    }
    Ok(oldest.len() as u64)
}

/// Removes everything of a key.
fn forget(transaction: &Transaction<'_>, owner: &str) -> Result<u64, StoreError> {
    let live = "SELECT count(*) FROM response WHERE owner = ?1 AND deleted = 0";
    let mut removed: u64 = transaction.query_row(live, [owner], |row| row.get::<_, i64>(0))?.unsigned_abs();
    for table in ["response", "conversation"] {
        let sql = format!("DELETE FROM item WHERE {table} IN (SELECT number FROM {table} WHERE owner = ?1)");
        transaction.execute(&sql, [owner])?;
    }
    transaction.execute("DELETE FROM response WHERE owner = ?1", [owner])?;
    for table in ["conversation", "chat"] {
        removed += transaction.execute(&format!("DELETE FROM {table} WHERE owner = ?1"), [owner])? as u64;
    }
    Ok(removed)
}

fn count(connection: &Connection) -> rusqlite::Result<Stats> {
    let mut stats = Stats::default();
    let tables = [
        ("response WHERE deleted = 0", &mut stats.responses),
        ("conversation", &mut stats.conversations),
        ("chat", &mut stats.chats),
    ];
    let (mut oldest, mut newest) = (None::<i64>, None::<i64>);
    for (table, number) in tables {
        let sql = format!("SELECT count(*), min(created_at), max(created_at) FROM {table}");
        let (found, first, last): (i64, Option<i64>, Option<i64>) =
            connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        *number = found.unsigned_abs();
        oldest = oldest.into_iter().chain(first).min();
        newest = newest.into_iter().chain(last).max();
    }
    let seconds = |time: Option<i64>| time.and_then(|time| u64::try_from(time).ok());
    (stats.oldest, stats.newest) = (seconds(oldest), seconds(newest));
    Ok(stats)
}

/// An entry of an export and its number.
type Exported = Option<(i64, Value)>;

fn next_response(connection: &Connection, after: i64) -> Result<Exported, StoreError> {
    let sql = "SELECT number, owner, id, created_at, status, background, stream, deleted, object \
               FROM response WHERE number > ?1 ORDER BY number LIMIT 1";
    let mut query = connection.prepare_cached(sql)?;
    let found = query.query_row([after], |row| {
        let mut entry = json!({
            "type": if row.get(7)? { "deleted_response" } else { "response" },
            "key_id": row.get::<_, String>(1)?,
            "id": row.get::<_, String>(2)?,
            "created_at": row.get::<_, i64>(3)?,
            "status": row.get::<_, String>(4)?,
            "background": row.get::<_, bool>(5)?,
            "stream": row.get::<_, bool>(6)?,
        });
        if !row.get::<_, bool>(7)?
            && let Some(fields) = entry.as_object_mut()
        {
            fields.insert("response".into(), items::json(row, 8)?);
        }
        Ok((row.get::<_, i64>(0)?, entry))
    });
    let Some((number, mut entry)) = found.optional()? else { return Ok(None) };
    let output = items::of_response(connection, number, true)?;
    match entry.get_mut("response") {
        Some(response) => responses::put_output(response, output),
        None => put(&mut entry, "output", output),
    }
    put(&mut entry, "input", items::of_response(connection, number, false)?);
    Ok(Some((number, entry)))
}

fn put(entry: &mut Value, name: &str, list: Vec<Value>) {
    if let Some(fields) = entry.as_object_mut() {
        fields.insert(name.to_owned(), list.into());
    }
}

fn next_conversation(connection: &Connection, after: i64) -> Result<Exported, StoreError> {
    let sql = "SELECT number, owner, object FROM conversation WHERE number > ?1 ORDER BY number LIMIT 1";
    let mut query = connection.prepare_cached(sql)?;
    let found = query.query_row([after], |row| {
        let owner = row.get::<_, String>(1)?;
        let entry = json!({"type": "conversation", "key_id": owner, "conversation": items::json(row, 2)?});
        Ok((row.get::<_, i64>(0)?, entry))
    });
    let Some((number, mut entry)) = found.optional()? else { return Ok(None) };
    put(&mut entry, "items", items::of_conversation(connection, number, stored_item)?);
    Ok(Some((number, entry)))
}

fn next_chat(connection: &Connection, after: i64) -> Result<Exported, StoreError> {
    let sql = "SELECT number, owner, object, metadata FROM chat WHERE number > ?1 ORDER BY number LIMIT 1";
    let mut query = connection.prepare_cached(sql)?;
    let found = query.query_row([after], |row| {
        let owner = row.get::<_, String>(1)?;
        let entry =
            json!({"type": "chat_completion", "key_id": owner, "chat_completion": chats::chat_of(row, 2)?});
        Ok((row.get::<_, i64>(0)?, entry))
    });
    let Some((number, mut entry)) = found.optional()? else { return Ok(None) };
    let messages = chats::messages(connection, number)?;
    put(&mut entry, "messages", messages.into_iter().map(|(_, message)| message).collect());
    Ok(Some((number, entry)))
}

#[cfg(test)]
impl ResponseStore {
    /// Lets nobody write until it is dropped.
    pub(crate) async fn hold(&self) -> impl Sized + use<> {
        self.0.writer.clone().lock_owned().await
    }

    /// Plays a disk that is full after some more pages, or has room again.
    pub(super) async fn limit_growth(&self, pages: Option<i64>) {
        let mut writer = self.0.writer.clone().lock_owned().await;
        let database = self.0.database(&mut writer).unwrap();
        let most = match pages {
            Some(pages) => {
                let now: i64 =
                    database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
                now + pages
            }
            None => 1_000_000,
        };
        let sql = format!("PRAGMA max_page_count = {most}");
        let _: i64 = database.connection.query_row(&sql, [], |row| row.get(0)).unwrap();
    }

    /// Runs `ask` on the database.
    pub(super) async fn peek<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> T {
        let mut writer = self.0.writer.clone().lock_owned().await;
        ask(&self.0.database(&mut writer).unwrap().connection).unwrap()
    }
}
