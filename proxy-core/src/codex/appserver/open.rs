//! The items of an answer that have begun and are not complete.

use crate::turn::ItemId;

#[derive(Debug, Default)]
pub(super) struct OpenItems(Vec<Open>);

#[derive(Debug)]
struct Open {
    id: ItemId,
    is_message: bool,
    /// The bytes of text it has had.
    seen: usize,
}

impl OpenItems {
    /// The open item with this id.
    pub(super) fn get(&self, id: &str) -> Option<&ItemId> {
        self.0.iter().map(|open| &open.id).find(|open| &***open == id)
    }

    /// The item that was opened last.
    pub(super) fn last(&self) -> Option<&ItemId> {
        self.0.last().map(|open| &open.id)
    }

    pub(super) fn add(&mut self, id: ItemId, is_message: bool) {
        self.0.push(Open { id, is_message, seen: 0 });
    }

    pub(super) fn add_seen(&mut self, id: &ItemId, bytes: usize) {
        if let Some(open) = self.0.iter_mut().find(|open| open.id == *id) {
            open.seen += bytes;
        }
    }

    /// Closes an item. Returns the bytes of text it has had.
    pub(super) fn close(&mut self, id: &ItemId) -> usize {
        let place = self.0.iter().position(|open| open.id == *id);
        place.map_or(0, |place| self.0.swap_remove(place).seen)
    }

    /// The messages of which nothing has been said.
    pub(super) fn unsaid(&self) -> Vec<ItemId> {
        self.0.iter().filter(|open| open.is_unsaid()).map(|open| open.id.clone()).collect()
    }

    /// What had only begun is begun anew.
    pub(super) fn forget_unsaid(&mut self) {
        self.0.retain(|open| !open.is_unsaid());
    }
}

impl Open {
    fn is_unsaid(&self) -> bool {
        self.is_message && self.seen == 0
    }
}
