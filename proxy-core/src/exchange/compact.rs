//! Compacts a transcript before the model answers it (`context_management`).

use std::collections::VecDeque;

use super::backend::{Backend, Events, Place, begin};
use crate::recording::Recording;
use protocol::openai::responses::window;
use protocol::turn::{Item, Role, Task, Turn, TurnError, TurnErrorKind, TurnEvent, TurnOutput, Usage};

/// A turn with the compact form of its transcript, and what the client is told before its answer.
pub(super) struct Compacted<V> {
    pub(super) ahead: VecDeque<TurnEvent>,
    pub(super) turn: V,
    /// The tokens that the compact form has cost.
    pub(super) spent: Usage,
}

/// The turn that compacts the transcript of `turn`.
pub(super) fn task(turn: &Turn) -> Turn {
    let mut compaction = Turn::new(turn.spec.model.clone());
    compaction.task = Task::Compact;
    compaction.spec = turn.spec.clone();
    compaction.spec.tools.clear();
    compaction.spec.web_search = false;
    compaction.items.clone_from(&turn.items);
    compaction
}

/// Waits for a compact form, and starts the turn with it.
///
/// # Errors
/// Why there is no compact form, or why the turn cannot run.
pub(super) async fn go_on<B: Backend>(
    backend: B,
    owner: String,
    mut compaction: <B::Place as Place>::Events,
    mut turn: Turn,
    streamed: bool,
    recording: Recording,
) -> Result<Compacted<<B::Place as Place>::Events>, TurnError> {
    let mut output = TurnOutput::default();
    while let Some(event) = compaction.next().await {
        if let TurnEvent::Failed(error) = event {
            return Err(error);
        }
        output.push(&event);
    }
    let items = output.compacted.ok_or_else(super::without_end)?;
    let sealed = items.iter().rev().find(|item| item["type"] == "compaction");
    let ahead = sealed.map(|item| TurnEvent::Compaction {
        id: match item["id"].as_str() {
            Some(id) => id.into(),
            None => format!("cmp_{}", uuid::Uuid::new_v4().simple()).into(),
        },
        encrypted_content: item["encrypted_content"].as_str().unwrap_or_default().to_owned(),
    });
    let ahead = ahead.into_iter().collect();
    let read = window(items).map_err(|error| {
        let message =
            "Codex has compacted the transcript to something that cannot be read. Send a shorter one.";
        TurnError::new(TurnErrorKind::Upstream, message).detail(error.message)
    })?;
    // Codex keeps only the person's messages.
    turn.items.retain(|item| matches!(item, Item::Message { role: Role::Developer, .. }));
    turn.items.extend(read);
    let turn = begin(&backend, &owner, &turn, streamed, &recording).await?;
    Ok(Compacted { ahead, turn, spent: output.usage.unwrap_or_default() })
}
