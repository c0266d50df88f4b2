//! The items of an answer: which are open, which are done, and each stage's state for them.

use std::collections::HashSet;
use std::ops::{Index, IndexMut};

use super::ansi::Ansi;
use super::form::Form;
use super::gate::BlockScan;
use super::stop::StopScan;
use crate::turn::{AnswerForm, ItemId, TurnEvent};

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    WebSearch,
}

impl Kind {
    /// The event that starts an item of this kind.
    pub(super) fn started(self, id: ItemId) -> TurnEvent {
        match self {
            Self::Message => TurnEvent::MessageStarted { id },
            Self::Reasoning => TurnEvent::ReasoningStarted { id },
            Self::WebSearch => TurnEvent::WebSearchStarted { id },
        }
    }

    /// The event that closes an item the backend has not closed. A search that is not done has no result to
    /// close it with.
    fn done(self, id: ItemId) -> Option<TurnEvent> {
        match self {
            Self::Message => Some(TurnEvent::MessageDone { id, phase: None }),
            Self::Reasoning => Some(TurnEvent::ReasoningDone { id, encrypted_content: None }),
            Self::WebSearch => None,
        }
    }
}

/// The kind of text that a delta belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Message,
    Summary(usize),
    ReasoningText(usize),
}

impl Channel {
    /// The kind of item that has such a text.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Message => Kind::Message,
            Self::Summary(_) | Self::ReasoningText(_) => Kind::Reasoning,
        }
    }

    /// The event that adds `text`.
    pub(super) fn delta(self, id: ItemId, text: String) -> TurnEvent {
        match self {
            Self::Message => TurnEvent::TextDelta { id, text },
            Self::Summary(index) => TurnEvent::SummaryDelta { id, index, text },
            Self::ReasoningText(index) => TurnEvent::ReasoningTextDelta { id, index, text },
        }
    }
}

/// An item that has been started and is not done.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: ItemId,
    pub(super) kind: Kind,
    /// The text that the last delta belonged to.
    pub(super) channel: Channel,
    pub(super) ansi: Ansi,
    pub(super) stop: StopScan,
    pub(super) form: Form,
    pub(super) blocks: BlockScan,
    /// The text with its escapes, where citations may point into it.
    pub(super) said: Option<String>,
    /// The event that closes it.
    pub(super) done: Option<TurnEvent>,
}

/// All items so far.
#[derive(Debug, Default)]
pub(super) struct Items {
    open: Vec<Item>,
    done: HashSet<ItemId>,
    form: AnswerForm,
    cited: bool,
}

impl Items {
    /// An empty list. Messages are to have this form; with `cited`, citations may point into them.
    pub(super) fn new(form: AnswerForm, cited: bool) -> Self {
        Self { form, cited, ..Self::default() }
    }

    /// Characters of messages that wait for the rest.
    pub(super) fn held_chars(&self) -> u64 {
        self.open.iter().map(|item| item.form.held_chars()).sum()
    }

    /// The position of the open item `id`.
    pub(super) fn index_of(&self, id: &ItemId) -> Option<usize> {
        self.open.iter().rposition(|item| item.id == *id)
    }

    /// Opens an item that is not open; `None` if it is done already.
    pub(super) fn start(&mut self, id: &ItemId, kind: Kind) -> Option<usize> {
        if self.done.contains(id) {
            return None;
        }
        let is_message = kind == Kind::Message;
        let channel = if is_message { Channel::Message } else { Channel::Summary(0) };
        self.open.push(Item {
            id: id.clone(),
            kind,
            channel,
            ansi: Ansi::default(),
            stop: StopScan::default(),
            form: if is_message { Form::new(&self.form) } else { Form::default() },
            blocks: BlockScan::default(),
            said: (is_message && self.cited).then(String::new),
            done: kind.done(id.clone()),
        });
        Some(self.open.len() - 1)
    }

    /// Closes an item. Returns the closing event.
    pub(super) fn close(&mut self, index: usize) -> Option<TurnEvent> {
        let item = self.open.remove(index);
        self.done.insert(item.id);
        item.done
    }

    /// Forgets the open text of an item: no more of it comes, and nothing closes it.
    pub(super) fn withdraw(&mut self, id: &ItemId) {
        if let Some(index) = self.index_of(id) {
            self.open.remove(index);
        }
        self.done.insert(id.clone());
    }

    /// Closes all items. Returns the closing events.
    pub(super) fn close_all(&mut self) -> impl Iterator<Item = TurnEvent> {
        self.open.drain(..).filter_map(|item| item.done)
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Whether a message is within a `<use_tool>` block.
    pub(super) fn any_inside_block(&self) -> bool {
        self.open.iter().any(|item| item.blocks.is_inside())
    }

    /// Records an item that is complete in one event. Returns whether it is new.
    pub(super) fn record(&mut self, id: &ItemId) -> bool {
        self.index_of(id).is_none() && self.done.insert(id.clone())
    }

    /// Records the message that stands for the function call `call`, under an id of its own.
    pub(super) fn record_message_of(&mut self, call: &str) -> ItemId {
        let mut id = format!("msg_{call}");
        loop {
            let candidate = ItemId::from(id.as_str());
            if self.record(&candidate) {
                return candidate;
            }
            id.push('_');
        }
    }
}

impl Index<usize> for Items {
    type Output = Item;

    fn index(&self, index: usize) -> &Item {
        &self.open[index]
    }
}

impl IndexMut<usize> for Items {
    fn index_mut(&mut self, index: usize) -> &mut Item {
        &mut self.open[index]
    }
}
