//! `/v1/conversations`: lists of items that responses read from and add to.
//!
//! <https://platform.openai.com/docs/api-reference/conversations>

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::{Extension, Json};
use http::Uri;
use serde_json::{Value, json};

use super::super::App;
use super::super::body::Sent;
use super::super::error::Error;
use super::super::segment::Segment;
use super::{MAX_CHANGE, Pair, list, not_found, object, page, require_store};
use crate::secret::AdmittedKey;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::read::Node;
use protocol::openai::responses::{check_items, metadata, resource};

/// The most items that one request adds.
const MAX_ITEMS: usize = 20;

/// Creates a conversation.
pub(in crate::http) async fn create(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    sent: Sent,
) -> Result<Json<Value>, Error> {
    require_store(&app)?;
    let body = object(sent, app.config.max_body_bytes).await?;
    let given = Some(&body["items"]).filter(|items| !items.is_null());
    let items = given.map(new_items).transpose()?.unwrap_or_default();
    let conversation = json!({
        "id": format!("conv_{}", uuid::Uuid::new_v4().simple()),
        "object": "conversation",
        "created_at": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        "metadata": metadata(&body)?,
    });
    app.exchanges.store().create_conversation(&key.id, conversation.clone(), items).await?;
    Ok(Json(conversation))
}

/// Returns a conversation.
pub(in crate::http) async fn get(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
) -> Result<Json<Value>, Error> {
    let found = app.exchanges.store().conversation(&key.id, &id).await?;
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// Changes the metadata of a conversation.
pub(in crate::http) async fn update(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
    sent: Sent,
) -> Result<Json<Value>, Error> {
    let body = object(sent, MAX_CHANGE).await?;
    Node::root(&body).object()?.req("metadata")?;
    let changed = app.exchanges.store().update_conversation(&key.id, &id, metadata(&body)?).await?;
    changed.map(Json).ok_or_else(|| unknown(&id))
}

/// Deletes a conversation with its items. Its responses stay.
pub(in crate::http) async fn delete(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
) -> Result<Json<Value>, Error> {
    match app.exchanges.store().delete_conversation(&key.id, &id).await? {
        true => Ok(Json(json!({"id": id, "object": "conversation.deleted", "deleted": true}))),
        false => Err(unknown(&id)),
    }
}

/// Lists the items of a conversation.
pub(in crate::http) async fn items(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Json<Value>, Error> {
    let items = app.exchanges.store().conversation_items(&key.id, &id, &page(&uri, true)?).await?;
    Ok(Json(list(&items.ok_or_else(|| unknown(&id))?)))
}

/// Adds items to a conversation.
pub(in crate::http) async fn add_items(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
    sent: Sent,
) -> Result<Json<Value>, Error> {
    let body = object(sent, app.config.max_body_bytes).await?;
    let items = new_items(Node::root(&body).object()?.req("items")?.value)?;
    match app.exchanges.store().add_conversation_items(&key.id, &id, items.clone()).await? {
        true => Ok(Json(list(&crate::response_store::Listed { data: items, has_more: false }))),
        false => Err(unknown(&id)),
    }
}

/// Returns one item of a conversation.
pub(in crate::http) async fn item(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Pair(id, item): Pair,
) -> Result<Json<Value>, Error> {
    let found = app.exchanges.store().conversation_item(&key.id, &id, &item).await?;
    found.map(Json).ok_or_else(|| not_found("Item", &item))
}

/// Deletes one item of a conversation, and returns the conversation.
pub(in crate::http) async fn delete_item(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Pair(id, item): Pair,
) -> Result<Json<Value>, Error> {
    let left = app.exchanges.store().delete_conversation_item(&key.id, &id, &item).await?;
    left.map(Json).ok_or_else(|| not_found("Item", &item))
}

/// Items of a client, as they are stored.
fn new_items(items: &Value) -> Result<Vec<Value>, Error> {
    check_items(items, "items")?;
    let items = items.as_array().cloned().unwrap_or_default();
    if items.len() > MAX_ITEMS {
        let message = format!("'items' has {} items; at most {MAX_ITEMS} can be added at once.", items.len());
        return Err(RequestError::new(RequestErrorKind::InvalidValue, "items", message).into());
    }
    let seed = || uuid::Uuid::new_v4().simple().to_string();
    Ok(items.into_iter().map(|item| resource(item, &seed())).collect())
}

fn unknown(id: &str) -> Error {
    not_found("Conversation", id)
}
