//! What a request continues, and what is stored of it when its answer ends.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Backend, Exchanges, Refusal};
use crate::response_store::{ResponseStore, Saved, Status, StoreError};
use crate::secret::KeyId;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::read::excerpt;
use protocol::openai::responses::{own_items, previous_not_found, pruned, referenced};
use protocol::openai::state::{self, State};
use protocol::openai::{Prepared, Surface};

/// The number of items from which on a transcript is long.
const LONG: usize = 100;

/// What a response and everything before it have said: what a later request can continue.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The id of the response.
    pub response: String,
    /// The items of the whole transcript, oldest first.
    pub items: Vec<Value>,
}

/// The items before those of the request itself.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// Until they are in the request's body.
    items: Vec<Value>,
    count: usize,
    /// The parameter that has named them.
    source: &'static str,
    /// Only the connection knows them: they are not stored.
    is_unstored: bool,
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
    base: Vec<Value>,
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
    /// Puts the items before those of the request's own.
    pub(super) fn put_before(&mut self, body: &mut Value) {
        if self.items.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.items);
        self.count = all.len();
        all.extend(own_items(body));
        body["input"] = Value::Array(all);
    }

    /// An error about the transcript, with the parameter that the client has sent.
    pub(super) fn own_error(&self, error: RequestError) -> RequestError {
        if self.count == 0 {
            return error;
        }
        state::own_error(error, self.count, self.source)
    }

    /// Gives what was read the names of the parameters that the client has sent.
    pub(super) fn own_params<E>(&self, prepared: &mut Prepared<E>) {
        if self.count == 0 {
            return;
        }
        let params = prepared.image_params.iter_mut().chain(&mut prepared.notes.ignored_params);
        for param in params {
            *param = state::own_param(param, self.count, self.source);
        }
        // What the client does not send this time is no news.
        prepared.notes.ignored_params.retain(|param| param != self.source);
    }
}

impl<B: Backend> Exchanges<B> {
    /// Finds what a request continues, and replaces its references by the items that they stand for.
    pub(super) async fn base(
        &self,
        state: &State,
        body: &mut Value,
        recalled: Option<&Transcript>,
        owner: &KeyId,
    ) -> Result<Base, Refusal> {
        let store = &self.0.store;
        let base = match (&state.previous, &state.conversation) {
            (Some(id), _) => {
                let recalled = recalled.filter(|recalled| recalled.response == *id);
                let items = match recalled {
                    Some(recalled) => Some(recalled.items.clone()),
                    None => store.history(owner, id).await?,
                };
                let items = pruned(items.ok_or_else(|| previous_not_found(id))?);
                let is_unstored = recalled.is_some()
                    && state.store
                    && store.is_on()
                    && store.response(owner, id).await?.is_none();
                Base { items, count: 0, source: "previous_response_id", is_unstored }
            }
            (None, Some(id)) => {
                let items = store.conversation_history(owner, id).await?;
                let items = pruned(items.ok_or_else(|| conversation_not_found(id))?);
                Base { items, count: 0, source: "conversation", is_unstored: false }
            }
            (None, None) => Base::default(),
        };
        self.resolve_references(&base, body, owner).await?;
        Ok(base)
    }

    async fn resolve_references(&self, base: &Base, body: &mut Value, owner: &KeyId) -> Result<(), Refusal> {
        // An index would add the member, and a missing one is another error than null.
        let Some(items) = body.get_mut("input").and_then(Value::as_array_mut) else { return Ok(()) };
        let ids: Vec<String> = items.iter().filter_map(referenced).map(str::to_owned).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut found = self.0.store.items(owner, &ids).await?;
        for (index, item) in items.iter_mut().enumerate() {
            let Some(id) = referenced(item).map(str::to_owned) else { continue };
            let refuse = |kind, message| {
                Refusal::Request(RequestError::new(kind, format!("input[{index}].id"), message))
            };
            if base.items.iter().any(|known| known["id"] == *id) {
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

    /// What is to be kept of a request with this body; `None` if nothing is.
    ///
    /// `remembers` is whether the client's connection remembers what is not stored.
    pub(super) fn keeping<S: Surface>(
        &self,
        state: State,
        mut body: Value,
        base: &Base,
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
        // Moved rather than copied: images make it large.
        let (mut before, own) = S::own(body, base.count, id);
        if !remembers && !base.is_unstored {
            let unused = std::mem::take(&mut before);
            // The pieces of a long transcript take milliseconds to give back. Codex need not wait for that.
            if unused.len() > LONG {
                tokio::task::spawn_blocking(move || drop(unused));
            }
        }
        Some(Keeping {
            store: self.0.store.clone(),
            owner: owner.clone(),
            surface: if S::CONTINUES { Kind::Response } else { Kind::Chat },
            stream,
            is_stored,
            remembers,
            metadata,
            own,
            has_unstored_base: base.is_unstored,
            base: before,
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
        let saved = match self.surface {
            Kind::Chat => self.store_chat(object, own).await,
            Kind::Response => self.store_response(object, own).await,
        };
        let has_failed = match saved {
            Ok(()) => false,
            Err(error) => {
                tracing::warn!(%error, "an answer could not be stored; the client gets it with `\"store\": false`");
                true
            }
        };
        Kept { transcript, has_failed }
    }

    /// What can be continued, if it can.
    fn transcript(&self, object: &Value) -> Option<Transcript> {
        if self.surface != Kind::Response
            || !matches!(object["status"].as_str(), Some("completed" | "incomplete"))
        {
            return None;
        }
        let output = object["output"].as_array().into_iter().flatten();
        let items = self.base.iter().chain(&self.own).chain(output).cloned().collect();
        Some(Transcript { response: object["id"].as_str()?.to_owned(), items })
    }

    async fn store_chat(&mut self, mut object: Value, own: Vec<Value>) -> Result<(), StoreError> {
        let metadata = self.metadata.take();
        object["metadata"] = if metadata.is_null() { Value::Object(Map::new()) } else { metadata };
        self.store.save_chat(&self.owner, object, own).await
    }

    async fn store_response(&self, mut object: Value, own: Vec<Value>) -> Result<(), StoreError> {
        let status = object["status"].as_str().and_then(Status::parse).unwrap_or(Status::Failed);
        if self.is_stored {
            return self.store.save(self.saved(object, status, own)).await;
        }
        let Some(conversation) = &self.state.conversation else { return Ok(()) };
        if !matches!(status, Status::Completed | Status::Incomplete) {
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
            true => (self.base.iter().cloned().chain(own).collect(), None),
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
