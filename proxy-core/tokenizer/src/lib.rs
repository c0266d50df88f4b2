//! The tokenizer of OpenAI's models since GPT-4o, o200k: how many tokens a text is.
//!
//! The vocabulary is the one of `tiktoken-rs`, and so is every result; the tests compare them. That crate itself is not part
//! of the program: it adds 5 MB to it and takes 35 MB of memory, and it panics at a million spaces.
//!
//! A text is split into pieces (words, numbers, punctuation, white space), and in each piece neighbouring tokens are merged,
//! beginning with every byte as one, as long as two of them are a token: the one with the lowest rank first.

mod merge;
mod vocabulary;

#[cfg(test)]
mod tests;

use regex::Regex;

use merge::Merger;
use vocabulary::Vocabulary;

/// How o200k splits a text, at the beginning of what is left of it. The original has `\s+(?!\S)` before the last
/// alternative; [`Tokenizer::piece`] does that.
const PIECE: &str = concat!(
    r"\A(?:",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"|\s*[\r\n]+",
    r"|\s+",
    r")",
);

/// The most bytes that are merged at a time: a piece can be as long as the text, and merging takes 24 times its
/// size. Each cut in a longer piece can add one token.
const MAX_PIECE: usize = 1 << 20;

/// Counts tokens. It takes 5 MB.
#[derive(Debug)]
pub struct Tokenizer {
    pattern: Regex,
    vocabulary: Vocabulary,
}

/// Why there is no tokenizer: the program's own tables are damaged.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The pattern is not one.
    #[error("the pattern of the tokenizer: {0}")]
    Pattern(#[from] regex::Error),
    /// The vocabulary is not what was packed.
    #[error("the vocabulary of the tokenizer is damaged")]
    Vocabulary,
}

impl Tokenizer {
    /// Unpacks the vocabulary. This takes some 50 ms.
    ///
    /// # Errors
    /// If the program is damaged.
    pub fn load() -> Result<Self, LoadError> {
        Ok(Self {
            pattern: Regex::new(PIECE)?,
            vocabulary: Vocabulary::unpack().ok_or(LoadError::Vocabulary)?,
        })
    }

    /// The tokens of a text. What looks like a special token is text too.
    pub fn count(&self, text: &str) -> u64 {
        self.counts(text).sum()
    }

    /// The tokens of each piece of a text, for those who may lose interest before its end.
    pub fn counts<'a>(&'a self, text: &'a str) -> impl Iterator<Item = u64> + 'a {
        let mut merger = Merger::default();
        self.pieces(text).map(move |piece| match self.vocabulary.rank(piece) {
            Some(_) => 1,
            None => merger.merge(piece, &self.vocabulary),
        })
    }

    fn pieces<'a>(&'a self, mut text: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let pieces = std::iter::from_fn(move || {
            if text.is_empty() {
                return None;
            }
            let (piece, rest) = text.split_at(self.piece(text));
            text = rest;
            Some(piece)
        });
        pieces.flat_map(|piece| piece.as_bytes().chunks(MAX_PIECE))
    }

    /// The length of the first piece of a text. Of white space before a word, the last character belongs to the word.
    fn piece(&self, text: &str) -> usize {
        // Every character begins one of the alternatives.
        let end = self.pattern.find(text).map_or(text.len(), |found| found.end());
        let piece = &text[..end];
        match piece.char_indices().next_back() {
            Some((last, c))
                if last > 0
                    && end < text.len()
                    && c.is_whitespace()
                    && !matches!(c, '\r' | '\n')
                    && piece.chars().all(char::is_whitespace) =>
            {
                last
            }
            _ => end,
        }
    }
}
