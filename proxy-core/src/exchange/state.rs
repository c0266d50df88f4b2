//! What a request continues, and what is stored of it when its answer ends.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Backend, Exchanges, Refusal};
use crate::response_store::{ResponseStore, Saved, Status, StoreError};
use crate::secret::KeyId;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::read::excerpt;
use protocol::openai::responses::{
    HistoryItem, left_by_compaction, previous_not_found, referenced, stored_item, weight,
};
use protocol::openai::state::State;
use protocol::openai::{Continued, Surface};

/// The bytes of a turn from which on the database keeps its chain alone.
const LARGE: usize = 1 << 20;

/// What a response and everything before it have said: what a later request can continue.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The id of the response.
    pub response: String,
    /// The items of the whole transcript, oldest first.
    pub items: Vec<Value>,
}

/// The items before those of the request itself.
#[derive(Debug)]
pub(super) struct Base {
    items: Vec<HistoryItem>,
    /// The parameter that has named them.
    param: &'static str,
    /// The same items whole, where they are kept with the answer.
    whole: Whole,
    /// Only the connection knows them: they are not stored.
    is_unstored: bool,
}

/// Items as a client has sent them.
#[derive(Debug, Default)]
enum Whole {
    /// Nobody needs them.
    #[default]
    Unneeded,
    /// The connection remembers them.
    Recalled(Arc<Transcript>),
    /// They are stored.
    Read(Vec<Value>),
}

impl Whole {
    fn items(&self) -> &[Value] {
        match self {
            Self::Unneeded => &[],
            Self::Recalled(transcript) => &transcript.items,
            Self::Read(items) => items,
        }
    }
}

/// What is stored and remembered of an answer when it ends.
#[derive(Debug)]
pub(super) struct Keeping {
    store: ResponseStore,
    owner: KeyId,
    state: State,
    surface: Kind,
    stream: bool,
    /// Whether a response is to be stored; one that is not may still be remembered by its connection.
    pub(super) is_stored: bool,
    /// Whether the client's connection remembers what can be continued.
    remembers: bool,
    base: Whole,
    /// The items before, for the next request of the chain.
    history: Vec<HistoryItem>,
    /// The items before are stored with this response: nothing else has them.
    has_unstored_base: bool,
    own: Vec<Value>,
    metadata: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Response,
    Chat,
}

/// What has been kept of an answer.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What can be continued, if it can.
    pub(super) transcript: Option<Transcript>,
    /// Whether the answer was to be stored and could not be.
    pub(super) has_failed: bool,
}

impl Base {
    /// What the request continues, for its reading.
    pub(super) fn continued(&self) -> Continued<'_> {
        Continued { items: &self.items, param: self.param }
    }

    fn new(items: Vec<HistoryItem>, param: &'static str) -> Self {
        let mut base = Self { items, param, whole: Whole::Unneeded, is_unstored: false };
        base.prune();
        base
    }

    /// Items that are kept with the answer.
    fn whole(whole: Whole, param: &'static str) -> Self {
        let items = whole.items().iter().map(HistoryItem::of).collect();
        let mut base = Self { items, param, whole, is_unstored: false };
        base.prune();
        base
    }

    /// Removes what the last compaction stands for.
    fn prune(&mut self) {
        let Some(left) = left_by_compaction(&self.items) else { return };
        let mut is_left = left.iter();
        self.items.retain(|_| is_left.next() == Some(&true));
        if !matches!(self.whole, Whole::Unneeded) {
            let left = self.whole.items().iter().zip(left).filter(|(_, is_left)| *is_left);
            self.whole = Whole::Read(left.map(|(item, _)| item.clone()).collect());
        }
    }
}

