//! The items of an answer that have begun and are not complete.

use crate::turn::ItemId;

#[derive(Debug, Default)]
pub(super) struct OpenItems {
    open: Vec<Open>,
    /// The number of items that have begun.
    begun: usize,
}

#[derive(Debug)]
struct Open {
    id: ItemId,
    is_message: bool,
    /// The item's number, in the order in which the items began.
    begun: usize,
    /// The bytes of text received so far.
    seen: usize,
}

impl OpenItems {
    /// The open item with this id.
    pub(super) fn get(&self, id: &str) -> Option<&ItemId> {
        self.open.iter().map(|open| &open.id).find(|open| &***open == id)
    }

    /// The item that was opened last.
    pub(super) fn last(&self) -> Option<&ItemId> {
        self.open.last().map(|open| &open.id)
    }

    pub(super) fn add(&mut self, id: ItemId, is_message: bool) {
        self.begun += 1;
        self.open.push(Open { id, is_message, begun: self.begun, seen: 0 });
    }

    pub(super) fn add_seen(&mut self, id: &ItemId, bytes: usize) {
        if let Some(open) = self.open.iter_mut().find(|open| open.id == *id) {
            open.seen += bytes;
        }
    }

    /// Closes an item. Returns the bytes of text received for it.
    pub(super) fn close(&mut self, id: &ItemId) -> usize {
        let place = self.open.iter().position(|open| open.id == *id);
        place.map_or(0, |place| self.open.swap_remove(place).seen)
    }

    /// The last item that began, if it is a message without any text.
    pub(super) fn unsaid(&self) -> Option<ItemId> {
        let last = self.open.iter().find(|open| open.begun == self.begun && open.is_unsaid())?;
        Some(last.id.clone())
    }

    /// The open items that are followed by a later item.
    pub(super) fn overtaken(&self) -> Vec<ItemId> {
        let overtaken = self.open.iter().filter(|open| open.begun != self.begun);
        overtaken.map(|open| open.id.clone()).collect()
    }

    /// The answer starts again: none of these is its last item.
    pub(super) fn begin_again(&mut self) {
        self.begun += 1;
    }
}

impl Open {
    fn is_unsaid(&self) -> bool {
        self.is_message && self.seen == 0
    }
}
