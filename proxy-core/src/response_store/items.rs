//! The items of responses and conversations. One row may belong to one of each.

use protocol::openai::responses::stored_item;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde_json::Value;

use super::error::StoreError;

/// The text in a column as JSON.
pub(super) fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<Value> {
    parsed(row, column, stored_item)
}

/// The text in a column as `parse` reads it.
pub(super) fn parsed<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> serde_json::Result<T>,
) -> rusqlite::Result<T> {
    parse(row.get_ref(column)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// The id of an item or a message.
pub(super) fn id_of(item: &Value) -> Option<&str> {
    item.get("id").and_then(Value::as_str)
}

/// Inserts items, in this order.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    response: Option<i64>,
    conversation: Option<i64>,
    is_output: bool,
    items: &[Value],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO item (response, conversation, output, id, item) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = transaction.prepare_cached(sql)?;
    for item in items {
        insert.execute(params![response, conversation, is_output, id_of(item), item.to_string()])?;
    }
    Ok(())
}

/// Takes the items from a response. Those that no conversation has are removed.
pub(super) fn leave_response(transaction: &Transaction<'_>, response: i64) -> Result<(), StoreError> {
    let sql = "DELETE FROM item WHERE response = ?1 AND conversation IS NULL";
    transaction.prepare_cached(sql)?.execute([response])?;
    let sql = "UPDATE item SET response = NULL WHERE response = ?1";
    transaction.prepare_cached(sql)?.execute([response])?;
    Ok(())
}

/// Takes the items, or the one with this id, from a conversation. Those that no response has are removed. Returns
/// how many it had.
pub(super) fn leave_conversation(
    transaction: &Transaction<'_>,
    conversation: i64,
    id: Option<&str>,
) -> Result<usize, StoreError> {
    let sql = "DELETE FROM item WHERE conversation = ?1 AND response IS NULL AND (?2 IS NULL OR id = ?2)";
    let removed = transaction.prepare_cached(sql)?.execute(params![conversation, id])?;
    let sql = "UPDATE item SET conversation = NULL WHERE conversation = ?1 AND (?2 IS NULL OR id = ?2)";
    Ok(removed + transaction.prepare_cached(sql)?.execute(params![conversation, id])?)
}

/// The items of a response: its input, or its output.
pub(super) fn of_response(
    connection: &Connection,
    response: i64,
    is_output: bool,
) -> Result<Vec<Value>, StoreError> {
    let sql = "SELECT item FROM item WHERE response = ?1 AND output = ?2 ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    let found = query.query_map(params![response, is_output], |row| json(row, 0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The items of a conversation, each as `parse` reads its text.
pub(super) fn of_conversation<T>(
    connection: &Connection,
    conversation: i64,
    parse: impl Fn(&str) -> serde_json::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let sql = "SELECT item FROM item WHERE conversation = ?1 ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    let found = query.query_map([conversation], |row| parsed(row, 0, &parse))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// An item's id and its number.
pub(super) type Key = (Option<String>, i64);

/// Where the items of a response are, without reading their texts.
pub(super) fn add_keys(
    connection: &Connection,
    response: i64,
    only_input: bool,
    keys: &mut Vec<Key>,
) -> Result<(), StoreError> {
    let sql = "SELECT id, number FROM item WHERE response = ?1 AND output <= ?2 ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    for key in query.query_map(params![response, !only_input], |row| Ok((row.get(0)?, row.get(1)?)))? {
        keys.push(key?);
    }
    Ok(())
}

/// Where the items of a conversation are.
pub(super) fn keys_of_conversation(
    connection: &Connection,
    conversation: i64,
) -> Result<Vec<Key>, StoreError> {
    let sql = "SELECT id, number FROM item WHERE conversation = ?1 ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    let found = query.query_map([conversation], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The items with these numbers.
pub(super) fn numbered(connection: &Connection, numbers: &[i64]) -> Result<Vec<Value>, StoreError> {
    let mut query = connection.prepare_cached("SELECT item FROM item WHERE number = ?1")?;
    let found = numbers.iter().map(|number| query.query_row([number], |row| json(row, 0)));
    Ok(found.collect::<Result<_, _>>()?)
}

/// The newest copy of an item that a key can read.
pub(super) fn newest(connection: &Connection, owner: &str, id: &str) -> Result<Option<Value>, StoreError> {
    let sql = "SELECT item.item FROM item LEFT JOIN response ON response.number = item.response \
               LEFT JOIN conversation ON conversation.number = item.conversation \
               WHERE item.id = ?1 AND ((response.owner = ?2 AND response.deleted = 0) OR conversation.owner = ?2) \
               ORDER BY item.number DESC LIMIT 1";
    let mut query = connection.prepare_cached(sql)?;
    Ok(query.query_row(params![id, owner], |row| json(row, 0)).optional()?)
}

/// The newest item of a conversation with this id.
pub(super) fn in_conversation(
    connection: &Connection,
    conversation: i64,
    id: &str,
) -> Result<Option<Value>, StoreError> {
    let sql = "SELECT item FROM item WHERE conversation = ?1 AND id = ?2 ORDER BY number DESC LIMIT 1";
    let mut query = connection.prepare_cached(sql)?;
    Ok(query.query_row(params![conversation, id], |row| json(row, 0)).optional()?)
}
