//! Stored chat completions.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use super::error::StoreError;
use super::items;
use super::page::{Listed, Page};
use super::{ResponseStore, int, now};
use crate::secret::KeyId;

/// Which chat completions are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatFilter {
    /// Only those of this model.
    pub model: Option<String>,
    /// Only those that have all of these metadata.
    pub metadata: Vec<(String, String)>,
}

impl ChatFilter {
    fn fits(&self, model: &str, metadata: &Value) -> bool {
        let has = |(name, value): &(String, String)| {
            metadata.get(name).and_then(Value::as_str) == Some(value.as_str())
        };
        self.model.as_ref().is_none_or(|wanted| wanted == model) && self.metadata.iter().all(has)
    }
}

impl ResponseStore {
    /// Saves a chat completion with the messages of its request, each with an id.
    ///
    /// # Errors
    /// When the database cannot be written, or there is a chat completion with this id.
    pub async fn save_chat(
        &self,
        owner: &KeyId,
        mut object: Value,
        messages: Vec<Value>,
    ) -> Result<(), StoreError> {
        self.write(owner, (), move |transaction, owner| {
            // Its place in the object stays, so that it comes back there.
            let metadata = object.get_mut("metadata").map(Value::take).unwrap_or_default();
            let id = items::id_of(&object).unwrap_or_default();
            let model = object.get("model").and_then(Value::as_str).unwrap_or_default();
            let created_at = object.get("created").and_then(Value::as_u64).unwrap_or_else(now);
            let sql = "INSERT INTO chat (id, owner, created_at, model, metadata, object) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING";
            let values = params![id, owner, int(created_at), model, metadata.to_string(), object.to_string()];
            if transaction.prepare_cached(sql)?.execute(values)? == 0 {
                return Err(StoreError::Exists(id.to_owned()));
            }
            let number = transaction.last_insert_rowid();
            let sql = "INSERT INTO chat_message (chat, id, message) VALUES (?1, ?2, ?3)";
            let mut insert = transaction.prepare_cached(sql)?;
            for message in messages {
                insert.execute(params![number, items::id_of(&message), message.to_string()])?;
            }
            Ok(())
        })
        .await
    }

    /// A chat completion. `None` if the key has no such completion.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn chat(&self, owner: &KeyId, id: &str) -> Result<Option<Value>, StoreError> {
        let id = id.to_owned();
        self.read(owner, None, move |connection, owner| {
            Ok(read(connection, owner, &id)?.map(|(_, chat)| chat))
        })
        .await
    }

    /// The chat completions of a key that fit, by the time of their creation.
    ///
    /// # Errors
    /// When the database cannot be read, or the key has no completion of a given id.
    pub async fn chats(&self, owner: &KeyId, filter: &ChatFilter, page: &Page) -> Result<Listed, StoreError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.read(owner, Listed::default(), move |connection, owner| list(connection, owner, &filter, &page))
            .await
    }

    /// Replaces the metadata of a chat completion, and returns it. `None` if the key has no such completion.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn update_chat(
        &self,
        owner: &KeyId,
        id: &str,
        metadata: Value,
    ) -> Result<Option<Value>, StoreError> {
        let id = id.to_owned();
        self.write(owner, None, move |transaction, owner| {
            let Some((number, mut chat)) = read(transaction, owner, &id)? else { return Ok(None) };
            let sql = "UPDATE chat SET metadata = ?2 WHERE number = ?1";
            transaction.prepare_cached(sql)?.execute(params![number, metadata.to_string()])?;
            put_metadata(&mut chat, metadata);
            Ok(Some(chat))
        })
        .await
    }

    /// Deletes a chat completion and its messages. Returns whether the key had it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete_chat(&self, owner: &KeyId, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.erase(owner, false, move |transaction, owner| {
            let sql = "DELETE FROM chat WHERE id = ?1 AND owner = ?2";
            Ok(transaction.prepare_cached(sql)?.execute([id.as_str(), owner])? > 0)
        })
        .await
    }

    /// The messages of a chat completion's request. `None` if the key has no such completion.
    ///
    /// # Errors
    /// When the database cannot be read, or there is no message of a given id.
    pub async fn chat_messages(
        &self,
        owner: &KeyId,
        id: &str,
        page: &Page,
    ) -> Result<Option<Listed>, StoreError> {
        let (id, page) = (id.to_owned(), page.clone());
        self.read(owner, None, move |connection, owner| {
            let Some((number, _)) = read(connection, owner, &id)? else { return Ok(None) };
            let (data, has_more) = page.of(messages(connection, number)?)?;
            Ok(Some(Listed { data, has_more }))
        })
        .await
    }
}