impl<B: Backend> Exchanges<B> {
    /// Finds what a request continues, and replaces its references by the items that they stand for. `remembers` is
    /// whether the client's connection remembers what is not stored.
    pub(super) async fn base(
        &self,
        state: &State,
        body: &mut Value,
        recalled: Option<Arc<Transcript>>,
        remembers: bool,
        owner: &KeyId,
    ) -> Result<Option<Base>, Refusal> {
        let store = &self.0.store;
        let base = match (&state.previous, &state.conversation) {
            (Some(id), _) => {
                const PARAM: &str = "previous_response_id";
                let unknown = || previous_not_found(id);
                match recalled.filter(|recalled| recalled.response == *id) {
                    Some(recalled) => {
                        let is_unstored =
                            state.store && store.is_on() && store.response(owner, id).await?.is_none();
                        Some(Base { is_unstored, ..Base::whole(Whole::Recalled(recalled), PARAM) })
                    }
                    None if remembers => {
                        let items = store.history(owner, id, stored_item).await?;
                        Some(Base::whole(Whole::Read(items.ok_or_else(unknown)?), PARAM))
                    }
                    None => {
                        let items = store.continued(owner, id).await?;
                        Some(Base::new(items.ok_or_else(unknown)?, PARAM))
                    }
                }
            }
            (None, Some(id)) => {
                let items = store.conversation_history(owner, id, HistoryItem::parse).await?;
                Some(Base::new(items.ok_or_else(|| conversation_not_found(id))?, "conversation"))
            }
            (None, None) => None,
        };
        self.resolve_references(base.as_ref(), body, owner).await?;
        Ok(base)
    }

    async fn resolve_references(
        &self,
        base: Option<&Base>,
        body: &mut Value,
        owner: &KeyId,
    ) -> Result<(), Refusal> {
        // An index would add the member, and a missing one is another error than null.
        let Some(items) = body.get_mut("input").and_then(Value::as_array_mut) else { return Ok(()) };
        let ids: Vec<String> = items.iter().filter_map(referenced).map(str::to_owned).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut found = self.0.store.items(owner, &ids).await?;
        let known: HashSet<&str> =
            base.into_iter().flat_map(|base| &base.items).filter_map(HistoryItem::id).collect();
        for (index, item) in items.iter_mut().enumerate() {
            let Some(id) = referenced(item).map(str::to_owned) else { continue };
            let refuse = |kind, message| {
                Refusal::Request(RequestError::new(kind, format!("input[{index}].id"), message))
            };
            if known.contains(id.as_str()) {
                return Err(refuse(
                    RequestErrorKind::InvalidValue,
                    format!(
                        "Duplicate item found with id '{}': what the request continues has it already. Leave it \
                         out of 'input'.",
                        excerpt(&id)
                    ),
                ));
            }
            *item = found.remove(&id).ok_or_else(|| {
                refuse(
                    RequestErrorKind::NotFound,
                    format!("Item with id '{}' not found. Send the item itself.", excerpt(&id)),
                )
            })?;
        }
        Ok(())
    }

    /// What is to be kept of a request with this body, and of its `base`; `None` if nothing is.
    pub(super) fn keeping<S: Surface>(
        &self,
        state: State,
        mut body: Value,
        base: Option<Base>,
        owner: &KeyId,
        id: &str,
        remembers: bool,
    ) -> Option<Keeping> {
        let is_stored = state.store && self.0.store.is_on();
        let is_added = state.conversation.is_some();
        if !is_stored && !is_added && !remembers {
            return None;
        }
        let metadata = body.get_mut("metadata").map(Value::take).filter(Value::is_object).unwrap_or_default();
        let stream = body["stream"] == true;
        let (history, base, has_unstored_base) =
            base.map(|base| (base.items, base.whole, base.is_unstored)).unwrap_or_default();
        Some(Keeping {
            store: self.0.store.clone(),
            owner: owner.clone(),
            surface: if S::CONTINUES { Kind::Response } else { Kind::Chat },
            stream,
            is_stored,
            remembers,
            metadata,
            // Moved rather than copied: images make it large.
            own: S::own(body, id),
            has_unstored_base,
            base,
            history,
            state,
        })
    }
}

impl Keeping {
    /// Stores a response that has not begun.
    ///
    /// # Errors
    /// If it cannot be stored: nobody could then read what becomes of it.
    pub(super) async fn queue(&self, object: &Value) -> Result<(), StoreError> {
        self.store.save(self.saved(object.clone(), Status::Queued, self.own.clone())).await
    }

