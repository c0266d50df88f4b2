//! Responses and their chains.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use protocol::openai::responses::HistoryItem;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::error::StoreError;
use super::items;
use super::page::{Listed, Page};
use super::{ResponseStore, Shared, int};
use crate::secret::KeyId;

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It waits for its turn.
    Queued,
    /// It is being generated.
    InProgress,
    /// It is complete.
    Completed,
    /// It was cut off.
    Incomplete,
    /// It failed.
    Failed,
    /// A client has cancelled it.
    Cancelled,
}

impl Status {
    const ALL: [Self; 6] =
        [Self::Queued, Self::InProgress, Self::Completed, Self::Incomplete, Self::Failed, Self::Cancelled];

    /// The status as it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing more comes.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }

    /// Whether there is an answer that another request can continue.
    pub fn is_continuable(self) -> bool {
        matches!(self, Self::Completed | Self::Incomplete)
    }

    /// The status of a response as clients get it.
    pub fn of(object: &Value) -> Option<Self> {
        object["status"].as_str().and_then(Self::parse)
    }
}

/// A response to be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Its id.
    pub id: String,
    /// The key that has asked for it.
    pub owner: KeyId,
    /// When it was created, in seconds since 1970.
    pub created_at: u64,
    /// How far it is.
    pub status: Status,
    /// Whether it is generated without a client that waits.
    pub background: bool,
    /// Whether it was asked for as a stream.
    pub stream: bool,
    /// The response that it continues.
    pub parent: Option<String>,
    /// The conversation that it belongs to.
    pub conversation: Option<String>,
    /// The whole response, with its output.
    pub object: Value,
    /// The new items of this request, each with an id.
    pub input: Vec<Value>,
}

/// A response as it was saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The whole response, with its output.
    pub object: Value,
    /// Whether it is, or was, generated without a client that waits.
    pub background: bool,
    /// Whether it was asked for as a stream.
    pub stream: bool,
    /// How far it is.
    pub status: Status,
}

/// A response and all that it continues, for a statement. A parent is always older than its child, so that even a
/// damaged chain has an end.
macro_rules! chain {
    () => {
        "WITH RECURSIVE chain (number, parent) AS ( \
             SELECT number, parent FROM response WHERE id = ?1 AND owner = ?2 AND deleted = 0 \
             UNION ALL \
             SELECT response.number, response.parent FROM chain \
             JOIN response ON response.number = chain.parent AND response.number < chain.number) "
    };
}