/// The messages of a chat completion, each with its id.
pub(super) fn messages(
    connection: &Connection,
    chat: i64,
) -> Result<Vec<(Option<String>, Value)>, StoreError> {
    let sql = "SELECT id, message FROM chat_message WHERE chat = ?1 ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    let found = query.query_map([chat], |row| Ok((row.get(0)?, items::json(row, 1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn put_metadata(chat: &mut Value, metadata: Value) {
    if let Some(fields) = chat.as_object_mut() {
        fields.insert("metadata".into(), metadata);
    }
}

/// The completion in the columns `object` and `metadata` at this place.
pub(super) fn chat_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    let mut chat = items::json(row, column)?;
    put_metadata(&mut chat, items::json(row, column + 1)?);
    Ok(chat)
}

fn read(connection: &Connection, owner: &str, id: &str) -> Result<Option<(i64, Value)>, StoreError> {
    let sql = "SELECT number, object, metadata FROM chat WHERE id = ?1 AND owner = ?2";
    let mut query = connection.prepare_cached(sql)?;
    Ok(query.query_row([id, owner], |row| Ok((row.get(0)?, chat_of(row, 1)?))).optional()?)
}

/// A place in the list of chat completions: the time and the number.
type Place = (i64, i64);

fn list(
    connection: &Connection,
    owner: &str,
    filter: &ChatFilter,
    page: &Page,
) -> Result<Listed, StoreError> {
    let place = |id: &Option<String>| -> Result<Option<Place>, StoreError> {
        let Some(id) = id else { return Ok(None) };
        let sql = "SELECT created_at, number FROM chat WHERE id = ?1 AND owner = ?2";
        let mut query = connection.prepare_cached(sql)?;
        let found = query.query_row([id.as_str(), owner], |row| Ok((row.get(0)?, row.get(1)?)));
        found.optional()?.map(Some).ok_or_else(|| StoreError::UnknownCursor(id.clone()))
    };
    let (after, before) = (place(&page.after)?, place(&page.before)?);
    // A page that ends before an entry is read from its end.
    let from_end = after.is_none() && before.is_some();
    let (low, high) = if page.descending { (before, after) } else { (after, before) };
    let newest_first = page.descending != from_end;
    let sql = if newest_first {
        "SELECT object, metadata, model FROM chat WHERE owner = ?1 AND (created_at, number) > (?2, ?3) \
         AND (created_at, number) < (?4, ?5) ORDER BY created_at DESC, number DESC"
    } else {
        "SELECT object, metadata, model FROM chat WHERE owner = ?1 AND (created_at, number) > (?2, ?3) \
         AND (created_at, number) < (?4, ?5) ORDER BY created_at, number"
    };
    let (low, high) = (low.unwrap_or((i64::MIN, i64::MIN)), high.unwrap_or((i64::MAX, i64::MAX)));
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query(params![owner, low.0, low.1, high.0, high.1])?;
    let (mut data, mut has_more) = (Vec::new(), false);
    while let Some(row) = rows.next()? {
        if !filter.fits(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?, &items::json(row, 1)?) {
            continue;
        }
        if data.len() == page.most() {
            has_more = true;
            break;
        }
        data.push(chat_of(row, 0)?);
    }
    if from_end {
        data.reverse();
    }
    Ok(Listed { data, has_more })
}
