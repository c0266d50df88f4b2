//! Answers questions about usage, which come in place of a prompt and need no model.

use jiff::Timestamp;

use crate::usage::UsageStore;
use crate::usage::query::chat;
use protocol::turn::Turn;

/// The answer to the last message of `turn`, if that message is only a question about usage.
pub(super) async fn to(store: &UsageStore, turn: &Turn) -> Option<String> {
    let query = match chat::parse(&turn.last_user_text()?, Timestamp::now(), store.tz())? {
        Ok(query) => query,
        Err(error) => return Some(error.message),
    };
    let (store, asked) = (store.clone(), query.clone());
    // Reading the store blocks.
    let failure = match tokio::task::spawn_blocking(move || store.summary(&asked)).await {
        Ok(Ok(summary)) => return Some(chat::render(&query, &summary)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the usage store was interrupted".to_owned(),
    };
    tracing::warn!(error = failure, "a question about usage could not be answered");
    Some("Usage cannot be read at present; the proxy's log says why.".to_owned())
}