impl ResponseStore {
    /// The items of a chain, oldest first, each as `parse` reads its text: of each response its input, then its output.
    /// `None` if the key has no such response.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn history<T: Send + 'static>(
        &self,
        owner: &KeyId,
        response: &str,
        parse: fn(&str) -> serde_json::Result<T>,
    ) -> Result<Option<Vec<T>>, StoreError> {
        let id = response.to_owned();
        self.read(owner, None, move |connection, owner| {
            if find(connection, owner, &id)?.is_none() {
                return Ok(None);
            }
            let mut query = connection.prepare_cached(concat!(
                chain!(),
                "SELECT chain.number, item.number, item.item FROM chain \
                 CROSS JOIN item ON item.response = chain.number"
            ))?;
            let found = query.query_map([id.as_str(), owner], |row| {
                Ok(((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?), items::parsed(row, 2, parse)?))
            })?;
            let mut all: Vec<_> = found.collect::<Result<_, _>>()?;
            all.sort_by_key(|(place, _)| *place);
            Ok(Some(all.into_iter().map(|(_, item)| item).collect()))
        })
        .await
    }

    /// What the key continues with a response: the items of its chain, oldest first. `None` if the key has no such
    /// response.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn continued(
        &self,
        owner: &KeyId,
        response: &str,
    ) -> Result<Option<Vec<HistoryItem>>, StoreError> {
        let lately = self.0.lately().take(owner, response);
        let Some(items) = lately else { return self.history(owner, response, HistoryItem::parse).await };
        let id = response.to_owned();
        let known = self.read(owner, None, move |connection, owner| find(connection, owner, &id)).await?;
        Ok(known.map(|_| items))
    }

    /// Keeps the items of a chain that ends with this response at hand for the next request, which is likely to continue
    /// it.
    pub fn keep_at_hand(&self, owner: &KeyId, response: &str, items: Vec<HistoryItem>) {
        let mut lately = self.0.lately();
        let gone = lately.keep(owner.clone(), response.to_owned(), items, Instant::now());
        let watches = !std::mem::replace(&mut lately.is_watched, true);
        drop(lately);
        if watches {
            tokio::spawn(forget_in_time(Arc::downgrade(&self.0)));
        }
        if !gone.is_empty() {
            tokio::task::spawn_blocking(move || drop(gone));
        }
    }

    /// Inserts a response, or replaces a background response that is not over. A kill of the process after the
    /// return does not lose it. If it is complete or incomplete, its items are appended to its conversation in the
    /// same transaction.
    ///
    /// Nothing is kept of a background response that was deleted while it ran. If its conversation was, only the
    /// response is kept.
    ///
    /// # Errors
    /// When the database cannot be written, for example because the disk is full; when the parent or the
    /// conversation is unknown; when a response with this id is there and over. Then nothing is changed.
    pub async fn save(&self, response: Saved) -> Result<(), StoreError> {
        let owner = response.owner.clone();
        self.write(&owner, (), move |transaction, owner| save(transaction, owner, response)).await
    }

    /// A response. `None` if the key has no such response.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn response(&self, owner: &KeyId, id: &str) -> Result<Option<Stored>, StoreError> {
        let id = id.to_owned();
        self.read(owner, None, move |connection, owner| {
            let sql = "SELECT number, object, background, stream, status FROM response \
                       WHERE id = ?1 AND owner = ?2 AND deleted = 0";
            let mut query = connection.prepare_cached(sql)?;
            let found = query.query_row([id.as_str(), owner], |row| {
                let stored = Stored {
                    object: items::json(row, 1)?,
                    background: row.get(2)?,
                    stream: row.get(3)?,
                    status: status(row.get_ref(4)?.as_str()?)?,
                };
                Ok((row.get(0)?, stored))
            });
            let Some((number, mut stored)) = found.optional()? else { return Ok(None) };
            put_output(&mut stored.object, items::of_response(connection, number, true)?);
            Ok(Some(stored))
        })
        .await
    }

    /// Everything that the model was given: the items of the chain before this response, then its own input.
    /// `None` if the key has no such response.
    ///
    /// # Errors
    /// When the database cannot be read, or the list has no item of a given id.
    pub async fn input_items(
        &self,
        owner: &KeyId,
        id: &str,
        page: &Page,
    ) -> Result<Option<Listed>, StoreError> {
        let (id, page) = (id.to_owned(), page.clone());
        self.read(owner, None, move |connection, owner| {
            let Some(chain) = chain(connection, owner, &id)? else { return Ok(None) };
            let (own, mut keys) = (chain.last().copied(), Vec::new());
            for number in chain {
                items::add_keys(connection, number, Some(number) == own, &mut keys)?;
            }
            let (numbers, has_more) = page.of(keys)?;
            Ok(Some(Listed { data: items::numbered(connection, &numbers)?, has_more }))
        })
        .await
    }

    /// Items of responses and conversations by their ids, each by its newest copy. Those that the key does not have
    /// are missing.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn items(&self, owner: &KeyId, ids: &[String]) -> Result<HashMap<String, Value>, StoreError> {
        let ids = ids.to_vec();
        self.read(owner, HashMap::new(), move |connection, owner| {
            let mut found = HashMap::new();
            for id in ids {
                if let Some(item) = items::newest(connection, owner, &id)? {
                    found.insert(id, item);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Deletes a response. Returns whether the key had it. Responses that continue it keep their history.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete(&self, owner: &KeyId, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.erase(owner, false, move |transaction, owner| {
            let Some(number) = find(transaction, owner, &id)? else { return Ok(false) };
            retire(transaction, number)?;
            Ok(true)
        })
        .await
    }
}

/// Forgets what is at hand when its time is over.
async fn forget_in_time(store: Weak<Shared>) {
    loop {
        let next = {
            let Some(store) = store.upgrade() else { return };
            let mut lately = store.lately();
            let next = lately.expire(Instant::now());
            lately.is_watched = next.is_some();
            next
        };
        let Some(next) = next else { return };
        sleep_until(next).await;
    }
}

fn status(text: &str) -> rusqlite::Result<Status> {
    Status::parse(text)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(0, "status".into(), rusqlite::types::Type::Text))
}

/// The number of a response that the key can read.
fn find(connection: &Connection, owner: &str, id: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT number FROM response WHERE id = ?1 AND owner = ?2 AND deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([id, owner], |row| row.get(0)).optional()?)
}

/// The numbers of a response and of all that it continues, oldest first.
fn chain(connection: &Connection, owner: &str, id: &str) -> Result<Option<Vec<i64>>, StoreError> {
    let sql = concat!(chain!(), "SELECT number FROM chain");
    let mut query = connection.prepare_cached(sql)?;
    let mut chain: Vec<i64> = query.query_map([id, owner], |row| row.get(0))?.collect::<Result<_, _>>()?;
    chain.reverse();
    Ok((!chain.is_empty()).then_some(chain))
}

/// Puts the output into its place in a response.
pub(super) fn put_output(object: &mut Value, output: Vec<Value>) {
    if let Some(place) = object.get_mut("output") {
        *place = Value::Array(output);
    }
}

/// Takes the output from a response, and leaves an empty place.
fn take_output(object: &mut Value) -> Vec<Value> {
    match object.get_mut("output") {
        Some(Value::Array(output)) => std::mem::take(output),
        Some(_) | None => Vec::new(),
    }
}

/// What is known of a response before it is saved.
struct Found {
    number: i64,
    is_own: bool,
    deleted: bool,
    background: bool,
    status: Status,
}

fn save(transaction: &Transaction<'_>, owner: &str, response: Saved) -> Result<(), StoreError> {
    let Saved {
        id,
        created_at,
        status: new,
        background,
        stream,
        parent,
        conversation,
        mut object,
        input,
        ..
    } = response;
    let mut query = transaction
        .prepare_cached("SELECT number, owner, deleted, background, status FROM response WHERE id = ?1")?;
    let found = query.query_row([&id], |row| {
        Ok(Found {
            number: row.get(0)?,
            is_own: row.get_ref(1)?.as_str()? == owner,
            deleted: row.get(2)?,
            background: row.get(3)?,
            status: status(row.get_ref(4)?.as_str()?)?,
        })
    });
    let found = found.optional()?;
    let conversation = match conversation {
        Some(name) => match super::conversations::find(transaction, owner, &name)? {
            None if found.is_none() => return Err(StoreError::UnknownConversation(name)),
            number => number,
        },
        None => None,
    };
    let output = take_output(&mut object);
    let number = match found {
        None => {
            let parent = match parent {
                Some(parent) => {
                    Some(find(transaction, owner, &parent)?.ok_or(StoreError::UnknownParent(parent))?)
                }
                None => None,
            };
            let sql = "INSERT INTO response (id, owner, created_at, status, background, stream, parent, object) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            transaction.prepare_cached(sql)?.execute(params![
                id,
                owner,
                int(created_at),
                new.as_str(),
                background,
                stream,
                parent,
                object.to_string()
            ])?;
            transaction.last_insert_rowid()
        }
        Some(found) if found.is_own && found.deleted => {
            let sql = "UPDATE response SET status = ?2 WHERE number = ?1";
            transaction.prepare_cached(sql)?.execute(params![found.number, new.as_str()])?;
            return collect(transaction, Some(found.number));
        }
        Some(found) if found.is_own && found.background && !found.status.is_over() => {
            let sql = "UPDATE response SET status = ?2, object = ?3 WHERE number = ?1";
            let values = params![found.number, new.as_str(), object.to_string()];
            transaction.prepare_cached(sql)?.execute(values)?;
            items::leave_response(transaction, found.number)?;
            found.number
        }
        Some(_) => return Err(StoreError::Exists(id)),
    };
    let conversation = conversation.filter(|_| new.is_continuable());
    items::insert(transaction, Some(number), conversation, false, &input)?;
    items::insert(transaction, Some(number), conversation, true, &output)?;
    if let Some(conversation) = conversation {
        super::conversations::touch(transaction, conversation)?;
    }
    Ok(())
}

