//! Merges the bytes of a piece to tokens, in a time that grows with the piece and not with its square.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::vocabulary::Vocabulary;

/// Merges one piece after the other, in the same memory.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    /// The part that begins at each byte.
    parts: Vec<Part>,
    /// What may be merged: the lowest rank first, then the leftmost. Some has been merged in another way since.
    candidates: BinaryHeap<Reverse<Candidate>>,
}

/// A part of the piece.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Where the part before it begins.
    before: u32,
    /// Where it ends, and the next one begins; [`GONE`] if no part begins here any more.
    end: u32,
}

/// Two parts that are a token together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    start: u32,
    end: u32,
}

const GONE: u32 = 0;

impl Merger {
    /// The number of tokens of a piece, which is shorter than 2 GB.
    pub(crate) fn merge(&mut self, piece: &[u8], vocabulary: &Vocabulary) -> u64 {
        self.parts.clear();
        self.candidates.clear();
        for at in 0..piece.len() as u32 {
            self.parts.push(Part { before: at.saturating_sub(1), end: at + 1 });
        }
        for at in 0..piece.len() {
            self.offer(at, piece, vocabulary);
        }
        let mut count = piece.len() as u64;
        while let Some(Reverse(Candidate { start, end, .. })) = self.candidates.pop() {
            let first = self.parts[start as usize];
            let second = first.end;
            if first.end == GONE || self.parts.get(second as usize).is_none_or(|second| second.end != end) {
                continue;
            }
            self.parts[second as usize].end = GONE;
            self.parts[start as usize].end = end;
            if let Some(next) = self.parts.get_mut(end as usize) {
                next.before = start;
            }
            count -= 1;
            self.offer(start as usize, piece, vocabulary);
            if start > 0 {
                self.offer(first.before as usize, piece, vocabulary);
            }
        }
        count
    }

    /// Offers the part that begins at `start` together with the next one, if they are a token.
    fn offer(&mut self, start: usize, piece: &[u8], vocabulary: &Vocabulary) {
        let Some(next) = self.parts.get(self.parts[start].end as usize) else { return };
        if let Some(rank) = vocabulary.rank(&piece[start..next.end as usize]) {
            self.candidates.push(Reverse(Candidate { rank, start: start as u32, end: next.end }));
        }
    }

    /// Where the tokens of the last piece end.
    #[cfg(test)]
    pub(crate) fn ends(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter(|part| part.end != GONE).map(|part| part.end as usize)
    }
}
