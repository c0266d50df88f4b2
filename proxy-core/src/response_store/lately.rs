//! The chains that were continued lately, as their next request needs them: a chat that grows is not read from the
//! database again for each of its turns. Pure: time is an argument.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use protocol::openai::responses::HistoryItem;
use tokio::time::Instant;

use crate::secret::KeyId;

/// The most bytes of all chains together.
const MOST_BYTES: usize = 16 << 20;

/// How long a chain is kept for its next request: as long as Codex keeps its thread by default.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// The chains. The one that was continued last comes last.
#[derive(Debug, Default)]
pub(super) struct Lately {
    chains: VecDeque<Chain>,
    /// Keys that were deleted since the start. A request of theirs may still run.
    forgotten: HashSet<KeyId>,
    /// Whether a task waits to remove what is past its time.
    pub(super) is_watched: bool,
}

#[derive(Debug)]
struct Chain {
    owner: KeyId,
    response: String,
    items: Vec<HistoryItem>,
    bytes: usize,
    since: Instant,
}

impl Lately {
    /// Keeps everything up to and with a response. Returns what has to go for it.
    #[must_use = "a long chain takes milliseconds to drop"]
    pub(super) fn keep(
        &mut self,
        owner: KeyId,
        response: String,
        items: Vec<HistoryItem>,
        now: Instant,
    ) -> Vec<Vec<HistoryItem>> {
        if self.has_forgotten(&owner) {
            return vec![items];
        }
        let bytes = items.iter().map(HistoryItem::bytes).sum();
        self.chains.push_back(Chain { owner, response, items, bytes, since: now });
        let mut all: usize = self.chains.iter().map(|chain| chain.bytes).sum();
        let mut gone = Vec::new();
        while all > MOST_BYTES
            && let Some(oldest) = self.chains.pop_front()
        {
            all -= oldest.bytes;
            gone.push(oldest.items);
        }
        gone
    }

    /// Takes out everything up to and with a response of a key.
    pub(super) fn take(&mut self, owner: &KeyId, response: &str) -> Option<Vec<HistoryItem>> {
        let at = self.chains.iter().rposition(|chain| chain.response == response && chain.owner == *owner)?;
        self.chains.remove(at).map(|chain| chain.items)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.chains.clear();
    }

    /// Forgets everything, and keeps nothing of a deleted key any more.
    pub(super) fn forget_key(&mut self, owner: KeyId) {
        self.clear();
        self.forgotten.insert(owner);
    }

    pub(super) fn has_forgotten(&self, owner: &KeyId) -> bool {
        self.forgotten.contains(owner)
    }

    /// Forgets what is past its time. Returns when the next will be.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.chains.retain(|chain| now < chain.since + KEPT);
        self.chains.front().map(|chain| chain.since + KEPT)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items(text: &str) -> Vec<HistoryItem> {
        vec![HistoryItem::of(&json!({"type": "message", "role": "user", "content": text}))]
    }

    fn key(name: &str) -> KeyId {
        KeyId::parse(&format!("key_{name}")).unwrap()
    }

    #[test]
    fn a_chain_is_taken_once_by_its_own_key() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        assert!(lately.keep(key("a"), "r1".into(), items("1"), now).is_empty());
        assert_eq!(lately.take(&key("b"), "r1"), None);
        assert_eq!(lately.take(&key("a"), "r2"), None);
        assert_eq!(lately.take(&key("a"), "r1"), Some(items("1")));
        assert_eq!(lately.take(&key("a"), "r1"), None);
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room_and_too_large_ones_at_once() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        let large = "x".repeat(MOST_BYTES / 3);
        for response in ["r1", "r2"] {
            assert!(lately.keep(key("a"), response.into(), items(&large), now).is_empty());
        }
        assert_eq!(lately.keep(key("a"), "r3".into(), items(&large), now).len(), 1);
        assert_eq!(lately.take(&key("a"), "r1"), None);
        assert!(lately.take(&key("a"), "r2").is_some());
        let picture = json!({"type": "message", "role": "user", "content": [
            {"type": "input_image", "image_url": "x".repeat(MOST_BYTES)},
        ]});
        assert_eq!(lately.keep(key("a"), "r4".into(), vec![HistoryItem::of(&picture)], now).len(), 2);
        assert_eq!(lately.take(&key("a"), "r4"), None);
    }

    #[test]
    fn a_deleted_key_keeps_nothing() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        assert!(lately.keep(key("a"), "r1".into(), items("1"), now).is_empty());
        lately.forget_key(key("a"));
        assert_eq!(lately.take(&key("a"), "r1"), None);
        assert_eq!(lately.keep(key("a"), "r2".into(), items("2"), now), [items("2")]);
        assert_eq!(lately.take(&key("a"), "r2"), None);
        assert!(lately.keep(key("b"), "r3".into(), items("3"), now).is_empty());
    }

    #[test]
    fn each_has_its_time() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        let later = now + Duration::from_secs(60);
        drop(lately.keep(key("a"), "r1".into(), items("1"), now));
        drop(lately.keep(key("a"), "r2".into(), items("2"), later));
        assert_eq!(lately.expire(later), Some(now + KEPT));
        assert_eq!(lately.expire(now + KEPT), Some(later + KEPT));
        assert_eq!(lately.take(&key("a"), "r1"), None);
        assert_eq!(lately.expire(later + KEPT), None);
        assert_eq!(lately.take(&key("a"), "r2"), None);
    }
}