/// Deletes a response: it becomes a tombstone, which is removed at once if nothing needs it.
pub(super) fn retire(transaction: &Transaction<'_>, number: i64) -> Result<(), StoreError> {
    let sql = "UPDATE response SET deleted = 1, object = '' WHERE number = ?1";
    transaction.prepare_cached(sql)?.execute([number])?;
    collect(transaction, Some(number))
}

/// Removes a tombstone that no response continues, and then those that it continues, as far as that holds for them.
/// The tombstone of a response that still runs stays, so that its end does not bring it back, but loses its items.
fn collect(transaction: &Transaction<'_>, mut number: Option<i64>) -> Result<(), StoreError> {
    while let Some(tombstone) = number {
        let sql = "SELECT parent, status FROM response WHERE number = ?1 AND deleted = 1 \
                   AND NOT EXISTS (SELECT 1 FROM response AS child WHERE child.parent = ?1)";
        let mut query = transaction.prepare_cached(sql)?;
        let unneeded = query.query_row([tombstone], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, status(row.get_ref(1)?.as_str()?)?))
        });
        let Some((parent, status)) = unneeded.optional()? else { return Ok(()) };
        items::leave_response(transaction, tombstone)?;
        if !status.is_over() {
            return Ok(());
        }
        transaction.prepare_cached("DELETE FROM response WHERE number = ?1")?.execute([tombstone])?;
        number = parent;
    }
    Ok(())
}

/// Makes failed ones of the responses that the last proxy has not completed.
pub(super) fn fail_running(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let sql = "SELECT number, deleted, object FROM response WHERE status IN ('queued', 'in_progress')";
    let mut query = transaction.prepare(sql)?;
    let mut rows = query.query([])?;
    let mut running = Vec::new();
    while let Some(row) = rows.next()? {
        let object = if row.get(1)? { None } else { Some(items::json(row, 2)?) };
        running.push((row.get::<_, i64>(0)?, object));
    }
    let failed = Status::Failed.as_str();
    for (number, object) in running {
        let sql = "UPDATE response SET status = ?2, object = ?3 WHERE number = ?1";
        let text = object.map(|mut object: Value| {
            if let Some(fields) = object.as_object_mut() {
                fields.insert("status".into(), failed.into());
                let message = "The proxy ended before the response did.";
                fields.insert("error".into(), json!({"code": "server_error", "message": message}));
            }
            object.to_string()
        });
        transaction.execute(sql, params![number, failed, text.unwrap_or_default()])?;
        collect(transaction, Some(number))?;
    }
    Ok(())
}
