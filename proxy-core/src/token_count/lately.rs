//! What was counted lately, so that it can be compared with what the vendor reports. Nothing of the texts is kept.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::prompt::Piece;

/// The most counts that are remembered.
const MOST: usize = 64;

/// How long a count is remembered. A client that counts a request sends it soon, or not at all.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// The counts, the newest last.
#[derive(Debug, Default)]
pub(super) struct Lately {
    hasher: RandomState,
    counts: VecDeque<(Instant, u64, u64)>,
}

/// What tells one prompt from another.
#[derive(Debug)]
pub(super) struct Mark(DefaultHasher);

impl Mark {
    /// Adds the next piece of the prompt.
    pub(super) fn add(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Tokens(count) => count.hash(&mut self.0),
            Piece::Text(text) => text.hash(&mut self.0),
        }
    }
}

impl Lately {
    /// The mark of a prompt without any piece.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.hasher.build_hasher())
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&mut self) -> bool {
        while self.counts.front().is_some_and(|(at, ..)| at.elapsed() > REMEMBERED) {
            self.counts.pop_front();
        }
        self.counts.is_empty()
    }

    /// Remembers a count.
    pub(super) fn put(&mut self, mark: &Mark, count: u64) {
        if self.counts.len() == MOST {
            self.counts.pop_front();
        }
        self.counts.push_back((Instant::now(), mark.0.finish(), count));
    }

    /// The count of a prompt, if it is remembered.
    pub(super) fn get(&mut self, mark: &Mark) -> Option<u64> {
        let mark = mark.0.finish();
        self.counts.iter().rev().find(|(_, known, _)| *known == mark).map(|(.., count)| *count)
    }
}