    /// Keeps the answer, which has ended.
    pub(super) async fn end(mut self, object: Value) -> Kept {
        let transcript = self.remembers.then(|| self.transcript(&object)).flatten();
        let own = std::mem::take(&mut self.own);
        let at_hand = self.at_hand(&object, &own);
        let saved = match self.surface {
            Kind::Chat => self.store_chat(object, own).await,
            Kind::Response => self.store_response(object, own).await,
        };
        if let (Ok(()), Some((response, items))) = (&saved, at_hand) {
            self.store.keep_at_hand(&self.owner, &response, items);
        }
        let has_failed = match saved {
            Ok(()) => false,
            Err(error) => {
                tracing::warn!(%error, "an answer could not be stored; the client gets it with `\"store\": false`");
                true
            }
        };
        Kept { transcript, has_failed }
    }

    /// What a request continues that continues this response, by the store; `None` if that is not likely to come, or
    /// better read anew.
    fn at_hand(&mut self, object: &Value, own: &[Value]) -> Option<(String, Vec<HistoryItem>)> {
        if !self.is_continuable(object) || !self.is_stored || self.remembers {
            return None;
        }
        if self.state.conversation.is_some() {
            return None;
        }
        let new = || own.iter().chain(object["output"].as_array().into_iter().flatten());
        // It would be in memory once more: it has images.
        if new().map(weight).sum::<usize>() > LARGE {
            return None;
        }
        let mut items = std::mem::take(&mut self.history);
        items.extend(new().map(HistoryItem::of));
        Some((object["id"].as_str()?.to_owned(), items))
    }

    fn is_continuable(&self, object: &Value) -> bool {
        self.surface == Kind::Response && Status::of(object).is_some_and(Status::is_continuable)
    }

    /// What can be continued, if it can.
    fn transcript(&self, object: &Value) -> Option<Transcript> {
        if !self.is_continuable(object) {
            return None;
        }
        let output = object["output"].as_array().into_iter().flatten();
        let items = self.base.items().iter().chain(&self.own).chain(output).cloned().collect();
        Some(Transcript { response: object["id"].as_str()?.to_owned(), items })
    }

    async fn store_chat(&mut self, mut object: Value, own: Vec<Value>) -> Result<(), StoreError> {
        let metadata = self.metadata.take();
        object["metadata"] = if metadata.is_null() { Value::Object(Map::new()) } else { metadata };
        self.store.save_chat(&self.owner, object, own).await
    }

    async fn store_response(&self, mut object: Value, own: Vec<Value>) -> Result<(), StoreError> {
        let status = Status::of(&object).unwrap_or(Status::Failed);
        if self.is_stored {
            return self.store.save(self.saved(object, status, own)).await;
        }
        let Some(conversation) = &self.state.conversation else { return Ok(()) };
        if !status.is_continuable() {
            return Ok(());
        }
        let mut items = own;
        if let Value::Array(output) = object["output"].take() {
            items.extend(output);
        }
        self.store.add_conversation_items(&self.owner, conversation, items).await.map(drop)
    }

    fn saved(&self, object: Value, status: Status, own: Vec<Value>) -> Saved {
        let (input, parent) = match self.has_unstored_base {
            true => (self.base.items().iter().cloned().chain(own).collect(), None),
            false => (own, self.state.previous.clone()),
        };
        Saved {
            id: object["id"].as_str().unwrap_or_default().to_owned(),
            owner: self.owner.clone(),
            created_at: object["created_at"].as_u64().unwrap_or_default(),
            status,
            background: self.state.background,
            stream: self.stream,
            parent,
            conversation: self.state.conversation.clone(),
            object,
            input,
        }
    }
}

fn conversation_not_found(id: &str) -> RequestError {
    let message = format!("Conversation with id '{}' not found.", excerpt(id));
    RequestError::new(RequestErrorKind::NotFound, "conversation", message)
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}
