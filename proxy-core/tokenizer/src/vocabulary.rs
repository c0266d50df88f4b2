//! The vocabulary: which bytes are a token, and its rank.

use std::hash::BuildHasher as _;
use std::io::Read as _;

use brotli_decompressor::Decompressor;
use foldhash::fast::FixedState;

/// What `build.rs` has packed: the tokens of one byte, then the two halves of every other one.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k.br"));
/// The number of tokens.
const TOKENS: usize = 199_998;
/// The tokens of one byte.
const BYTES: usize = 256;
/// The bytes of an unpacked rank.
const RANK: usize = 3;
/// More than twice the number of tokens, so that a search is short.
const SLOTS: usize = 1 << 19;
const EMPTY: u32 = u32::MAX;

/// The tokens, and a hash table of them. A map would take three times the memory.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// All tokens one after the other, by rank.
    bytes: Vec<u8>,
    /// Where each token begins, and where the last one ends.
    starts: Vec<u32>,
    /// The ranks, each near the place of its token's hash.
    slots: Vec<u32>,
    longest: usize,
}

impl Vocabulary {
    /// The packed vocabulary; `None` if it is damaged.
    pub(crate) fn unpack() -> Option<Self> {
        let mut plain = Vec::new();
        Decompressor::new(PACKED, 1 << 16).read_to_end(&mut plain).ok()?;
        let (single, planes) = plain.split_at_checked(BYTES)?;
        let pairs = TOKENS - BYTES;
        if planes.len() != 2 * RANK * pairs {
            return None;
        }
        let half = |pair: usize, half: usize| {
            let byte = |weight: usize| usize::from(planes[(half * RANK + weight) * pairs + pair]);
            byte(0) | byte(1) << 8 | byte(2) << 16
        };
        let mut all = Self {
            bytes: single.to_vec(),
            starts: (0..).take(BYTES + 1).collect(),
            slots: vec![EMPTY; SLOTS],
            longest: 1,
        };
        for pair in 0..pairs {
            let begin = all.bytes.len();
            for half in [half(pair, 0), half(pair, 1)] {
                let (from, to) = (*all.starts.get(half)?, *all.starts.get(half + 1)?);
                all.bytes.extend_from_within(from as usize..to as usize);
            }
            all.starts.push(u32::try_from(all.bytes.len()).ok()?);
            all.longest = all.longest.max(all.bytes.len() - begin);
        }
        for rank in 0..u32::try_from(TOKENS).ok()? {
            let slot = all.slot(all.token(rank));
            all.slots[slot] = rank;
        }
        Some(all)
    }

    /// The rank of a token; `None` if the bytes are none.
    pub(crate) fn rank(&self, token: &[u8]) -> Option<u32> {
        if token.len() > self.longest {
            return None;
        }
        Some(self.slots[self.slot(token)]).filter(|rank| *rank != EMPTY)
    }

    /// The token with this rank.
    pub(crate) fn token(&self, rank: u32) -> &[u8] {
        let rank = rank as usize;
        &self.bytes[self.starts[rank] as usize..self.starts[rank + 1] as usize]
    }

    /// The slot of these bytes, or the empty one where they would be.
    fn slot(&self, token: &[u8]) -> usize {
        let hash = FixedState::default().hash_one(token);
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot] != EMPTY && self.token(self.slots[slot]) != token {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }
}
