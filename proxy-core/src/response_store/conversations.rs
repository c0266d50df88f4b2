//! Conversations.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::Value;

use super::error::StoreError;
use super::items;
use super::page::{Listed, Page};
use super::{ResponseStore, int, now};
use crate::secret::KeyId;

impl ResponseStore {
    /// Makes a conversation with these items.
    ///
    /// # Errors
    /// When the database cannot be written, or there is a conversation with this id.
    pub async fn create_conversation(
        &self,
        owner: &KeyId,
        conversation: Value,
        items: Vec<Value>,
    ) -> Result<(), StoreError> {
        self.write(owner, (), move |transaction, owner| {
            let id = items::id_of(&conversation).unwrap_or_default();
            let created_at = conversation.get("created_at").and_then(Value::as_u64).unwrap_or_else(now);
            let sql = "INSERT INTO conversation (id, owner, created_at, used_at, object) \
                       VALUES (?1, ?2, ?3, max(?3, ?4), ?5) ON CONFLICT (id) DO NOTHING";
            let values = params![id, owner, int(created_at), int(now()), conversation.to_string()];
            if transaction.prepare_cached(sql)?.execute(values)? == 0 {
                return Err(StoreError::Exists(id.to_owned()));
            }
            items::insert(transaction, None, Some(transaction.last_insert_rowid()), false, &items)
        })
        .await
    }

    /// A conversation. `None` if the key has no such conversation.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn conversation(&self, owner: &KeyId, id: &str) -> Result<Option<Value>, StoreError> {
        let id = id.to_owned();
        self.read(owner, None, move |connection, owner| {
            Ok(read(connection, owner, &id)?.map(|(_, conversation)| conversation))
        })
        .await
    }

    /// Replaces the metadata of a conversation, and returns it. `None` if the key has no such conversation.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn update_conversation(
        &self,
        owner: &KeyId,
        id: &str,
        metadata: Value,
    ) -> Result<Option<Value>, StoreError> {
        let id = id.to_owned();
        self.write(owner, None, move |transaction, owner| {
            let Some((number, mut conversation)) = read(transaction, owner, &id)? else { return Ok(None) };
            if let Some(fields) = conversation.as_object_mut() {
                fields.insert("metadata".into(), metadata);
            }
            let sql = "UPDATE conversation SET object = ?2 WHERE number = ?1";
            transaction.prepare_cached(sql)?.execute(params![number, conversation.to_string()])?;
            touch(transaction, number)?;
            Ok(Some(conversation))
        })
        .await
    }

    /// Deletes a conversation and its items. Returns whether the key had it. Its responses stay.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete_conversation(&self, owner: &KeyId, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.erase(owner, false, move |transaction, owner| {
            let Some(number) = find(transaction, owner, &id)? else { return Ok(false) };
            remove(transaction, number)?;
            Ok(true)
        })
        .await
    }

    /// All items of a conversation, oldest first. `None` if the key has no such conversation.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn conversation_history<T: Send + 'static>(
        &self,
        owner: &KeyId,
        id: &str,
        parse: fn(&str) -> serde_json::Result<T>,
    ) -> Result<Option<Vec<T>>, StoreError> {
        let id = id.to_owned();
        self.read(owner, None, move |connection, owner| {
            let number = find(connection, owner, &id)?;
            number.map(|number| items::of_conversation(connection, number, parse)).transpose()
        })
        .await
    }

    /// Appends items to a conversation. Returns whether the key has it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_conversation_items(
        &self,
        owner: &KeyId,
        id: &str,
        items: Vec<Value>,
    ) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(owner, false, move |transaction, owner| {
            let Some(number) = find(transaction, owner, &id)? else { return Ok(false) };
            items::insert(transaction, None, Some(number), false, &items)?;
            touch(transaction, number)?;
            Ok(true)
        })
        .await
    }

    /// The items of a conversation. `None` if the key has no such conversation.
    ///
    /// # Errors
    /// When the database cannot be read, or the list has no item of a given id.
    pub async fn conversation_items(
        &self,
        owner: &KeyId,
        id: &str,
        page: &Page,
    ) -> Result<Option<Listed>, StoreError> {
        let (id, page) = (id.to_owned(), page.clone());
        self.read(owner, None, move |connection, owner| {
            let Some(number) = find(connection, owner, &id)? else { return Ok(None) };
            let (numbers, has_more) = page.of(items::keys_of_conversation(connection, number)?)?;
            Ok(Some(Listed { data: items::numbered(connection, &numbers)?, has_more }))
        })
        .await
    }

    /// An item of a conversation. `None` if the key has no such conversation, or it has no such item.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn conversation_item(
        &self,
        owner: &KeyId,
        id: &str,
        item: &str,
    ) -> Result<Option<Value>, StoreError> {
        let (id, item) = (id.to_owned(), item.to_owned());
        self.read(owner, None, move |connection, owner| {
            let Some(number) = find(connection, owner, &id)? else { return Ok(None) };
            items::in_conversation(connection, number, &item)
        })
        .await
    }

    /// Removes an item from a conversation, and returns the conversation. `None` if the key has no such
    /// conversation, or it has no such item.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn delete_conversation_item(
        &self,
        owner: &KeyId,
        id: &str,
        item: &str,
    ) -> Result<Option<Value>, StoreError> {
        let (id, item) = (id.to_owned(), item.to_owned());
        self.erase(owner, None, move |transaction, owner| {
            let Some((number, conversation)) = read(transaction, owner, &id)? else { return Ok(None) };
            if items::leave_conversation(transaction, number, Some(&item))? == 0 {
                return Ok(None);
            }
            touch(transaction, number)?;
            Ok(Some(conversation))
        })
        .await
    }
}

/// The number of a conversation that the key can read.
pub(super) fn find(connection: &Connection, owner: &str, id: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT number FROM conversation WHERE id = ?1 AND owner = ?2";
    Ok(connection.prepare_cached(sql)?.query_row([id, owner], |row| row.get(0)).optional()?)
}

fn read(connection: &Connection, owner: &str, id: &str) -> Result<Option<(i64, Value)>, StoreError> {
    let sql = "SELECT number, object FROM conversation WHERE id = ?1 AND owner = ?2";
    let mut query = connection.prepare_cached(sql)?;
    Ok(query.query_row([id, owner], |row| Ok((row.get(0)?, items::json(row, 1)?))).optional()?)
}

/// Notes that a conversation was changed now.
pub(super) fn touch(transaction: &Transaction<'_>, number: i64) -> Result<(), StoreError> {
    let sql = "UPDATE conversation SET used_at = ?2 WHERE number = ?1";
    transaction.prepare_cached(sql)?.execute(params![number, int(now())])?;
    Ok(())
}

/// Removes a conversation and its items.
pub(super) fn remove(transaction: &Transaction<'_>, number: i64) -> Result<(), StoreError> {
    items::leave_conversation(transaction, number, None)?;
    transaction.prepare_cached("DELETE FROM conversation WHERE number = ?1")?.execute([number])?;
    Ok(())
}
