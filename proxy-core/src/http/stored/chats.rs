//! `/v1/chat/completions/{id}`: stored chat completions.
//!
//! <https://platform.openai.com/docs/api-reference/chat/list>

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use http::Uri;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::App;
use super::super::body::Sent;
use super::super::error::Error;
use super::super::segment::Segment;
use super::super::usage::value;
use super::{MAX_CHANGE, list, not_found, object, page};
use crate::response_store::ChatFilter;
use crate::secret::AdmittedKey;
use protocol::openai::read::Node;
use protocol::openai::responses::metadata;

/// Lists the stored chat completions.
pub(in crate::http) async fn all(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    uri: Uri,
) -> Result<Json<Value>, Error> {
    let wanted =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).filter_map(|(name, value)| {
            let key = name.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some((key.to_owned(), value.into_owned()))
        });
    let filter = ChatFilter {
        model: value(&uri, "model").map(|model| model.into_owned()),
        metadata: wanted.collect(),
    };
    Ok(Json(list(&app.exchanges.store().chats(&key.id, &filter, &page(&uri, false)?).await?)))
}

/// Returns a chat completion.
pub(in crate::http) async fn get(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
) -> Result<Json<Value>, Error> {
    app.exchanges.store().chat(&key.id, &id).await?.map(Json).ok_or_else(|| unknown(&id))
}

/// Changes the metadata of a chat completion.
pub(in crate::http) async fn update(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
    sent: Sent,
) -> Result<Json<Value>, Error> {
    let body = object(sent, MAX_CHANGE).await?;
    Node::root(&body).object()?.req("metadata")?;
    let changed = app.exchanges.store().update_chat(&key.id, &id, metadata(&body)?).await?;
    changed.map(Json).ok_or_else(|| unknown(&id))
}

/// Deletes a chat completion.
pub(in crate::http) async fn delete(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
) -> Result<Json<Value>, Error> {
    match app.exchanges.store().delete_chat(&key.id, &id).await? {
        true => Ok(Json(json!({"id": id, "object": "chat.completion.deleted", "deleted": true}))),
        false => Err(unknown(&id)),
    }
}

/// Lists the messages of a chat completion's request.
pub(in crate::http) async fn messages(
    State(app): State<Arc<App>>,
    Extension(key): Extension<AdmittedKey>,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Json<Value>, Error> {
    let messages = app.exchanges.store().chat_messages(&key.id, &id, &page(&uri, false)?).await?;
    Ok(Json(list(&messages.ok_or_else(|| unknown(&id))?)))
}

fn unknown(id: &str) -> Error {
    not_found("Chat completion", id)
}
